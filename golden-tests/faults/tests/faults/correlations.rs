//! A reply and the lines of the log about it carry one number, so that an operator who is shown the
//! one finds the other.

use std::net::SocketAddr;

use mcpc_faults::HttpServer;
use mcpc_process::{Client, post};
use serde_json::{Value, json};

use crate::stage::{FAULTY, Stage};

const DEBUG: [&str; 4] = ["--log-level", "debug", "--log-format", "json"];

/// Requests whose framing is not sound.
const UNSOUND: [&str; 3] = [
    "hello\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
];

/// The first of the values under a key, however deep.
fn value_of<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    let members = value.as_object()?;
    let own = members.get(key).and_then(Value::as_str);
    own.or_else(|| members.values().find_map(|member| value_of(member, key)))
}

/// A line of the log.
#[track_caller]
fn hears(stage: &mut Stage, text: &str) -> Value {
    serde_json::from_str(&stage.gateway.hears(text)).unwrap()
}

#[track_caller]
fn refuses(stage: &mut Stage, address: SocketAddr, text: &str) -> (String, String) {
    let reply = Client::connect(address).ask(text);
    assert_eq!(reply.status, 400, "{reply:#?}");
    let said: Value = serde_json::from_str(&reply.body).unwrap();
    let correlation = value_of(&said, "correlation").unwrap().to_owned();
    let line = hears(stage, &correlation);
    let code = said.pointer("/error/data/code").or(said.get("code"));
    let code = code.and_then(Value::as_str).unwrap();
    assert_eq!(value_of(&line, "code"), Some(code), "{line:#}");
    assert_eq!(value_of(&line, "correlation"), Some(correlation.as_str()));
    (correlation, code.to_owned())
}

#[test]
fn a_refusal_of_either_listener_is_in_the_log_under_its_number_and_code() {
    let config = format!("servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n");
    let mut stage = Stage::open_with(&config, &DEBUG);
    let mut seen = std::collections::BTreeSet::new();
    for text in UNSOUND {
        for address in [stage.gateway.address, stage.gateway.admin] {
            let (correlation, found) = refuses(&mut stage, address, text);
            assert_eq!(found, "MCPC9010", "{text:?}");
            assert_ne!(correlation, "0000000000000000");
            assert!(seen.insert(correlation), "each has a number of its own");
        }
    }
    let admin = stage.gateway.admin;
    let foreign = "GET /status HTTP/1.1\r\nHost: a/b\r\n\r\n";
    refuses(&mut stage, admin, foreign);
    stage.gateway.stop();
}

#[test]
fn a_list_that_misses_a_part_says_so_under_the_number_of_its_request() {
    let config = format!(
        "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n\
         \x20 good: {{ command: {FAULTY:?}, era: modern }}\n\
         \x20 gone: {{ url: \"http://127.0.0.1:1/mcp\", era: modern }}\n"
    );
    let mut stage = Stage::open_with(&config, &DEBUG);
    let address = stage.gateway.address;
    let message = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/list",
        "params": { "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        } },
    });
    let headers = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n";
    let request = post(address, "/mcp", headers, &message.to_string());
    let reply = Client::connect(address).ask(request);
    assert!(reply.message().get("result").is_some(), "{reply:#?}");
    let answering = hears(&mut stage, "tools/list");
    let correlation = value_of(&answering, "correlation").unwrap().to_owned();
    let missing = hears(&mut stage, "list is missing a part");
    assert_eq!(value_of(&missing, "correlation"), Some(&*correlation));
    assert_eq!(value_of(&missing, "code"), Some("MCPC9301"), "{missing:#}");
    assert_eq!(value_of(&missing, "server"), Some("gone"));
    let plan = value_of(&answering, "plan");
    assert!(plan.is_some() && value_of(&missing, "plan") == plan);
    is_placed(&answering, "mcpc.yaml:");
    is_placed(&missing, "mcpc.yaml:");
    stage.gateway.stop();
}

/// Holds a line of the log to naming a place in the configuration.
#[track_caller]
fn is_placed(line: &Value, file: &str) {
    let place = value_of(line, "place").unwrap_or_default();
    let number = place.rsplit_once(file).map(|(_, number)| number);
    assert!(
        number.is_some_and(|it| it.parse::<u32>().is_ok()),
        "{line:#}"
    );
}

#[test]
fn a_call_that_fails_says_whose_it_is_though_its_response_has_begun() {
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let config = format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: modern, timeouts: {{ idle: 1s, total: 1s }} }}\n",
        server.address
    );
    let mut stage = Stage::open_with(&config, &DEBUG);
    for (tool, code) in [("endless_events", "MCPC9305"), ("silence", "MCPC9305")] {
        let reply = stage.client().call(tool, &json!({}));
        let message = reply.message();
        let correlation = message.pointer("/error/data/correlation");
        let correlation = correlation.and_then(Value::as_str).unwrap();
        let routed = hears(&mut stage, "call routed");
        let failed = hears(&mut stage, "call failed");
        for key in ["plan", "server", "place", "correlation"] {
            assert_eq!(value_of(&failed, key), value_of(&routed, key), "{key}");
        }
        assert_eq!(value_of(&failed, "correlation"), Some(correlation));
        assert_eq!(value_of(&failed, "server"), Some("web"));
        assert_eq!(value_of(&failed, "code"), Some(code));
        is_placed(&failed, "mcpc.yaml:");
    }
    stage.gateway.stop();
}

#[test]
fn what_is_configured_is_logged_without_secrets_and_answers_name_their_call() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "unspeakable").unwrap();
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let config = format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: modern, headers: {{ Authorization: \"Bearer $<file:{}>\" }} }}\n",
        server.address,
        token.display()
    );
    let mut stage = Stage::open_with(&config, &DEBUG);
    let configured = hears(&mut stage, "server configured");
    assert_eq!(value_of(&configured, "server"), Some("web"));
    assert_eq!(value_of(&configured, "headers"), Some("authorization"));
    is_placed(&configured, "mcpc.yaml:");
    assert!(!configured.to_string().contains("unspeakable"));
    stage.client().call("echo", &json!({ "text": "x" }));
    let routed = hears(&mut stage, "call routed");
    let answered = hears(&mut stage, "call answered");
    for key in ["plan", "server", "place", "correlation"] {
        assert_eq!(value_of(&answered, key), value_of(&routed, key), "{key}");
    }
    assert_eq!(value_of(&answered, "with"), Some("result"));
    stage.gateway.stop();
}
