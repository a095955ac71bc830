//! Clients and servers whose machines are gone from one moment to the next: no end, no reset, nothing. They
//! are noticed in time, and what was held for them is free.
//!
//! Times are far below what would notice them without a bound of their own: 60 seconds for a client that takes
//! nothing, 75 for one that is idle, a quarter of an hour and two hours for the system.

use std::time::{Duration, Instant};

use mcpc_faults::HttpServer;
use mcpc_process::{Client, until, vanish};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage, text_of};

/// How long a peer may be silent here, and when it is noticed on a busy machine.
const LIMITS: &str = "unacknowledged: 1s";
const NOTICED: Duration = Duration::from_secs(20);

fn behind_pipes(limits: &str) -> Stage {
    Stage::open(&format!(
        "limits: {{ {limits} }}\nservers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n"
    ))
}

fn count(stage: &Stage, what: &str) -> u64 {
    stage.gateway.status()[what].as_u64().unwrap()
}

/// Waits until nobody is connected, but not for long.
#[track_caller]
fn noticed(stage: &Stage, since: Instant) {
    until("the connection is gone", || {
        count(stage, "connections") == 0
    });
    let took = since.elapsed();
    assert!(took < NOTICED, "noticed after {took:?}");
}

#[test]
fn a_client_that_vanishes_while_it_listens_takes_its_stream_and_its_session_with_it() {
    let stage = behind_pipes("unacknowledged: 1s, session_idle: 4s, streams: 1");
    let caller = LegacyCaller::greet(stage.gateway.address);
    let open = || {
        let address = stage.gateway.address;
        let mut client = Client::connect(address);
        let session = caller.session();
        client.send(format!(
            "GET /mcp HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\
             Mcp-Session-Id: {session}\r\n\r\n"
        ));
        let head = client.head().unwrap();
        (client, head)
    };
    let (stream, head) = open();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(count(&stage, "sessions"), 1);
    stream.vanish();
    noticed(&stage, Instant::now());
    // The only place for a stream is free again: this one is refused because of its session, if at all.
    let (_, head) = open();
    assert!(!head.starts_with("HTTP/1.1 503"), "{head}");
    until("the session has ended", || count(&stage, "sessions") == 0);
    stage.gateway.stop();
}

#[test]
fn a_client_that_vanishes_while_it_is_answered_is_noticed() {
    let stage = behind_pipes(LIMITS);
    let client = stage.client();
    let arguments = json!({ "ms": 1000, "fill": "x".repeat(3 << 20) });
    let client = client.begin("late", &arguments);
    until("the call is with its server", || {
        stage.gateway.upstream("good")["in_flight"] == 1
    });
    client.vanish();
    noticed(&stage, Instant::now());
    stage.client().echoes("echo", 1);
    stage.gateway.stop();
}

#[test]
fn a_client_that_vanishes_while_it_waits_gives_up_its_call() {
    let stage = behind_pipes(LIMITS);
    let client = stage.client().begin("silence", &json!({}));
    until("the call is with its server", || {
        stage.gateway.upstream("good")["in_flight"] == 1
    });
    client.vanish();
    let began = Instant::now();
    noticed(&stage, began);
    until("the call is given up", || {
        stage.gateway.upstream("good")["in_flight"] == 0
    });
    assert!(began.elapsed() < NOTICED, "{:?}", began.elapsed());
    stage.gateway.stop();
}

#[test]
fn a_client_that_vanishes_between_its_calls_is_noticed() {
    let stage = behind_pipes(LIMITS);
    let mut client = Client::connect(stage.gateway.address);
    let address = stage.gateway.address;
    let ask = format!("GET /nothing HTTP/1.1\r\nHost: {address}\r\n\r\n");
    assert_eq!(client.ask(&ask).status, 404);
    assert_eq!(count(&stage, "connections"), 1);
    client.vanish();
    noticed(&stage, Instant::now());
    stage.gateway.stop();
}

