//! Servers that take calls and fail them: their breaker opens, and closes without a call as a trial.
//!
//! Over HTTP and standard input and output, in both eras. What the server holds must outlast it all: the
//! same process answers afterwards, and the same session.

use std::time::Instant;

use mcpc_faults::HttpServer;
use mcpc_process::until;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stage::{Caller, FAULTY, Stage, text_of};

/// How long the breaker stays open, in seconds.
const OPEN_FOR: u64 = 2;

const BREAKER: &str = "breaker: { failures: 3, within: 1m, open_for: 2s }";

fn breaker(stage: &Stage, field: &str) -> Value {
    stage.gateway.upstream("server")["breaker"][field].clone()
}

/// Fails the calls of a tool until the breaker opens, and sees that nothing gets through while it is.
#[track_caller]
fn opens(stage: &Stage, client: &mut Caller, tool: &str, code: &str) {
    for failures in 0..3 {
        assert_eq!(breaker(stage, "state"), "closed");
        assert_eq!(breaker(stage, "failures"), failures);
        client.fails(tool, &[code]);
    }
    until("the breaker opens", || breaker(stage, "state") == "open");
    let began = Instant::now();
    let reply = client.call("echo", &json!({}));
    assert!(began.elapsed().as_secs() < OPEN_FOR, "nobody waits");
    assert_eq!(reply.code(), "MCPC9320", "{reply:?}");
    let message = reply.message();
    let after = message["error"]["data"]["retryAfter"].as_u64().unwrap();
    assert!((1..=OPEN_FOR).contains(&after), "{message}");
    let header = format!("retry-after: {after}\r\n");
    assert!(reply.head.to_lowercase().contains(&header), "{reply:?}");
    assert_eq!(stage.gateway.upstream("server")["state"], "down");
    let page = stage.gateway.page("/health");
    let health: Value = serde_json::from_str(&page[page.find('{').unwrap()..]).unwrap();
    let component = &health["components"]["upstreams"]["server"];
    assert_eq!(component["status"], "unavailable", "{health}");
    assert_eq!(health["status"], "degraded");
}

/// The breaker closes by itself, and everything is as before.
#[track_caller]
fn closes(stage: &Stage, client: &mut Caller) {
    until("the breaker closes", || breaker(stage, "state") == "closed");
    assert_eq!(breaker(stage, "openings"), 1);
    until("it is ready", || {
        stage.gateway.upstream("server")["state"] == "ready"
    });
    client.echoes("echo", 7);
}

#[test]
fn a_server_over_http_keeps_its_session_behind_an_open_breaker() {
    for era in ["modern", "legacy"] {
        let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
        let address = server.address;
        let stage = Stage::open(&format!(
            "servers:\n  server: {{ url: \"http://{address}/mcp\", era: {era}, {BREAKER} }}\n"
        ));
        let mut client = stage.client();
        client.echoes("echo", 1);
        let sessions = server.sessions();
        opens(&stage, &mut client, "garbage", "MCPC9307");
        closes(&stage, &mut client);
        assert_eq!(server.sessions(), sessions, "{era}");
        stage.gateway.stop();
    }
}

#[test]
fn a_process_outlasts_its_breaker() {
    for era in ["modern", "legacy"] {
        let timeouts = "timeouts: { first_byte: 200ms }";
        let stage = Stage::open(&format!(
            "servers:\n  server: {{ command: {FAULTY:?}, era: {era}, {timeouts}, {BREAKER} }}\n"
        ));
        let mut client = stage.client();
        let pid = text_of(&client.call("pid", &json!({})));
        opens(&stage, &mut client, "silence", "MCPC9303");
        closes(&stage, &mut client);
        assert_eq!(text_of(&client.call("pid", &json!({}))), pid, "{era}");
        stage.gateway.stop();
    }
}

#[test]
fn a_process_that_dies_of_calls_is_not_tried_with_one() {
    let restart = "restart: { backoff: { from: 1ms, to: 1ms } }";
    let stage = Stage::open(&format!(
        "servers:\n  server: {{ command: {FAULTY:?}, era: modern, {restart}, {BREAKER} }}\n"
    ));
    let mut client = stage.client();
    client.echoes("echo", 1);
    opens(&stage, &mut client, "die", "MCPC9306");
    closes(&stage, &mut client);
    stage.gateway.stop();
}

