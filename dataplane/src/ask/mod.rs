//! Asks the client of a call: the pivot between servers that ask and clients that answer.
//!
//! ```text
//!                    legacy client                         modern client
//! legacy upstream    request on the call's stream          the call is parked, `input_required`
//! modern upstream    `input_required` becomes requests     `input_required` under a seal
//! ```
//!
//! Owns what can be asked of whom ([`kind`]) and what waits for a client's answer ([`waiting`],
//! [`parked`]).
//! Upstreams ask through `upstream::Question`; `respond` writes what goes to the client.

pub(crate) mod bridge;
pub(crate) mod gather;
pub(crate) mod kind;
pub(crate) mod pages;
pub(crate) mod parked;
pub(crate) mod retry;
pub(crate) mod rounds;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod waiting;

use std::sync::Arc;

use crate::call::{Answer, Era, Reply};
use crate::pipeline::Plane;
use crate::session::{Asks, Session};
use retry::ByRetry;
use stream::OnStream;

/// How the client of a call can be asked.
pub(crate) enum Way {
    /// Not at all: it declared nothing, or there is no way to it.
    None,
    /// By requests on the stream of the call.
    Stream(OnStream),
    /// By `input_required`: it repeats the request with its answers.
    Retry(Box<ByRetry>),
}

impl Way {
    /// The way to a legacy client. It needs a session, because its answer comes by a request of its
    /// own, and a stream, because a JSON document has room for the reply only.
    pub(crate) fn to_session(session: Option<Session>, takes_stream: bool, plane: &Plane) -> Self {
        match session {
            Some(session) if takes_stream && session.grant.asks != Asks::default() => {
                Self::Stream(OnStream {
                    asking: Arc::clone(&plane.asking),
                    live: session.live,
                    asks: session.grant.asks,
                })
            }
            _ => Self::None,
        }
    }

    /// The way over the call's stream, for the one who asks.
    pub(crate) fn take_stream(&mut self) -> Option<OnStream> {
        match std::mem::replace(self, Self::None) {
            Self::Stream(client) => Some(client),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// Whether the result of a method can be a question (2026-07-28 MRTR).
pub(crate) fn can_ask(method: &[u8]) -> bool {
    matches!(method, b"tools/call" | b"prompts/get" | b"resources/read")
}

/// Whether the client may have to be asked before there is an answer. Nearly every answer is plain,
/// and nothing is made ready for asking then.
pub(crate) fn may_ask(answer: &Answer, method: &[u8], upstream: Era) -> bool {
    match answer {
        Answer::Stream(_) => true,
        Answer::Done(Reply::Error(error)) => {
            upstream == Era::Legacy && can_ask(method) && pages::are_required(error)
        }
        Answer::Done(Reply::Result(result)) => {
            upstream == Era::Modern && can_ask(method) && names_input_required(result)
        }
    }
}

/// Whether `input_required` stands anywhere in a result.
pub(crate) fn names_input_required(result: &[u8]) -> bool {
    memchr::memmem::find(result, b"\"input_required\"").is_some()
}
