//! What is particular to 2026-07-28: every request carries its own `_meta`, every result says what
//! kind it is and how long it may be kept.

use serde_json::{Map, Value, json};

use super::Demo;
use super::rpc::{self, RpcError};
use super::turn::Level;

/// The revisions of this era that are spoken here.
const SUPPORTED: [&str; 1] = ["2026-07-28"];

/// How long a client may keep a list, in milliseconds.
pub(super) const LIST_TTL_MS: u64 = 5_000;

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";

/// Whether params belong to a request of this era.
pub(super) fn is_modern(params: &Map<String, Value>) -> bool {
    meta(params).is_some_and(|meta| meta.contains_key(VERSION))
}

/// Checks the `_meta` that every request must have, and gives the log level it asks for.
pub(super) fn check_meta(params: &Map<String, Value>) -> Result<Option<Level>, RpcError> {
    let missing = |key: &str| RpcError::invalid_params(format!("`_meta` lacks `{key}`"));
    let meta = meta(params).ok_or_else(|| missing(VERSION))?;
    let version = meta
        .get(VERSION)
        .and_then(Value::as_str)
        .ok_or_else(|| missing(VERSION))?;
    if !SUPPORTED.contains(&version) {
        return Err(unsupported(version));
    }
    if !meta.get(CAPABILITIES).is_some_and(Value::is_object) {
        return Err(missing(CAPABILITIES));
    }
    match meta.get(LOG_LEVEL) {
        None => Ok(None),
        Some(level) => level
            .as_str()
            .and_then(Level::parse)
            .map(Some)
            .ok_or_else(|| RpcError::invalid_params("no such log level")),
    }
}

/// The refusal of a revision that is not spoken here.
pub(super) fn unsupported(requested: &str) -> RpcError {
    RpcError::new(rpc::UNSUPPORTED_VERSION, "unsupported protocol version")
        .with(json!({ "supported": SUPPORTED, "requested": requested }))
}

/// The result of `server/discover`.
pub(super) fn discover<D: Demo>() -> Value {
    json!({
        "supportedVersions": SUPPORTED,
        "capabilities": {
            "tools": {},
            "prompts": {},
            "resources": { "listChanged": true },
            "completions": {},
            "logging": {},
        },
        "instructions": D::INSTRUCTIONS,
    })
}

/// Completes a result: its kind, its server and, if it may be kept, for how long.
pub(super) fn finish<D: Demo>(mut result: Value, ttl_ms: Option<u64>) -> Value {
    if let Some(object) = result.as_object_mut() {
        object.insert("resultType".to_owned(), json!("complete"));
        if let Some(ttl_ms) = ttl_ms {
            object.insert("ttlMs".to_owned(), json!(ttl_ms));
            // The same for everyone: these servers do not know who asks.
            object.insert("cacheScope".to_owned(), json!("public"));
        }
        let server = json!({ "name": D::NAME, "title": D::TITLE, "version": crate::VERSION });
        object.insert(
            "_meta".to_owned(),
            json!({ "io.modelcontextprotocol/serverInfo": server }),
        );
    }
    result
}

fn meta(params: &Map<String, Value>) -> Option<&Map<String, Value>> {
    params.get("_meta").and_then(Value::as_object)
}
