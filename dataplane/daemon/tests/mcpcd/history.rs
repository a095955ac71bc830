//! Plans that were live: kept on disk, gone back to, started from.

use std::net::SocketAddr;

use mcpc_plan::{Plan, Source};
use mcpc_process::{Running, exchange, post, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{Folder, plan, plan_with_secret, refused, status_of};

const KEEPING: [&str; 4] = ["--plan", "plan.json", "--state-dir", "state"];

fn keeping(folder: &Folder) -> Running {
    Running::start(&mut folder.mcpcd(&KEEPING))
}

fn falling_back(folder: &Folder) -> std::process::Command {
    let mut command = folder.mcpcd(&KEEPING);
    command.env("MCPC_FALLBACK", "last-good");
    command
}

/// Makes another plan live.
fn replace(folder: &Folder, daemon: &mut Running, path: &str) {
    folder.replace(&plan(path).to_bytes().unwrap());
    daemon.hears("the new plan is live");
}

/// Gives an order, and what came of it with the status of the reply.
pub(crate) fn order(daemon: &Running, path: &str) -> (String, Value) {
    order_at(daemon.admin, path)
}

pub(crate) fn order_at(admin: SocketAddr, path: &str) -> (String, Value) {
    let request = post(admin, path, "Connection: close\r\n", "");
    let reply = exchange(admin, &request);
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().to_owned();
    (status, serde_json::from_str(body).unwrap())
}

pub(crate) fn at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[test]
fn a_rollback_goes_one_plan_back_until_something_else_is_wanted() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = folder.start();
    let (status, outcome) = order(&daemon, "/rollback");
    assert_eq!(
        (status.as_str(), at(&outcome, "/verdict")),
        ("409", "refused")
    );
    assert_eq!(at(&outcome, "/refused/code"), "MCPC9612");

    replace(&folder, &mut daemon, "/two");
    let (status, outcome) = order(&daemon, "/rollback");
    assert_eq!((status.as_str(), at(&outcome, "/verdict")), ("200", "live"));
    assert_ne!(status_of(&daemon, "/one"), 404);
    assert_eq!(status_of(&daemon, "/two"), 404);
    let seen = daemon.status();
    assert_eq!(at(&seen, "/live/taken"), "rolled_back");
    assert_eq!(at(&seen, "/live/digest"), plan("/one").digest.as_str());
    assert_eq!(at(&seen, "/refused/digest"), plan("/two").digest.as_str());
    assert_eq!(at(&seen, "/refused/code"), "MCPC9610");
    let ready = daemon.page("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(
        ready.contains("rolled_back") && ready.contains("MCPC9610"),
        "{ready}"
    );

    // Another text of the same meaning is no other plan.
    let mut same = plan("/two").to_bytes().unwrap();
    same.extend_from_slice(b"\n\n");
    folder.replace(&same);
    daemon.hears("is taken again only when that is asked for");
    assert_eq!(status_of(&daemon, "/two"), 404);
    // Whoever asks for it gets it.
    let (_, outcome) = order(&daemon, "/reload");
    daemon.hears("the new plan is live");
    assert_eq!(at(&outcome, "/live"), plan("/two").digest.as_str());
    let seen = daemon.status();
    assert_eq!(
        (at(&seen, "/live/taken"), &seen["refused"]),
        ("loaded", &Value::Null)
    );
    let (_, outcome) = order(&daemon, "/reload");
    assert_eq!(at(&outcome, "/verdict"), "unchanged");

    // Another plan goes live as ever, also after a rollback.
    order(&daemon, "/rollback");
    replace(&folder, &mut daemon, "/three");
    assert_ne!(status_of(&daemon, "/three"), 404);
    daemon.stop();
}

#[test]
fn orders_are_refused_to_pages_and_to_other_methods() {
    let folder = Folder::with(&plan("/one"));
    let daemon = folder.start();
    let page = "Connection: close\r\nOrigin: http://localhost:3000\r\n";
    let reply = exchange(daemon.admin, &post(daemon.admin, "/rollback", page, ""));
    assert!(reply.starts_with("HTTP/1.1 403"), "{reply}");
    assert!(reply.contains("MCPC9614"), "{reply}");
    let reply = daemon.page("/reload");
    assert!(reply.starts_with("HTTP/1.1 405"), "{reply}");
    daemon.stop();
}

