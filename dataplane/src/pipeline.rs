//! The life of a request, in order: origin, endpoint, message, client adapter, route, policy,
//! upstream, answer.
//!
//! Owns the order and nothing else. The plan is loaded once and handed down, so one request never
//! sees two. Comes from `listener`, goes to `respond`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use arc_swap::ArcSwap;
use http::StatusCode;
use mcpc_plan::Digest;

use crate::ask::parked::ParkedCalls;
use crate::ask::state::StateSeal;
use crate::ask::waiting::Asking;
use crate::batch;
use crate::call::{Era, Reply, Said};
use crate::client::Asked;
use crate::correlation::Numbers;
use crate::extension;
use crate::failure::Failure;
use crate::inbound::{self, Accepts, Read};
use crate::legacy::{self, Caller};
use crate::listen::{self, Streams};
use crate::message::{Message, Notification};
use crate::modern::{self, Mirrors};
use crate::origin::{self, Verdict};
use crate::params::{Met, Params};
use crate::pressure::Pressure;
use crate::pulse;
use crate::refusals::Refusals;
use crate::replay::Replays;
use crate::reply::{Fault, LocalReply, Refusable};
use crate::serve;
use crate::server::{Fault as Misframed, Field, Head, Intake, Method, Response};
use crate::session::Sessions;
use crate::snapshot::{Served, Snapshot};
use crate::sse::{self, Channels};
use crate::tally::Tally;

/// What all requests share: the live plan, and the little state that outlives a request.
pub(crate) struct Plane {
    /// The live plan. One store makes another one live.
    pub(crate) live: ArcSwap<Snapshot>,
    /// Legacy sessions.
    pub(crate) sessions: Arc<Sessions>,
    /// Requests to legacy clients that wait for their answers.
    pub(crate) asking: Arc<Asking>,
    /// Calls that wait for modern clients.
    pub(crate) parked: Arc<ParkedCalls>,
    /// Seals what modern clients bring back.
    pub(crate) states: StateSeal,
    /// Streams that legacy clients can come back to.
    pub(crate) replays: Arc<Replays>,
    /// Open notification streams.
    pub(crate) streams: Streams,
    /// Streams of the older transport, by their addresses.
    pub(crate) channels: Channels,
    /// Open client connections.
    pub(crate) connections: AtomicU32,
    /// What is given up when there is too little of something.
    pub(crate) pressure: Pressure,
    /// Calls and those that failed.
    pub(crate) tally: Tally,
    /// What was answered with a code of the gateway's own.
    pub(crate) refusals: Refusals,
    /// Numbers requests for logs.
    pub(crate) numbers: Arc<Numbers>,
}

impl Plane {
    /// Serves a snapshot.
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        sessions: Arc<Sessions>,
        states: StateSeal,
        replays: Arc<Replays>,
    ) -> Self {
        Self {
            live: ArcSwap::new(snapshot),
            parked: ParkedCalls::new(sessions.instance()),
            sessions,
            asking: Asking::new(),
            states,
            replays,
            streams: Streams::new(),
            channels: Channels::new(),
            connections: AtomicU32::new(0),
            pressure: Pressure::default(),
            tally: Tally::new(),
            refusals: Refusals::new(),
            numbers: Arc::new(Numbers::new()),
        }
    }

    /// A number for one more request.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.next()
    }
}

/// Answers one request. Dropped when the client leaves; what that means for the call in flight is
/// decided by [`crate::call::Leave`].
pub(crate) async fn handle(head: &Head, intake: Intake<'_>, plane: &Arc<Plane>) -> Response {
    let snapshot = plane.live.load_full();
    let correlation = plane.number();
    let late = modern::is_late(head);
    let era = if late { Era::Modern } else { Era::Legacy };
    let mut refusable = Refusable {
        era,
        id: None,
        correlation,
    };
    let served = {
        let serving = pin!(serve(head, intake, &snapshot, plane, &mut refusable));
        tokio::select! {
            biased;
            served = serving => served,
            // Dropped as if the client had left, but it is there and hears of it.
            () = pulse::stopped() => Err(LocalReply::CutOff(Failure::CutOff)),
        }
    };
    match served {
        Ok(response) => response,
        Err(reply) => {
            log_refused(plane, &snapshot.digest, correlation, &reply);
            reply.into_response(refusable.era, refusable.id.as_deref(), correlation)
        }
    }
}

