//! What a server was told about its calls that wait.
//!
//! Owns which held calls have begun, which the client gave up and when the server heard of it, and
//! what was given up that the server does not know. The tool `ledger` tells all of it, and `release`
//! lets the held calls of a round be answered. How a client gives up is the transport's business.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::healthy::Asked;

/// The notebook of one server.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Notes>);

#[derive(Default)]
struct Notes {
    /// The held calls that wait.
    open: Vec<Asked>,
    /// The arguments of all that ever began.
    begun: Vec<Value>,
    /// The arguments of all that were given up, each with the time in milliseconds since 1970.
    cancelled: Vec<Value>,
    /// Ids that were given up and that no held call has.
    unknown: Vec<Value>,
    released: HashSet<u64>,
}

/// What has become of a held call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Waits,
    Cancelled,
    Released,
}

impl Ledger {
    /// A held call has begun.
    pub(crate) fn begin(&self, asked: &Asked) {
        let mut notes = self.notes();
        notes.begun.push(asked.arguments.clone());
        notes.open.push(asked.clone());
    }

    /// The client has given up a call, by its id.
    pub(crate) fn cancel(&self, id: &Value) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_millis());
        let mut notes = self.notes();
        match notes.open.iter().position(|asked| asked.id == *id) {
            Some(at) => {
                let asked = notes.open.remove(at);
                let heard =
                    json!({ "arguments": asked.arguments, "at_ms": u64::try_from(now).ok() });
                notes.cancelled.push(heard);
            }
            None => notes.unknown.push(id.clone()),
        }
    }

    /// What has become of a held call.
    pub(crate) fn state(&self, asked: &Asked) -> Held {
        let notes = self.notes();
        if !notes.open.iter().any(|open| open.id == asked.id) {
            Held::Cancelled
        } else if notes.released.contains(&round_of(asked)) {
            Held::Released
        } else {
            Held::Waits
        }
    }

    /// Forgets a held call that is answered.
    pub(crate) fn settle(&self, asked: &Asked) {
        self.notes().open.retain(|open| open.id != asked.id);
    }

    /// The held calls of a round.
    pub(crate) fn round(&self, round: u64) -> Vec<Asked> {
        let notes = self.notes();
        let held = notes.open.iter().filter(|asked| round_of(asked) == round);
        held.cloned().collect()
    }

    /// The text for a tool that reads or writes here.
    pub(crate) fn text(&self, asked: &Asked) -> Option<String> {
        let mut notes = self.notes();
        match asked.tool.as_str() {
            "ledger" => Some(
                json!({
                    "begun": notes.begun,
                    "cancelled": notes.cancelled,
                    "unknown": notes.unknown,
                })
                .to_string(),
            ),
            "release" => {
                notes.released.insert(round_of(asked));
                Some("released".to_owned())
            }
            _ => None,
        }
    }

    /// A thread that failed left the notes as whole as they were.
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The round that a call belongs to.
pub(crate) fn round_of(asked: &Asked) -> u64 {
    let round = asked.arguments.get("round").and_then(Value::as_u64);
    round.unwrap_or(0)
}
