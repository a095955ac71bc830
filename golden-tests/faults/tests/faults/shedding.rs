//! A gateway under pressure gives things up in order: idle connections, new sessions, new calls.
//!
//! Each stage is seen from outside: by clients, in the status, in the metrics and in the log; and each is
//! over by itself when there is enough again.

use std::time::{Duration, Instant};

use mcpc_faults::HttpServer;
use mcpc_process::{Client, until};
use serde_json::{Value, json};

use crate::stage::{FAULTY, Stage, text_of};

/// More clients than connections, and far more than the half that clients may have.
const SILENT: usize = 150;

/// What room for a new client may take. One batch of idle clients after the other for five seconds each took
/// 48 seconds.
const ROOM: Duration = Duration::from_secs(15);

fn pressure(stage: &Stage) -> Value {
    stage.gateway.status()["pressure"].clone()
}

/// The value of a series of the metrics page.
fn metric(stage: &Stage, series: &str) -> f64 {
    let page = stage.gateway.page("/metrics");
    let mut lines = page.lines();
    let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| unreachable!("{series}: {page}"))
        .parse()
        .unwrap()
}

/// How much memory the gateway holds.
fn resident_kibibytes(stage: &Stage) -> f64 {
    metric(stage, "process_resident_memory_bytes") / 1024.0
}

/// Clients that have sent all of their requests but the last byte, so that the gateway holds far more than the least
/// `limits.memory`.
fn laden(stage: &Stage) -> Vec<Client> {
    let bytes = 4_000_000;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nContent-Length: {bytes}\r\n\r\n"
    );
    let request = head + &" ".repeat(bytes - 1);
    let send = |_| {
        let mut client = Client::connect(stage.gateway.address);
        client.send(&request);
        client
    };
    let clients = (0..4).map(send).collect();
    until("the gateway holds it", || resident_kibibytes(stage) > 24e3);
    clients
}

#[test]
fn whoever_connects_to_the_pages_and_says_nothing_shuts_nobody_out() {
    let stage = Stage::open(&format!(
        "servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n"
    ));
    // More than there may be connections of operators.
    let silent: Vec<Client> = (0..SILENT)
        .map(|_| Client::connect(stage.gateway.admin))
        .collect();
    for page in ["/livez", "/readyz", "/metrics"] {
        assert!(
            stage.gateway.page(page).starts_with("HTTP/1.1 200"),
            "{page}"
        );
    }
    drop(silent);
}

#[test]
fn silent_clients_make_room_for_those_who_call() {
    let config = format!("servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n");
    let mut stage = Stage::open_under("ulimit -n 64", &config);
    stage.client().echoes("echo", 0);
    let silent: Vec<Client> = (0..SILENT)
        .map(|_| Client::connect(stage.gateway.address))
        .collect();
    let began = Instant::now();
    let reply = stage.client().call("echo", &json!({ "mark": 1 }));
    let took = began.elapsed();
    assert_eq!(text_of(&reply), json!({ "mark": 1 }).to_string());
    assert!(took < ROOM, "it took {took:?}");
    stage
        .gateway
        .hears("under pressure: idle connections are closed");
    let closed = pressure(&stage)["shed"]["connections"].as_u64().unwrap();
    assert!(closed > 50, "{closed}");
    assert!(metric(&stage, "mcpc_shed_total{what=\"connections\"}") >= 50.0);
    drop(silent);
    stage
        .gateway
        .hears("the pressure has eased: nothing is given up");
    assert_eq!(pressure(&stage)["stage"], "nothing");
    assert!((metric(&stage, "mcpc_shedding_stage")).abs() < 0.5);
    // Who is idle then is let alone.
    let mut after = stage.client();
    after.echoes("echo", 2);
    after.echoes("echo", 3);
    stage.gateway.stop();
}

