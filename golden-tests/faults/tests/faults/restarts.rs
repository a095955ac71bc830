//! A gateway that is killed and started again: sessions go on, if their key was kept.
//!
//! The client does not greet anew, and neither does it hear that anything has happened.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mcpc_faults::HttpServer;
use mcpc_process::{Client, Reply, call_message, post};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage, refusal, text_of};

const STATE_DIR: [&str; 2] = ["--state-dir", "state"];
const KEY_FILE: [&str; 2] = ["--session-key-file", "keys"];

fn config(server: &HttpServer) -> String {
    format!(
        "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n\
         \x20 web: {{ url: \"http://{}/mcp\", era: legacy }}\n\
         \x20 child: {{ command: {FAULTY:?}, era: legacy }}\n",
        server.address
    )
}

fn http_server() -> HttpServer {
    HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap()
}

/// A key for each digit.
fn write_keys(folder: &Path, keys: &[&str]) {
    let file = folder.join("keys");
    let lines: String = keys.iter().map(|digit| digit.repeat(64) + "\n").collect();
    fs::write(&file, lines).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
}

/// Holds a client to being served by both servers.
#[track_caller]
fn is_served(caller: &LegacyCaller) {
    for (id, server) in [(1, "web"), (2, "child")] {
        let arguments = json!({ "mark": format!("{server} {id}") });
        let reply = caller.call(id, &format!("{server}.echo"), &arguments);
        assert_eq!(text_of(&reply), arguments.to_string());
    }
}

/// What an unknown session is told, but for the number that each request has of its own.
#[track_caller]
fn refused(caller: &LegacyCaller) -> Value {
    let reply = caller.call(1, "web.echo", &json!({}));
    assert_eq!(reply.status, 404, "{reply:?}");
    let mut message = reply.message();
    message["error"]["data"]["correlation"].take();
    message
}

#[test]
fn a_session_goes_on_after_the_gateway_was_killed() {
    let server = http_server();
    let mut stage = Stage::open_with(&config(&server), &STATE_DIR);
    let caller = LegacyCaller::greet(stage.gateway.address);
    is_served(&caller);
    let key = fs::read(stage.folder().join("state/session.key")).unwrap();
    for _ in 0..2 {
        stage = stage.restart();
        is_served(&caller.at(stage.gateway.address));
    }
    assert_eq!(
        fs::read(stage.folder().join("state/session.key")).unwrap(),
        key,
        "the key is made once"
    );
    // What the new process begins is as good, and what it ends has ended.
    let caller = caller.at(stage.gateway.address);
    is_served(&LegacyCaller::greet(stage.gateway.address));
    assert_eq!(caller.end().status, 204);
    let ended = refused(&caller);
    assert_eq!(refused(&caller.with_session("nobodys")), ended);
    let altered = caller.session().replacen(char::is_alphabetic, "0", 1);
    assert_eq!(refused(&caller.with_session(&altered)), ended);
    stage.gateway.stop();
}

#[test]
fn without_a_kept_key_a_session_ends_with_its_process() {
    let server = http_server();
    let stage = Stage::open(&config(&server));
    let caller = LegacyCaller::greet(stage.gateway.address);
    is_served(&caller);
    let stage = stage.restart();
    refused(&caller.at(stage.gateway.address));
    stage.gateway.stop();
}

#[test]
fn a_key_is_replaced_while_the_old_one_still_opens() {
    let server = http_server();
    let keys = |digits: &'static [&str]| move |folder: &Path| write_keys(folder, digits);
    let stage = Stage::prepared(&config(&server), keys(&["a"]), &KEY_FILE);
    let first = LegacyCaller::greet(stage.gateway.address);
    write_keys(stage.folder(), &["b", "a"]);
    let stage = stage.restart();
    is_served(&first.at(stage.gateway.address));
    let second = LegacyCaller::greet(stage.gateway.address);
    write_keys(stage.folder(), &["b"]);
    let stage = stage.restart();
    refused(&first.at(stage.gateway.address));
    is_served(&second.at(stage.gateway.address));
    stage.gateway.stop();
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let secret = "c".repeat(64);
    let with_mode = |text: String, mode| {
        move |folder: &Path| {
            fs::write(folder.join("keys"), text).unwrap();
            fs::set_permissions(folder.join("keys"), Permissions::from_mode(mode)).unwrap();
        }
    };
    let cases = [
        refusal(with_mode(secret.clone(), 0o644), &KEY_FILE),
        refusal(with_mode(format!("{secret}c"), 0o600), &KEY_FILE),
        refusal(with_mode(String::new(), 0o600), &KEY_FILE),
        refusal(|_| {}, &KEY_FILE),
    ];
    for (code, said) in cases {
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("MCPC9609"), "{said}");
        assert!(!said.contains("ccc"), "{said}");
    }
}

/// A call of 2026-07-28 from a client that can sample, with these further params.
fn modern_call(stage: &Stage, more: &Value) -> Reply {
    let mut message = call_message("web.asks", &json!({}));
    message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({ "sampling": {} });
    for (key, value) in more.as_object().unwrap() {
        message["params"][key] = value.clone();
    }
    let mirrored = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
                    Mcp-Name: web.asks\r\n";
    let address = stage.gateway.address;
    Client::connect(address).ask(post(address, "/mcp", mirrored, &message.to_string()))
}

#[test]
fn a_call_that_was_parked_is_gone_after_a_restart_and_its_client_is_told() {
    let server = http_server();
    let stage = Stage::open_with(&config(&server), &STATE_DIR);
    let asked = modern_call(&stage, &json!({})).message();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let result = &asked["result"];
    let questions = result["inputRequests"].as_object().unwrap();
    let answers: serde_json::Map<String, Value> = questions
        .keys()
        .map(|key| (key.clone(), json!({})))
        .collect();
    let stage = stage.restart();
    let answered = json!({ "requestState": result["requestState"], "inputResponses": answers });
    // The new process has parked a call as well, and does not take one for the other.
    modern_call(&stage, &json!({}));
    let reply = modern_call(&stage, &answered);
    assert_eq!(
        (reply.status, reply.code().as_str()),
        (400, "MCPC9117"),
        "{reply:?}"
    );
    stage.gateway.stop();
}
