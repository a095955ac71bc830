//! A fake client of either era: each call on a connection of its own, everything it gets in the log.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::task::AbortHandle;

use super::Era;
use super::events::Events;
use super::script::Script;
use super::server::Log;
use super::text::{beside, shown};

/// One client.
pub(crate) struct Client {
    era: Era,
    /// The capabilities that it declares.
    declared: Value,
    is_raw: bool,
    log: Log,
    events: Events,
    session: RefCell<Option<String>>,
    has_greeted: Cell<bool>,
    calls: RefCell<HashMap<String, AbortHandle>>,
    /// The last `requestState` that it got.
    state: RefCell<String>,
    /// Where the messages go of the last stream of the older transport that it opened.
    endpoint: RefCell<String>,
}

impl Client {
    pub(crate) fn new(era: Era, declared: Value, script: &Script, log: &Log) -> Rc<Self> {
        Rc::new(Self {
            era,
            declared,
            is_raw: script.is_raw,
            log: Rc::clone(log),
            events: Events::new(script.shows_events),
            session: RefCell::default(),
            has_greeted: Cell::new(false),
            calls: RefCell::default(),
            state: RefCell::default(),
            endpoint: RefCell::default(),
        })
    }

    fn note(&self, text: &str) {
        self.log.borrow_mut().push(format!("client {text}"));
    }

    /// What a legacy client does before its first call; silent unless it fails.
    pub(crate) async fn greet(&self, pipe: DuplexStream) {
        if self.era == Era::Modern || self.has_greeted.replace(true) {
            return;
        }
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": self.declared, "clientInfo": { "name": "c", "version": "1" } });
        let message =
            json!({ "jsonrpc": "2.0", "id": "hello", "method": "initialize", "params": params });
        match exchange(pipe, self.request(&message)).await {
            Some(response) => {
                let session = response
                    .headers()
                    .get("mcp-session-id")
                    .and_then(|value| value.to_str().ok());
                *self.session.borrow_mut() = session.map(str::to_owned);
            }
            None => self.note("gets no session"),
        }
    }

    /// Sends a call; what comes back is logged as it comes.
    pub(crate) fn call(
        self: &Rc<Self>,
        pipe: DuplexStream,
        id: &Value,
        method: &str,
        params: &Value,
    ) {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": self.with_meta(params) });
        let request = self.request(&message);
        self.begin(pipe, id.to_string(), request);
    }

    /// Comes back for the rest of the stream of a call.
    pub(crate) fn resume(self: &Rc<Self>, pipe: DuplexStream, id: &Value, event: Option<&str>) {
        let key = id.to_string();
        let last = self.events.last(&key, event);
        let mut request = self.request(&Value::Null);
        *request.method_mut() = hyper::Method::GET;
        let last = last.parse().expect("ids of events are plain text");
        request.headers_mut().insert("last-event-id", last);
        self.begin(pipe, key, request);
    }

    /// Sends a request of which something comes back under this name.
    fn begin(self: &Rc<Self>, pipe: DuplexStream, key: String, request: Request<Full<Bytes>>) {
        let (client, name) = (Rc::clone(self), key.clone());
        let task = tokio::task::spawn_local(async move {
            match exchange(pipe, request).await {
                Some(response) => client.read(&name, response).await,
                None => client.note("gets no answer"),
            }
        });
        self.calls.borrow_mut().insert(key, task.abort_handle());
    }

