//! Calls over Streamable HTTP: one POST per call, its answer a JSON body or an event stream.
//!
//! Owns the request headers of both eras and the reading of every kind of answer. Does not connect
//! (`wire`), open sessions (`handshake`) or decide whether a lost call is repeated (`mod`).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::Bounds;
use super::events::HttpEvents;
use super::head::{Draft, Kind, NotFieldValue, Preamble, Verb};
use super::wire::Site;
use crate::call::{Call, Era, Reply, Said};
use crate::failure::Failure;
use crate::json;
use crate::message::{self, Message};

pub(super) const PROTOCOL_VERSION: &str = "mcp-protocol-version";
pub(super) const METHOD: &str = "mcp-method";
const SESSION_ID: &str = "mcp-session-id";
const NAME: &str = "mcp-name";

/// What every call of one upstream session carries.
pub(super) struct HttpSession {
    pub(super) site: Arc<Site>,
    /// The site's fields, the revision, and the session id if there is one.
    pub(super) preamble: Preamble,
    pub(super) has_id: bool,
}

/// What an exchange came to.
pub(super) enum Outcome {
    /// The answer.
    Done(Reply),
    /// A stream that holds the answer.
    Events(Box<HttpEvents>),
    /// The upstream does not know the session (2025-11-25 §Session Management: 404), or has become one
    /// of 2026-07-28, which refuses what has not its headers: it did not execute the call.
    Unknown,
    /// The upstream refused the message in a way that old servers use for a lost session. The
    /// reply is the caller's if the call is not safe to repeat.
    Suspect(Reply),
}

impl HttpSession {
    /// A session; fails if what the upstream calls it cannot stand in a field.
    pub(super) fn new(
        site: Arc<Site>,
        revision: &str,
        session_id: Option<&[u8]>,
    ) -> Result<Self, NotFieldValue> {
        let mut preamble = site
            .preamble()
            .with(PROTOCOL_VERSION, revision.as_bytes())?;
        if let Some(id) = session_id {
            preamble = preamble.with(SESSION_ID, id)?;
        }
        Ok(Self {
            site,
            preamble,
            has_id: session_id.is_some(),
        })
    }

    /// Sends a call and reads its answer up to the first event.
    pub(super) async fn call(
        &self,
        call: &Call,
        era: Era,
        id: u64,
        bounds: &Bounds,
    ) -> Result<Outcome, Failure> {
        let room = call.message_bytes() + self.preamble.head_bytes();
        let mut body = Vec::with_capacity(room);
        call.write_message(&mut body, id, era);
        let mut request = Draft::new(Verb::Post, &self.preamble, body);
        if era == Era::Modern {
            // A method that no field can carry cannot be mirrored; a modern upstream would refuse it.
            mirror(call, &mut request).map_err(|NotFieldValue| Failure::Garbage)?;
        }
        for (name, value) in &call.trace {
            let field = request.field(name.as_str(), value.as_bytes());
            field.map_err(|NotFieldValue| Failure::Garbage)?;
        }
        let now = Instant::now();
        let connect_by = (now + Duration::from_millis(call.timeouts.connect_ms)).min(call.deadline);
        let first_by = now + Duration::from_millis(call.timeouts.first_byte_ms);
        let sent = self.site.exchange(request.end(), connect_by);
        let exchange = timeout_at(first_by.min(call.deadline), sent)
            .await
            .map_err(|_| {
                if first_by < call.deadline {
                    Failure::FirstByteTimeout
                } else {
                    Failure::TotalTimeout
                }
            })??;
        let status = exchange.status;
        let has_session = era == Era::Legacy && self.has_id;
        if status == StatusCode::NOT_FOUND && has_session {
            return Ok(Outcome::Unknown);
        }
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(Failure::Unauthorized);
        }
        let idle = Duration::from_millis(call.timeouts.idle_ms);
        match exchange.kind {
            Kind::Json => {
                let mut body = exchange.body;
                let whole = body
                    .read_whole(bounds.reply_bytes, idle, call.deadline)
                    .await?;
                let reply = reply_of(&whole, status, id, bounds)?;
                body.settle();
                Ok(if has_become_modern(&reply, status, era) {
                    Outcome::Unknown
                } else if is_suspect(&reply, status, era, has_session) {
                    Outcome::Suspect(reply)
                } else {
                    Outcome::Done(reply)
                })
            }
            Kind::Events if status.is_success() => {
                let events = HttpEvents::new(exchange, call, id, bounds);
                Ok(Outcome::Events(Box::new(events)))
            }
            Kind::Events | Kind::Other => Err(Failure::Status(status.as_u16())),
        }
    }
}

