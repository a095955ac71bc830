//! One client's conversation: which era it speaks, and which method does what.
//!
//! The era is fixed by the first message, as it is in the servers that the SDKs make: after
//! `initialize` the process is legacy, after a request with modern `_meta` it is modern. Does not
//! frame messages (`stdio.rs`) or know what the server offers ([`Demo`]).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::{Map, Value, json};

use super::listen::Listens;
use super::rpc::{self, Incoming, RpcError};
use super::stdio::Outbox;
use super::turn::{Cancelled, InFlight, Level, Turn};
use super::{Arguments, Called, CompletionOf, Demo, legacy, modern};

/// The most values that a completion may hold (2025-11-25 §Completion).
const COMPLETION_LIMIT: usize = 100;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Era {
    Modern,
    Legacy,
}

/// The conversation with the one client of this process.
pub(super) struct Session<D> {
    shared: Arc<Shared<D>>,
}

struct Shared<D> {
    demo: D,
    outbox: Outbox,
    era: OnceLock<Era>,
    /// What a legacy client has asked to see with `logging/setLevel`.
    log_from: Mutex<Level>,
    in_flight: InFlight,
    listens: Arc<Listens>,
}

impl<D: Demo> Session<D> {
    pub(super) fn new(demo: D, outbox: Outbox) -> Self {
        Self {
            shared: Arc::new(Shared {
                demo,
                outbox,
                era: OnceLock::new(),
                log_from: Mutex::new(Level::DEFAULT),
                in_flight: InFlight::default(),
                listens: Arc::default(),
            }),
        }
    }

    /// Takes one line from the client.
    pub(super) fn receive(&self, line: &[u8]) {
        match rpc::read(line) {
            Ok(Incoming::Request { id, method, params }) => self.request(id, &method, params),
            Ok(Incoming::Notification { method, params }) => {
                self.shared.notified(&method, &params);
            }
            Ok(Incoming::Response) => {}
            Err(refusal) => self.shared.outbox.send(&refusal),
        }
    }

    fn request(&self, id: Value, method: &str, params: Map<String, Value>) {
        let shared = &self.shared;
        let (era, log_from) = match shared.admit(method, &params) {
            Ok(admitted) => admitted,
            Err(error) => return shared.outbox.send(&rpc::failure(Some(&id), error)),
        };
        if era == Era::Modern && method == "subscriptions/listen" {
            if let Err(error) = shared.listens.open_modern(&id, &params, &shared.outbox) {
                shared.outbox.send(&rpc::failure(Some(&id), error));
            }
            return;
        }
        if method == "tools/call"
            && shared
                .demo
                .is_slow(text(&params, "name").unwrap_or_default())
        {
            return self.call_beside(id, params, era, log_from);
        }
        let turn = shared.turn(&params, log_from, Arc::default());
        if let Some(outcome) = shared.dispatch(era, method, &params, &turn) {
            shared.outbox.send(&rpc::answer(&id, outcome));
        }
    }

    /// Runs a slow call on a thread of its own, so that it can be taken back and others go on.
    fn call_beside(&self, id: Value, params: Map<String, Value>, era: Era, log: Option<Level>) {
        let Some(cancelled) = self.shared.in_flight.enter(&id) else {
            let error = RpcError::new(
                rpc::INVALID_REQUEST,
                "too many calls at once, or an id that is in use",
            );
            return self.shared.outbox.send(&rpc::failure(Some(&id), error));
        };
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            let turn = shared.turn(&params, log, cancelled);
            let outcome = shared.dispatch(era, "tools/call", &params, &turn);
            shared.in_flight.leave(&id);
            if let Some(outcome) = outcome {
                shared.outbox.send(&rpc::answer(&id, outcome));
            }
        });
    }
}

