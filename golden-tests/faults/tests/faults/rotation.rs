//! Secrets that change under a running gateway: SIGHUP takes them up, for the servers that have them.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stage::{FAULTY, Stage, text_of};

/// Where the gateway looks for credentials.
const CREDENTIALS: &str = ".config/mcpc/credentials.json";

fn value_of(stage: &Stage, server: &str) -> String {
    let tool = format!("{server}__variable");
    text_of(&stage.client().call(&tool, &json!({ "name": "VALUE" })))
}

fn process_of(stage: &Stage, server: &str) -> Value {
    stage.gateway.upstream(server).get("pid").cloned().unwrap()
}

#[test]
fn a_new_value_of_a_secret_replaces_the_servers_that_have_it() {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("token");
    std::fs::write(&file, "canary-first\n").unwrap();
    let path = file.to_str().unwrap();
    let mut stage = Stage::open(&format!(
        "servers:\n\
         \x20 filed: {{ command: {FAULTY:?}, era: modern, env: {{ VALUE: \"$<file:{path}>\" }} }}\n\
         \x20 named: {{ command: {FAULTY:?}, era: modern, env: {{ VALUE: \"$<VALUE:-none>\" }} }}\n\
         \x20 plain: {{ command: {FAULTY:?}, era: modern }}\n"
    ));
    assert_eq!(value_of(&stage, "filed"), "canary-first");
    assert_eq!(value_of(&stage, "named"), "none");
    assert_eq!(value_of(&stage, "plain"), "");
    let plain = process_of(&stage, "plain");

    stage.gateway.signal(Signal::HUP);
    stage.gateway.hears("the plan is live already");

    // A call that runs is finished by the process that it was sent to.
    std::thread::scope(|scope| {
        let mut caller = stage.client();
        let named = process_of(&stage, "named");
        let running = scope.spawn(move || caller.call("filed__late", &json!({ "ms": 700 })));
        stage.gateway.hears("late is with the server");
        std::fs::write(&file, "canary-second\n").unwrap();
        stage.gateway.signal(Signal::HUP);
        let text = text_of(&running.join().unwrap());
        assert_eq!(text, json!({ "ms": 700 }).to_string());
        assert_eq!(process_of(&stage, "named"), named);
    });
    let line = stage.gateway.hears("new values of secrets are live");
    assert!(line.contains("kept=2 started=1 stopped=1"), "{line}");
    assert_eq!(value_of(&stage, "filed"), "canary-second");

    stage.write(CREDENTIALS, r#"{ "VALUE": "canary-third" }"#);
    stage.gateway.signal(Signal::HUP);
    stage.gateway.hears("new values of secrets are live");
    assert_eq!(value_of(&stage, "named"), "canary-third");

    // What cannot be used changes nothing, and says so.
    stage.write(CREDENTIALS, "canary-third");
    stage.gateway.signal(Signal::HUP);
    let line = stage.gateway.hears("MCPC0005");
    assert!(!line.contains("canary-third"), "{line}");
    stage.write(CREDENTIALS, r#"{ "VALUE": "canary-third" }"#);
    std::fs::remove_file(&file).unwrap();
    stage.gateway.signal(Signal::HUP);
    stage.gateway.hears("MCPC9601");
    assert_eq!(value_of(&stage, "filed"), "canary-second");
    assert_eq!(value_of(&stage, "named"), "canary-third");
    assert_eq!(process_of(&stage, "plain"), plain);

    // What a server says on its standard error is logged without its secrets.
    stage.gateway.signal(Signal::TERM);
    let (code, log) = stage.gateway.rest();
    assert_eq!(code, Some(0));
    assert!(log.contains("it is ***"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}
