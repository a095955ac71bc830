//! The events of one call over HTTP: an event stream, decoded and sorted.
//!
//! Owns which messages on a call's stream belong to the caller. Does not decode the stream format
//! (`sse`) or connect (`wire`). A stream belongs to one request, so attribution is by place; only
//! progress is also checked by its token.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::Bounds;
use super::body::{Body, Filled};
use super::head::{Draft, Kind, Verb};
use super::http::{HttpSession, is_id, number_of};
use super::sse::Decoder;
use super::wire::Exchange;
use crate::call::{Call, Event, Reply, Said};
use crate::failure::Failure;
use crate::json;
use crate::message::{self, Message, Notification};

/// What a modern upstream says first on a stream of notifications.
pub(super) const ACKNOWLEDGED: &[u8] = b"notifications/subscriptions/acknowledged";

/// How often one answer may be taken up again, and how long to wait before if nobody said.
const RESUMPTIONS_MAX: u32 = 100;
const RETRY: Duration = Duration::from_secs(1);

/// An open answer. Dropping it closes its connection.
pub(super) struct HttpEvents {
    body: Body,
    decoder: Decoder,
    id: u64,
    nesting: u32,
    idle: Duration,
    deadline: Instant,
    resumptions: u32,
}

/// One step of a stream, for those who also serve what is not the caller's.
pub(super) enum Step {
    /// The caller's.
    Event(Event),
    /// A list of the upstream changed: the method of the notification.
    Changed(Bytes),
    /// A resource of the upstream was updated: the params.
    Updated(Option<Bytes>),
    /// A stream of notifications is open: the params.
    Acknowledged(Option<Bytes>),
    /// The upstream asks: the id of its request, the method and the params.
    Asked(Bytes, Bytes, Option<Bytes>),
}

impl HttpEvents {
    pub(super) fn new(exchange: Exchange, call: &Call, id: u64, bounds: &Bounds) -> Self {
        let idle = Duration::from_millis(call.timeouts.idle_ms);
        Self::open(exchange, id, bounds, idle, call.deadline)
    }

    pub(super) fn open(
        exchange: Exchange,
        id: u64,
        bounds: &Bounds,
        idle: Duration,
        deadline: Instant,
    ) -> Self {
        Self {
            body: exchange.body,
            decoder: Decoder::new(bounds.reply_bytes),
            id,
            nesting: bounds.nesting,
            idle,
            deadline,
            resumptions: RESUMPTIONS_MAX,
        }
    }

    /// The next step. After [`Event::Done`] or a failure there is none.
    pub(super) async fn next(&mut self) -> Result<Step, Failure> {
        self.next_within(None).await
    }

    /// The next step; `idle` is another bound on how long the upstream may be silent.
    pub(super) async fn next_within(&mut self, idle: Option<Duration>) -> Result<Step, Failure> {
        let idle = idle.unwrap_or(self.idle);
        loop {
            while let Some(event) = self.decoder.next() {
                let event = event.map_err(|_| Failure::TooLarge)?;
                // Events of other types are not messages (2024-11-05 servers send `endpoint`).
                let is_message = event.kind.is_none_or(|kind| kind.as_ref() == b"message");
                if is_message && let Some(step) = self.sort(&event.data)? {
                    return Ok(step);
                }
            }
            let room = self.decoder.room();
            let text = self.decoder.text();
            match self.body.fill(text, room, idle, self.deadline).await? {
                Filled::Some => {}
                Filled::End => return Err(Failure::Closed),
            }
        }
    }

    fn sort(&self, data: &Bytes) -> Result<Option<Step>, Failure> {
        let message = message::read_of_server(data, self.nesting).map_err(|_| Failure::Garbage)?;
        Ok(match message {
            Message::Result { id, result, beside } if is_id(&id, self.id) => Some(Step::Event(
                Event::Done(Reply::Result(Said::new(result, beside))),
            )),
            Message::Error { id, error, beside }
                if id.as_ref().is_none_or(|id| is_id(id, self.id)) =>
            {
                Some(Step::Event(Event::Done(Reply::Error(Said::new(
                    error, beside,
                )))))
            }
            Message::Result { .. } | Message::Error { .. } => return Err(Failure::WrongId),
            Message::Request {
                id, method, params, ..
            } => Some(Step::Asked(id, method, params)),
            Message::Notification(told) => sort_notification(told, |token| token == Some(self.id)),
        })
    }

    /// Whether a stream that has ended is one that its upstream let go of on purpose: it has said
    /// where to go on, and when (2025-11-25 Transports §Sending Messages).
    pub(super) fn is_paused(&self) -> bool {
        self.decoder.last_id().is_some() && self.decoder.retry_ms().is_some()
    }

    /// Opens the stream again where it broke off, if the upstream said how (2025-11-25 §Resumability
    /// and Redelivery). False if it did not, or if the stream broke off too often.
    pub(super) async fn resume(&mut self, http: &HttpSession) -> Result<bool, Failure> {
        let Some(last) = self.decoder.last_id() else {
            return Ok(false);
        };
        let mut request = Draft::new(Verb::Get, &http.preamble, Vec::new());
        let named = request.field("last-event-id", last);
        let (Ok(()), Some(left)) = (named, self.resumptions.checked_sub(1)) else {
            return Ok(false);
        };
        self.resumptions = left;
        let pause = self.decoder.retry_ms().map_or(RETRY, Duration::from_millis);
        let reopening = async {
            sleep(pause).await;
            http.site.exchange(request.end(), self.deadline).await
        };
        let exchange = timeout_at(self.deadline, reopening)
            .await
            .map_err(|_| Failure::TotalTimeout)??;
        if !exchange.status.is_success() || exchange.kind != Kind::Events {
            return Ok(false);
        }
        self.decoder.reopen();
        self.body = exchange.body;
        Ok(true)
    }

    /// Ends a stream whose answer is complete, so that its connection can serve the next call.
    pub(super) fn finish(self) {
        self.body.settle();
    }
}

/// Which notifications are a caller's: progress with its token, and what is not known to be
/// somebody else's.
pub(super) fn sort_notification(
    told: Notification,
    is_mine: impl Fn(Option<u64>) -> bool,
) -> Option<Step> {
    match told.method.as_ref() {
        b"notifications/progress" if !is_mine(progress_token(told.params.as_ref())) => None,
        b"notifications/resources/updated" => Some(Step::Updated(told.params)),
        ACKNOWLEDGED => Some(Step::Acknowledged(told.params)),
        b"notifications/tools/list_changed"
        | b"notifications/prompts/list_changed"
        | b"notifications/resources/list_changed" => Some(Step::Changed(told.method)),
        _ => Some(Step::Event(Event::Notify(told))),
    }
}

/// The progress token of a notification, if it is one that the gateway could have minted.
pub(super) fn progress_token(params: Option<&Bytes>) -> Option<u64> {
    number_of(json::member(params?, b"progressToken")?)
}

/// Which stream a notification is of, if that can be one of the gateway's.
pub(super) fn subscription_id(params: &Bytes) -> Option<u64> {
    let meta = json::member(params, b"_meta")?;
    number_of(json::member(
        meta,
        b"io.modelcontextprotocol/subscriptionId",
    )?)
}
