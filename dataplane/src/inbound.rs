//! Reads one POST: headers that decide how it is answered, the body within its bound, the message.
//!
//! Owns what comes before a request has a method. Does not know eras' rules: `modern` and `legacy`
//! do. Comes from `pipeline`, goes to the client adapters.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName};

use crate::json::Member;
use crate::message::{self, Malformed, Message};
use crate::params::Met;
use crate::reply::LocalReply;

/// The protocol version that a client names on every request but the first.
pub(crate) const VERSION_HEADER: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The session of a legacy client.
pub(crate) const SESSION_HEADER: HeaderName = HeaderName::from_static("mcp-session-id");

/// Which kinds of reply a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepts {
    /// One JSON document.
    pub(crate) json: bool,
    /// An event stream.
    pub(crate) stream: bool,
}

impl Accepts {
    /// Reads `Accept`. A client that sends none takes whatever comes (RFC 9110 §12.5.1).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut accepts = Self {
            json: false,
            stream: false,
        };
        let mut any = false;
        for value in headers.get_all(ACCEPT) {
            any = true;
            for range in value.as_bytes().split(|byte| *byte == b',') {
                let range = essence(range);
                let is = |other: &[u8]| range.eq_ignore_ascii_case(other);
                let everything = is(b"*/*");
                accepts.json |= everything || is(b"application/json") || is(b"application/*");
                accepts.stream |= everything || is(b"text/event-stream") || is(b"text/*");
            }
        }
        if any {
            accepts
        } else {
            Self {
                json: true,
                stream: true,
            }
        }
    }
}

/// A media type or range without its parameters.
fn essence(value: &[u8]) -> &[u8] {
    let parameters = memchr::memchr(b';', value).unwrap_or(value.len());
    value.get(..parameters).unwrap_or_default().trim_ascii()
}

/// Whether the body is declared as JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    essence(value.as_bytes()).eq_ignore_ascii_case(b"application/json")
}

/// The whole body, if it is no larger than the bound. One chunk stays where it is; several are
/// joined into a buffer of the announced size.
pub(crate) async fn collect(mut body: Incoming, bytes_limit: u64) -> Result<Bytes, LocalReply> {
    let announced = body.size_hint().lower();
    if announced > bytes_limit {
        return Err(LocalReply::BodyTooLarge);
    }
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| LocalReply::BodyCut)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let had = first.len().max(joined.len());
        if u64::try_from(had + data.len()).unwrap_or(u64::MAX) > bytes_limit {
            return Err(LocalReply::BodyTooLarge);
        }
        if had == 0 {
            first = data;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(
                usize::try_from(announced)
                    .unwrap_or(0)
                    .max(had + data.len()),
            );
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() {
        first
    } else {
        joined.freeze()
    })
}

/// Reads the message of a body, and where the known members of its params are: one pass for both.
pub(crate) fn read(
    body: &Bytes,
    nesting: u32,
) -> Result<(Message, Met), (LocalReply, Option<Bytes>)> {
    let mut met = Met::default();
    let visit = |level, member: Member<'_>| met.take(level, &member);
    match message::read_along(body, nesting, &Met::PATH, visit) {
        Ok(message) => Ok((message, met)),
        Err(Malformed::NotJson) => Err((LocalReply::NotJson, None)),
        Err(Malformed::Batch) => Err((LocalReply::Batch, None)),
        Err(Malformed::NotMessage { id }) => Err((LocalReply::NotMessage, id)),
    }
}
