//! Servers that sessions have to themselves: each has a process of its own, which ends with it, and there
//! are never more than there may be.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mcpc_process::{Client, Reply, alive, children, descendants, post, until};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage, text_of};

/// How long a process may take to end once its session has: it ends by itself when its input does.
const GRACE: Duration = Duration::from_secs(2);

/// How many sessions come and go, and how many of them at a time.
const SESSIONS: u64 = 200;
const AT_A_TIME: u64 = 8;

/// A gateway with one such server, with these settings of it and of the limits.
fn config(server: &str, limits: &str) -> String {
    format!(
        "limits: {{ grace: 2s, {limits} }}\n\
         servers:\n  own: {{ command: {FAULTY:?}, era: legacy, sharing: session, {server} }}\n"
    )
}

fn serve(server: &str, limits: &str) -> Stage {
    Stage::open(&config(server, limits))
}

fn greet(stage: &Stage) -> LegacyCaller {
    LegacyCaller::greet(stage.gateway.address)
}

#[track_caller]
fn number(reply: &Reply) -> u32 {
    text_of(reply).parse().unwrap()
}

/// The process of a session.
#[track_caller]
fn process_of(caller: &LegacyCaller) -> u32 {
    number(&caller.call(1, "pid", &json!({})))
}

/// What `/status` says of what sessions have to themselves.
fn counts(stage: &Stage) -> [u64; 3] {
    let upstream = stage.gateway.upstream("own");
    let sessions = upstream.get("sessions").unwrap();
    ["in_use", "spares", "at_most"].map(|name| sessions[name].as_u64().unwrap())
}

#[track_caller]
fn ends_within(what: &str, grace: Duration, process: u32) {
    let began = Instant::now();
    until(what, || !alive(process));
    let took = began.elapsed();
    assert!(took < grace, "{what} took {took:?}");
}

#[test]
fn each_session_has_a_process_of_its_own_until_it_ends() {
    let stage = serve("start: { when: lazy }", "sessions: 10");
    let (hers, his) = (greet(&stage), greet(&stage));
    let count = |caller: &LegacyCaller| number(&caller.call(1, "count", &json!({})));
    assert_eq!([count(&hers), count(&hers), count(&his)], [1, 2, 1]);
    assert_eq!(count(&hers), 3);
    let (of_hers, of_his) = (process_of(&hers), process_of(&his));
    assert_ne!(of_hers, of_his);
    // Clients without a session share one, which is none of these.
    let one = number(&stage.client().call("pid", &json!({})));
    let other = number(&stage.client().call("pid", &json!({})));
    assert_eq!(one, other);
    assert!(one != of_hers && one != of_his);
    assert_eq!(counts(&stage), [2, 0, 64]);
    assert_eq!(hers.end().status, 204);
    ends_within("the process of a session that was ended", GRACE, of_hers);
    assert!(alive(of_his) && alive(one));
    until("there is room again", || counts(&stage) == [1, 0, 64]);
    assert_eq!(count(&his), 2);
    stage.gateway.stop();
    assert!(!alive(of_his) && !alive(one));
}

#[test]
fn a_process_ends_with_a_session_that_nobody_uses_any_more() {
    let stage = serve("start: { when: lazy }", "session_idle: 1s");
    let process = process_of(&greet(&stage));
    // Sessions that have expired are looked for every ten seconds.
    ends_within("the end of the process", Duration::from_secs(20), process);
    stage.gateway.stop();
}

#[test]
fn a_process_that_is_not_used_ends_before_its_session() {
    let stage = serve("sessions: { idle: 1s }", "sessions: 10");
    let caller = greet(&stage);
    let process = process_of(&caller);
    let reply = caller.call(2, "late", &json!({ "ms": 2500 }));
    assert_eq!(text_of(&reply), json!({ "ms": 2500 }).to_string());
    assert_eq!(process_of(&caller), process, "a call keeps it");
    until("it has ended", || !alive(process));
    assert_ne!(process_of(&caller), process, "the session goes on");
    stage.gateway.stop();
}

#[test]
fn no_session_has_one_beyond_the_bound_and_all_else_goes_on() {
    for (server, limits) in [
        ("sessions: { at_most: 1 }", "sessions: 10"),
        ("sessions: { at_most: 9 }", "session_servers: 1"),
    ] {
        let stage = serve(server, limits);
        let (first, second) = (greet(&stage), greet(&stage));
        let process = process_of(&first);
        let refused = second.call(1, "pid", &json!({}));
        assert_eq!(refused.code(), "MCPC9330", "{refused:?}");
        let message = refused.message();
        assert_eq!(message.pointer("/error/data/retry"), Some(&json!(true)));
        // What needs none of its own is not refused.
        let listed = second.says(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }));
        assert!(listed.message().pointer("/result/tools/0").is_some());
        assert_eq!(process_of(&first), process);
        assert_eq!(first.end().status, 204);
        until("there is room", || {
            second.call(3, "pid", &json!({})).code().is_empty()
        });
        stage.gateway.stop();
    }
}

