//! Plans from a URL: asked for again and again, and never instead of a live one that works.

use mcpc_process::{Page, Running, until};
use rustix::process::Signal;

use crate::{Folder, plan, refused, status_of};

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