#[test]
fn plans_outlive_the_process_and_can_be_started_from() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = keeping(&folder);
    replace(&folder, &mut daemon, "/two");
    daemon.stop();

    folder.replace(b"no plan");
    let (exit, said) = refused(&folder.mcpcd(&KEEPING).output().unwrap());
    assert!(exit == Some(1) && said.contains("MCPC8001"), "{said}");
    let daemon = Running::start(&mut falling_back(&folder));
    assert_ne!(status_of(&daemon, "/two"), 404);
    let seen = daemon.status();
    assert_eq!(at(&seen, "/live/taken"), "last_good");
    assert_eq!(at(&seen, "/refused/code"), "MCPC8001");
    let ready = daemon.page("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(
        ready.contains("last_good") && ready.contains("MCPC8001"),
        "{ready}"
    );

    // One step back leads to what an earlier process served.
    let (_, outcome) = order(&daemon, "/rollback");
    assert_eq!(at(&outcome, "/live"), plan("/one").digest.as_str());
    folder.replace(&plan("/two").to_bytes().unwrap());
    order(&daemon, "/reload");
    order(&daemon, "/rollback");
    daemon.stop();
    // What was rolled back stays aside for whoever starts with the last good plan.
    let daemon = Running::start(&mut falling_back(&folder));
    assert_ne!(status_of(&daemon, "/one"), 404);
    assert_eq!(at(&daemon.status(), "/refused/code"), "MCPC9610");
    daemon.stop();
}

#[test]
fn all_plans_that_were_gone_back_over_stay_aside() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = keeping(&folder);
    for path in ["/two", "/three", "/four"] {
        replace(&folder, &mut daemon, path);
    }
    order(&daemon, "/rollback");
    order(&daemon, "/rollback");
    let refused_of = |daemon: &Running| at(&daemon.status(), "/refused/digest").to_owned();
    assert_eq!(refused_of(&daemon), plan("/four").digest.as_str());
    // Another text of the same meaning is no other plan, for whichever of them.
    for path in ["/four", "/three"] {
        let mut same = plan(path).to_bytes().unwrap();
        same.push(b'\n');
        folder.replace(&same);
        daemon.hears("is taken again only when that is asked for");
        assert_ne!(status_of(&daemon, "/two"), 404);
        assert_eq!(refused_of(&daemon), plan(path).digest.as_str());
    }
    order(&daemon, "/rollback");
    assert_eq!(refused_of(&daemon), plan("/three").digest.as_str());
    daemon.stop();

    for path in ["/three", "/four", "/two"] {
        folder.replace(&plan(path).to_bytes().unwrap());
        let daemon = Running::start(&mut falling_back(&folder));
        assert_ne!(status_of(&daemon, "/one"), 404);
        assert_eq!(at(&daemon.status(), "/live/taken"), "last_good");
        assert_eq!(refused_of(&daemon), plan(path).digest.as_str());
        daemon.stop();
    }
}

#[test]
fn an_index_of_an_older_gateway_is_read() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = keeping(&folder);
    replace(&folder, &mut daemon, "/two");
    order(&daemon, "/rollback");
    daemon.stop();
    let index = folder.path("state/plans/history.json");
    let written = std::fs::read(&index).unwrap();
    let mut older: Value = serde_json::from_slice(&written).unwrap();
    older["set_aside"] = older["set_aside"][0].take();
    assert!(older["set_aside"].is_object(), "{older:#}");
    std::fs::write(&index, older.to_string()).unwrap();
    let daemon = Running::start(&mut falling_back(&folder));
    assert_ne!(status_of(&daemon, "/one"), 404);
    assert_eq!(at(&daemon.status(), "/refused/code"), "MCPC9610");
    daemon.stop();
    // Nothing was set aside.
    older["set_aside"] = Value::Null;
    std::fs::write(&index, older.to_string()).unwrap();
    let daemon = Running::start(&mut falling_back(&folder));
    assert_ne!(status_of(&daemon, "/two"), 404);
    daemon.signal(Signal::TERM);
    let (_, said) = daemon.rest();
    assert!(!said.contains("MCPC9613"), "{said}");
}

