//! The two ends of one call, as far as asking needs them.
//!
//! Owns the choice of the way to the client. Made for each call from what is at hand anyway; what
//! costs anything is done once an answer turns out not to be plain. Used by `serve`.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::gather::Gathered;
use super::kind;
use super::retry::{self, ByRetry, Resumed};
use super::rounds::Rounds;
use super::state::Binding;
use super::{Way, can_ask};
use crate::call::{Call, Era};
use crate::client::Client;
use crate::legacy::ANONYMOUS;
use crate::params::Params;
use crate::pipeline::Plane;
use crate::reply::LocalReply;
use crate::session::{Asks, Session};
use crate::snapshot::{Served, ServedMember};

/// The ends of a call.
pub(crate) struct Bridge<'a> {
    pub(crate) plane: &'a Arc<Plane>,
    pub(crate) served: &'a Arc<Served>,
    pub(crate) member: &'a ServedMember,
    /// The name or URI, as the client says it.
    pub(crate) exposed: Option<Bytes>,
    /// Its arguments, one JSON value.
    pub(crate) arguments: Option<Bytes>,
    /// What a modern client has declared in this call, one JSON value.
    pub(crate) capabilities: Option<Bytes>,
}

impl<'a> Bridge<'a> {
    /// The ends of a call with these params, of which it keeps what a question needs.
    pub(crate) fn new(
        plane: &'a Arc<Plane>,
        served: &'a Arc<Served>,
        member: &'a ServedMember,
        exposed: Option<Bytes>,
        params: &Params,
    ) -> Self {
        Self {
            plane,
            served,
            member,
            exposed,
            arguments: params.arguments(),
            capabilities: params.meta_capabilities(),
        }
    }

    /// Opens the `requestState` of a repeated call, if there is one.
    pub(crate) async fn reopen(
        &self,
        method: &[u8],
        params: &mut Params,
    ) -> Result<Resumed, LocalReply> {
        match params.request_state() {
            None => Ok(Resumed::Again(None)),
            Some(state) => {
                let binding = self.binding(method);
                let replicas = &self.member.replicas;
                retry::reopen(self.plane, &state, &binding, replicas, params).await
            }
        }
    }

    /// The way to the client of a call that may have to be asked.
    pub(crate) fn way(
        &self,
        era: Era,
        session: Option<Session>,
        takes_stream: bool,
        method: &[u8],
    ) -> Way {
        match era {
            Era::Legacy => Way::to_session(session, takes_stream, self.plane),
            Era::Modern if can_ask(method) => self.by_retry(method),
            Era::Modern => Way::None,
        }
    }

    /// The way to a modern client.
    pub(crate) fn by_retry(&self, method: &[u8]) -> Way {
        let declared = self.capabilities.as_ref();
        Way::Retry(Box::new(ByRetry {
            plane: Arc::clone(self.plane),
            binding: self.binding(method),
            asks: declared.map_or_else(Asks::default, |raw| kind::of_capabilities(raw, None)),
            replica: None,
            missing: Asks::default(),
            gathered: Gathered::default(),
        }))
    }

    /// How a modern server's questions reach a legacy client: `again` is the call as it was sent.
    pub(crate) fn rounds(
        &self,
        way: &Way,
        again: Option<(Box<Call>, Option<Bytes>)>,
    ) -> Option<Box<Rounds>> {
        let ((call, tool), Way::Stream(client)) = (again?, way) else {
            return None;
        };
        Some(Box::new(Rounds {
            client: client.clone(),
            call,
            served: Arc::clone(self.served),
            _in_use: self.served.in_use(),
            member: self.member.id,
            tool,
            count: 0,
            answered: HashSet::new(),
        }))
    }

    fn binding(&self, method: &[u8]) -> Binding {
        // Until requests of 2026-07-28 have identities, all of them are nobody's.
        let principal = ANONYMOUS;
        let (name, arguments) = (self.exposed.as_ref(), self.arguments.as_ref());
        retry::bind(self.served, self.member, method, name, arguments, principal)
    }
}

/// What a legacy client can be asked in a call: what it declared, if there is a way to ask it.
pub(crate) fn askable(client: &Client, session: Option<&Session>) -> Asks {
    match session {
        Some(session) if client.era == Era::Legacy && client.accepts.stream => session.grant.asks,
        _ => Asks::default(),
    }
}
