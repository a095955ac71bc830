//! The seam between client adapters and upstream adapters: a [`Call`] goes in, [`Event`]s come out.
//!
//! Owns the terms that both sides share, whatever transport and era each speaks. N client adapters
//! and M upstream adapters give all N × M pairs. Does not read or write any transport.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use mcpc_plan::Timeouts;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::message::Notification;
use crate::params::Params;
use crate::session::Asks;

/// Which foundation of the protocol a side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Era {
    /// 2026-07-28 and later: every request stands alone.
    Modern,
    /// 2025-11-25 and earlier: `initialize`, then a session.
    Legacy,
}

/// What it means when whoever waits for the answer goes away.
#[derive(Clone, Debug)]
pub(crate) enum Leave {
    /// The upstream is told to stop (2026-07-28 Cancellation: closing the stream cancels).
    Cancels,
    /// The upstream goes on unless the client has said otherwise in the meantime (2025-11-25
    /// Transports: disconnection is not cancellation, `notifications/cancelled` is).
    AsTold(Arc<Flight>),
    /// The same, and the client can come back for the rest of a stream: it is told when the upstream
    /// lets go of its own caller for a while (2025-11-25 Transports: polling).
    Returns(Arc<Flight>),
}

impl Leave {
    /// Whether the upstream is to be told, now that nobody waits any more.
    pub(crate) fn cancels(&self) -> bool {
        match self {
            Self::Cancels => true,
            Self::AsTold(flight) | Self::Returns(flight) => flight.is_cancelled(),
        }
    }

    /// Waits until the client cancels the call from elsewhere.
    pub(crate) async fn cancelled(&self) {
        match self.flight() {
            Some(flight) => flight.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// The call, if its client may cancel it from elsewhere.
    pub(crate) fn flight(&self) -> Option<&Arc<Flight>> {
        match self {
            Self::Cancels => None,
            Self::AsTold(flight) | Self::Returns(flight) => Some(flight),
        }
    }
}

/// A legacy client's call in flight, which another request may cancel.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    cancelled: AtomicBool,
    wake: Notify,
    /// Its client has gone, and it goes on.
    is_left: AtomicBool,
    is_over: AtomicBool,
    /// What lets a call be found that was left.
    entry: ArcSwapOption<Box<dyn Any + Send + Sync>>,
}

impl Flight {
    /// Cancels the call.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether the call was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Its client has gone, and it goes on until [`end`](Self::end).
    pub(crate) fn leave(&self) {
        self.is_left.store(true, Ordering::SeqCst);
    }

    /// Whether its client has gone.
    pub(crate) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::SeqCst)
    }

    /// Keeps what lets it be found until it is over.
    pub(crate) fn keep(&self, entry: Box<dyn Any + Send + Sync>) {
        self.entry.store(Some(Arc::new(entry)));
        if self.is_over.load(Ordering::SeqCst) {
            self.entry.store(None);
        }
    }

    /// It is over.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.entry.store(None);
    }

    /// Waits until the call is cancelled. There is one waiter: the task that serves the call.
    pub(crate) async fn cancelled(&self) {
        while !self.is_cancelled() {
            self.wake.notified().await;
        }
    }
}

/// Whose call it is, as far as that can be told. Who has no session is nobody's but its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Party {
    /// A client's, with the number of its session.
    Session(u128),
    /// A client's that cannot be told from others.
    Unknown,
}

impl Party {
    /// Whether this is surely the same client.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Session(one), Self::Session(other)) => one == other,
            (Self::Unknown, _) | (_, Self::Unknown) => false,
        }
    }
}