#[test]
fn a_gateway_starts_with_the_newest_plan_from_before_that_can_be_used() {
    let key = |name: &str| Source::Variable(name.into());
    let two = plan_with_secret("/two", key("KEY_OF_TWO"));
    let three = plan_with_secret("/three", key("KEY_OF_THREE"));
    let folder = Folder::with(&plan("/one"));
    let mut command = folder.mcpcd(&KEEPING);
    command.env("KEY_OF_TWO", "2").env("KEY_OF_THREE", "3");
    let mut daemon = Running::start(&mut command);
    for plan in [&two, &three] {
        folder.replace(&plan.to_bytes().unwrap());
        daemon.hears("the new plan is live");
    }
    daemon.stop();

    // The secrets of both are missing: of one it is said as of what the file holds, of the other as of one from before.
    let daemon = Running::start(&mut falling_back(&folder));
    assert_ne!(status_of(&daemon, "/one"), 404);
    let seen = daemon.status();
    assert_eq!(at(&seen, "/live/taken"), "last_good");
    assert_eq!(at(&seen, "/refused/digest"), three.digest.as_str());
    assert_eq!(at(&seen, "/kept/plans/0"), plan("/one").digest.as_str());
    assert_eq!(seen.pointer("/kept/plans/1"), None);
    daemon.signal(Signal::TERM);
    let (_, said) = daemon.rest();
    assert_eq!(
        said.matches("with this plan from before").count(),
        1,
        "{said}"
    );

    // Without any that can be used each is told with its reason, once.
    let folder = Folder::with(&two);
    let mut command = folder.mcpcd(&KEEPING);
    let mut daemon = Running::start(command.env("KEY_OF_TWO", "2").env("KEY_OF_THREE", "3"));
    folder.replace(&three.to_bytes().unwrap());
    daemon.hears("the new plan is live");
    daemon.stop();
    let (exit, said) = refused(&falling_back(&folder).output().unwrap());
    assert!(exit != Some(0) && said.contains("tried=1"), "{said}");
    folder.replace(b"no plan");
    let (exit, said) = refused(&falling_back(&folder).output().unwrap());
    assert!(said.contains("tried=2"), "{said}");
    assert_eq!(exit, Some(1), "{said}");
    for text in ["MCPC8001", "KEY_OF_TWO", "KEY_OF_THREE", "MCPC9612"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert_eq!(
        said.matches("with this plan from before").count(),
        2,
        "{said}"
    );
}

#[test]
fn without_a_plan_from_before_there_is_nothing_to_fall_back_to() {
    let folder = Folder::with(&plan("/one"));
    folder.replace(b"no plan");
    let (exit, said) = refused(&falling_back(&folder).output().unwrap());
    assert!(exit == Some(1) && said.contains("MCPC9612"), "{said}");
}

#[test]
fn only_the_last_plans_are_kept_and_each_is_whole() {
    let folder = Folder::with(&plan("/0"));
    let mut daemon = keeping(&folder);
    for turn in 1..12 {
        replace(&folder, &mut daemon, &format!("/{turn}"));
    }
    let last = plan("/11").digest;
    until("the last plan is kept", || {
        at(&daemon.status(), "/kept/plans/0") == last.as_str()
    });
    let kept = daemon.status();
    let kept = kept.pointer("/kept/plans").and_then(Value::as_array);
    let kept = kept.unwrap();
    assert_eq!(kept.len(), 8);
    for (digest, turn) in kept.iter().zip((4..12).rev()) {
        let digest = digest.as_str().unwrap();
        assert_eq!(digest, plan(&format!("/{turn}")).digest.as_str());
        let name = digest.strip_prefix("sha256:").unwrap();
        let bytes = std::fs::read(folder.path(&format!("state/plans/{name}.json"))).unwrap();
        assert_eq!(Plan::from_bytes(&bytes).unwrap().digest.as_str(), digest);
    }
    let files = std::fs::read_dir(folder.path("state/plans")).unwrap();
    assert_eq!(files.count(), 9, "eight plans and the index");
    daemon.stop();

    // A plan that is damaged is passed over, loudly.
    let name = kept[1].as_str().unwrap().strip_prefix("sha256:").unwrap();
    std::fs::write(folder.path(&format!("state/plans/{name}.json")), "{").unwrap();
    let mut daemon = keeping(&folder);
    let (_, outcome) = order(&daemon, "/rollback");
    assert_eq!(at(&outcome, "/live"), kept[2].as_str().unwrap());
    daemon.hears("MCPC9613");
    daemon.stop();
}

#[test]
fn plans_are_found_again_without_their_index() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = keeping(&folder);
    replace(&folder, &mut daemon, "/two");
    until("both plans are kept", || {
        daemon.status().pointer("/kept/plans/1").is_some()
    });
    daemon.stop();
    let index = folder.path("state/plans/history.json");
    folder.replace(b"no plan");
    for spoiled in [None, Some("{\"format\":"), Some("[]")] {
        std::fs::remove_file(&index).unwrap();
        if let Some(text) = spoiled {
            std::fs::write(&index, text).unwrap();
        }
        let daemon = Running::start(&mut falling_back(&folder));
        assert_ne!(status_of(&daemon, "/two"), 404);
        let kept = daemon.status();
        assert_eq!(at(&kept, "/kept/plans/1"), plan("/one").digest.as_str());
        daemon.signal(Signal::TERM);
        let (code, said) = daemon.rest();
        assert!(code == Some(0) && said.contains("MCPC9613"), "{said}");
    }
}