/// A greeting as clients of 2025-11-25 send it, on a connection that there is.
fn greeting(stage: &Stage) -> String {
    let hello = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": { "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" } },
    });
    mcpc_process::post(stage.gateway.address, "/mcp", "", &hello.to_string())
}

#[test]
fn without_descriptors_for_servers_no_session_begins() {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let config = format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: modern }}\n",
        server.address
    );
    let mut stage = Stage::open_under("ulimit -n 64", &config);
    let mut old = Client::connect(stage.gateway.address);
    assert_eq!(old.ask(greeting(&stage)).status, 200);
    let held: Vec<Client> = (0..40)
        .map(|number| {
            let arguments = json!({ "number": number, "round": 1 });
            stage.client().begin("held", &arguments)
        })
        .collect();
    let line = stage.gateway.hears("under pressure: no new session begins");
    assert!(line.contains("MCPC9211"), "{line}");
    assert_eq!(pressure(&stage)["stage"], "sessions");
    assert!(stage.gateway.page("/health").contains("\"degraded\""));

    let reply = old.ask(greeting(&stage));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.code(), "MCPC9211");
    assert!(reply.head.to_lowercase().contains("retry-after: 1\r\n"));
    let data = &reply.message()["error"]["data"];
    assert_eq!(data["retry"], true, "{data}");
    assert_eq!(data["retryAfter"], 1, "{data}");
    assert!((metric(&stage, "mcpc_shed_total{what=\"sessions\"}") - 1.0).abs() < 0.5);

    // Those who wait leave, and what they held is free again.
    drop(held);
    stage.gateway.hears("the pressure has eased");
    until("there is no pressure", || {
        pressure(&stage)["stage"] == "nothing"
    });
    let mut new = Client::connect(stage.gateway.address);
    assert_eq!(new.ask(greeting(&stage)).status, 200);
    stage.gateway.stop();
}

#[test]
fn a_gateway_that_holds_too_much_memory_takes_no_calls() {
    let with = |memory: &str| {
        format!(
            "limits: {{ memory: {memory} }}\n\
             servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n"
        )
    };
    let mut stage = Stage::open(&with("4GiB"));
    let mut client = stage.client();
    client.echoes("echo", 1);
    let _laden = laden(&stage);
    let late = stage.client().begin("late", &json!({ "ms": 1500 }));
    until("a call is under way", || {
        stage.gateway.upstream("good")["in_flight"] == 1
    });
    // Less than it holds already.
    let resident = resident_kibibytes(&stage);
    stage.replace(&with(&format!("{:.0}KiB", resident * 0.9)));
    let line = stage.gateway.hears("under pressure: no new call is taken");
    assert!(line.contains("MCPC9212"), "{line}");
    let reply = stage.client().call("echo", &json!({}));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.code(), "MCPC9212");
    let head = reply.head.to_lowercase();
    assert!(head.contains("retry-after: 1\r\n"), "{reply:?}");
    // Each thread looks once a second.
    until("no connection is kept", || {
        let reply = stage.client().call("echo", &json!({}));
        reply.head.to_lowercase().contains("connection: close")
    });
    assert_eq!(reply.message()["error"]["data"]["retry"], true);
    let seen = pressure(&stage);
    assert_eq!(seen["stage"], "calls", "{seen}");
    assert!(seen["percent"]["memory"].as_u64().unwrap() > 100, "{seen}");
    assert!(metric(&stage, "mcpc_pressure_ratio{resource=\"memory\"}") > 1.0);
    let mut late = late;
    let reply = late.reply().unwrap();
    assert_eq!(text_of(&reply), json!({ "ms": 1500 }).to_string());

    stage.replace(&with("4GiB"));
    stage.gateway.hears("the pressure has eased");
    stage.client().echoes("echo", 2);
    assert!(metric(&stage, "mcpc_shed_total{what=\"calls\"}") >= 1.0);
    stage.gateway.stop();
}