#[test]
fn many_sessions_come_and_go_and_leave_what_is_configured() {
    let stage = serve(
        "start: { spares: 2 }, sessions: { at_most: 20 }",
        "sessions: 50",
    );
    stage.client().call("pid", &json!({}));
    until("the spares are ready", || counts(&stage) == [0, 2, 20]);
    let configured = descendants(stage.gateway.id()).len();
    let address = stage.gateway.address;
    let seen: BTreeSet<u32> = std::thread::scope(|scope| {
        let visits = move || {
            let visit = |_| {
                let caller = LegacyCaller::greet(address);
                let process = process_of(&caller);
                assert_eq!(caller.end().status, 204);
                process
            };
            (0..SESSIONS / AT_A_TIME).map(visit).collect::<Vec<_>>()
        };
        let visitors: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(visits)).collect();
        let seen = visitors.into_iter().map(|it| it.join().unwrap());
        seen.flatten().collect()
    });
    assert_eq!(seen.len() as u64, SESSIONS, "none was given twice");
    until("what is left is what was there before", || {
        counts(&stage) == [0, 2, 20] && descendants(stage.gateway.id()).len() == configured
    });
    // What has ended and was not reaped would still be a child of the gateway.
    assert!(children(stage.gateway.id()).into_iter().all(alive));
    assert!(!seen.into_iter().any(alive));
    stage.gateway.stop();
}

#[test]
fn spares_are_given_to_sessions_and_made_again() {
    let stage = serve("start: { spares: 1 }", "sessions: 10");
    until("a spare is ready", || counts(&stage) == [0, 1, 64]);
    // The one that all share, and the spare, each with what ends it if the gateway is gone.
    let ready = descendants(stage.gateway.id());
    let caller = greet(&stage);
    let process = process_of(&caller);
    assert!(ready.contains(&process), "it ran before it was needed");
    until("there is another one", || counts(&stage) == [1, 1, 64]);
    stage.gateway.stop();
}

#[test]
fn sessions_that_come_in_a_burst_are_expected_again() {
    let stage = serve("start: { spares_at_most: 3 }", "sessions: 10");
    let first = [greet(&stage), greet(&stage)];
    let _processes = first.each_ref().map(process_of);
    until("as many again are ready", || counts(&stage) == [2, 2, 64]);
    let ready = descendants(stage.gateway.id());
    let caller = greet(&stage);
    let process = process_of(&caller);
    assert!(ready.contains(&process), "it ran before it was needed");
    // Four have begun, and no more than three may be kept.
    let fourth = greet(&stage);
    let _process = process_of(&fourth);
    until("there are as many as may be", || {
        counts(&stage) == [4, 3, 64]
    });
    stage.gateway.stop();
}

#[test]
fn a_crash_hits_nobody_but_its_session() {
    let stage = serve("restart: { backoff: { from: 50ms } }", "sessions: 10");
    let (hers, his) = (greet(&stage), greet(&stage));
    let (of_hers, of_his) = (process_of(&hers), process_of(&his));
    let waiting = his.begin(2, "late", &json!({ "ms": 1000 }));
    let crashed = hers.call(2, "die", &json!({}));
    assert_eq!(crashed.code(), "MCPC9306", "{crashed:?}");
    assert_ne!(process_of(&hers), of_hers);
    let mut waiting = waiting;
    assert_eq!(waiting.reply().unwrap().code(), "");
    assert_eq!(process_of(&his), of_his);
    // Operators see it beside the ends of the process that all others share.
    let seen = stage.gateway.upstream("own");
    assert_eq!(
        (&seen["restarts"], &seen["ends"][0]["pid"]),
        (&json!(1), &json!(of_hers))
    );
    stage.gateway.stop();
}

#[test]
fn nothing_is_left_when_the_gateway_is_killed() {
    let mut stage = serve(
        "start: { spares: 2 }, args: [--deaf, --family]",
        "sessions: 10",
    );
    let callers = [greet(&stage), greet(&stage)];
    let processes = callers.each_ref().map(process_of);
    until("the spares are ready", || counts(&stage) == [2, 2, 64]);
    let tree = descendants(stage.gateway.id());
    assert!(processes.iter().all(|process| tree.contains(process)));
    stage.gateway.signal(Signal::KILL);
    assert_eq!(stage.gateway.ended(), None);
    until("nothing is left", || !tree.iter().any(|id| alive(*id)));
}

