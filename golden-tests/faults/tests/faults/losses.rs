//! A server that forgets its sessions: one new greeting for everybody, and nobody's call is lost. And one that is not there
//! yet: lists go on without it, and clients are told when it comes.

use std::net::TcpListener;
use std::sync::Barrier;

use mcpc_faults::HttpServer;
use mcpc_process::{Client, call_message, post};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage, text_of};

const ROUNDS: u64 = 10;
const CALLS: u64 = 64;

#[test]
fn sessions_that_a_server_has_lost_are_renewed_by_one_greeting_for_all_calls() {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let stage = Stage::open(&format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: legacy }}\n",
        server.address
    ));
    let legacy = LegacyCaller::greet(stage.gateway.address);
    stage.client().echoes("echo", 0);
    assert_eq!(server.sessions(), 1);
    for round in 1..=ROUNDS {
        server.forget_sessions();
        let together = Barrier::new(usize::try_from(CALLS).unwrap());
        std::thread::scope(|scope| {
            for number in 0..CALLS {
                let mut modern = stage.client();
                let (legacy, together) = (&legacy, &together);
                scope.spawn(move || {
                    together.wait();
                    if number.is_multiple_of(2) {
                        return modern.echoes("echo", number);
                    }
                    let arguments = json!({ "mark": number });
                    let reply = legacy.call(number, "echo", &arguments);
                    assert_eq!(text_of(&reply), arguments.to_string());
                });
            }
        });
        assert_eq!(server.sessions(), usize::try_from(round).unwrap() + 1);
    }
    stage.gateway.stop();
}

/// A request of 2026-07-28, on a connection of its own.
fn asks(stage: &Stage, method: &str, more: &Value) -> Client {
    let mut message = call_message("", &json!({}));
    message["method"] = json!(method);
    message["params"] = json!({ "_meta": message["params"]["_meta"] });
    for (key, value) in more.as_object().unwrap() {
        message["params"][key] = value.clone();
    }
    let mirrored = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n");
    let address = stage.gateway.address;
    let mut client = Client::connect(address);
    client.send(post(address, "/mcp", &mirrored, &message.to_string()));
    client
}

#[test]
fn a_server_that_was_not_there_at_the_start_is_told_of_when_it_comes() {
    // Nobody listens there until the server does.
    let place = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = place.local_addr().unwrap();
    drop(place);
    let stage = Stage::open(&format!(
        "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\nservers:\n\
         \x20 good: {{ command: {FAULTY:?}, era: modern }}\n\
         \x20 late: {{ url: \"http://{address}/mcp\", era: modern }}\n"
    ));
    let wanted = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = asks(&stage, "subscriptions/listen", &wanted);
    assert!(stream.head().unwrap().starts_with("HTTP/1.1 200"));
    let list = || {
        let mut asking = asks(&stage, "tools/list", &json!({}));
        let list = asking.reply().unwrap().message();
        list["result"]["_meta"]["dev.mcpc/unavailable"].clone()
    };
    assert_eq!(list(), json!(["late"]));

    let _server = HttpServer::start(address).unwrap();
    // What keeps a quiet stream alive comes over and over, and is no news.
    let mut heard = (0..4).map_while(|_| stream.chunk());
    let is_told = |chunk: Vec<u8>| {
        let text = String::from_utf8(chunk).unwrap();
        text.contains("notifications/tools/list_changed")
    };
    assert!(heard.any(is_told), "the list has changed");
    assert_eq!(list(), Value::Null);
    stage.gateway.stop();
}
