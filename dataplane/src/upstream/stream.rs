//! The events of one call, whatever carries them.
//!
//! Owns what happens to a stream that is read to its end, left or cancelled. Does not read any
//! transport: `events` (HTTP) and `stdio` do.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::events::{HttpEvents, Step};
use super::farewell::Farewell;
use super::floor::Place;
use super::health::InFlight;
use super::http::Outcome;
use super::question::{Asker, Question, is_question};
use super::stdio::StdioEvents;
use super::{Line, Session};
use crate::call::{Answer, Era, Event, NextEvent, Reply};
use crate::failure::Failure;
use crate::tasks::Hold;

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
    /// Where questions come that do not say for which call they are.
    place: Option<Place>,
    /// The task of which this is the result.
    task: Option<Hold>,
}

enum Source {
    Http(Box<HttpEvents>),
    Stdio(StdioEvents),
    /// A response that has not begun, although the upstream has asked something elsewhere.
    Opening(Opening),
}

/// The head of a response on its way.
pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

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
            place: None,
            task: None,
        }
    }

    /// A call whose upstream has asked before its response began.
    pub(super) fn before_head(
        opening: Opening,
        question: Question,
        farewell: Farewell,
        deadline: Instant,
        place: Place,
    ) -> Self {
        let mut stream = Self {
            first: None,
            source: Some(Source::Opening(opening)),
            farewell,
            flight: None,
            deadline,
            is_paused: false,
            asked: None,
            place: Some(place),
            task: None,
        };
        let event = stream.note(Ok(Event::Ask(question)));
        stream.first = event.ok();
        stream
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
            place: None,
            task: None,
        }
    }

    /// Hears what is asked without saying for which call, if this is the only one it can be for.
    pub(super) fn seated(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Ends a task with the call, unless it comes to its result.
    pub(crate) fn end_with(&mut self, task: Hold) {
        self.task = Some(task);
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
        let event = self.read().await;
        self.note(event)
    }

    fn note(&mut self, mut event: NextEvent) -> NextEvent {
        let is_client_asked = self.is_client_asked();
        let upstream = self.farewell.upstream();
        match &mut event {
            Ok(Event::Notify(_) | Event::Pause) => {}
            Ok(Event::Ask(question)) => {
                question.hold(self.asked.get_or_insert_default());
                if let Some(place) = &self.place {
                    place.wait();
                    question.come_back_by(place.way_back());
                }
            }
            Ok(Event::Done(reply)) => {
                if let Reply::Error(error) = reply {
                    *error = upstream.masks.said(std::mem::take(error));
                }
                if let Some(flight) = &self.flight {
                    upstream.health.note_success(flight);
                }
                self.farewell.disarm();
                if let Some(task) = self.task.take() {
                    task.release();
                }
                if let Some(place) = self.place.take() {
                    place.end();
                }
                match self.source.take() {
                    Some(Source::Http(events)) => events.finish(),
                    Some(Source::Stdio(_) | Source::Opening(_)) | None => {}
                }
            }
            Err(failure) => {
                *failure = upstream.presence.told(*failure);
                // Who runs out of time while its client is asked has not failed.
                match &self.flight {
                    Some(flight) if !(is_client_asked && failure.is_timeout()) => {
                        upstream.note_failure(*failure, flight);
                    }
                    Some(_) | None => {}
                }
                self.farewell.on_failure(*failure);
                if let Some(task) = self.task.take() {
                    task.cancel();
                }
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

    /// The client has still to answer what it was asked before.
    pub(crate) fn wait_on(&self) {
        if let Some(place) = &self.place {
            place.wait();
        }
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
            let heard = match (&mut self.source, &mut self.place) {
                (Some(source), None) => {
                    source
                        .next(patience, &self.farewell, &mut self.is_paused)
                        .await?
                }
                (Some(source), Some(place)) => tokio::select! {
                    biased;
                    question = place.asked() => return Ok(Event::Ask(question)),
                    heard = source.next(patience, &self.farewell, &mut self.is_paused) => heard?,
                },
                (None, _) => return Err(Failure::Closed),
            };
            let step = match heard {
                Heard::Step(step) => step,
                Heard::Head(Outcome::Events(events)) => {
                    self.source = Some(Source::Http(events));
                    continue;
                }
                Heard::Head(Outcome::Done(reply) | Outcome::Suspect(reply)) => {
                    return Ok(Event::Done(reply));
                }
                Heard::Head(Outcome::Unknown) => return Err(Failure::SessionLost),
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

/// What a source gives next.
enum Heard {
    Step(Step),
    Head(Outcome),
}

impl Source {
    async fn next(
        &mut self,
        patience: Option<Duration>,
        farewell: &Farewell,
        is_paused: &mut bool,
    ) -> Result<Heard, Failure> {
        match self {
            Self::Http(events) => loop {
                match events.next_within(patience).await {
                    Err(Failure::Closed) if !*is_paused && lets_go(events, farewell) => {
                        *is_paused = true;
                        return Ok(Heard::Step(Step::Event(Event::Pause)));
                    }
                    Err(Failure::Closed) if resume(events, farewell.session()).await? => {
                        *is_paused = false;
                    }
                    step => return step.map(Heard::Step),
                }
            },
            Self::Stdio(events) => {
                let event = events.next_within(patience).await?;
                Ok(Heard::Step(Step::Event(event)))
            }
            Self::Opening(opening) => opening.as_mut().await.map(Heard::Head),
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
        if !self.farewell.goes_on() {
            return;
        }
        if let Some(place) = &self.place {
            place.leave_running(self.deadline);
        }
        let is_by_closing = self.farewell.is_by_closing();
        let source = self.source.take().filter(|source| match source {
            // The upstream must not see the departure.
            Source::Http(_) => is_by_closing,
            // Its process must not be ended in the middle of what it does.
            Source::Stdio(_) => true,
            Source::Opening(_) => false,
        });
        let Some(source) = source else {
            return;
        };
        let mut left = Self {
            first: None,
            source: Some(source),
            farewell: self.farewell.leave(),
            flight: self.flight.take(),
            deadline: self.deadline,
            is_paused: self.is_paused,
            asked: self.asked.take(),
            place: None,
            task: self.task.take(),
        };
        let keeper = self.farewell.upstream().keeper.clone();
        let leave = self.farewell.leave_of();
        keeper.see_out(async move {
            let goes_on = |event: &NextEvent| !matches!(event, Ok(Event::Done(_)) | Err(_));
            tokio::select! {
                () = async { while goes_on(&left.next().await) {} } => {}
                // The drop of what is left tells the upstream.
                () = leave.cancelled() => {}
            }
        });
    }
}
