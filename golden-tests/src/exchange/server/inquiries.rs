//! What a fake server asks of whom, so that the answer tells who was asked.
//!
//! Owns the questions of a course of chance, what is heard of them, and what is still promised. Questions of transcripts are
//! the server's own.

use serde_json::{Value, json};

use super::{Frame, Server};
use crate::exchange::Era;

impl Server {
    /// Of how many resources it has promised to tell.
    pub(crate) fn promises(&self) -> usize {
        let watchers = self.watchers.borrow();
        let open = watchers.iter().filter(|it| !it.frames.is_closed());
        let wished = open.filter_map(|watcher| Some(watcher.resources.as_array()?.len()));
        self.subscribed.borrow().len() + wished.sum::<usize>()
    }

    /// Asks the client within one of the pending calls what only who has made it can answer; says whether
    /// there was one.
    pub(crate) fn inquire(&self, chosen: usize) -> bool {
        let mut pending = self.pending.borrow_mut();
        let at = chosen.checked_rem(pending.len());
        let Some(call) = at.and_then(|at| pending.get(at)) else {
            return false;
        };
        let arguments = call.arguments.clone();
        let form = json!({ "type": "object", "properties": {} });
        let text = format!("of {}", arguments["mark"]);
        let params = json!({ "message": text, "requestedSchema": form });
        if self.era == Era::Legacy {
            let question = self.question("elicitation/create", &params);
            let id = question["id"].as_str().unwrap_or_default().to_owned();
            self.inquiries.borrow_mut().insert(id, arguments);
            return call.frames.send(Frame::Notice(question)).is_ok();
        }
        let result = json!({
            "resultType": "input_required",
            "inputRequests": { "q": { "method": "elicitation/create", "params": params } },
            "requestState": state_of(&arguments)
        });
        let reply = json!({ "jsonrpc": "2.0", "id": call.id, "result": result });
        let _left = call.frames.send(Frame::Last(reply));
        at.and_then(|at| pending.remove(at)).is_some()
    }

    /// The answer to what was inquired about a call with these arguments.
    pub(super) fn hear(&self, arguments: &Value, answer: &Value) {
        self.heard.set(self.heard.get() + 1);
        if answer["content"]["mark"] != arguments["mark"] {
            let fault = format!("{} heard {answer} about {arguments}", self.name);
            self.misheard.borrow_mut().push(fault);
        }
    }
}

/// What a modern server keeps at the client of a call about which it inquires.
pub(super) fn state_of(arguments: &Value) -> Value {
    json!(format!("state of {}", arguments["mark"]))
}
