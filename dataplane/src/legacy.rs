//! The client adapter for 2025-11-25 and earlier: `initialize`, then requests within a session.
//!
//! Owns the rules of these revisions for requests. A client that sends no session id is served
//! without one (2025-11-25 Transports §Session Management makes sessions the server's choice).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

use crate::ask::kind;
use crate::call::{Call, Era, Party, Reply};
use crate::client::{Asked, Client};
use crate::discover;
use crate::inbound::{self, Accepts};
use crate::level::Level;
use crate::message::Notification;
use crate::params::Params;
use crate::pipeline::{Plane, accepted};
use crate::policy;
use crate::reply::LocalReply;
use crate::serve;
use crate::server::{Field, Head, Response};
use crate::session::{Asks, Grant, Revision, Session};
use crate::snapshot::{Served, ServedMember};
use crate::upstream::Upstream;

/// The principal of a caller that did not say who it is.
pub(crate) const ANONYMOUS: [u8; 16] = [0; 16];

/// A client and, if it has one, its session.
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) session: Option<Session>,
}

impl Caller {
    /// A client that has no session.
    pub(crate) fn stateless(client: Client) -> Self {
        Self {
            client,
            session: None,
        }
    }
}

/// What a new session is granted: its client is asked what it has declared.
pub(crate) fn grant(params: &Params) -> Grant {
    let revision = negotiate(params.protocol_version().as_deref());
    let declared = params.capabilities();
    Grant {
        revision,
        asks: declared.map_or_else(Asks::default, |declared| {
            kind::of_capabilities(declared, Some(revision))
        }),
        principal: ANONYMOUS,
    }
}

/// The revision for a session: the one that was asked for, or the latest.
fn negotiate(asked: Option<&[u8]>) -> Revision {
    asked.and_then(Revision::parse).unwrap_or(Revision::LATEST)
}

/// The session of a request, if it names one.
///
/// # Errors
/// [`LocalReply::SessionUnknown`] for any token that does not open: unknown, ended, another endpoint's.
pub(crate) fn session(
    head: &Head,
    served: &Served,
    plane: &Plane,
) -> Result<Option<Session>, LocalReply> {
    let Some(token) = head.field(Field::Session) else {
        return Ok(None);
    };
    let found = session_of(token, served, plane);
    found.map(Some).ok_or(LocalReply::SessionUnknown)
}

/// The session that a token stands for.
pub(crate) fn session_of(token: &[u8], served: &Served, plane: &Plane) -> Option<Session> {
    plane
        .sessions
        .find(token, &served.endpoint.path, ANONYMOUS, Instant::now())
}

/// Checks a request by the rules of the era.
pub(crate) fn read(
    head: &Head,
    served: &Served,
    plane: &Plane,
    method: &[u8],
    id: &Bytes,
    accepts: Accepts,
) -> Result<Caller, LocalReply> {
    if let Some(version) = head.field(Field::Version)
        && Revision::parse(version).is_none()
    {
        let requested = String::from_utf8_lossy(version).into_owned();
        return Err(LocalReply::VersionUnsupported { requested });
    }
    // A new handshake begins a new session, whatever the old one was.
    let session = if method == b"initialize" {
        None
    } else {
        session(head, served, plane)?
    };
    let mut caller = caller(session, plane, id, accepts)?;
    caller.client.trace = inbound::trace_of(head);
    Ok(caller)
}

/// A client of this era within its session, with the request's entry there.
pub(crate) fn caller(
    session: Option<Session>,
    plane: &Plane,
    id: &Bytes,
    accepts: Accepts,
) -> Result<Caller, LocalReply> {
    let flight = match &session {
        Some(session) => Some(
            plane
                .sessions
                .start(&session.live, id)
                .ok_or(LocalReply::DuplicateId)?,
        ),
        None => None,
    };
    let set_level = session.as_ref().and_then(|session| session.live.level());
    let party = party(session.as_ref());
    let client = Client {
        era: Era::Legacy,
        party,
        accepts,
        // Until a client sets a level, what it gets is the server's choice: everything.
        log_level: Some(set_level.unwrap_or(Level::Debug)),
        set_level,
        mirrors: false,
        mirrored: Vec::new(),
        trace: Vec::new(),
        flight,
    };
    Ok(Caller { client, session })
}