#[test]
fn a_plan_with_the_same_server_keeps_processes_and_another_one_ends_them_after_their_calls() {
    let mut stage = serve("sessions: { at_most: 3 }", "sessions: 10");
    let caller = greet(&stage);
    let process = process_of(&caller);
    stage.replace(&config("sessions: { at_most: 5 }", "sessions: 10"));
    assert_eq!(process_of(&caller), process);
    assert_eq!(counts(&stage), [1, 0, 5]);
    let mut waiting = caller.begin(2, "late", &json!({ "ms": 1500 }));
    stage.gateway.hears("late is with the server");
    stage.replace(&config("args: [--other]", "sessions: 10"));
    let next = process_of(&caller);
    assert_ne!(next, process, "the session goes on with another process");
    assert!(alive(process), "its call is under way");
    let reply = waiting.reply().unwrap();
    assert_eq!(text_of(&reply), json!({ "ms": 1500 }).to_string());
    ends_within("the process of the old plan", GRACE, process);
    // Back to one that all share: sessions lose theirs.
    stage.replace(&format!(
        "servers:\n  own: {{ command: {FAULTY:?}, args: [--other], era: legacy }}\n"
    ));
    let shared = process_of(&caller);
    assert_ne!(shared, next);
    assert_eq!(process_of(&greet(&stage)), shared);
    assert_eq!(
        stage.gateway.upstream("own").get("sessions"),
        None::<&Value>
    );
    until("the process of the session has ended", || !alive(next));
    stage.gateway.stop();
}

/// A session of a client that can be asked, and the beginning of what it gets for a call that asks.
fn asked(address: SocketAddr) -> (String, Client) {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "elicitation": {}, "roots": {}, "sampling": {} },
        "clientInfo": { "name": "test", "version": "1" },
    });
    let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let reply = Client::connect(address).ask(post(address, "/mcp", "", &message.to_string()));
    let mut lines = reply.head.lines();
    let session = lines.find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("mcp-session-id").then_some(value)
    });
    let session = format!("Mcp-Session-Id: {}\r\n", session.unwrap());
    let params = json!({ "name": "asks", "arguments": {} });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut client = Client::connect(address);
    client.send(post(address, "/mcp", &session, &call.to_string()));
    (session, client)
}

#[test]
fn a_process_asks_the_client_that_has_it_and_nobody_else() {
    let mut stage = serve("start: { when: lazy }", "sessions: 10");
    let address = stage.gateway.address;
    let callers = [(); 3].map(|()| asked(address));
    // All of them wait at the same time, so a shared process could not tell whose its questions are.
    for (session, mut stream) in callers {
        let head = stream.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let question = std::iter::from_fn(|| stream.chunk())
            .map(|chunk| String::from_utf8(chunk).unwrap())
            .find(|event| event.contains("sampling/createMessage"));
        assert!(question.is_some(), "{session} is not asked");
    }
    stage.gateway.signal(Signal::TERM);
    assert_eq!(stage.gateway.ended(), Some(0));
}

#[test]
fn the_client_on_standard_input_has_one_until_it_leaves() {
    let stage = serve("sessions: { at_most: 1 }", "sessions: 10");
    let mut gateway = stage.beside(&["--stdio"]);
    let mut input = gateway.stdin.take().unwrap();
    let mut output = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let mut ask = |message: &Value| {
        writeln!(input, "{message}").unwrap();
        let line = output.next().unwrap().unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {} });
    ask(&json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params }));
    let mut count = |id: u64| {
        let params = json!({ "name": "count", "arguments": {} });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        ask(&call)["result"]["content"][0]["text"].clone()
    };
    assert_eq!([count(1), count(2)], [json!("1"), json!("2")]);
    // The one that all would share, and its own.
    let servers = children(gateway.id()).into_iter().flat_map(children);
    let servers: Vec<u32> = servers.collect();
    assert_eq!(servers.len(), 2, "{servers:?}");
    drop(input);
    assert!(gateway.wait().unwrap().success());
    assert!(!servers.into_iter().any(alive));
    stage.gateway.stop();
}

#[test]
fn calls_at_processes_of_sessions_are_calls_of_their_server() {
    let stage = serve("", "sessions: 10");
    let caller = greet(&stage);
    let _waiting = caller.begin(1, "silence", &json!({}));
    until("it is counted", || {
        stage.gateway.upstream("own")["in_flight"] == 1
    });
    let counted = "mcpc_upstream_in_flight{server=\"own\"} 1";
    let metrics = stage.gateway.page("/metrics");
    assert!(metrics.contains(counted), "{metrics}");
    drop(stage);
}

#[test]
fn a_process_of_a_session_is_logged_under_the_name_that_the_live_plan_has() {
    let (server, limits) = ("restart: { backoff: { from: 50ms } }", "sessions: 10");
    let mut stage = serve(server, limits);
    let caller = greet(&stage);
    let process = process_of(&caller);
    stage.replace(&config(server, limits).replace("own:", "renamed:"));
    assert_eq!(process_of(&caller), process, "it goes on");
    caller.call(2, "die", &json!({}));
    for event in ["the process has ended", "the server is ready"] {
        let line = format!("{} ", stage.gateway.hears(event));
        assert!(line.contains("server=renamed "), "{line}");
    }
    stage.gateway.stop();
}
