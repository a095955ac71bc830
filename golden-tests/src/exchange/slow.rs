//! A request that arrives slowly while the plan that it began under is replaced.
//!
//! Owns this one scene, which no transcript can tell: there a request is there at once. What holds for
//! requests in any order is `chance`'s.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mcpc_dataplane::Rehearsal;
use mcpc_plan::Plan;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::Era;
use super::server::Server;
use super::stage::connect;
use super::world::World;
use crate::compiled::{Compiled, Values};

/// What the client gets whose request was half read when its server left the plan, and who sends the
/// rest after so long. The grace is ten seconds.
pub fn read_across_a_swap(pause: Duration) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime");
    LocalSet::new().block_on(&runtime, half_read(pause))
}

async fn half_read(pause: Duration) -> String {
    let server = Server::new("leaving", Era::Modern, false, &Rc::default());
    server.offer("tools", json!([{ "name": "real" }]));
    let (doors, opened) = mpsc::unbounded_channel();
    let named = HashMap::from([("leaving".to_owned(), Rc::clone(&server))]);
    tokio::task::spawn_local(connect(opened, named));
    let world = World {
        doors,
        is_closed: |_| false,
    };
    let mut gateway = Rehearsal::start(plan("leaving"), Arc::new(world)).expect("a sound plan");
    let request = request();
    let (first, rest) = request.split_at(request.len() - 20);
    let mut pipe = gateway.connect();
    let sent = pipe.write_all(first.as_bytes()).await;
    sent.expect("the gateway reads");
    sleep(Duration::from_secs(1)).await;
    let other = gateway.resolve(plan("other"));
    gateway.swap(other).expect("a sound plan");
    sleep(pause).await;
    let sent = pipe.write_all(rest.as_bytes()).await;
    sent.expect("the gateway reads");
    sleep(Duration::from_secs(1)).await;
    server.echo(0);
    let mut reply = String::new();
    let read = pipe.read_to_string(&mut reply).await;
    read.expect("the gateway answers and closes");
    reply
}

fn request() -> String {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    let params = json!({ "name": "real", "arguments": { "mark": 1 }, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let body = body.to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
         Mcp-Method: tools/call\r\nMcp-Name: real\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn plan(server: &str) -> Plan {
    let text = format!(
        "version: 1\nlimits: {{ grace: 10s }}\nservers: {{ {server}: {{ command: {server} }} }}\n"
    );
    let compiled = Compiled::of("mcpc.yaml", text.into_bytes(), Some(&Values::default()));
    compiled.plan.expect("a sound configuration")
}