/// Whether a server of the older era was replaced by one of 2026-07-28: before that reads a call it looks
/// for headers and for a version that calls of the older era have not.
fn has_become_modern(reply: &Reply, status: StatusCode, era: Era) -> bool {
    let Reply::Error(error) = reply else {
        return false;
    };
    era == Era::Legacy
        && status == StatusCode::BAD_REQUEST
        && matches!(code_of(error), Some(-32020 | -32022))
}

/// Whether a refusal may mean that the session is gone or that the server was replaced by one of
/// the other era. Every call says this of itself, so only codes that no call of the right era gets
/// are believed.
fn is_suspect(reply: &Reply, status: StatusCode, era: Era, has_session: bool) -> bool {
    let Reply::Error(error) = reply else {
        return false;
    };
    if status != StatusCode::BAD_REQUEST {
        return false;
    }
    match (era, code_of(error)) {
        (Era::Legacy, Some(-32021)) | (Era::Modern, Some(-32000 | -32600)) => true,
        (Era::Legacy, Some(-32000)) => has_session,
        _ => false,
    }
}

/// Reads a JSON body that must answer the request with this id. Outside 2xx an error counts
/// whatever its id is: servers that refuse a message before reading it cannot know the id.
pub(super) fn reply_of(
    body: &Bytes,
    status: StatusCode,
    id: u64,
    bounds: &Bounds,
) -> Result<Reply, Failure> {
    match message::read_of_server(body, bounds.nesting) {
        Ok(Message::Result {
            id: found,
            result,
            beside,
        }) if status.is_success() => {
            if is_id(&found, id) {
                Ok(Reply::Result(Said::new(result, beside)))
            } else {
                Err(Failure::WrongId)
            }
        }
        Ok(Message::Error {
            id: found,
            error,
            beside,
        }) => {
            let is_ours = found.is_none_or(|found| is_id(&found, id));
            if is_ours || !status.is_success() {
                Ok(Reply::Error(Said::new(error, beside)))
            } else {
                Err(Failure::WrongId)
            }
        }
        _ if !status.is_success() => Err(Failure::Status(status.as_u16())),
        _ => Err(Failure::Garbage),
    }
}

/// Whether a JSON value is this number.
pub(super) fn is_id(raw: &[u8], id: u64) -> bool {
    number_of(raw) == Some(id)
}

/// The number that a JSON value is, if it is a natural one.
pub(super) fn number_of(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// The code of a JSON-RPC error object.
pub(super) fn code_of(error: &Bytes) -> Option<i64> {
    std::str::from_utf8(json::error_code(error)?)
        .ok()?
        .parse()
        .ok()
}

/// The mirror headers of 2026-07-28 (Streamable HTTP §Standard Request Headers).
fn mirror(call: &Call, request: &mut Draft) -> Result<(), NotFieldValue> {
    request.field(METHOD, &call.method)?;
    if let Some(name) = &call.name {
        request.field(NAME, &mirrored_name(name))?;
    }
    for (name, value) in &call.mirrored {
        request.field(name.as_str(), value.as_bytes())?;
    }
    Ok(())
}

/// A name as `Mcp-Name` carries it: as it is, or in base64 between the sentinels.
fn mirrored_name(name: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = name.iter().all(|byte| (b' '..=b'~').contains(byte))
        && name.first() != Some(&b' ')
        && name.last() != Some(&b' ')
        && !(name.starts_with(b"=?base64?") && name.ends_with(b"?="));
    if is_plain {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("=?base64?{}?=", STANDARD.encode(name)).into_bytes())
    }
}