#[test]
fn most_of_the_connections_in_use_are_none_to_be_kept() {
    let mut stage = Stage::open(&format!(
        "limits: {{ connections: 20 }}\nservers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n"
    ));
    let mut idle: Vec<Client> = (0..18)
        .map(|_| Client::connect(stage.gateway.address))
        .collect();
    stage
        .gateway
        .hears("under pressure: idle connections are closed");
    assert_eq!(pressure(&stage)["stage"], "connections");
    assert!(metric(&stage, "mcpc_pressure_ratio{resource=\"connections\"}") > 0.89);
    assert!(idle.iter_mut().all(Client::is_closed));
    stage.gateway.hears("the pressure has eased");
    assert!(metric(&stage, "mcpc_shed_total{what=\"connections\"}") > 17.0);
    stage.gateway.stop();
}

#[test]
fn the_nearer_the_memory_is_to_its_bound_the_more_is_given_up() {
    let with = |kibibytes: f64| {
        format!(
            "limits: {{ memory: {kibibytes:.0}KiB }}\n\
             servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n"
        )
    };
    let mut stage = Stage::open(&with(4e6));
    // What a first plan and a first call need is not counted as growth.
    stage.client().echoes("echo", 1);
    let _laden = laden(&stage);
    stage.replace(&with(4.1e6));
    for (share, says, stage_name) in [
        (0.84, "idle connections are closed", "connections"),
        (0.93, "no new session begins", "sessions"),
    ] {
        let held = resident_kibibytes(&stage);
        stage.replace(&with(held / share));
        stage.gateway.hears(&format!("under pressure: {says}"));
        assert_eq!(pressure(&stage)["stage"], stage_name);
        let most = metric(&stage, "mcpc_memory_limit_bytes") / 1024.0;
        assert!((most - held / share).abs() < 2.0, "{most}");
    }
    let reply = Client::connect(stage.gateway.address).ask(greeting(&stage));
    assert_eq!(reply.code(), "MCPC9211", "{reply:?}");
    stage.client().echoes("echo", 2);
    stage.replace(&with(4e6));
    stage.gateway.hears("the pressure has eased");
    stage.gateway.stop();
}

#[test]
fn with_as_many_calls_under_way_as_there_may_be_no_session_and_then_no_call_begins() {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let mut stage = Stage::open(&format!(
        "limits: {{ calls: 10 }}\nservers:\n  web: {{ url: \"http://{}/mcp\", era: modern }}\n",
        server.address
    ));
    let hold = |number: u64| {
        let arguments = json!({ "number": number, "round": 1 });
        stage.client().begin("held", &arguments)
    };
    let mut waiting: Vec<Client> = (0..9).map(hold).collect();
    stage.gateway.hears("under pressure: no new session begins");
    let reply = Client::connect(stage.gateway.address).ask(greeting(&stage));
    assert_eq!(reply.code(), "MCPC9211", "{reply:?}");
    let arguments = json!({ "number": 9, "round": 1 });
    waiting.push(stage.client().begin("held", &arguments));
    stage.gateway.hears("under pressure: no new call is taken");
    let reply = stage.client().call("echo", &json!({}));
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.code(), "MCPC9212");
    assert_eq!(server.called(), 10);
    let near = |series: &str, value: f64| {
        let seen = metric(&stage, series);
        assert!((seen - value).abs() < 0.01, "{series}: {seen}");
    };
    near("mcpc_calls_under_way", 10.0);
    near("mcpc_calls_limit", 10.0);
    near("mcpc_pressure_ratio{resource=\"calls\"}", 1.0);
    near("mcpc_shed_total{what=\"sessions\"}", 1.0);
    near("mcpc_shed_total{what=\"calls\"}", 1.0);
    near("mcpc_refused_total{code=\"MCPC9212\"}", 1.0);

    drop(waiting);
    stage.gateway.hears("the pressure has eased: nothing");
    stage.client().echoes("echo", 1);
    stage.gateway.stop();
}
