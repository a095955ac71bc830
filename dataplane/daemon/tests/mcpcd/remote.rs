//! Plans from a URL: asked for again and again, and never instead of a live one that works.

use mcpc_process::{Page, Running, until};
use rustix::process::Signal;

use crate::history::{at, order, order_at};
use crate::{Folder, ends_without, plan, refused, status_of};

const POLL: [&str; 2] = ["--poll", "1s"];

fn start(folder: &Folder, url: &str) -> Running {
    Running::start(&mut folder.mcpcd(&["--plan", url, POLL[0], POLL[1]]))
}

#[test]
fn a_plan_from_a_url_is_followed() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let mut daemon = start(&folder, &page.url("/plan.json?key=hidden"));
    assert_ne!(status_of(&daemon, "/one"), 404);
    page.replace(plan("/two").to_bytes().unwrap());
    daemon.hears("the new plan is live");
    assert_ne!(status_of(&daemon, "/two"), 404);
    let status = daemon.status().to_string();
    assert!(status.contains("/plan.json?…"), "{status}");
    assert!(!status.contains("hidden"), "{status}");
    daemon.stop();
}

#[test]
fn a_url_that_answers_slowly_is_followed_whatever_happens_meanwhile() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let url = page.url("/plan.json");
    let mut daemon = Running::start(&mut folder.mcpcd(&["--plan", &url, "--poll", "3s"]));
    page.replace(plan("/two").to_bytes().unwrap());
    daemon.signal(Signal::HUP);
    daemon.hears("the new plan is live");
    page.hang();
    let asked = page.seen().len();
    until("the source is asked", || page.seen().len() > asked);
    let asked = page.seen().len();
    // As much as a look at a plan on probation does.
    order(&daemon, "/rollback");
    page.replace(plan("/three").to_bytes().unwrap());
    daemon.hears("the new plan is live");
    let loads = page.seen().len() - asked;
    assert_eq!(loads, 1, "a question that is under way is not asked again");
    daemon.stop();
}

#[test]
fn what_a_url_fails_to_give_changes_nothing_and_is_told_once() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let mut daemon = start(&folder, &page.url("/plan.json"));
    page.refuse(302);
    let line = daemon.hears("MCPC0006");
    assert!(line.contains("redirects are not followed"), "{line}");
    let asked = page.seen().len();
    until("it is asked again", || page.seen().len() > asked + 1);
    let status = daemon.status();
    assert_eq!(status["refused"]["code"], "MCPC0006", "{status:#}");
    assert_ne!(status_of(&daemon, "/one"), 404);
    daemon.signal(Signal::TERM);
    let (_, said) = daemon.rest();
    assert_eq!(said.matches("MCPC0006").count(), 1, "{said}");
}

#[test]
fn what_is_no_plan_is_refused_until_there_is_one() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let mut daemon = start(&folder, &page.url("/plan.json"));
    page.replace("{}");
    daemon.hears("MCPC8001");
    assert_ne!(status_of(&daemon, "/one"), 404);
    page.replace(plan("/two").to_bytes().unwrap());
    daemon.hears("the new plan is live");
    assert_ne!(status_of(&daemon, "/two"), 404);
    daemon.stop();
}

#[test]
fn the_credential_goes_to_the_url_and_nowhere_else() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let mut command = folder.mcpcd(&["--plan", &page.url("/"), "--log-level", "trace"]);
    let daemon = Running::start(command.env("MCPC_SOURCE_AUTHORIZATION", "Bearer hidden"));
    let heads = page.seen();
    assert!(
        heads[0].contains("authorization: Bearer hidden\r\n"),
        "{heads:?}"
    );
    daemon.signal(Signal::TERM);
    let (exit, said) = daemon.rest();
    assert_eq!(exit, Some(0));
    assert!(!said.contains("hidden"), "{said}");
}

#[test]
fn urls_that_may_not_be_used_do_not_start() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve("");
    page.refuse(404);
    let missing = page.url("/plan.json");
    for (url, reason) in [
        ("http://192.0.2.1/plan.json", "use https"),
        ("http://localhost.example.com/", "use https"),
        ("https://user:secret@example.com/", "no user name"),
        ("https:///plan.json", "URL"),
        ("http://127.0.0.1:1/plan.json", "Connection refused"),
        (&missing, "the answer is 404"),
    ] {
        let (exit, said) = refused(&folder.mcpcd(&["--plan", url]).output().unwrap());
        assert_eq!(exit, Some(2), "{url}: {said}");
        assert!(
            said.contains("MCPC0006") && said.contains(reason),
            "{url}: {said}"
        );
        assert!(!said.contains("secret"), "{said}");
    }
}

