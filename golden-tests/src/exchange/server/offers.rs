//! What a fake server answers by itself: handshakes and lists, as a transcript says what is in them.
//!
//! Owns the results. What it is asked besides is left to the transcript, by the server.

use serde_json::{Value, json};

use super::Server;

impl Server {
    /// The result of what it answers by itself.
    pub(super) fn by_itself(&self, method: &str) -> Option<Value> {
        let offers = self.offers.borrow();
        let mut capabilities = json!({ "completions": {}, "logging": {} });
        for kind in ["tools", "prompts", "resources"] {
            if offers.contains_key(kind) {
                capabilities[kind] = json!({ "listChanged": true });
            }
        }
        for kind in ["extensions", "tasks"] {
            if let Some(offered) = offers.get(kind) {
                capabilities[kind] = offered.clone();
            }
        }
        if offers.contains_key("subscriptions") {
            capabilities["resources"]["subscribe"] = json!(true);
        }
        let list = |kind: &str, member: &str| {
            let entries = offers.get(kind).cloned().unwrap_or_else(|| json!([]));
            json!({ member: entries, "resultType": "complete", "ttlMs": 1000, "cacheScope": "public" })
        };
        let info = json!({ "name": self.name, "version": "1" });
        let mut result = match method {
            "server/discover" => json!({
                "supportedVersions": ["2026-07-28"], "capabilities": capabilities, "resultType": "complete",
                "ttlMs": 0, "cacheScope": "public", "_meta": { "io.modelcontextprotocol/serverInfo": info }
            }),
            "initialize" => {
                json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info })
            }
            "ping" | "logging/setLevel" => json!({}),
            "tools/list" => list("tools", "tools"),
            "prompts/list" => list("prompts", "prompts"),
            "resources/list" => list("resources", "resources"),
            "resources/templates/list" => list("templates", "resourceTemplates"),
            _ => return None,
        };
        let said = match method {
            "server/discover" | "initialize" => "greeting",
            other => other,
        };
        if let Some(beside) = offers.get(said) {
            add(&mut result, beside);
        }
        Some(result)
    }
}

/// Adds the members of one object to another one, and to the objects in it.
fn add(whole: &mut Value, beside: &Value) {
    match (whole, beside.as_object()) {
        (Value::Object(whole), Some(beside)) => {
            for (key, value) in beside {
                add(whole.entry(key).or_insert(Value::Null), value);
            }
        }
        (whole, _) => *whole = beside.clone(),
    }
}