#[test]
fn a_pipe_in_place_of_a_kept_plan_is_passed_over() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = keeping(&folder);
    replace(&folder, &mut daemon, "/two");
    until("both plans are kept", || {
        daemon.status().pointer("/kept/plans/1").is_some()
    });
    let newest = daemon.status();
    daemon.stop();
    let name = at(&newest, "/kept/plans/0")
        .strip_prefix("sha256:")
        .unwrap();
    let path = folder.path(&format!("state/plans/{name}.json"));
    std::fs::remove_file(&path).unwrap();
    let made = rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR);
    made.unwrap();
    folder.replace(b"no plan");
    let daemon = Running::start(&mut falling_back(&folder));
    assert_ne!(status_of(&daemon, "/one"), 404);
    daemon.stop();
}

#[test]
fn a_folder_that_cannot_be_written_stops_nothing_and_is_tried_again() {
    let folder = Folder::with(&plan("/one"));
    std::fs::create_dir(folder.path("state")).unwrap();
    // A file where the folder should be stands in the way of everybody, whoever runs the test.
    std::fs::write(folder.path("state/plans"), "").unwrap();
    let mut daemon = keeping(&folder);
    let seen = daemon.status();
    assert_ne!(at(&seen, "/kept/error"), "");
    let health = daemon.page("/health");
    assert!(health.contains("\"degraded\""));
    assert!(health.contains(at(&seen, "/kept/error")), "{health}");
    let metrics = daemon.page("/metrics");
    assert!(
        metrics.contains("mcpc_trouble{code=\"MCPC9613\"} 1"),
        "{metrics}"
    );
    assert!(daemon.page("/readyz").starts_with("HTTP/1.1 200"));
    replace(&folder, &mut daemon, "/two");
    replace(&folder, &mut daemon, "/three");
    replace(&folder, &mut daemon, "/four");
    assert_ne!(status_of(&daemon, "/four"), 404);
    // The plan before the live one is in memory, and so is the one that it is held against. The second one is lost.
    let still_there = ["/four", "/three", "/one"].map(|path| plan(path).digest);
    assert_eq!(daemon.status()["kept"]["plans"], json!(still_there));
    let (_, outcome) = order(&daemon, "/rollback");
    assert_eq!(at(&outcome, "/live"), plan("/three").digest.as_str());

    std::fs::remove_file(folder.path("state/plans")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.hears("the plan is kept on disk again");
    daemon.hears("the new plan is live");
    until("the plan is kept", || {
        let seen = daemon.status();
        seen.pointer("/kept/error") == Some(&Value::Null)
            && seen.pointer("/kept/plans/0") == seen.pointer("/live/digest")
    });
    daemon.stop();
}
