//! Reads one POST: headers that decide how it is answered, and the message.
//!
//! Owns what comes before a request has a method. Does not know eras' rules: `modern` and `legacy`
//! do. Comes from `pipeline`, goes to the client adapters.

use bytes::Bytes;

use crate::json::Member;
use crate::message::{self, Malformed, Message};
use crate::params::Met;
use crate::reply::LocalReply;
use crate::server::{Field, Head};

/// The session of a legacy client, in its replies.
pub(crate) const SESSION_HEADER: &str = "mcp-session-id";

/// Which kinds of reply a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepts {
    /// One JSON document.
    pub(crate) json: bool,
    /// An event stream.
    pub(crate) stream: bool,
    /// The rest of a stream that broke off, by `Last-Event-ID`.
    pub(crate) resumes: bool,
}

impl Accepts {
    /// Reads `Accept`. A client that sends none takes whatever comes (RFC 9110 §12.5.1).
    pub(crate) fn of(head: &Head) -> Self {
        let mut accepts = Self {
            json: false,
            stream: false,
            resumes: true,
        };
        let mut any = false;
        for value in head.all(Field::Accept) {
            any = true;
            for range in value.split(|byte| *byte == b',') {
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
                resumes: true,
            }
        }
    }
}

/// Whether a client asks for an event stream by its name, not by a range that it is in.
pub(crate) fn asks_for_events(head: &Head) -> bool {
    let mut ranges = head
        .all(Field::Accept)
        .flat_map(|value| value.split(|byte| *byte == b','));
    ranges.any(|range| essence(range).eq_ignore_ascii_case(b"text/event-stream"))
}

/// A media type or range without its parameters.
fn essence(value: &[u8]) -> &[u8] {
    let parameters = memchr::memchr(b';', value).unwrap_or(value.len());
    value.get(..parameters).unwrap_or_default().trim_ascii()
}

/// Whether the body is declared as JSON.
pub(crate) fn is_json(head: &Head) -> bool {
    let Some(value) = head.field(Field::ContentType) else {
        return false;
    };
    essence(value).eq_ignore_ascii_case(b"application/json")
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
