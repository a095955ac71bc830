//! What a running call may do beside its answer: report progress, log, pause, be taken back.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::listen::Listens;
use super::rpc::notification;
use super::stdio::Outbox;

/// How urgent a log message is, from least to most (RFC 5424 §6.2.1).
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// The lowest level that a client wants to see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(usize);

impl Level {
    /// What a legacy client sees that never asked: warnings and worse.
    pub(super) const DEFAULT: Self = Self(3);

    /// The level with this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        LEVELS.iter().position(|level| *level == name).map(Self)
    }
}

/// One request on its way to its answer.
pub(super) struct Turn {
    pub(super) outbox: Outbox,
    /// The token under which the client wants progress.
    pub(super) progress_token: Option<Value>,
    /// The lowest level to log; nothing is logged without one.
    pub(super) log_from: Option<Level>,
    pub(super) cancelled: Arc<Cancelled>,
    pub(super) listens: Arc<Listens>,
}

impl Turn {
    /// Tells how far the call is, in seconds.
    pub(super) fn progress(&self, done: f64, total: f64) {
        let Some(token) = &self.progress_token else {
            return;
        };
        let params = json!({ "progressToken": token, "progress": done, "total": total });
        self.outbox
            .send(&notification("notifications/progress", &params));
    }

    /// Logs a message at `info`.
    pub(super) fn log(&self, logger: &str, text: &str) {
        let info = Level::parse("info");
        if self.log_from.is_none() || self.log_from > info {
            return;
        }
        let params = json!({ "level": "info", "logger": logger, "data": text });
        self.outbox
            .send(&notification("notifications/message", &params));
    }

    /// Tells everyone who listens that the list of resources is another one now.
    pub(super) fn resources_changed(&self) {
        self.listens.resources_changed(&self.outbox);
    }

    /// Waits; ends early and says so if the call was taken back.
    pub(super) fn pause(&self, time: Duration) -> Flow {
        self.cancelled.wait(time)
    }
}

/// Whether a call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    GoesOn,
    Cancelled,
}

/// Set once, when a call is taken back.
#[derive(Default)]
pub(super) struct Cancelled {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Cancelled {
    fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn wait(&self, time: Duration) -> Flow {
        let guard = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_set, _) = self
            .changed
            .wait_timeout_while(guard, time, |is_set| !*is_set)
            .unwrap_or_else(PoisonError::into_inner);
        if *is_set {
            Flow::Cancelled
        } else {
            Flow::GoesOn
        }
    }
}

/// The calls that run beside the others, by request id.
#[derive(Default)]
pub(super) struct InFlight {
    calls: Mutex<HashMap<String, Arc<Cancelled>>>,
}

impl InFlight {
    /// The most calls that run at once.
    pub(super) const LIMIT: usize = 64;

    /// Enters a call; nothing if there are too many or the id is in use.
    pub(super) fn enter(&self, id: &Value) -> Option<Arc<Cancelled>> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let id = id.to_string();
        if calls.len() >= Self::LIMIT || calls.contains_key(&id) {
            return None;
        }
        let cancelled = Arc::new(Cancelled::default());
        calls.insert(id, Arc::clone(&cancelled));
        Some(cancelled)
    }

    /// Takes a call out when it has ended.
    pub(super) fn leave(&self, id: &Value) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.remove(&id.to_string());
    }

    /// Takes a call back.
    pub(super) fn cancel(&self, id: &Value) {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancelled) = calls.get(&id.to_string()) {
            cancelled.set();
        }
    }
}
