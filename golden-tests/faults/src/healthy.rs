//! What a server that works would say.
//!
//! Owns reading a message as far as this server needs it, and the answers in both eras. The tools
//! besides the faults are `echo`, which gives its arguments back, `pid`, `count`, which counts how often
//! this process was asked to, `variable`, which tells what a variable of its environment holds, those of
//! the ledger, and those of `appetite` and `trespass`.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Fault;
use crate::appetite::{self, take};
use crate::ledger::Ledger;
use crate::trespass::{self, reach};

/// How often it has counted.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A request, and the fault that it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its id.
    pub(crate) id: Value,
    /// Its method.
    pub(crate) method: String,
    /// The tool, for a call.
    pub(crate) tool: String,
    /// The cursor, for the next page of a list.
    pub(crate) cursor: Option<String>,
    /// The arguments of the tool.
    pub(crate) arguments: Value,
    /// What is to go wrong.
    pub(crate) fault: Option<Fault>,
    /// Whether it says of itself what it is, as requests of 2026-07-28 do.
    pub(crate) is_modern: bool,
}

impl Asked {
    /// How long the answer takes.
    pub(crate) fn pause(&self) -> Duration {
        let pause = self.arguments.get("ms").and_then(Value::as_u64);
        Duration::from_millis(pause.unwrap_or(0))
    }
}

/// Reads a message; nothing if it wants no answer.
pub(crate) fn asked(message: &[u8]) -> Option<Asked> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let text = |at: &str| message.pointer(at).and_then(Value::as_str);
    let method = text("/method")?.to_owned();
    let tool = text("/params/name").unwrap_or_default().to_owned();
    Some(Asked {
        is_modern: text("/params/_meta/io.modelcontextprotocol~1protocolVersion").is_some(),
        id: message.get("id")?.clone(),
        cursor: text("/params/cursor").map(str::to_owned),
        fault: Fault::of(&tool).filter(|_| method == "tools/call"),
        arguments: message
            .pointer("/params/arguments")
            .cloned()
            .unwrap_or_default(),
        method,
        tool,
    })
}

/// The id of the request that a message gives up.
pub(crate) fn given_up(message: &[u8]) -> Option<Value> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let is_it = message.get("method")? == "notifications/cancelled";
    message
        .pointer("/params/requestId")
        .filter(|_| is_it)
        .cloned()
}

/// The answer.
pub(crate) fn healthy(asked: &Asked, ledger: &Ledger) -> Value {
    let id = &asked.id;
    if let Some(result) = result(asked, ledger) {
        return json!({ "jsonrpc": "2.0", "id": id, "result": result });
    }
    unknown(id)
}

/// The answer to a method that there is not.
pub(crate) fn unknown(id: &Value) -> Value {
    let error = json!({ "code": -32601, "message": "there is no such method" });
    json!({ "jsonrpc": "2.0", "id": id, "error": error })
}

/// A server that should know better also says it on its standard error.
fn variable(arguments: &Value) -> String {
    let name = arguments.get("name").and_then(Value::as_str);
    let value = name.and_then(|name| std::env::var(name).ok());
    let value = value.unwrap_or_default();
    let _gone = writeln!(std::io::stderr(), "it is {value}");
    value
}

fn result(asked: &Asked, ledger: &Ledger) -> Option<Value> {
    Some(match asked.method.as_str() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "faulty", "version": "1" },
        }),
        "server/discover" => json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {} },
            "ttlMs": 0,
            "cacheScope": "private",
        }),
        "ping" => json!({}),
        "tools/list" => {
            let faults = Fault::ALL.iter().map(|(name, _)| *name);
            let tools: Vec<Value> = faults
                .chain(["echo", "pid", "count", "variable", "ledger", "release"])
                .chain(appetite::TOOLS)
                .chain(trespass::TOOLS)
                .map(|name| {
                    let annotations = json!({ "idempotentHint": name == "late" });
                    let schema = json!({ "type": "object" });
                    json!({ "name": name, "inputSchema": schema, "annotations": annotations })
                })
                .collect();
            json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private" })
        }
        "tools/call" => {
            let text = ledger
                .text(asked)
                .or_else(|| take(&asked.tool, &asked.arguments))
                .or_else(|| reach(&asked.tool, &asked.arguments))
                .unwrap_or_else(|| match asked.tool.as_str() {
                    "pid" => std::process::id().to_string(),
                    "count" => (COUNT.fetch_add(1, Ordering::Relaxed) + 1).to_string(),
                    "variable" => variable(&asked.arguments),
                    _ => asked.arguments.to_string(),
                });
            json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
        }
        _ => return None,
    })
}
