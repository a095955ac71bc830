//! What clients and servers may have too much of: each bound is met, told by its code, and over when there
//! is room again. Bounds on bytes are in `malformed.rs`, `http.rs` and `stdio.rs`.

use mcpc_faults::HttpServer;
use mcpc_process::{Client, post};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage};

/// The most pages that are asked of one server for one list, and the most entries that are taken.
const PAGES: usize = 64;
const ENTRIES: usize = 10_000;

/// The most messages of a batch.
const BATCH: u64 = 64;

#[test]
fn a_list_without_an_end_is_cut_after_so_many_pages_or_entries() {
    for (per_page, listed, cut) in [
        (1, PAGES, "list has too many pages and was cut"),
        (1000, ENTRIES, "list has too many entries and was cut"),
    ] {
        let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
        server.list_without_end(per_page);
        let mut stage = Stage::open(&format!(
            "servers:\n  web: {{ url: \"http://{}/mcp\", era: legacy }}\n",
            server.address
        ));
        let caller = LegacyCaller::greet(stage.gateway.address);
        let reply = caller.says(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
        let message = reply.message();
        let tools = message["result"]["tools"].as_array();
        assert_eq!(tools.map(Vec::len), Some(listed), "{cut}");
        stage.gateway.hears(cut);
        stage.gateway.stop();
    }
}

fn greet(stage: &Stage) -> mcpc_process::Reply {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" } });
    let message = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let address = stage.gateway.address;
    Client::connect(address).ask(post(address, "/mcp", "", &message.to_string()))
}

#[test]
fn sessions_end_at_their_limit_and_go_on_when_one_has_ended() {
    let config = format!(
        "limits: {{ sessions: 2 }}\nservers:\n  good: {{ command: {FAULTY:?}, era: legacy }}\n"
    );
    let stage = Stage::open(&config);
    let first = LegacyCaller::greet(stage.gateway.address);
    let _second = LegacyCaller::greet(stage.gateway.address);
    let reply = greet(&stage);
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.code(), "MCPC9203");
    assert!(reply.head.to_lowercase().contains("retry-after: 1\r\n"));
    assert_eq!(reply.message()["error"]["data"]["retryAfter"], 1);
    assert_eq!(first.end().status, 204);
    assert_eq!(greet(&stage).status, 200);
    stage.gateway.stop();
}

#[test]
fn streams_end_at_their_limit_and_go_on_when_one_has_ended() {
    let config = format!(
        "limits: {{ streams: 1 }}\nservers:\n  good: {{ command: {FAULTY:?}, era: legacy }}\n"
    );
    let stage = Stage::open(&config);
    let open = |caller: &LegacyCaller| {
        let address = stage.gateway.address;
        let mut client = Client::connect(address);
        let session = caller.session();
        client.send(format!(
            "GET /mcp HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\
             Mcp-Session-Id: {session}\r\n\r\n"
        ));
        client
    };
    let callers = [0, 1].map(|_| LegacyCaller::greet(stage.gateway.address));
    let mut first = open(&callers[0]);
    let head = first.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let reply = open(&callers[1]).reply().unwrap();
    assert_eq!(reply.status, 503, "{reply:?}");
    assert_eq!(reply.code(), "MCPC9205");
    drop(first);
    mcpc_process::until("there is room for a stream", || {
        let head = open(&callers[1]).head();
        head.is_some_and(|head| head.starts_with("HTTP/1.1 200"))
    });
    stage.gateway.stop();
}

#[test]
fn a_batch_has_so_many_messages_and_no_more() {
    let stage = Stage::open(&format!(
        "servers:\n  good: {{ command: {FAULTY:?}, era: legacy }}\n"
    ));
    let caller = LegacyCaller::greet_as("2025-03-26", stage.gateway.address);
    let batch = |count: u64| -> Value {
        let ping = |id| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
        (0..count).map(ping).collect()
    };
    let replies = caller.says(&batch(BATCH)).message();
    assert_eq!(
        replies.as_array().map(Vec::len),
        usize::try_from(BATCH).ok()
    );
    let reply = caller.says(&batch(BATCH + 1));
    assert_eq!(reply.status, 400, "{reply:?}");
    stage.gateway.stop();
}