async fn serve(
    head: &Head,
    intake: Intake<'_>,
    snapshot: &Arc<Snapshot>,
    plane: &Arc<Plane>,
    refusable: &mut Refusable,
) -> Result<Response, LocalReply> {
    match origin::check(head, &snapshot.listener.hosts) {
        Verdict::Ok => {}
        Verdict::BadHost => return Err(LocalReply::BadHost),
        Verdict::TwoHosts => return Err(LocalReply::TwoHosts),
        Verdict::ForeignHost => return Err(LocalReply::ForeignHost),
        Verdict::ForeignOrigin => return Err(LocalReply::ForeignOrigin),
    }
    let served = snapshot
        .endpoint(head.path())
        .ok_or(LocalReply::NoSuchPath)?;
    match head.method() {
        Method::Post => match sse::token(head) {
            Some(token) => Box::pin(sse::post(head, intake, served, plane, token)).await,
            None => post(head, intake, served, plane, refusable).await,
        },
        Method::Get | Method::Delete if modern::is_late(head) => Err(not_allowed(head)),
        Method::Get => {
            serve::log_answering(served, b"GET", refusable.correlation);
            if sse::is_asked(head) {
                return sse::open(served, plane);
            }
            Box::pin(listen::legacy(head, served, plane)).await
        }
        Method::Delete => {
            serve::log_answering(served, b"DELETE", refusable.correlation);
            legacy::end(head, served, plane)
        }
        Method::Head | Method::Other => Err(not_allowed(head)),
    }
}

/// Refuses an HTTP method, with those that its client has: in 2026-07-28 there is one, a session has a
/// stream and an end, and who knows no revision yet can open a stream of 2024-11-05.
fn not_allowed(head: &Head) -> LocalReply {
    let has = |field| head.field(field).is_some();
    let allow = if modern::is_late(head) {
        "POST"
    } else if has(Field::Session) {
        "POST, GET, DELETE"
    } else if has(Field::Version) {
        "POST"
    } else {
        "POST, GET"
    };
    LocalReply::MethodNotAllowed { allow }
}

/// A message from a client.
async fn post(
    head: &Head,
    intake: Intake<'_>,
    served: &Arc<Served>,
    plane: &Arc<Plane>,
    refusable: &mut Refusable,
) -> Result<Response, LocalReply> {
    let accepts = Accepts::of(head);
    if !inbound::is_json(head) {
        return Err(LocalReply::UnsupportedMediaType);
    }
    if !accepts.json && !accepts.stream {
        return Err(LocalReply::NotAcceptable);
    }
    let body = intake.collect(served.limits.body_bytes).await?;
    match inbound::read(&body, served.limits.nesting) {
        Ok(Read::One(message, met)) => {
            take(head, message, met, accepts, served, plane, refusable).await
        }
        Ok(Read::Batch) => Box::pin(batch::answer(head, &body, served, plane)).await,
        Err((reply, id)) => {
            refusable.id = id;
            Err(reply)
        }
    }
}

/// Answers one message that was read.
pub(crate) async fn take(
    head: &Head,
    message: Message,
    met: Met,
    accepts: Accepts,
    served: &Arc<Served>,
    plane: &Arc<Plane>,
    refusable: &mut Refusable,
) -> Result<Response, LocalReply> {
    let (id, method, params, beside) = match message {
        Message::Request {
            id,
            method,
            params,
            beside,
        } => (id, method, params, beside),
        Message::Notification(told) => {
            let correlation = refusable.correlation;
            serve::log_answering(served, &told.method, correlation);
            return Box::pin(notified(head, served, plane, told, met, correlation)).await;
        }
        Message::Result { id, result, beside } => {
            serve::log_answering(served, ANSWER, refusable.correlation);
            let reply = Reply::Result(Said::new(result, beside));
            return legacy::response(head, served, plane, Some(&id), reply);
        }
        Message::Error { id, error, beside } => {
            serve::log_answering(served, ANSWER, refusable.correlation);
            let reply = Reply::Error(Said::new(error, beside));
            return legacy::response(head, served, plane, id.as_ref(), reply);
        }
    };
    refusable.id = Some(id.clone());
    let params = Params::of(params, met).map_err(|_| LocalReply::BadParams)?;
    let caller = if modern::is_modern(head, &params) {
        refusable.era = Era::Modern;
        let mirrors = Mirrors::Headers(head);
        Caller::stateless(modern::read(mirrors, &method, &params, accepts)?)
    } else {
        refusable.era = Era::Legacy;
        legacy::read(head, served, plane, &method, &id, accepts)?
    };
    let correlation = refusable.correlation;
    let asked = Asked {
        served,
        id,
        method,
        params,
        beside,
        client: caller.client,
        correlation,
    };
    // Boxed, as the sending is in there: a future is moved into each caller's on its way up, so
    // nested ones cost their size at every level.
    Box::pin(serve::answer(asked, caller.session, plane)).await
}

