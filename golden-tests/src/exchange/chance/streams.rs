//! The streams on which a client hears of changes, and what it may hear there.
//!
//! Owns one stream of either era, what was asked for on it, and the rules for each message: it belongs to
//! this stream, and tells of a resource that was asked for here. When resources are updated is `chance`'s to
//! say.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use mcpc_dataplane::Entrance;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use super::caller::{of_session, post, send};

/// Every resource: two of each server.
pub(super) fn resources(servers: &[&str]) -> Vec<String> {
    let of = |server: &&str| [format!("{server}://1"), format!("{server}://2")];
    servers.iter().flat_map(of).collect()
}

/// See the file's header. Ends with the value.
pub(super) struct Hearer {
    pub(super) asked: BTreeSet<String>,
    heard: Rc<RefCell<Heard>>,
    tasks: Vec<AbortHandle>,
}

/// What came on a stream.
#[derive(Default)]
struct Heard {
    updates: BTreeMap<String, usize>,
    is_over: bool,
    faults: Vec<String>,
}

/// What may come on a stream.
struct Allowed {
    /// The subscription of a modern stream, and whether changes of lists were asked for there.
    subscription: Option<(Value, bool)>,
    asked: BTreeSet<String>,
}

impl Hearer {
    /// The stream of a modern client.
    pub(super) fn modern(
        entrance: &Entrance,
        id: usize,
        asked: BTreeSet<String>,
        wants_lists: bool,
    ) -> Self {
        let id = json!(format!("listen-{id}"));
        let mut filter = json!({ "resourceSubscriptions": asked });
        if wants_lists {
            filter["toolsListChanged"] = json!(true);
        }
        let params = json!({ "notifications": filter, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {}
        } });
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params });
        let request = post()
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "subscriptions/listen");
        let allowed = Allowed {
            subscription: Some((id, wants_lists)),
            asked: asked.clone(),
        };
        let (heard, pipe) = (Rc::default(), entrance.connect());
        let place = Rc::clone(&heard);
        let task = tokio::task::spawn_local(async move {
            let response = send(pipe, request, message.to_string()).await;
            read(response, &allowed, &place).await;
        });
        Self {
            asked,
            heard,
            tasks: vec![task.abort_handle()],
        }
    }

    /// The stream of a session, and what the session asks for.
    pub(super) fn legacy(entrance: &Entrance, session: &str, asked: BTreeSet<String>) -> Self {
        let allowed = Allowed {
            subscription: None,
            asked: asked.clone(),
        };
        let get = Request::get("/mcp")
            .header("host", "127.0.0.1")
            .header("accept", "text/event-stream");
        let (get, pipe) = (of_session(get, session), entrance.connect());
        let heard = Rc::default();
        let place = Rc::clone(&heard);
        let hearing = tokio::task::spawn_local(async move {
            read(send(pipe, get, String::new()).await, &allowed, &place).await;
        });
        let mut tasks = vec![hearing.abort_handle()];
        for (number, uri) in asked.iter().enumerate() {
            let message = json!({ "jsonrpc": "2.0", "id": format!("subscribe-{number}"),
                "method": "resources/subscribe", "params": { "uri": uri } });
            let (request, pipe) = (of_session(post(), session), entrance.connect());
            let asking = tokio::task::spawn_local(async move {
                let _response = send(pipe, request, message.to_string()).await;
            });
            tasks.push(asking.abort_handle());
        }
        Self {
            asked,
            heard,
            tasks,
        }
    }

    /// How often it has heard that a resource was updated.
    pub(super) fn updates(&self, uri: &str) -> usize {
        self.heard.borrow().updates.get(uri).copied().unwrap_or(0)
    }

    /// How often it has heard of any.
    pub(super) fn all_updates(&self) -> usize {
        self.heard.borrow().updates.values().sum()
    }

    /// Whether the stream has ended by itself.
    pub(super) fn is_over(&self) -> bool {
        self.heard.borrow().is_over
    }

    /// What it should not have heard.
    pub(super) fn faults(&self) -> Vec<String> {
        self.heard.borrow().faults.clone()
    }
}

impl Drop for Hearer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Reads events until the stream ends.
async fn read(response: Option<Response<Incoming>>, allowed: &Allowed, heard: &RefCell<Heard>) {
    let Some(response) = response else {
        return heard.borrow_mut().is_over = true;
    };
    let (mut body, mut text) = (response.into_body(), String::new());
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.into_data().unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&bytes));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let mut data = event.lines().filter_map(|line| line.strip_prefix("data:"));
            let message = data.next().and_then(|data| serde_json::from_str(data).ok());
            if let Some(message) = message {
                heard.borrow_mut().take(&message, allowed);
            }
            text = rest.to_owned();
        }
    }
    heard.borrow_mut().is_over = true;
}

impl Heard {
    fn take(&mut self, message: &Value, allowed: &Allowed) {
        if let Some(fault) = self.wrong(message, allowed) {
            self.faults.push(format!("{fault}: {message}"));
        }
    }

    /// Why a message may not come here.
    fn wrong(&mut self, message: &Value, allowed: &Allowed) -> Option<&'static str> {
        let Some(method) = message["method"].as_str() else {
            // The last one of a modern stream. An error is its end as well.
            let (id, _) = allowed.subscription.as_ref()?;
            return (message["id"] != *id).then_some("the answer of another request");
        };
        if let Some((id, wants_lists)) = &allowed.subscription {
            let of = message.pointer("/params/_meta/io.modelcontextprotocol~1subscriptionId");
            if of != Some(id) {
                return Some("a message of another stream");
            }
            if method.ends_with("/list_changed")
                && !(*wants_lists && method == "notifications/tools/list_changed")
            {
                return Some("a change that nobody asked for");
            }
        }
        match method {
            "notifications/resources/updated" => {
                let uri = message.pointer("/params/uri").and_then(Value::as_str);
                let uri = uri.unwrap_or_default().to_owned();
                let is_asked = allowed.asked.contains(&uri);
                *self.updates.entry(uri).or_default() += 1;
                (!is_asked).then_some("an update that nobody asked for")
            }
            "notifications/subscriptions/acknowledged" if allowed.subscription.is_some() => None,
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => None,
            _ => Some("a message that nobody sent"),
        }
    }
}
