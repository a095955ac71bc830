//! The questions of one call, until its modern client is asked all of them by one result.
//!
//! Owns how long is waited for a further question: a server of the older era that wants several
//! answers sends several requests, one right after the other. Does not park the call: `retry` does.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::kind;
use super::retry::ByRetry;
use super::stream::OPEN_PER_CALL_MAX;
use crate::call::{Event, NextEvent, Reply};
use crate::failure::Failure;
use crate::json;
use crate::message::Notification;
use crate::upstream::{EventStream, Question, Unaskable};

/// How long a call that has asked is heard for further questions before its client is asked.
const HEARING: Duration = Duration::from_millis(20);

/// What a server wants to know so far.
#[derive(Default)]
pub(crate) struct Gathered {
    /// The questions, under the keys of `inputRequests`.
    pub(crate) questions: Vec<(String, Question)>,
    /// When the client is asked; nothing as long as there is no question.
    until: Option<Instant>,
}

/// What a call comes to next.
pub(crate) enum Turn {
    /// A notification for the client.
    Notify(Notification),
    /// The client is to be asked what was gathered.
    Ask,
    /// The end.
    Done(Reply),
}

impl ByRetry {
    /// The next turn of a call. Nothing is lost if this is dropped before it is done.
    pub(crate) async fn next(&mut self, events: &mut EventStream) -> Result<Turn, Failure> {
        loop {
            match self.event(events).await {
                None => return Ok(Turn::Ask),
                Some(event) => match event? {
                    Event::Ask(question) => self.gather(question),
                    // Streams of modern clients cannot be resumed.
                    Event::Pause => {}
                    Event::Notify(notification) if self.gathered.withdraw(&notification) => {}
                    Event::Notify(notification) => return Ok(Turn::Notify(notification)),
                    Event::Done(reply) => return Ok(Turn::Done(reply)),
                },
            }
        }
    }

    /// The next event; nothing once the client is to be asked.
    async fn event(&self, events: &mut EventStream) -> Option<NextEvent> {
        match self.gathered.until {
            None => Some(events.next().await),
            Some(until) => timeout_at(until, events.next()).await.ok(),
        }
    }

    /// Keeps a question if the client can be asked it. If not, the server is told, and may find
    /// another way.
    fn gather(&mut self, question: Question) {
        let Some(needed) = kind::needs(&question.method, question.params.as_ref()) else {
            return question.refuse(Unaskable::Undeclared);
        };
        if !self.asks.can(needed) {
            self.missing = self.missing.and(needed);
            return question.refuse(Unaskable::Undeclared);
        }
        let gathered = &mut self.gathered;
        if gathered.questions.len() >= OPEN_PER_CALL_MAX {
            return question.refuse(Unaskable::Full);
        }
        let key = format!("question-{}", gathered.questions.len() + 1);
        gathered.questions.push((key, question));
        gathered
            .until
            .get_or_insert_with(|| Instant::now() + HEARING);
    }
}

impl Gathered {
    /// Takes back a question if this says so; whether it does.
    fn withdraw(&mut self, notification: &Notification) -> bool {
        let params = notification.params.as_deref();
        let id = params
            .filter(|_| notification.method.as_ref() == b"notifications/cancelled")
            .and_then(|params| json::member(params, b"requestId"));
        let found = id.and_then(|id| {
            let mut questions = self.questions.iter();
            questions.position(|(_, question)| question.has_id(id))
        });
        let Some(at) = found else { return false };
        self.questions.remove(at).1.forget();
        if self.questions.is_empty() {
            self.until = None;
        }
        true
    }
}
