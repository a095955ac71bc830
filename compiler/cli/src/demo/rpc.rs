//! JSON-RPC 2.0 messages: reading one line, and writing answers and notifications.
//!
//! Does not know MCP: methods and eras are `session.rs`.

use serde_json::{Map, Value, json};

/// Not JSON.
pub(super) const PARSE_ERROR: i64 = -32700;
/// JSON, but not a request that can be served now.
pub(super) const INVALID_REQUEST: i64 = -32600;
/// No such method.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
/// The params do not fit the method.
pub(super) const INVALID_PARAMS: i64 = -32602;
/// No such resource, in revisions up to 2025-11-25.
pub(super) const RESOURCE_NOT_FOUND: i64 = -32002;
/// The revision is not spoken here, from 2026-07-28 on.
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;

/// A message from the client.
pub(super) enum Incoming {
    /// Wants an answer.
    Request {
        id: Value,
        method: String,
        params: Map<String, Value>,
    },
    /// Wants none.
    Notification {
        method: String,
        params: Map<String, Value>,
    },
    /// An answer to a request, which these servers never make.
    Response,
}

/// A failed request.
#[derive(Debug)]
pub(super) struct RpcError {
    code: i64,
    message: String,
    data: Option<Value>,
}

impl RpcError {
    /// An error without data.
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// Params that do not fit their method.
    pub(super) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    /// Adds data for programs.
    pub(super) fn with(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }
}

/// Reads one message. A line that is none is given back as the answer to it.
pub(super) fn read(line: &[u8]) -> Result<Incoming, Value> {
    let Ok(value) = serde_json::from_slice(line) else {
        let error = RpcError::new(PARSE_ERROR, "the line is not JSON");
        return Err(failure(None, error));
    };
    let Value::Object(mut message) = value else {
        return Err(failure(None, invalid("a message is one JSON object")));
    };
    let id = message.remove("id");
    let readable_id = id.clone().filter(|id| id.is_string() || id.is_number());
    if message.get("jsonrpc") != Some(&json!("2.0")) {
        let error = invalid("`jsonrpc` must be \"2.0\"");
        return Err(failure(readable_id.as_ref(), error));
    }
    let Some(method) = message.remove("method") else {
        let is_response = message.contains_key("result") || message.contains_key("error");
        return if is_response {
            Ok(Incoming::Response)
        } else {
            Err(failure(
                readable_id.as_ref(),
                invalid("`method` is missing"),
            ))
        };
    };
    let Value::String(method) = method else {
        let error = invalid("`method` must be a text");
        return Err(failure(readable_id.as_ref(), error));
    };
    let params = match message.remove("params") {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => {
            let error = RpcError::invalid_params("`params` must be an object");
            return Err(failure(readable_id.as_ref(), error));
        }
    };
    match (id, readable_id) {
        (None, _) => Ok(Incoming::Notification { method, params }),
        (Some(_), Some(id)) => Ok(Incoming::Request { id, method, params }),
        (Some(_), None) => {
            let error = invalid("`id` must be a text or a number");
            Err(failure(None, error))
        }
    }
}

/// The answer to a request.
pub(super) fn answer(id: &Value, outcome: Result<Value, RpcError>) -> Value {
    match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(Some(id), error),
    }
}

/// The answer to a request that failed, or that could not be read.
pub(super) fn failure(id: Option<&Value>, error: RpcError) -> Value {
    let mut body = json!({ "code": error.code, "message": error.message });
    if let (Some(body), Some(data)) = (body.as_object_mut(), error.data) {
        body.insert("data".to_owned(), data);
    }
    match id {
        Some(id) => json!({ "jsonrpc": "2.0", "id": id, "error": body }),
        // No id rather than `null`, which the schemas since 2025-11-25 do not allow.
        None => json!({ "jsonrpc": "2.0", "error": body }),
    }
}

/// A notification.
pub(super) fn notification(method: &str, params: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

fn invalid(message: &str) -> RpcError {
    RpcError::new(INVALID_REQUEST, message)
}