/// A gateway with two plans, the second one live, whose source has just been asked again and hangs.
fn hanging(folder: &Folder, page: &Page, more: &[&str]) -> Running {
    let url = page.url("/plan.json");
    let arguments = [["--plan", &url, "--poll", "60m"].as_slice(), more].concat();
    let mut daemon = Running::start(&mut folder.mcpcd(&arguments));
    page.replace(plan("/two").to_bytes().unwrap());
    daemon.signal(Signal::HUP);
    daemon.hears("the new plan is live");
    page.hang();
    let asked = page.seen().len();
    daemon.signal(Signal::HUP);
    until("the source is asked", || page.seen().len() > asked);
    daemon
}

#[test]
fn a_source_that_hangs_holds_up_neither_a_rollback_nor_the_end() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let mut daemon = hanging(&folder, &page, &["--leave-for", "60m"]);
    let (_, outcome) = order(&daemon, "/rollback");
    assert_eq!(at(&outcome, "/live"), plan("/one").digest.as_str());
    // More loads may wait than this one.
    daemon.signal(Signal::HUP);
    daemon.signal(Signal::TERM);
    daemon.hears("leaving: not ready any more");
    assert!(daemon.page("/readyz").starts_with("HTTP/1.1 503"));
    daemon.signal(Signal::INT);
    ends_without(daemon, 1, "MCPC0006");
}

#[test]
fn a_stop_during_a_load_ends_well() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let daemon = hanging(&folder, &page, &[]);
    daemon.signal(Signal::TERM);
    ends_without(daemon, 0, "MCPC0006");
}

#[test]
fn who_asks_during_a_load_hears_of_one_that_began_afterwards() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let daemon = hanging(&folder, &page, &[]);
    let admin = daemon.admin;
    let asking = [(); 3].map(|()| std::thread::spawn(move || order_at(admin, "/reload").1));
    // Whichever have arrived by then: what they hear of is a load of the new content.
    page.replace(plan("/three").to_bytes().unwrap());
    for asked in asking {
        let outcome = asked.join().unwrap();
        assert_eq!(at(&outcome, "/live"), plan("/three").digest.as_str());
        assert_ne!(at(&outcome, "/verdict"), "refused", "{outcome:#}");
    }
    daemon.stop();
}

#[test]
fn one_order_too_many_during_a_load_is_told_so_at_once() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let daemon = hanging(&folder, &page, &[]);
    let admin = daemon.admin;
    let (told, replies) = std::sync::mpsc::channel();
    for _ in 0..9 {
        let told = told.clone();
        std::thread::spawn(move || told.send(order_at(admin, "/reload")).unwrap());
    }
    // All others wait for the source.
    let (status, refusal) = replies.recv().unwrap();
    assert_eq!(status, "503", "{refusal:#}");
    assert_eq!(at(&refusal, "/code"), "MCPC9614");
    assert!(at(&refusal, "/message").contains("too many"), "{refusal:#}");
    page.replace(plan("/three").to_bytes().unwrap());
    for (status, outcome) in replies.iter().take(8) {
        assert_eq!(status, "200", "{outcome:#}");
    }
    daemon.stop();
}

#[test]
fn a_rollback_holds_against_a_load_that_was_asked_for_before() {
    let folder = Folder::with(&plan("/unused"));
    let page = Page::serve(plan("/one").to_bytes().unwrap());
    let mut daemon = hanging(&folder, &page, &[]);
    order(&daemon, "/rollback");
    // The load under way finds the plan that was rolled back since it began.
    page.replace(plan("/two").to_bytes().unwrap());
    daemon.hears("is taken again only when that is asked for");
    assert_eq!(status_of(&daemon, "/two"), 404);
    let (_, outcome) = order(&daemon, "/reload");
    assert_eq!(at(&outcome, "/live"), plan("/two").digest.as_str());
    daemon.stop();
}
