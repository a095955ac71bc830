//! A new plan that breaks what worked rolls itself back, and says why.

use serde_json::{Value, json};

use crate::stage::{FAULTY, Stage, plan};

/// More calls than are needed to see how many fail.
const CALLS: u64 = 30;

/// A server that cannot be started, in place of the one that can.
const BROKEN: &str = "servers:\n  good: { command: no-such-program-anywhere, era: modern }\n";

fn working() -> String {
    format!("servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n")
}

fn at<'v>(value: &'v Value, pointer: &str) -> &'v str {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default()
}

#[test]
fn a_plan_whose_server_no_longer_starts_rolls_itself_back() {
    let mut stage = Stage::open_with(&working(), &["--probation", "3s"]);
    stage.client().echoes("echo", 0);
    let good = at(&stage.gateway.status(), "/live/digest").to_owned();
    stage.replace(BROKEN);
    stage.client().call("echo", &json!({}));
    let line = stage.gateway.hears("the live plan is rolled back");
    assert!(
        line.contains("MCPC9611") && line.contains("`good`"),
        "{line}"
    );
    stage.gateway.hears("the plan before it is live again");
    stage.client().echoes("echo", 1);
    let ready = stage.gateway.page("/readyz");
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    assert!(
        ready.contains("rolled_back") && ready.contains("MCPC9611"),
        "{ready}"
    );
    let seen = stage.gateway.status();
    assert_eq!(at(&seen, "/live/digest"), good);
    assert_eq!(seen["probation"], Value::Null);

    // Whoever insists gets the plan, and it stays.
    let insisted = at(&stage.reload(), "/live").to_owned();
    assert_ne!(insisted, good);
    let seen = stage.gateway.status();
    assert_eq!(at(&seen, "/live/digest"), insisted);
    assert_eq!(seen["probation"], Value::Null);
    stage.gateway.stop();
}

#[test]
fn no_gateway_starts_with_a_plan_that_a_probation_went_back_over() {
    let kept = ["--state-dir", "state", "--fallback", "last-good"];
    let flags = [["--probation", "6s"].as_slice(), &kept].concat();
    let mut stage = Stage::open_with(&working(), &flags);
    stage.client().echoes("echo", 0);
    let good = at(&stage.gateway.status(), "/live/digest").to_owned();
    stage.replace(BROKEN);
    stage.client().call("echo", &json!({}));
    let other = format!("{BROKEN}limits: {{ grace: 7s }}\n");
    stage.replace(&other);
    stage.client().call("echo", &json!({}));
    stage.gateway.hears("the plan before it is live again");
    for (held, reason) in [
        (other.as_str(), "worked before and fails"),
        (BROKEN, "had not passed its probation"),
    ] {
        let held = plan(held);
        stage = stage.restart_after(|at| std::fs::write(at.join("plan.json"), held).unwrap());
        let seen = stage.gateway.status();
        assert_eq!(at(&seen, "/live/digest"), good, "{seen:#}");
        assert_eq!(at(&seen, "/refused/code"), "MCPC9611", "{seen:#}");
        assert!(at(&seen, "/refused/reason").contains(reason), "{seen:#}");
    }
    // Nobody has judged this one: it is tried, and not for good.
    stage.client().echoes("echo", 1);
    let tried = at(&stage.reload(), "/live").to_owned();
    assert_ne!(tried, good);
    assert_ne!(stage.gateway.status()["probation"], Value::Null);
    stage.gateway.stop();
}

#[test]
fn a_plan_that_worked_stays_at_hand_however_many_edits_come_within_a_probation() {
    let mut stage = Stage::open_with(&working(), &["--probation", "12s"]);
    stage.client().echoes("echo", 0);
    let good = at(&stage.gateway.status(), "/live/digest").to_owned();
    for seconds in 1..=9 {
        let working = working();
        stage.replace(&format!("{working}limits: {{ grace: {seconds}s }}\n"));
    }
    stage.replace(BROKEN);
    stage.client().call("echo", &json!({}));
    stage.gateway.hears("the plan before it is live again");
    assert_eq!(at(&stage.gateway.status(), "/live/digest"), good);
    stage.client().echoes("echo", 1);
    stage.gateway.stop();
}

#[test]
fn a_plan_that_makes_calls_fail_rolls_itself_back() {
    let mut stage = Stage::open_with(&working(), &["--probation", "60s"]);
    let mut client = stage.client();
    for mark in 0..CALLS {
        client.echoes("echo", mark);
    }
    let child = stage.gateway.upstream("good")["pid"].clone();
    let hasty = "{ connect: 50ms, first_byte: 50ms, idle: 50ms, total: 50ms }";
    stage.replace(&format!(
        "servers:\n  good: {{ command: {FAULTY:?}, era: modern, timeouts: {hasty} }}\n"
    ));
    for _ in 0..CALLS {
        client.call("late", &json!({ "ms": 200 }));
    }
    let line = stage.gateway.hears("the live plan is rolled back");
    assert!(line.contains("of 100 calls fail since"), "{line}");
    stage.gateway.hears("the plan before it is live again");
    client.echoes("echo", CALLS);
    assert_eq!(
        stage.gateway.upstream("good")["pid"],
        child,
        "both plans share the server"
    );

    // The calls of that time are not what another plan is held against: half of its calls is too many, too.
    stage.replace(&format!(
        "limits: {{ grace: 9s }}\n\
         servers:\n  good: {{ command: {FAULTY:?}, era: modern, timeouts: {hasty} }}\n"
    ));
    for mark in 0..CALLS {
        client.call("late", &json!({ "ms": 200 }));
        client.echoes("echo", mark);
    }
    stage.gateway.hears("the live plan is rolled back");
    stage.gateway.stop();
}

#[test]
fn without_probation_a_bad_plan_stays() {
    let mut stage = Stage::open_with(&working(), &["--probation", "off"]);
    stage.client().echoes("echo", 0);
    stage.replace(BROKEN);
    stage.client().call("echo", &json!({}));
    let seen = stage.gateway.status();
    assert_eq!(at(&seen, "/live/taken"), "loaded");
    assert_eq!(seen["probation"], Value::Null);
    stage.gateway.stop();
}