impl<D: Demo> Shared<D> {
    /// Fixes the era, or refuses a request of the other one. Gives the level the request logs from.
    fn admit(
        &self,
        method: &str,
        params: &Map<String, Value>,
    ) -> Result<(Era, Option<Level>), RpcError> {
        let is_modern = modern::is_modern(params);
        let first = match method {
            _ if is_modern => Some(Era::Modern),
            "initialize" => Some(Era::Legacy),
            _ => None,
        };
        let era = match (self.era.get(), first) {
            (Some(era), _) => *era,
            (None, Some(first)) => *self.era.get_or_init(|| first),
            (None, None) => {
                return Err(RpcError::invalid_params(
                    "begin with `initialize`, or give `_meta` with `io.modelcontextprotocol/protocolVersion`",
                ));
            }
        };
        match era {
            Era::Modern if method == "initialize" => {
                let requested = text(params, "protocolVersion").unwrap_or_default();
                Err(modern::unsupported(requested))
            }
            Era::Modern => modern::check_meta(params).map(|log_from| (era, log_from)),
            Era::Legacy if is_modern => Err(RpcError::new(
                rpc::INVALID_REQUEST,
                "this process was initialized with a revision up to 2025-11-25",
            )),
            Era::Legacy => {
                let log_from = *self.log_from.lock().unwrap_or_else(PoisonError::into_inner);
                Ok((era, Some(log_from)))
            }
        }
    }

    fn turn(
        &self,
        params: &Map<String, Value>,
        log_from: Option<Level>,
        cancelled: Arc<Cancelled>,
    ) -> Turn {
        let token = params
            .get("_meta")
            .and_then(|meta| meta.get("progressToken"));
        Turn {
            outbox: self.outbox.clone(),
            progress_token: token.cloned(),
            log_from,
            cancelled,
            listens: Arc::clone(&self.listens),
        }
    }

    /// Serves one request. Nothing means that the client has taken it back.
    fn dispatch(
        &self,
        era: Era,
        method: &str,
        params: &Map<String, Value>,
        turn: &Turn,
    ) -> Option<Result<Value, RpcError>> {
        let served = match (era, method) {
            (_, "tools/call") => self.call(params, turn).transpose()?.map(uncached),
            (Era::Modern, "server/discover") => {
                Ok((modern::discover::<D>(), Some(modern::LIST_TTL_MS)))
            }
            (Era::Legacy, "initialize") => Ok(uncached(legacy::initialize::<D>(params))),
            (Era::Legacy, "ping") => Ok(uncached(json!({}))),
            (Era::Legacy, "logging/setLevel") => self.set_level(params).map(uncached),
            _ => self.list_or_get(era, method, params),
        };
        Some(served.map(|(result, ttl_ms)| match era {
            Era::Modern => modern::finish::<D>(result, ttl_ms),
            Era::Legacy => result,
        }))
    }

    /// The methods that both eras share: the result and how long it may be kept.
    fn list_or_get(
        &self,
        era: Era,
        method: &str,
        params: &Map<String, Value>,
    ) -> Result<(Value, Option<u64>), RpcError> {
        let list = |key: &str, items: Vec<Value>| {
            // No list here has a second page, so no cursor was ever handed out.
            if params.contains_key("cursor") {
                return Err(RpcError::invalid_params("no such cursor"));
            }
            Ok((json!({ key: items }), Some(modern::LIST_TTL_MS)))
        };
        match method {
            "tools/list" => list("tools", self.demo.tools()),
            "prompts/list" => list("prompts", self.demo.prompts()),
            "resources/list" => list("resources", self.demo.resources()),
            "resources/templates/list" => list("resourceTemplates", self.demo.templates()),
            "prompts/get" => self.prompt(params).map(uncached),
            "resources/read" => Ok((self.read(era, params)?, Some(D::READ_TTL_MS))),
            "completion/complete" => self.complete(params).map(uncached),
            _ => Err(RpcError::new(
                rpc::METHOD_NOT_FOUND,
                format!("no such method: {method}"),
            )),
        }
    }

