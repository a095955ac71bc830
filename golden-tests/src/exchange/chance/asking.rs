//! What clients are asked in the middle of their calls, and what they answer.
//!
//! Owns a conversation from a call to its end, in the way of either era, and the rule for each question: it is
//! about a call of this client. Servers hold the answers to theirs (`Server::inquire`).

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use http_body_util::BodyExt;
use mcpc_dataplane::Entrance;
use serde_json::{Value, json};
use tokio::io::DuplexStream;

use super::caller::{message_of, of_session, post, send};

/// What a client declares that can be asked.
pub(super) fn capabilities() -> Value {
    json!({ "elicitation": {} })
}

/// What one client was asked.
#[derive(Default)]
pub(super) struct Asked {
    /// The marks of its own calls.
    pub(super) marks: RefCell<BTreeSet<u64>>,
    /// The marks of the calls in which it was asked.
    pub(super) within: RefCell<BTreeSet<u64>>,
    pub(super) times: Cell<usize>,
    pub(super) faults: RefCell<Vec<String>>,
}

impl Asked {
    /// The client's answer to a question.
    fn answer(&self, params: &Value) -> Value {
        self.times.set(self.times.get() + 1);
        let text = params["message"].as_str().unwrap_or_default();
        let mark = text.strip_prefix("of ").and_then(|mark| mark.parse().ok());
        self.within.borrow_mut().extend(mark);
        if !mark.is_some_and(|mark| self.marks.borrow().contains(&mark)) {
            let fault = format!("a client was asked what it never called for: {params}");
            self.faults.borrow_mut().push(fault);
        }
        json!({ "action": "accept", "content": { "mark": mark } })
    }
}

/// A call of a modern client, made again with its answers for as long as it is asked.
pub(super) async fn modern(
    entrance: Entrance,
    mut pipe: DuplexStream,
    mut message: Value,
    asked: Rc<Asked>,
) -> Option<Value> {
    let name = message["params"]["name"].as_str()?.to_owned();
    loop {
        let request = post()
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", &name);
        let reply = message_of(send(pipe, request, message.to_string()).await?).await?;
        let Some(questions) = reply.pointer("/result/inputRequests") else {
            return Some(reply);
        };
        let questions = questions.as_object()?.iter();
        let answers = questions.map(|(key, it)| (key.clone(), asked.answer(&it["params"])));
        message["params"]["inputResponses"] = Value::Object(answers.collect());
        message["params"]["requestState"] = reply["result"]["requestState"].clone();
        pipe = entrance.connect();
    }
}

/// A call in a session. Questions come on its stream, and their answers go to the session.
pub(super) async fn legacy(
    entrance: Entrance,
    pipe: DuplexStream,
    message: Value,
    session: String,
    asked: Rc<Asked>,
) -> Option<Value> {
    let request = of_session(post(), &session);
    let response = send(pipe, request, message.to_string()).await?;
    let (mut body, mut text) = (response.into_body(), String::new());
    while let Some(frame) = body.frame().await {
        let bytes = frame.ok()?.into_data().unwrap_or_default();
        text.push_str(&String::from_utf8_lossy(&bytes));
        while let Some((event, rest)) = text.split_once("\n\n") {
            let mut data = event.lines().filter_map(|line| line.strip_prefix("data:"));
            let said = data.next().and_then(|data| serde_json::from_str(data).ok());
            text = rest.to_owned();
            let said: Value = said.unwrap_or_default();
            if said["method"].is_null() && !said.is_null() {
                return Some(said);
            }
            if !said["id"].is_null() {
                let result = asked.answer(&said["params"]);
                let answer = json!({ "jsonrpc": "2.0", "id": said["id"], "result": result });
                let (request, pipe) = (of_session(post(), &session), entrance.connect());
                tokio::task::spawn_local(send(pipe, request, answer.to_string()));
            }
        }
    }
    serde_json::from_str(&text).ok()
}
