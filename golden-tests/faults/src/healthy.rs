//! What a server that works would say.
//!
//! Owns reading a message as far as this server needs it, and the answers in both eras. The tools
//! besides the faults are `echo`, which gives its arguments back, `pid`, and `variable`, which tells
//! what a variable of its environment holds.

use std::io::Write;

use serde_json::{Value, json};

use crate::Fault;

/// A request, and the fault that it asks for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its id.
    pub id: Value,
    /// Its method.
    pub method: String,
    /// The tool, for a call.
    pub tool: String,
    /// The arguments of the tool.
    pub arguments: Value,
    /// What is to go wrong.
    pub fault: Option<Fault>,
}

/// Reads a message; nothing if it wants no answer.
pub fn asked(message: &[u8]) -> Option<Asked> {
    let message: Value = serde_json::from_slice(message).ok()?;
    let text = |at: &str| message.pointer(at).and_then(Value::as_str);
    let method = text("/method")?.to_owned();
    let tool = text("/params/name").unwrap_or_default().to_owned();
    Some(Asked {
        id: message.get("id")?.clone(),
        fault: Fault::of(&tool).filter(|_| method == "tools/call"),
        arguments: message
            .pointer("/params/arguments")
            .cloned()
            .unwrap_or_default(),
        method,
        tool,
    })
}

/// The answer.
pub fn healthy(asked: &Asked) -> Value {
    let id = &asked.id;
    if let Some(result) = result(asked) {
        return json!({ "jsonrpc": "2.0", "id": id, "result": result });
    }
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

fn result(asked: &Asked) -> Option<Value> {
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
                .chain(["echo", "pid", "variable"])
                .map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }))
                .collect();
            json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private" })
        }
        "tools/call" => {
            let text = match asked.tool.as_str() {
                "pid" => std::process::id().to_string(),
                "variable" => variable(&asked.arguments),
                _ => asked.arguments.to_string(),
            };
            json!({ "resultType": "complete", "content": [{ "type": "text", "text": text }] })
        }
        _ => return None,
    })
}