#[test]
fn a_client_that_is_only_quiet_is_not_taken_for_one_that_vanished() {
    let stage = behind_pipes(LIMITS);
    let mut client = Client::connect(stage.gateway.address);
    let address = stage.gateway.address;
    let ask = format!("GET /nothing HTTP/1.1\r\nHost: {address}\r\n\r\n");
    assert_eq!(client.ask(&ask).status, 404);
    // Several times as long as a peer may be silent: its system says that it is there.
    stage.client().call("late", &json!({ "ms": 4000 }));
    assert_eq!(client.ask(&ask).status, 404);
    stage.gateway.stop();
}

/// A server over HTTP, a gateway that has a connection to it, and more of the server's definition. Each thread has
/// connections of its own, so there is one.
fn over_http(more: &str) -> (HttpServer, Stage) {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let config = format!(
        "limits: {{ {LIMITS} }}\nservers:\n  web: {{ url: \"http://{}/mcp\", era: modern{more} }}\n",
        server.address
    );
    let stage = Stage::open_with(&config, &["--workers", "1"]);
    stage.client().echoes("echo", 0);
    (server, stage)
}

/// All that is connected to the server loses it. Who connects anew finds it.
fn all_vanish(server: &HttpServer) {
    let sockets = server.sockets();
    assert!(!sockets.is_empty(), "nobody is connected");
    for socket in sockets {
        vanish(&socket);
    }
}

/// How many connections to a server are open on the other side of it (proc(5), `/proc/net/tcp`).
fn connected(server: &HttpServer) -> usize {
    const ESTABLISHED: &str = "01";
    let port = format!(":{:04X}", server.address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let rows = table.lines().map(|line| line.split_whitespace());
    rows.filter_map(|mut row| row.nth(2).zip(row.next()))
        .filter(|(remote, state)| remote.ends_with(&port) && *state == ESTABLISHED)
        .count()
}

/// A call that fails because its server is gone, long before its time is over.
#[track_caller]
fn is_lost(stage: &Stage, tool: &str, arguments: &Value, gone: impl FnOnce()) {
    let mut waiting = stage.client().begin(tool, arguments);
    gone();
    let began = Instant::now();
    let reply = waiting.reply().unwrap();
    assert_eq!(reply.code(), "MCPC9306", "{reply:?}");
    assert!(began.elapsed() < NOTICED, "{:?}", began.elapsed());
}

#[test]
fn a_server_that_vanishes_during_a_call_fails_it_and_the_connection_is_not_used_again() {
    let (server, stage) = over_http("");
    is_lost(&stage, "silence", &json!({}), || {
        until("the call is with its server", || server.called() == 2);
        all_vanish(&server);
    });
    stage.client().echoes("echo", 1);
    assert_eq!(server.called(), 3);
    stage.gateway.stop();
}

#[test]
fn a_server_that_has_vanished_fails_the_next_call_which_is_sent_once() {
    let (server, stage) = over_http("");
    all_vanish(&server);
    // `late` may be called twice, but nothing says that this server is believed.
    is_lost(&stage, "late", &json!({ "ms": 1 }), || {});
    assert_eq!(server.called(), 1);
    stage.client().echoes("echo", 1);
    stage.gateway.stop();
}

#[test]
fn a_server_that_has_vanished_costs_time_and_no_more_where_calls_are_sent_again() {
    let (server, stage) = over_http(", retry: { attempts: 2, budget: 20% }");
    // Whether a call may be sent twice is known from the list.
    stage.client().call("late", &json!({ "ms": 1 }));
    let calls = server.called();
    all_vanish(&server);
    let began = Instant::now();
    let reply = stage.client().call("late", &json!({ "ms": 2 }));
    assert_eq!(text_of(&reply), json!({ "ms": 2 }).to_string());
    assert!(began.elapsed() < NOTICED, "{:?}", began.elapsed());
    assert_eq!(
        server.called(),
        calls + 1,
        "it has seen the second try alone"
    );
    stage.gateway.stop();
}

#[test]
fn a_server_that_vanishes_between_calls_is_noticed_before_the_next() {
    let (server, stage) = over_http("");
    assert!(connected(&server) > 0);
    all_vanish(&server);
    let began = Instant::now();
    until("the connections to the server are closed", || {
        connected(&server) == 0
    });
    assert!(began.elapsed() < NOTICED, "{:?}", began.elapsed());
    stage.client().echoes("echo", 1);
    stage.gateway.stop();
}
