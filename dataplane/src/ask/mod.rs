//! Asks the client of a call: the pivot between servers that ask and clients that answer.
//!
//! ```text
//!                    legacy client                         modern client
//! legacy upstream    request on the call's stream          the call is parked, `input_required`
//! modern upstream    `input_required` becomes requests     `input_required` under a seal
//! ```
//!
//! Owns what can be asked of whom ([`kind`]) and what waits for a client's answer ([`waiting`]).
//! Upstreams ask through `upstream::Question`; `respond` writes what goes to the client.

pub(crate) mod kind;
pub(crate) mod stream;
pub(crate) mod waiting;

use std::sync::Arc;

use crate::call::Era;
use crate::client::Client;
use crate::pipeline::Plane;
use crate::session::{Asks, Session};
use stream::OnStream;

/// How the client of a call can be asked.
pub(crate) enum Way {
    /// Not at all: it declared nothing, or there is no way to it.
    None,
    /// By requests on the stream of the call.
    Stream(OnStream),
}

impl Way {
    /// The way to a client. A legacy one needs a session, because its answer comes by a request of
    /// its own, and a stream, because a JSON document has room for the reply only.
    pub(crate) fn to(client: &Client, session: Option<Session>, plane: &Plane) -> Self {
        match (client.era, session) {
            (Era::Legacy, Some(session))
                if client.accepts.stream && session.grant.asks != Asks::default() =>
            {
                Self::Stream(OnStream {
                    asking: Arc::clone(&plane.asking),
                    live: session.live,
                    asks: session.grant.asks,
                })
            }
            _ => Self::None,
        }
    }

    /// What a legacy client can be asked.
    pub(crate) fn asks(&self) -> Asks {
        match self {
            Self::None => Asks::default(),
            Self::Stream(client) => client.asks,
        }
    }

    /// The way over the call's stream, for the one who asks.
    pub(crate) fn take_stream(&mut self) -> Option<OnStream> {
        match std::mem::replace(self, Self::None) {
            Self::None => None,
            Self::Stream(client) => Some(client),
        }
    }
}