    /// Sends a notification.
    pub(crate) fn notify(self: &Rc<Self>, pipe: DuplexStream, method: &str, params: &Value) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.tell(pipe, &message, "notification");
    }

    /// Answers a request of the gateway: `kind` is `result` or `error`.
    pub(crate) fn reply(
        self: &Rc<Self>,
        pipe: DuplexStream,
        id: &Value,
        kind: &str,
        value: &Value,
    ) {
        let message = json!({ "jsonrpc": "2.0", "id": id, kind: value });
        self.tell(pipe, &message, "answer");
    }

    /// Sends what expects no answer; silent unless it is not taken.
    fn tell(self: &Rc<Self>, pipe: DuplexStream, message: &Value, what: &'static str) {
        let (client, request) = (Rc::clone(self), self.request(message));
        tokio::task::spawn_local(async move {
            match exchange(pipe, request).await {
                Some(response) if response.status() == 202 => {}
                Some(response) => client.note(&format!(
                    "gets [{}] for its {what}",
                    response.status().as_u16()
                )),
                None => client.note(&format!("gets no answer to its {what}")),
            }
        });
    }

    /// Sends a request as it is written: `POST /mcp Header=value … | body`. `<endpoint>` stands for the
    /// address that a stream of the older transport has given, `<session>` for the session that began
    /// with the first call.
    pub(crate) fn send(
        self: &Rc<Self>,
        pipe: DuplexStream,
        head: &[String],
        body: &str,
    ) -> Option<()> {
        let (method, rest) = head.split_first()?;
        let (path, headers) = rest.split_first()?;
        let path = path.replace("<endpoint>", &self.endpoint.borrow());
        // A stream is left by its path.
        let key = if method == "GET" {
            json!(path).to_string()
        } else {
            "sent".to_owned()
        };
        let mut request = Request::builder().method(method.as_str()).uri(path);
        if !headers
            .iter()
            .any(|header| header.to_ascii_lowercase().starts_with("host="))
        {
            request = request.header("host", "127.0.0.1");
        }
        for header in headers {
            let (name, value) = header.split_once('=')?;
            let session = self.session.borrow();
            let session = session.as_deref().unwrap_or_default();
            request = request.header(name, value.replace("<session>", session));
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).ok()?;
        self.begin(pipe, key, request);
        Some(())
    }

    /// Opens the stream on which changes come; a modern client says there which resources it means.
    pub(crate) fn listen(self: &Rc<Self>, pipe: DuplexStream, resources: &Value) {
        if self.era == Era::Modern {
            let mut filter = json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true });
            if resources != &json!([]) {
                filter["resourceSubscriptions"] = resources.clone();
            }
            return self.call(
                pipe,
                &json!("listen"),
                "subscriptions/listen",
                &json!({ "notifications": filter }),
            );
        }
        let mut request = self.request(&Value::Null);
        *request.method_mut() = hyper::Method::GET;
        self.begin(pipe, "\"listen\"".to_owned(), request);
    }

    /// Goes away in the middle of a call.
    pub(crate) fn leave(&self, id: &Value) {
        if let Some(call) = self.calls.borrow_mut().remove(&id.to_string()) {
            call.abort();
        }
    }

    fn with_meta(&self, params: &Value) -> Value {
        let mut params = params.clone();
        if let Some(state) = params.get_mut("requestState") {
            let last = self.state.borrow();
            if let Some(text) = state.as_str().and_then(|kind| altered(kind, &last)) {
                *state = json!(text);
            }
        }
        if self.era == Era::Modern
            && let Some(object) = params.as_object_mut()
        {
            let meta = object.entry("_meta").or_insert_with(|| json!({}));
            meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
            meta["io.modelcontextprotocol/clientCapabilities"] = self.declared.clone();
        }
        params
    }

    fn request(&self, message: &Value) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method("POST")
            .uri("/mcp")
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        match self.era {
            Era::Modern => {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                request = request
                    .header("mcp-protocol-version", "2026-07-28")
                    .header("mcp-method", text(&message["method"]));
                let params = &message["params"];
                let name = if params["name"].is_string() {
                    &params["name"]
                } else {
                    &params["uri"]
                };
                if name.is_string() {
                    request = request.header("mcp-name", text(name));
                }
            }
            Era::Legacy => {
                if let Some(session) = self.session.borrow().as_ref() {
                    request = request
                        .header("mcp-session-id", session)
                        .header("mcp-protocol-version", "2025-11-25");
                }
            }
        }
        request
            .body(Full::new(Bytes::from(message.to_string())))
            .expect("headers of a transcript are plain text")
    }

    /// Logs a whole response, event by event.
    async fn read(&self, key: &str, response: Response<Incoming>) {
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get("content-type")
            .map(|value| value.as_bytes().to_vec())
            .unwrap_or_default();
        let is_stream = kind.starts_with(b"text/event-stream");
        let mut body = response.into_body();
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return self.note("sees the answer cut");
            };
            text.push_str(&String::from_utf8_lossy(
                &frame.into_data().unwrap_or_default(),
            ));
            while let (true, Some((event, rest))) = (is_stream, text.split_once("\n\n")) {
                if let Some(seen) = self.events.take(key, event) {
                    self.note(&seen);
                }
                let data = event.lines().filter_map(|line| line.strip_prefix("data: "));
                let data: String = data.collect();
                if event.starts_with("event: endpoint") {
                    let address = data.split('=').next().unwrap_or_default();
                    self.note(&format!("gets endpoint {address}=<sealed>"));
                    self.endpoint.replace(data);
                } else if !data.is_empty() {
                    self.got(status, &data);
                }
                text = rest.to_owned();
            }
        }
        if is_stream {
            if self.events.are_shown() {
                self.note("sees the end of its stream");
            }
            return;
        }
        if text.is_empty() {
            self.note(&format!("gets [{status}]"));
        } else {
            self.got(status, &text);
        }
    }

    /// Keeps a state to send it back. It never looks the same, so the transcript only names it.
    fn keep_state(&self, message: &mut Value) {
        if let Some(state) = message.pointer_mut("/result/requestState")
            && let Some(sealed) = state.as_str().filter(|text| text.len() > 60)
        {
            sealed.clone_into(&mut self.state.borrow_mut());
            *state = json!("<sealed>");
        }
    }

    fn got(&self, status: u16, text: &str) {
        let status = if status == 200 {
            String::new()
        } else {
            format!("[{status}] ")
        };
        match serde_json::from_str::<Value>(text) {
            Err(_) => self.note(&format!("gets {status}text {text:?}")),
            Ok(Value::Array(batch)) => {
                self.note(&format!("gets {status}{} replies at once", batch.len()));
                for message in batch {
                    self.got_message("", message);
                }
            }
            Ok(message) => self.got_message(&status, message),
        }
    }

    fn got_message(&self, status: &str, mut message: Value) {
        self.keep_state(&mut message);
        let show = |value: &Value| shown(value, self.is_raw);
        if let Some(method) = message["method"].as_str() {
            if method == "notifications/subscriptions/acknowledged" && !self.is_raw {
                return;
            }
            if !message["id"].is_null() {
                let (id, params) = (&message["id"], show(&message["params"]));
                return self.note(&format!("is asked {id} {method} {params}"));
            }
            return self.note(&format!(
                "gets {status}{method} {}",
                show(&message["params"])
            ));
        }
        let (kind, value) = if message["error"].is_null() {
            ("result", &message["result"])
        } else {
            ("error", &message["error"])
        };
        self.note(&format!(
            "gets {status}{} {kind} {}{}",
            message["id"],
            show(value),
            beside(&message)
        ));
    }
}

/// The last state, in the way in which a transcript wants it sent back.
fn altered(kind: &str, last: &str) -> Option<String> {
    let at = |places: &[usize]| {
        let swap = |(index, letter): (usize, char)| match letter {
            'A' if places.contains(&index) => 'B',
            _ if places.contains(&index) => 'A',
            letter => letter,
        };
        last.chars().enumerate().map(swap).collect::<String>()
    };
    let end = last.len().saturating_sub(1);
    match kind {
        "<sealed>" => Some(last.to_owned()),
        "<altered>" => Some(at(&[0])),
        "<altered behind>" => Some(at(&[end])),
        "<altered throughout>" => Some(at(&[0, end])),
        "<cut>" => Some(last.get(..end).unwrap_or_default().to_owned()),
        _ => None,
    }
}

/// One request on one connection.
async fn exchange(pipe: DuplexStream, request: Request<Full<Bytes>>) -> Option<Response<Incoming>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(pipe)).await.ok()?;
    // Ends with the call's task: an aborted call drops its sender and its body, and so the connection.
    tokio::task::spawn_local(connection);
    sender.send_request(request).await.ok()
}
