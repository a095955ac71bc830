//! A gateway that is told to stop: calls, child processes and the gateway itself end within the grace.

use std::time::{Duration, Instant};

use mcpc_process::{Client, alive, children, until};
use rustix::process::Signal;
use serde_json::json;

use crate::stage::{FAULTY, Stage, text_of};

/// How long the busy and deaf one is waited for.
const GRACE: Duration = Duration::from_secs(8);

/// A call that goes on for longer than the whole ladder of a child without calls.
const LATE: Duration = Duration::from_secs(7);

/// Such a call, and then a ladder, would take this long.
const LATE_AND_LADDER: Duration = Duration::from_secs(12);

fn config(grace: &str, servers: &[(&str, &str)]) -> String {
    let head = format!(
        "limits: {{ grace: {grace} }}\n\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\nservers:\n"
    );
    let server = |(name, arguments): &(&str, &str)| {
        format!(
            "  {name}: {{ command: {FAULTY:?}, args: [{arguments}], era: modern, start: {{ when: eager }} }}\n"
        )
    };
    std::iter::once(head)
        .chain(servers.iter().map(server))
        .collect()
}

/// Begins a call, and waits until it is at its server.
fn begin(stage: &mut Stage, server: &str, tool: &str, arguments: &serde_json::Value) -> Client {
    let client = stage.client().begin(&format!("{server}.{tool}"), arguments);
    let announced = format!("{tool} is with the server");
    stage.gateway.hears(&announced);
    client
}

#[test]
fn a_busy_server_that_ignores_everything_does_not_outlive_the_grace() {
    let mut stage = Stage::open(&config("8s", &[("deaf", "--deaf")]));
    stage.client().echoes("deaf.echo", 0);
    let _waiting = begin(&mut stage, "deaf", "silence", &json!({}));
    let servers = children(stage.gateway.id());
    assert_eq!(servers.len(), 1);
    let began = Instant::now();
    stage.gateway.signal(Signal::TERM);
    assert_eq!(stage.gateway.ended(), Some(0));
    let took = began.elapsed();
    assert!(took < GRACE, "{took:?}");
    assert!(took > GRACE / 2, "its calls had {took:?}");
    until("the server is gone", || {
        !servers.iter().any(|id| alive(*id))
    });
}

#[test]
fn a_server_without_calls_is_ended_while_others_finish_theirs() {
    let mut stage = Stage::open(&config("30s", &[("deaf", "--deaf"), ("good", "")]));
    stage.client().echoes("deaf.echo", 0);
    let began = Instant::now();
    let late = json!({ "ms": u64::try_from(LATE.as_millis()).unwrap() });
    let mut waiting = begin(&mut stage, "good", "late", &late);
    stage.gateway.signal(Signal::TERM);
    let reply = waiting.reply().unwrap();
    assert_eq!(text_of(&reply), late.to_string());
    assert_eq!(stage.gateway.ended(), Some(0));
    let took = began.elapsed();
    assert!(took >= LATE && took < LATE_AND_LADDER, "{took:?}");
}
