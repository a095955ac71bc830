//! A gateway that is called, before servers that say who they are and what they were called with.
//!
//! Owns those servers and the one client. The gateway is the real one, on pipes: what comes back tells where
//! it has sent a call.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use mcpc_dataplane::{Dialed, Launch, Process, Reach, ReachFuture, Rehearsal, Secret, Target};
use mcpc_plan::Plan;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

const PIPE_BYTES: usize = 64 * 1024;
const REVISION: &str = "2026-07-28";

/// See the file's header.
pub(super) struct Gateway {
    runtime: Runtime,
    tasks: LocalSet,
    rehearsal: Rehearsal,
}

impl Gateway {
    pub(super) fn start(plan: Plan) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let tasks = LocalSet::new();
        let rehearsal = tasks.block_on(&runtime, async {
            Rehearsal::start(plan, Arc::new(Echoes)).expect("a sound plan")
        });
        Self {
            runtime,
            tasks,
            rehearsal,
        }
    }

    /// The server that a call of a tool came to, and what it was called there; nothing if the gateway says
    /// that there is no such tool.
    pub(super) fn call(&self, path: &str, tool: &str) -> Option<(String, String)> {
        let pipe = self
            .tasks
            .block_on(&self.runtime, async { self.rehearsal.connect() });
        let reply = self.tasks.block_on(&self.runtime, ask(pipe, path, tool));
        if reply["error"]["data"]["code"] == "MCPC9109" {
            return None;
        }
        let text = reply["result"]["content"][0]["text"].as_str();
        let (server, own) = text
            .and_then(|text| text.split_once('/'))
            .unwrap_or_else(|| panic!("`{tool}` on {path} gets {reply}"));
        Some((server.to_owned(), own.to_owned()))
    }
}

async fn ask(pipe: DuplexStream, path: &str, tool: &str) -> Value {
    let (mut sender, connection) = handshake(TokioIo::new(pipe)).await.expect("a connection");
    tokio::task::spawn_local(connection);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    let params = json!({ "name": tool, "arguments": {}, "_meta": meta });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let request = Request::post(path)
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", REVISION)
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool)
        .body(Full::new(Bytes::from(message.to_string())))
        .expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    let body = response.into_body().collect().await.expect("a body");
    serde_json::from_slice(&body.to_bytes()).expect("a reply")
}

/// Servers that can be connected to under every name.
struct Echoes;

impl Reach for Echoes {
    fn connect(&self, target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        let server = target.host.trim_end_matches(".test").to_owned();
        let (ours, theirs) = duplex(PIPE_BYTES);
        Box::pin(async move {
            tokio::spawn(serve(theirs, server));
            Ok(Box::new(ours) as Box<dyn Dialed>)
        })
    }

    fn launch(&self, _: &Launch<'_>) -> io::Result<Process> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn give_up_after(&self, _: Duration) {}

    fn variable(&self, _: &str) -> Option<Secret> {
        None
    }

    fn file(&self, _: &str) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Answers requests until the gateway closes the connection.
async fn serve(mut pipe: DuplexStream, server: String) {
    let mut bytes = Vec::new();
    loop {
        let Some(message) = next_message(&mut pipe, &mut bytes).await else {
            return;
        };
        let result = match message["method"].as_str() {
            Some("server/discover") => json!({
                "resultType": "complete",
                "supportedVersions": [REVISION],
                "capabilities": { "tools": {} },
                "serverInfo": { "name": server, "version": "1" },
            }),
            Some("tools/list") => json!({ "resultType": "complete", "tools": [] }),
            _ => {
                let own = message["params"]["name"].as_str().unwrap_or_default();
                let text = format!("{server}/{own}");
                json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
            }
        };
        let reply = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            reply.len()
        );
        let sent = pipe.write_all((head + &reply).as_bytes()).await;
        if sent.is_err() {
            return;
        }
    }
}

/// Reads a request with a length; nothing at the end of the connection.
async fn next_message(pipe: &mut DuplexStream, bytes: &mut Vec<u8>) -> Option<Value> {
    loop {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1);
            let length: usize = length
                .and_then(|rest| rest.lines().next())
                .and_then(|length| length.trim().parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                let message = serde_json::from_str(body.get(..length)?).ok()?;
                bytes.drain(..head.len() + 4 + length);
                return Some(message);
            }
        }
        if pipe.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}
