//! How messages are shown in a transcript: keys sorted, and without what depends on the era or the
//! moment, unless the case asks for everything.

use serde_json::{Map, Value};

/// `_meta` keys and result members that one era has and the other has not.
const OF_ONE_ERA: [&str; 8] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/serverInfo",
    "io.modelcontextprotocol/subscriptionId",
    "resultType",
    "ttlMs",
    "cacheScope",
];

/// A value on one line.
pub(crate) fn shown(value: &Value, is_raw: bool) -> String {
    if value.is_null() {
        return "{}".to_owned();
    }
    sorted(value, is_raw, 0).to_string()
}

/// What a message says beside what JSON-RPC defines; nearly always nothing.
pub(crate) fn beside(message: &Value) -> String {
    const DEFINED: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
    let members = message.as_object().into_iter().flatten();
    let others = members.filter(|(key, _)| !DEFINED.contains(&key.as_str()));
    let others: Map<_, _> = others
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if others.is_empty() {
        return String::new();
    }
    format!(" beside {}", sorted(&Value::Object(others), true, 0))
}

fn sorted(value: &Value, is_raw: bool, depth: usize) -> Value {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            let mut out = Map::new();
            for key in keys {
                let era_bound = depth <= 1 && OF_ONE_ERA.contains(&key.as_str());
                let moment = matches!(key.as_str(), "correlation" | "dev.mcpc/correlation");
                let inner = object
                    .get(key)
                    .map(|value| sorted(value, is_raw, depth + 1))
                    .unwrap_or_default();
                let emptied = key == "_meta" && inner == Value::Object(Map::new());
                if moment || !is_raw && (era_bound || emptied) {
                    continue;
                }
                out.insert(key.clone(), inner);
            }
            Value::Object(out)
        }
        Value::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| sorted(item, is_raw, depth + 1))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