/// One request on its way to one upstream, in terms that no transport owns.
#[derive(Clone)]
pub(crate) struct Call {
    /// The method, for example `tools/call`.
    pub(crate) method: Bytes,
    /// What `Mcp-Name` mirrors: the upstream's own tool or prompt name, or the URI. Valid UTF-8.
    pub(crate) name: Option<Bytes>,
    /// The params as the upstream shall see them, but for what depends on its era.
    pub(crate) params: Params,
    /// What its message says beside what JSON-RPC defines, each member with a comma in front.
    pub(crate) beside: Box<[u8]>,
    /// The era of the client.
    pub(crate) era: Era,
    /// What a legacy client can be asked, which modern upstreams are told with each call.
    pub(crate) asks: Asks,
    /// Whose call it is.
    pub(crate) party: Party,
    /// The log level that a legacy client has set.
    pub(crate) log_level: Option<crate::level::Level>,
    /// `Mcp-Param-*` headers that the client sent, to be passed on to a modern upstream.
    pub(crate) mirrored: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Whether its server says that it does the same however often it is sent.
    pub(crate) is_repeatable: bool,
    /// Whether it is for the plan to say if it is sent again, and not a matter of course where it changes nothing.
    pub(crate) is_sent_once: bool,
    /// The replica that alone can go on with it, because it asked for more.
    pub(crate) replica: Option<usize>,
    /// The headers that say which trace it is part of, for upstreams over HTTP.
    pub(crate) trace: Vec<(http::HeaderName, http::HeaderValue)>,
    /// What the client's departure means.
    pub(crate) leave: Leave,
    /// When the caller must have an answer, whatever happens.
    pub(crate) deadline: Instant,
    /// The parts of the deadline, from the plan.
    pub(crate) timeouts: Timeouts,
}

impl Call {
    /// A question of the gateway's own: no client waits for it and none can be asked on its way. What
    /// a modern upstream needs in `_meta` is written on the way as for an older client.
    pub(crate) fn own(
        method: Bytes,
        params: Params,
        timeouts: Timeouts,
        deadline: Instant,
    ) -> Self {
        Self {
            method,
            name: None,
            params,
            beside: Box::default(),
            era: Era::Legacy,
            asks: Asks::default(),
            party: Party::Unknown,
            log_level: None,
            mirrored: Vec::new(),
            is_repeatable: false,
            is_sent_once: false,
            replica: None,
            trace: Vec::new(),
            leave: Leave::Cancels,
            deadline,
            timeouts,
        }
    }
}

/// What comes back from an upstream. The common case is one reply and nothing before it; it costs
/// no channel and no allocation beyond the reply itself.
pub(crate) enum Answer {
    /// The one and only event.
    Done(Reply),
    /// Events until [`Event::Done`].
    Stream(Box<crate::upstream::EventStream>),
}

impl Answer {
    /// The reply, for who does not want what comes before it.
    pub(crate) async fn into_reply(self) -> Result<Reply, Failure> {
        match self {
            Self::Done(reply) => Ok(reply),
            Self::Stream(mut events) => loop {
                // A question that comes before the reply is dropped, which refuses it.
                if let Event::Done(reply) = events.next().await? {
                    return Ok(reply);
                }
            },
        }
    }
}

/// One step of an answer.
pub(crate) enum Event {
    /// A notification that belongs to this call: progress or a log message.
    Notify(Notification),
    /// The upstream asks the client of this call.
    Ask(crate::upstream::Question),
    /// The upstream has let go of its caller and is asked again in a while: for [`Leave::Returns`].
    Pause,
    /// The end.
    Done(Reply),
}

/// The outcome of a call as the upstream gave it: one JSON value, not parsed further.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// The value of `result`.
    Result(Said),
    /// The value of `error`.
    Error(Said),
}

impl Reply {
    /// What the message says beside its value; afterwards it says nothing else.
    pub(crate) fn take_beside(&mut self) -> Box<[u8]> {
        let (Self::Result(said) | Self::Error(said)) = self;
        std::mem::take(&mut said.beside)
    }
}

/// A value of a message, and what else its message says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    value: Bytes,
    /// Members that JSON-RPC does not define, each with a comma in front. Nearly always there are none.
    pub(crate) beside: Box<[u8]>,
}

impl Said {
    /// What a message says.
    pub(crate) fn new(value: Bytes, beside: Box<[u8]>) -> Self {
        Self { value, beside }
    }

    /// The value alone.
    pub(crate) fn into_value(self) -> Bytes {
        self.value
    }
}

impl From<Bytes> for Said {
    fn from(value: Bytes) -> Self {
        Self::new(value, Box::default())
    }
}

impl std::ops::Deref for Said {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.value
    }
}

/// The next step of an answer, or why there is none.
pub(crate) type NextEvent = Result<Event, Failure>;
