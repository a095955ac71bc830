//! The questions of one call to a legacy client, on the stream of that call.
//!
//! Owns which of them are open and where their answers go. Does not write to the client: what is
//! to be sent is given back as messages. When the call ends its open questions end with it, and
//! what a client still answers is ignored.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::kind;
use super::waiting::{Asking, Open};
use crate::call::Reply;
use crate::json;
use crate::message::{write_notification, write_request};
use crate::session::{Asks, Live};
use crate::upstream::{Question, Unaskable};

/// The most questions of one call that are open at the same time.
pub(crate) const OPEN_PER_CALL_MAX: usize = 32;

/// A legacy client that can be asked, because it has a session and takes a stream.
#[derive(Clone)]
pub(crate) struct OnStream {
    pub(crate) asking: Arc<Asking>,
    pub(crate) live: Arc<Live>,
    pub(crate) asks: Asks,
}

impl OnStream {
    /// Params with an id of the elicitation if it is by URL: 2025-11-25 has one, 2026-07-28 has not.
    pub(crate) fn with_elicitation_id(&self, params: &Bytes) -> Bytes {
        let is_url = json::member(params, b"mode") == Some(b"\"url\"");
        let Some(rest) = params.strip_prefix(b"{").filter(|_| is_url) else {
            return params.clone();
        };
        let mut out =
            format!("{{\"elicitationId\":\"gateway-{}\",", self.asking.mint()).into_bytes();
        out.extend_from_slice(rest);
        out.into()
    }
}

/// What one call asks its client.
pub(crate) struct Conversation<T> {
    client: OnStream,
    open: Vec<(Open, T)>,
    sender: mpsc::Sender<(u64, Reply)>,
    answers: mpsc::Receiver<(u64, Reply)>,
}

impl<T> Conversation<T> {
    /// Nothing is asked yet.
    pub(crate) fn with(client: OnStream) -> Self {
        let (sender, answers) = mpsc::channel(OPEN_PER_CALL_MAX);
        Self {
            client,
            open: Vec::new(),
            sender,
            answers,
        }
    }

    /// Whether the client has declared what a question needs.
    pub(crate) fn can(&self, method: &[u8], params: Option<&Bytes>) -> bool {
        kind::needs(method, params).is_some_and(|needed| self.client.asks.can(needed))
    }

    /// Opens a question; the request to be sent, or what it was asked for.
    pub(crate) fn open(
        &mut self,
        method: &str,
        params: Option<&[u8]>,
        purpose: T,
    ) -> Result<Vec<u8>, T> {
        if self.open.len() >= OPEN_PER_CALL_MAX {
            return Err(purpose);
        }
        let Some(open) = self.client.asking.open(&self.client.live, &self.sender) else {
            return Err(purpose);
        };
        let mut message = Vec::with_capacity(params.map_or(0, <[u8]>::len) + 96);
        write_request(&mut message, open.id(), method, params);
        self.open.push((open, purpose));
        Ok(message)
    }

    /// The next answer, and what was asked; never, if nothing is open.
    pub(crate) async fn answered(&mut self) -> (T, Reply) {
        loop {
            let Some((id, reply)) = self.answers.recv().await else {
                // `self` holds a sender.
                return std::future::pending().await;
            };
            let found = self.open.iter().position(|(open, _)| open.id() == id);
            if let Some(at) = found {
                let (_, purpose) = self.open.swap_remove(at);
                return (purpose, reply);
            }
        }
    }

    /// Takes back one question; the notification that says so.
    fn take_back(&mut self, at: usize) -> (T, Vec<u8>) {
        let (open, purpose) = self.open.swap_remove(at);
        let params = format!("{{\"requestId\":{}}}", open.id());
        let mut message = Vec::with_capacity(96);
        write_notification(
            &mut message,
            "notifications/cancelled",
            Some(params.as_bytes()),
        );
        (purpose, message)
    }

    /// Takes back all questions: the call has ended without them.
    pub(crate) fn take_back_all(&mut self) -> Vec<Vec<u8>> {
        let mut messages = Vec::with_capacity(self.open.len());
        while !self.open.is_empty() {
            messages.push(self.take_back(0).1);
        }
        messages
    }
}

impl Conversation<Question> {
    /// Asks the client what an upstream asks; the request to be sent. A client that cannot be asked
    /// is not, and the upstream is told.
    pub(crate) fn ask(&mut self, question: Question) -> Option<Vec<u8>> {
        let params = question.params.clone();
        if !self.can(&question.method, params.as_ref()) {
            question.refuse(Unaskable::Undeclared);
            return None;
        }
        let method = question.method.clone();
        let method = std::str::from_utf8(&method).unwrap_or_default();
        match self.open(method, params.as_deref(), question) {
            Ok(message) => Some(message),
            Err(question) => {
                question.refuse(Unaskable::Full);
                None
            }
        }
    }

    /// The upstream does not wait for an answer any more (its `notifications/cancelled`): the
    /// notification for the client, if it was asked.
    pub(crate) fn withdraw(&mut self, id: &[u8]) -> Option<Vec<u8>> {
        let at = self
            .open
            .iter()
            .position(|(_, question)| question.has_id(id))?;
        let (question, message) = self.take_back(at);
        question.forget();
        Some(message)
    }
}