/// Who else is surely the client of this session.
pub(crate) fn party(session: Option<&Session>) -> Party {
    session.map_or(Party::Unknown, |session| {
        Party::Session(session.live.number())
    })
}

/// Acts on a notification of a client that has this session, if it has one.
pub(crate) fn notified(
    session: Option<&Session>,
    served: &Served,
    plane: &Plane,
    told: &Notification,
) -> Result<(), LocalReply> {
    if told.method.as_ref() == b"notifications/cancelled"
        && let Some(session) = session
    {
        let params = Params::read(told.params.clone(), served.limits.nesting);
        let params = params.map_err(|_| LocalReply::BadParams)?;
        if let Some(id) = params.request_id() {
            plane.sessions.cancel(&session.live, &id);
        }
    }
    Ok(())
}

/// An answer of a client. What the session was not asked, or has answered before, is ignored.
pub(crate) fn response(
    head: &Head,
    served: &Served,
    plane: &Plane,
    id: Option<&Bytes>,
    reply: Reply,
) -> Result<Response, LocalReply> {
    let session = session(head, served, plane)?;
    if let (Some(session), Some(id)) = (session, id)
        && !plane.asking.answer(&session.live, id, reply)
    {
        tracing::debug!("a client answered what it was not asked");
    }
    Ok(accepted())
}

/// Ends a session (2025-11-25 Transports §Session Management).
pub(crate) fn end(head: &Head, served: &Served, plane: &Plane) -> Result<Response, LocalReply> {
    let session = session(head, served, plane)?.ok_or(LocalReply::SessionRequired)?;
    plane.sessions.end(&session.live);
    Ok(Response::empty(StatusCode::NO_CONTENT))
}

/// `logging/setLevel`: remembered for the session, and told to the upstreams of this era that log.
/// They are shared, so each is told the level as it was asked last; what a client gets is filtered
/// by its own level.
pub(crate) async fn set_level(
    asked: &Asked<'_>,
    session: Option<&Session>,
) -> Result<Response, LocalReply> {
    let level = asked
        .params
        .level()
        .and_then(|level| Level::parse(&level))
        .ok_or(LocalReply::BadParams)?;
    if let Some(session) = session {
        session.live.set_level(level);
    }
    let served = asked.served;
    let offer = discover::offer(served).await;
    for member in offer
        .legacy_loggers()
        .filter_map(|index| served.members.get(index))
    {
        if member.replicas.is_private() {
            // What others share is not asked to log as one client wishes.
            if let Some(own) = member.replicas.own_now(asked.client.party) {
                tell_level(asked, member, &own).await;
            }
            continue;
        }
        // The level is a session's, and each replica has its own.
        for upstream in member.replicas.in_use() {
            tell_level(asked, member, upstream).await;
        }
    }
    Ok(serve::done(asked))
}

/// The level is a wish: an upstream that does not take it logs as it likes, and is filtered.
async fn tell_level(asked: &Asked<'_>, member: &ServedMember, upstream: &Arc<Upstream>) {
    let call = Call::own(
        asked.method.clone(),
        asked.params.clone(),
        member.timeouts.clone(),
        Instant::now() + Duration::from_millis(member.timeouts.first_byte_ms),
    );
    let told = upstream
        .send(call, policy::permit(asked.served.access))
        .await;
    if let Err(failure) = match told {
        Ok(answer) => answer.into_reply().await.map(drop),
        Err(failure) => Err(failure),
    } {
        tracing::debug!(server = %member.name, ?failure, "log level was not taken");
    }
}