    fn call(&self, params: &Map<String, Value>, turn: &Turn) -> Result<Option<Value>, RpcError> {
        let called = self
            .demo
            .call(required(params, "name")?, &arguments(params)?, turn)?;
        let content = |text: String| json!([{ "type": "text", "text": text }]);
        Ok(match called {
            Called::Done { text, structured } => {
                Some(json!({ "content": content(text), "structuredContent": structured }))
            }
            Called::Failed(text) => Some(json!({ "content": content(text), "isError": true })),
            Called::Cancelled => None,
        })
    }

    fn prompt(&self, params: &Map<String, Value>) -> Result<Value, RpcError> {
        let (description, text) = self
            .demo
            .prompt(required(params, "name")?, &arguments(params)?)?;
        let message = json!({ "role": "user", "content": { "type": "text", "text": text } });
        Ok(json!({ "description": description, "messages": [message] }))
    }

    fn read(&self, era: Era, params: &Map<String, Value>) -> Result<Value, RpcError> {
        let uri = required(params, "uri")?;
        let Some(text) = self.demo.read(uri) else {
            let code = match era {
                Era::Modern => rpc::INVALID_PARAMS,
                Era::Legacy => rpc::RESOURCE_NOT_FOUND,
            };
            return Err(RpcError::new(code, "no such resource").with(json!({ "uri": uri })));
        };
        Ok(json!({ "contents": [{ "uri": uri, "mimeType": "text/plain", "text": text }] }))
    }

    fn complete(&self, params: &Map<String, Value>) -> Result<Value, RpcError> {
        let part = |name: &str| {
            params
                .get(name)
                .and_then(Value::as_object)
                .ok_or_else(|| RpcError::invalid_params(format!("`{name}` must be an object")))
        };
        let (reference, argument) = (part("ref")?, part("argument")?);
        let (name, typed) = (required(argument, "name")?, required(argument, "value")?);
        let of = match text(reference, "type") {
            Some("ref/prompt") => CompletionOf::Prompt {
                name: required(reference, "name")?,
                argument: name,
            },
            Some("ref/resource") => CompletionOf::Template {
                uri: required(reference, "uri")?,
                variable: name,
            },
            _ => return Err(RpcError::invalid_params("no such kind of `ref`")),
        };
        let values = self.demo.values_of(&of);
        let mut values = values.ok_or_else(|| RpcError::invalid_params("no such `ref`"))?;
        values.retain(|value| value.starts_with(typed));
        let total = values.len();
        values.truncate(COMPLETION_LIMIT);
        let has_more = total > values.len();
        Ok(json!({ "completion": { "values": values, "total": total, "hasMore": has_more } }))
    }

    fn set_level(&self, params: &Map<String, Value>) -> Result<Value, RpcError> {
        let level = Level::parse(required(params, "level")?)
            .ok_or_else(|| RpcError::invalid_params("no such log level"))?;
        *self.log_from.lock().unwrap_or_else(PoisonError::into_inner) = level;
        Ok(json!({}))
    }

    fn notified(&self, method: &str, params: &Map<String, Value>) {
        match method {
            "notifications/initialized" if self.era.get() == Some(&Era::Legacy) => {
                self.listens.open_legacy();
            }
            "notifications/cancelled" => {
                if let Some(id) = params.get("requestId") {
                    self.in_flight.cancel(id);
                    self.listens.close(id);
                }
            }
            _ => {}
        }
    }
}

fn uncached(result: Value) -> (Value, Option<u64>) {
    (result, None)
}

fn text<'a>(params: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    params.get(key).and_then(Value::as_str)
}

fn required<'a>(params: &'a Map<String, Value>, key: &str) -> Result<&'a str, RpcError> {
    text(params, key).ok_or_else(|| RpcError::invalid_params(format!("`{key}` must be a text")))
}

fn arguments(params: &Map<String, Value>) -> Result<Arguments, RpcError> {
    match params.get("arguments") {
        None => Ok(Arguments::new()),
        Some(Value::Object(arguments)) => Ok(arguments.clone()),
        Some(_) => Err(RpcError::invalid_params("`arguments` must be an object")),
    }
}
