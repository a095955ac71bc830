//! A client on a course: one call to a connection, of either era.
//!
//! Owns the requests and the session of a legacy client, which begins anew when it has ended. What a reply
//! is worth is `chance`'s to say.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper::http::request::Builder;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use mcpc_dataplane::Rehearsal;
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio::time::Instant;

use super::asking::{self, Asked};
use crate::exchange::Era;

/// One client.
pub(super) struct Caller {
    era: Era,
    session: Rc<RefCell<Session>>,
    /// Counts its calls. All clients count alike.
    calls: Cell<usize>,
    /// What it was asked.
    pub(super) asked: Rc<Asked>,
}

/// The session of a legacy client.
#[derive(Default)]
struct Session {
    id: Option<String>,
    has_ended: Rc<Cell<bool>>,
}

/// The end of a call.
pub(super) struct Ended {
    /// What came, if it is a message.
    pub(super) reply: Option<Value>,
    pub(super) at: Instant,
    /// The plans that were live meanwhile.
    pub(super) live: Vec<usize>,
}

impl Ended {
    /// The code of an error; nothing for a result.
    pub(super) fn code(&self) -> Option<&str> {
        let Some(reply) = &self.reply else {
            return Some("no reply");
        };
        let error = reply.get("error")?;
        let code = error.pointer("/data/code").and_then(Value::as_str);
        Some(code.unwrap_or("no code"))
    }

    /// What the tool has answered.
    pub(super) fn text(&self) -> Option<String> {
        let text = self.reply.as_ref()?.pointer("/result/content/0/text");
        text.and_then(Value::as_str).map(ToOwned::to_owned)
    }

    pub(super) fn is_answer(&self) -> bool {
        self.code().is_none()
    }
}

impl Caller {
    /// A client. A legacy one greets at once.
    pub(super) fn new(era: Era, gateway: &Rehearsal) -> Self {
        let caller = Self {
            era,
            session: Rc::default(),
            calls: Cell::new(0),
            asked: Rc::default(),
        };
        caller.greet(gateway);
        caller
    }

    /// A call, if the client can make one.
    pub(super) fn call(
        &self,
        gateway: &Rehearsal,
        name: &str,
        arguments: &Value,
    ) -> Option<Pin<Box<dyn Future<Output = Option<Value>>>>> {
        let mut params = json!({ "name": name, "arguments": arguments });
        if self.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": asking::capabilities()
            });
        }
        let id = self.calls.get();
        self.calls.set(id + 1);
        let message =
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        let (entrance, asked) = (gateway.entrance(), Rc::clone(&self.asked));
        asked.marks.borrow_mut().extend(arguments["mark"].as_u64());
        let pipe = entrance.connect();
        let is_own = move |reply: Value| (reply["id"] == id).then_some(reply);
        if self.era == Era::Modern {
            return Some(Box::pin(async move {
                is_own(asking::modern(entrance, pipe, message, asked).await?)
            }));
        }
        let session = self.session()?;
        Some(Box::pin(async move {
            is_own(asking::legacy(entrance, pipe, message, session, asked).await?)
        }))
    }

    /// Tells whether the session that calls belong to now has ended by the time it is asked.
    pub(super) fn session_ended(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.session.borrow().has_ended)
    }

    /// The session, if there is one by now.
    pub(super) fn session(&self) -> Option<String> {
        self.session.borrow().id.clone()
    }

    /// Which foundation of the protocol it speaks.
    pub(super) fn era(&self) -> Era {
        self.era
    }

    /// Ends the session, if there is one, and begins another.
    pub(super) fn end_session(&mut self, gateway: &Rehearsal) -> bool {
        let has_left = self.leave(gateway);
        if has_left {
            self.greet(gateway);
        }
        has_left
    }

    /// Ends the session, if there is one.
    pub(super) fn leave(&mut self, gateway: &Rehearsal) -> bool {
        let session = self.session.take();
        let Some(id) = session.id else {
            return false;
        };
        session.has_ended.set(true);
        let request = of_session(Request::delete("/mcp").header("host", "127.0.0.1"), &id);
        tokio::task::spawn_local(send(gateway.connect(), request, String::new()));
        true
    }

    fn greet(&self, gateway: &Rehearsal) {
        if self.era == Era::Modern {
            return;
        }
        let client = json!({ "name": "chance", "version": "1" });
        let params = json!({ "protocolVersion": "2025-11-25", "capabilities": asking::capabilities(), "clientInfo": client });
        let message =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let (session, pipe) = (Rc::clone(&self.session), gateway.connect());
        tokio::task::spawn_local(async move {
            let response = send(pipe, post(), message.to_string()).await?;
            let id = response.headers().get("mcp-session-id")?.to_str().ok()?;
            session.borrow_mut().id = Some(id.to_owned());
            Some(())
        });
    }
}

pub(super) fn post() -> Builder {
    Request::post("/mcp")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
}

pub(super) fn of_session(request: Builder, id: &str) -> Builder {
    let request = request.header("mcp-session-id", id);
    request.header("mcp-protocol-version", "2025-11-25")
}

/// Sends a request on a connection of its own, which ends with whoever waits for the response.
pub(super) async fn send(
    pipe: DuplexStream,
    request: Builder,
    body: String,
) -> Option<Response<Incoming>> {
    let (mut sender, connection) = handshake(TokioIo::new(pipe)).await.ok()?;
    tokio::task::spawn_local(connection);
    let request = request.body(Full::new(Bytes::from(body))).ok()?;
    sender.send_request(request).await.ok()
}

/// The message in a body: the body itself, or the last event of a stream.
pub(super) async fn message_of(response: Response<Incoming>) -> Option<Value> {
    let body = response.into_body().collect().await.ok()?.to_bytes();
    let text = String::from_utf8(body.to_vec()).ok()?;
    let mut events = text.lines().filter_map(|line| line.strip_prefix("data:"));
    serde_json::from_str(events.next_back().unwrap_or(&text)).ok()
}
