//! What is particular to 2024-11-05 up to 2025-11-25: `initialize` agrees on a revision for the
//! whole process.

use serde_json::{Map, Value, json};

use super::Demo;

/// The revisions of this era, oldest first.
const SUPPORTED: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The result of `initialize`: the requested revision, or the newest one of this era.
pub(super) fn initialize<D: Demo>(params: &Map<String, Value>) -> Value {
    let requested = params.get("protocolVersion").and_then(Value::as_str);
    let version = SUPPORTED
        .iter()
        .find(|version| Some(**version) == requested)
        .unwrap_or(&"2025-11-25");
    json!({
        "protocolVersion": version,
        "capabilities": {
            "tools": {},
            "prompts": {},
            "resources": { "listChanged": true },
            "completions": {},
            "logging": {},
        },
        "serverInfo": { "name": D::NAME, "title": D::TITLE, "version": crate::VERSION },
        "instructions": D::INSTRUCTIONS,
    })
}
