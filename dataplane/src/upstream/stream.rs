//! The events of one call, whatever carries them.
//!
//! Owns what happens to a stream that is read to its end, left or cancelled. Does not read any
//! transport: `events` (HTTP) and `stdio` do.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::events::{HttpEvents, Step};
use super::farewell::Farewell;
use super::health::InFlight;
use super::question::{Asker, Question, is_question};
use super::stdio::StdioEvents;
use super::{Line, Session};
use crate::call::{Answer, Era, Event, NextEvent};
use crate::failure::Failure;

/// The events of one call. Dropping it before `Done` ends the call as `Call::leave` says.
pub(crate) struct EventStream {
    first: Option<Event>,
    source: Option<Source>,
    farewell: Farewell,
    flight: Option<InFlight>,
    deadline: Instant,
    /// Whether the caller was told that the upstream has let go of the stream.
    is_paused: bool,
    /// Shared with the questions that are open: there is more than one owner while the client is
    /// waited for. Made by the first question.
    asked: Option<Arc<()>>,
}

enum Source {
    Http(Box<HttpEvents>),
    Stdio(StdioEvents),
}

impl EventStream {
    pub(super) fn over_http(
        events: Box<HttpEvents>,
        farewell: Farewell,
        deadline: Instant,
    ) -> Self {
        Self {
            first: None,
            source: Some(Source::Http(events)),
            farewell,
            flight: None,
            deadline,
            is_paused: false,
            asked: None,
        }
    }

    pub(super) fn over_stdio(events: StdioEvents, farewell: Farewell, deadline: Instant) -> Self {
        Self {
            first: None,
            source: Some(Source::Stdio(events)),
            farewell,
            flight: None,
            deadline,
            is_paused: false,
            asked: None,
        }
    }

    /// Counts the call as under way until the stream is dropped.
    pub(super) fn attach(&mut self, flight: InFlight) {
        self.flight = Some(flight);
    }

    /// Reads up to the first event: most streams hold one answer and nothing else.
    pub(crate) async fn into_answer(mut self: Box<Self>) -> Result<Answer, Failure> {
        match self.next().await? {
            Event::Done(reply) => Ok(Answer::Done(reply)),
            event @ (Event::Notify(_) | Event::Ask(_) | Event::Pause) => {
                self.first = Some(event);
                Ok(Answer::Stream(self))
            }
        }
    }

    /// The next event, within the call's idle and total deadlines.
    pub(crate) async fn next(&mut self) -> NextEvent {
        if let Some(event) = self.first.take() {
            return Ok(event);
        }
        let mut event = self.read().await;
        let upstream = self.farewell.upstream();
        match &mut event {
            Ok(Event::Notify(_) | Event::Pause) => {}
            Ok(Event::Ask(question)) => question.hold(self.asked.get_or_insert_default()),
            Ok(Event::Done(_)) => {
                if let Some(flight) = &self.flight {
                    upstream.health.note_success(flight);
                }
                self.farewell.disarm();
                match self.source.take() {
                    Some(Source::Http(events)) => events.finish(),
                    Some(Source::Stdio(_)) | None => {}
                }
            }
            Err(failure) => {
                upstream.health.note_failure(*failure);
                self.farewell.on_failure(*failure);
                self.source = None;
            }
        }
        event
    }

    /// Puts an event back: it comes next again.
    pub(crate) fn put_back(&mut self, event: Event) {
        debug_assert!(self.first.is_none(), "only the last event can be put back");
        self.first = Some(event);
    }

    /// When the call ends, whatever happens.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the client is waited for, so that the upstream's silence means nothing.
    fn is_client_asked(&self) -> bool {
        let asked = self.asked.as_ref();
        asked.is_some_and(|asked| Arc::strong_count(asked) > 1)
    }

    async fn read(&mut self) -> NextEvent {
        let patience = self
            .is_client_asked()
            .then(|| self.deadline.saturating_duration_since(Instant::now()));
        loop {
            let step = match &mut self.source {
                Some(Source::Http(events)) => match events.next_within(patience).await {
                    Err(Failure::Closed) if !self.is_paused && lets_go(events, &self.farewell) => {
                        self.is_paused = true;
                        return Ok(Event::Pause);
                    }
                    Err(Failure::Closed) if resume(events, self.farewell.session()).await? => {
                        self.is_paused = false;
                        continue;
                    }
                    step => step?,
                },
                Some(Source::Stdio(events)) => return events.next_within(patience).await,
                None => return Err(Failure::Closed),
            };
            match step {
                Step::Event(event) => return Ok(event),
                Step::Changed(method) => self.farewell.upstream().note_change(&method),
                Step::Updated(params) => self.farewell.upstream().note_update(params.as_ref()),
                Step::Acknowledged(_) => {}
                Step::Asked(id, method, params) => {
                    let session = Arc::clone(self.farewell.session());
                    if session.profile.era == Era::Legacy && is_question(&method) {
                        let keeper = &self.farewell.upstream().keeper;
                        let asker = Asker::Session(session);
                        return Ok(Event::Ask(Question::new(id, method, params, asker, keeper)));
                    }
                    let errand = async move { session.answer(&id, &method).await };
                    self.farewell.upstream().keeper.errand(errand);
                }
            }
        }
    }
}

/// Whether an upstream has let go of a caller that can leave for a while as well.
fn lets_go(events: &HttpEvents, farewell: &Farewell) -> bool {
    farewell.returns() && farewell.session().profile.era == Era::Legacy && events.is_paused()
}

/// Takes a broken stream up again where that is possible.
async fn resume(events: &mut HttpEvents, session: &Session) -> Result<bool, Failure> {
    match &session.line {
        Line::Http(http) if session.profile.era == Era::Legacy => events.resume(http).await,
        _ => Ok(false),
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if !(self.farewell.goes_on() && self.farewell.is_by_closing()) {
            return;
        }
        if let Some(Source::Http(mut events)) = self.source.take() {
            // The upstream must not see the departure: somebody has to keep listening.
            let deadline = self.deadline;
            self.farewell.upstream().keeper.errand(async move {
                let listening = async {
                    while let Ok(step) = events.next().await {
                        if matches!(step, Step::Event(Event::Done(_))) {
                            return events.finish();
                        }
                    }
                };
                // Either end is an end.
                let _heard = timeout_at(deadline, listening).await;
            });
        }
    }
}