/// Takes a notification. All of them are accepted, and passed on if a server may know what the gateway does
/// not.
async fn notified(
    head: &Head,
    served: &Arc<Served>,
    plane: &Plane,
    told: Notification,
    met: Met,
    correlation: u64,
) -> Result<Response, LocalReply> {
    let is_late = modern::is_late(head);
    // 2026-07-28 has no sessions, and no notification of its own that means anything over HTTP.
    let session = if is_late {
        None
    } else {
        let session = legacy::session(head, served, plane)?;
        legacy::notified(session.as_ref(), served, plane, &told)?;
        session
    };
    // What could be read in two ways is passed on to nobody.
    if extension::may_pass(&told.method)
        && let Ok(params) = Params::of(told.params.clone(), met)
    {
        let is_modern = is_late || params.has_meta_version();
        let client = if is_modern { Era::Modern } else { Era::Legacy };
        let party = legacy::party(session.as_ref());
        extension::pass(served, told, client, party, correlation).await;
    }
    Ok(accepted())
}

/// Answers what came in place of a request: bytes whose framing is not sound.
pub(crate) fn refuse(fault: Misframed, plane: &Plane) -> Response {
    let reply = LocalReply::Framing(fault);
    let correlation = plane.number();
    log_refused(plane, &plane.live.load().digest, correlation, &reply);
    reply.into_response(Era::Modern, None, correlation)
}

/// What the log calls a client's answer to a question, which has no method.
const ANSWER: &[u8] = b"answer";

/// Nothing to say: 202 (Transports §Sending Messages).
pub(crate) fn accepted() -> Response {
    Response::empty(StatusCode::ACCEPTED)
}

/// Counts and says why a request was not answered as it wished.
pub(crate) fn log_refused(plane: &Plane, plan: &Digest, correlation: u64, reply: &LocalReply) {
    let row = reply.row();
    plane.refusals.count(row.code);
    let correlation = format_args!("{correlation:016x}");
    let plan = plan.short();
    if row.fault == Fault::Client {
        tracing::debug!(%correlation, plan, code = row.code, "request refused: {}", row.text);
    } else {
        tracing::warn!(%correlation, plan, code = row.code, "request failed: {}", row.text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_bytes<'a, F, R>(_: F) -> usize
    where
        F: FnOnce(&'a Head, Intake<'a>, &'a Arc<Plane>) -> R,
    {
        size_of::<R>()
    }

    #[test]
    fn a_refused_method_is_answered_with_those_that_its_client_has() {
        let allowed = |fields: &[(&str, &[u8])]| match not_allowed(&Head::with("PUT /mcp", fields))
        {
            LocalReply::MethodNotAllowed { allow } => allow,
            _ => "",
        };
        assert_eq!(allowed(&[]), "POST, GET");
        let version: (_, &[u8]) = ("mcp-protocol-version", b"2025-11-25");
        let session: (_, &[u8]) = ("mcp-session-id", b"x");
        assert_eq!(allowed(&[version]), "POST");
        assert_eq!(allowed(&[version, session]), "POST, GET, DELETE");
        assert_eq!(allowed(&[("mcp-protocol-version", b"2026-07-28")]), "POST");
    }

    /// Every request costs one such future, so a careless large value across an await shows here.
    #[test]
    fn a_request_in_flight_is_small() {
        let bytes = future_bytes(handle);
        assert!(bytes <= 2560, "{bytes} bytes");
    }
}
