//! A gateway that is told to stop: calls, child processes and the gateway itself end within the grace.

use std::time::{Duration, Instant};

use mcpc_process::{Client, Reply, Running, Stream, alive, children, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::legacy::LegacyCaller;
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
fn a_call_that_outlasts_the_grace_is_told_so_by_its_own_id() {
    let mut stage = Stage::open(&config("4s", &[("good", "")]));
    let late = json!({ "ms": 60_000 });
    let mut waiting = begin(&mut stage, "good", "late", &late);
    // Neither is a call, and neither may keep the gateway from ending before that one is over.
    let mut head = Client::connect(stage.gateway.address);
    head.send("POST /mcp HTTP/1.1\r\nHost: ");
    let mut body = Client::connect(stage.gateway.address);
    body.send("POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: 9\r\n\r\n{");
    stage.client().echoes("good.echo", 0);
    stage.gateway.signal(Signal::TERM);
    assert!(head.is_closed() && body.is_closed());
    assert!(
        alive(stage.gateway.id()),
        "the call has more time than they"
    );
    let reply = waiting.reply().unwrap();
    assert_eq!(reply.code(), "MCPC9213");
    assert!(!reply.message()["id"].is_null(), "{:?}", reply.message());
    assert!(!may_be_sent_again(&reply), "the server has had it");
    assert_eq!(stage.gateway.ended(), Some(0));
}

#[test]
fn a_call_whose_client_has_gone_is_let_finish() {
    for is_removed in [false, true] {
        let mut stage = Stage::open(&config("20s", &[("one", ""), ("other", "")]));
        let caller = LegacyCaller::greet_as("2025-06-18", stage.gateway.address);
        let client = caller.begin(1, "one.late", &json!({ "ms": 2000 }));
        stage.gateway.hears("late is with the server");
        drop(client);
        until("it is gone", || {
            stage
                .gateway
                .page("/metrics")
                .contains("mcpc_connections 0\n")
        });
        if is_removed {
            stage.replace(&config("20s", &[("other", "")]));
        }
        stage.gateway.signal(Signal::TERM);
        let said = stage.gateway.rest_of(Stream::Err);
        assert!(said.contains("late is done"), "{is_removed}: {said}");
        assert_eq!(stage.gateway.ended(), Some(0));
    }
}

#[test]
fn a_call_that_waits_for_its_server_when_the_grace_ends_may_be_sent_again() {
    let mut stage = Stage::open(&config("2s", &[("mute", "--silent")]));
    let mut waiting = stage.client().begin("mute.echo", &json!({}));
    until("the call waits", || {
        stage.gateway.upstream("mute")["in_flight"] == 1
    });
    stage.gateway.signal(Signal::TERM);
    let reply = waiting.reply().unwrap();
    assert_eq!(reply.code(), "MCPC9213");
    assert!(may_be_sent_again(&reply), "nothing was sent");
    assert_eq!(stage.gateway.ended(), Some(0));
}

#[test]
fn servers_that_have_not_ended_in_time_are_told_before_the_gateway_has_stopped() {
    let mut stage = Stage::open(&config("2s", &[("held", "")]));
    stage.client().echoes("held.echo", 0);
    let wardens = children(stage.gateway.id());
    let warden = Pid::from_raw(wardens[0].try_into().unwrap()).unwrap();
    kill_process(warden, Signal::STOP).unwrap();
    stage.gateway.signal(Signal::TERM);
    let said = stage.gateway.rest_of(Stream::Err);
    kill_process(warden, Signal::CONT).unwrap();
    let line = said
        .lines()
        .find(|line| line.contains("not all servers have ended in time"));
    assert!(line.unwrap().contains("servers=1"), "{said}");
    assert_eq!(stage.gateway.ended(), Some(0));
    until("it ends when it can", || !alive(wardens[0]));
}

fn may_be_sent_again(reply: &Reply) -> bool {
    reply.message()["error"]["data"]["retry"].as_bool().unwrap()
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

/// The status of an admin page.
fn page(gateway: &Running, path: &str) -> u16 {
    let page = gateway.page(path);
    let status = page.split(' ').nth(1);
    status.and_then(|status| status.parse().ok()).unwrap()
}

fn phase(stage: &Stage) -> String {
    let phase = stage.gateway.status()["phase"].clone();
    phase.as_str().unwrap().to_owned()
}

fn is_open(stage: &Stage) -> bool {
    std::net::TcpStream::connect(stage.gateway.address).is_ok()
}

#[test]
fn readiness_falls_before_the_door_and_probes_are_answered_until_the_end() {
    let mut stage = Stage::open_with(&config("30s", &[("good", "")]), &["--leave-for", "2s"]);
    let caller = LegacyCaller::greet(stage.gateway.address);
    let address = stage.gateway.address;
    let mut stream = Client::connect(address);
    let session = caller.session();
    stream.send(format!(
        "GET /mcp HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\
         Mcp-Session-Id: {session}\r\n\r\n"
    ));
    assert!(stream.head().unwrap().starts_with("HTTP/1.1 200"));
    let late = json!({ "ms": u64::try_from(LATE.as_millis()).unwrap() });
    let mut waiting = begin(&mut stage, "good", "late", &late);
    assert_eq!(page(&stage.gateway, "/readyz"), 200);

    stage.gateway.signal(Signal::TERM);
    stage.gateway.hears("leaving: not ready any more");
    assert_eq!(page(&stage.gateway, "/readyz"), 503);
    assert_eq!(page(&stage.gateway, "/livez"), 200);
    assert_eq!(phase(&stage), "leaving");
    // Whoever does not know yet is served.
    stage.client().echoes("good.echo", 1);

    stage.gateway.hears("stopping");
    until("the door is shut", || !is_open(&stage));
    assert_eq!(page(&stage.gateway, "/readyz"), 503);
    assert_eq!(page(&stage.gateway, "/livez"), 200);
    assert_eq!(phase(&stage), "draining");
    // The stream ends as streams do, not as connections that are lost.
    while stream.chunk().is_some() {}
    assert!(stream.is_closed());
    let reply = waiting.reply().unwrap();
    assert_eq!(text_of(&reply), late.to_string());
    assert_eq!(stage.gateway.ended(), Some(0));
}

#[test]
fn readiness_falls_with_the_first_signal_also_where_nobody_is_waited_for() {
    let mut stage = Stage::open(&config("30s", &[("good", "")]));
    let late = json!({ "ms": 2000 });
    let mut waiting = begin(&mut stage, "good", "late", &late);
    stage.gateway.signal(Signal::INT);
    stage.gateway.hears("stopping");
    assert_eq!(page(&stage.gateway, "/readyz"), 503);
    assert_eq!(page(&stage.gateway, "/livez"), 200);
    let reply = waiting.reply().unwrap();
    assert_eq!(text_of(&reply), late.to_string());
    assert_eq!(stage.gateway.ended(), Some(0));
}

#[test]
fn a_second_signal_ends_everything_at_once() {
    for (flags, says, signals) in [
        (
            &["--leave-for", "60m"][..],
            "leaving: not ready any more",
            [Signal::TERM, Signal::INT],
        ),
        (&[], "stopping", [Signal::INT, Signal::TERM]),
    ] {
        let mut stage = Stage::open_with(&config("60s", &[("deaf", "--deaf")]), flags);
        stage.client().echoes("deaf.echo", 0);
        let _waiting = begin(&mut stage, "deaf", "silence", &json!({}));
        let servers = children(stage.gateway.id());
        let began = Instant::now();
        stage.gateway.signal(signals[0]);
        stage.gateway.hears(says);
        stage.gateway.signal(signals[1]);
        assert_eq!(stage.gateway.ended(), Some(1));
        assert!(began.elapsed() < GRACE, "{:?}", began.elapsed());
        until("the server is gone", || {
            !servers.iter().any(|id| alive(*id))
        });
    }
}
