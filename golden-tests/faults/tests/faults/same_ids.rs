//! Clients that all count their requests 1, 2, 3 and share their servers: each gets its own answers.
//!
//! A smaller run of `mcpc-bench same-ids`, against servers that answer out of turn.

use std::net::SocketAddr;

use mcpc_faults::HttpServer;
use mcpc_process::{Client, post};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage, text_of};

/// 64 clients, of each era as many.
const CLIENTS: u64 = 64;
/// 20,032 calls in all.
const CALLS_PER_CLIENT: u64 = 313;
const SERVERS: [&str; 4] = ["http_modern", "http_legacy", "stdio_modern", "stdio_legacy"];

fn serve(server: &HttpServer) -> Stage {
    let url = format!("http://{}/mcp", server.address);
    Stage::open(&format!(
        "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n\
         \x20 http_modern: {{ url: {url:?}, era: modern }}\n\
         \x20 http_legacy: {{ url: {url:?}, era: legacy }}\n\
         \x20 stdio_modern: {{ command: {FAULTY:?}, era: modern }}\n\
         \x20 stdio_legacy: {{ command: {FAULTY:?}, era: legacy }}\n"
    ))
}

/// A modern call: nothing but its argument tells it from those of the others.
fn modern_call(address: SocketAddr, id: u64, tool: &str, arguments: &Value) -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
    let message = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
    let mirrored = format!(
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
    );
    post(address, "/mcp", &mirrored, &message.to_string())
}

/// One client's calls, one after the other on one connection. Gives how many were answered rightly.
fn calls(address: SocketAddr, number: u64) -> u64 {
    let session = number
        .is_multiple_of(2)
        .then(|| LegacyCaller::greet(address));
    let mut client = Client::connect(address);
    let mut right = 0;
    for id in 1..=CALLS_PER_CLIENT {
        let server = SERVERS[usize::try_from((id + number) % 4).unwrap()];
        // One in eight is answered later than those that came after it.
        let tool = if id.is_multiple_of(8) { "late" } else { "echo" };
        let tool = format!("{server}.{tool}");
        let arguments = json!({ "mark": format!("client {number}, call {id}"), "ms": id % 5 });
        let request = match &session {
            Some(session) => session.call_bytes(id, &tool, &arguments),
            None => modern_call(address, id, &tool, &arguments),
        };
        let reply = client.ask(request);
        assert_eq!(reply.message()["id"], id, "{reply:?}");
        let echoed: Value = serde_json::from_str(&text_of(&reply)).unwrap();
        assert_eq!(echoed, arguments, "{reply:?}");
        right += 1;
    }
    right
}

#[test]
fn clients_that_use_the_same_ids_get_their_own_answers() {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let stage = serve(&server);
    let address = stage.gateway.address;
    let right: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || calls(address, number)))
            .collect();
        clients.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert_eq!(right, CLIENTS * CALLS_PER_CLIENT);
    stage.gateway.stop();
}