#[test]
fn an_edit_closes_a_breaker_or_changes_how_long_it_is_open() {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let with = |breaker: &str| {
        let address = server.address;
        format!("servers:\n  server: {{ url: \"http://{address}/mcp\", era: modern{breaker} }}\n")
    };
    let hour = ", breaker: { failures: 1, within: 1m, open_for: 1h }";
    let soon = ", breaker: { failures: 1, within: 1m, open_for: 1s }";
    let mut stage = Stage::open(&with(hour));
    let mut client = stage.client();
    client.fails("garbage", &["MCPC9307"]);
    until("the breaker opens", || breaker(&stage, "state") == "open");
    client.fails("echo", &["MCPC9320"]);
    stage.replace(&with(""));
    until("the server is ready", || {
        stage.gateway.upstream("server")["state"] == "ready"
    });
    assert_eq!(breaker(&stage, "state"), Value::Null);
    client.echoes("echo", 1);

    stage.replace(&with(hour));
    client.fails("garbage", &["MCPC9307"]);
    until("the breaker opens", || breaker(&stage, "state") == "open");
    stage.replace(&with(soon));
    until("the breaker closes", || {
        breaker(&stage, "state") == "closed"
    });
    client.echoes("echo", 2);
    stage.gateway.stop();
}

#[test]
fn servers_that_differ_in_their_breakers_only_do_not_share_one() {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("url: \"http://{}/mcp\", era: modern", server.address);
    let hour = "breaker: { failures: 1, within: 1m, open_for: 1h }";
    let stage = Stage::open(&format!(
        "servers:\n  a: {{ {url}, {hour} }}\n  b: {{ {url} }}\n  c: {{ {url}, {hour} }}\n\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n"
    ));
    let mut client = stage.client();
    client.fails("a.garbage", &["MCPC9307"]);
    client.fails("a.echo", &["MCPC9320"]);
    client.echoes("b.echo", 1);
    client.fails("c.echo", &["MCPC9320"]);
    client.fails("b.garbage", &["MCPC9307"]);
    client.echoes("b.echo", 2);
    stage.gateway.stop();
}

#[test]
fn no_more_replicas_than_their_share_get_no_calls() {
    let servers: Vec<HttpServer> = (0..3)
        .map(|_| HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap())
        .collect();
    let urls = servers.iter().map(|server| {
        let address = server.address;
        format!("      - {{ url: \"http://{address}/mcp\" }}\n")
    });
    let urls: String = urls.collect();
    let breaker = "{ failures: 1, within: 1m, open_for: 1h, replicas_at_most: 67% }";
    let mut stage = Stage::open(&format!(
        "servers:\n  server:\n    era: modern\n    breaker: {breaker}\n    replicas:\n{urls}"
    ));
    let open = || {
        let status = stage.gateway.upstream("server");
        let replicas = status["replicas"].as_array().unwrap();
        let is_open = |replica: &&Value| replica["breaker"]["state"] == "open";
        replicas.iter().filter(is_open).count()
    };
    until("all are ready", || {
        let status = stage.gateway.upstream("server");
        let mut replicas = status["replicas"].as_array().unwrap().iter();
        replicas.all(|replica| replica["state"] == "ready")
    });
    let mut client = stage.client();
    for failures in 1..=6 {
        client.fails("garbage", &["MCPC9307"]);
        until("it is counted", || open() == failures.min(2));
    }
    client.echoes("echo", 1);
    let status = stage.gateway.upstream("server");
    let withheld = status["replicas"].as_array().unwrap().iter();
    let withheld = withheld.filter_map(|replica| replica["breaker"]["withheld"].as_u64());
    assert_eq!(withheld.sum::<u64>(), 4, "{status}");
    for _ in 0..2 {
        let line = stage.gateway.hears("there are none for now");
        assert!(
            line.contains("MCPC9320") && line.contains("server@127.0.0.1"),
            "{line}"
        );
    }
    let line = stage.gateway.hears("too many other replicas get none");
    assert!(line.contains("MCPC9320"), "{line}");
    stage.gateway.signal(Signal::TERM);
    let (_, said) = stage.gateway.rest();
    let again = said.split(&line).nth(1).unwrap_or_default();
    assert!(
        !again.contains("too many other replicas"),
        "it is said once: {said}"
    );
}
