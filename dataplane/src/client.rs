//! The client side of a call: who asks, in which era, and what it takes back.
//!
//! Owns the terms that `modern` and `legacy` produce and that `pipeline` and `respond` use.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::call::{Era, Leave, Party};
use crate::inbound::Accepts;
use crate::level::Level;
use crate::params::Params;
use crate::session::InFlight;
use crate::snapshot::Served;

/// One request of a client, read and checked by the rules of its era.
pub(crate) struct Asked<'a> {
    /// The endpoint that was asked.
    pub(crate) served: &'a Arc<Served>,
    /// The client's id, one JSON value; it never leaves this hop.
    pub(crate) id: Bytes,
    /// The method.
    pub(crate) method: Bytes,
    /// The params.
    pub(crate) params: Params,
    /// What its message says beside what JSON-RPC defines, each member with a comma in front.
    pub(crate) beside: Box<[u8]>,
    /// Whose request it is.
    pub(crate) client: Client,
    /// The number under which logs speak of this request.
    pub(crate) correlation: u64,
}

/// What a client brings along.
pub(crate) struct Client {
    /// Its era.
    pub(crate) era: Era,
    /// Who else is surely the same client.
    pub(crate) party: Party,
    /// What it takes back.
    pub(crate) accepts: Accepts,
    /// The least severe log message that it takes; nothing if it takes none.
    pub(crate) log_level: Option<Level>,
    /// The level that it has set in its session, which modern upstreams are told with each call.
    pub(crate) set_level: Option<Level>,
    /// Whether it says the arguments of a tool again in headers, as modern clients do over HTTP.
    pub(crate) mirrors: bool,
    /// `Mcp-Param-*` headers, for modern upstreams.
    pub(crate) mirrored: Vec<(HeaderName, HeaderValue)>,
    /// The headers that say which trace its request is part of.
    pub(crate) trace: Vec<(HeaderName, HeaderValue)>,
    /// The call's entry in its session, if it has one.
    pub(crate) flight: Option<InFlight>,
}

impl Client {
    /// What this client's departure means.
    pub(crate) fn leave(&self) -> Leave {
        match (&self.flight, self.era) {
            (Some(entry), _) => Leave::AsTold(Arc::clone(entry.flight())),
            (None, Era::Legacy) => Leave::AsTold(Arc::default()),
            (None, Era::Modern) => Leave::Cancels,
        }
    }
}
