//! Reads one POST: headers that decide how it is answered, and the message.
//!
//! Owns what comes before a request has a method. Does not know eras' rules: `modern` and `legacy`
//! do. Comes from `pipeline`, goes to the client adapters.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::json::Member;
use crate::message::{self, Malformed, Message};
use crate::params::Met;
use crate::reply::{Ill, LocalReply};
use crate::server::{Field, Head};

/// The session of a legacy client, in its replies.
pub(crate) const SESSION_HEADER: &str = "mcp-session-id";

/// The headers of trace context, and of what goes with it (W3C Trace Context, W3C Baggage).
const TRACE: [&[u8]; 3] = [b"traceparent", b"tracestate", b"baggage"];

/// Which kinds of reply a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepts {
    /// One JSON document.
    pub(crate) json: bool,
    /// An event stream.
    pub(crate) stream: bool,
    /// The rest of a stream that broke off, by `Last-Event-ID`.
    pub(crate) resumes: bool,
    /// Which one it rather has, if it takes both.
    pub(crate) rather: Form,
}

/// The form of a reply that is one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One JSON document.
    Document,
    /// An event stream of one event.
    Stream,
}

impl Accepts {
    /// Whatever comes. Then a document is enough.
    const ANYTHING: Self = Self {
        json: true,
        stream: true,
        resumes: true,
        rather: Form::Document,
    };

    /// Reads `Accept`. A client that sends none takes whatever comes, qualities say what it rather has
    /// (RFC 9110 §12.5.1), and of two kinds with the same quality the one that is named first.
    pub(crate) fn of(head: &Head) -> Self {
        let (mut json, mut stream) = (Weight::NONE, Weight::NONE);
        let values = head.all(Field::Accept);
        let ranges = values.flat_map(|value| value.split(|byte| *byte == b','));
        let mut count = 0;
        for range in ranges {
            count += 1;
            let weight = |precision| Weight {
                precision,
                quality: quality(range),
                place: count,
            };
            let name = essence(range);
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            if is(b"application/json") {
                json.hear(weight(3));
            } else if is(b"text/event-stream") {
                stream.hear(weight(3));
            } else if is(b"*/*") {
                json.hear(weight(1));
                stream.hear(weight(1));
            } else if is(b"application/*") {
                json.hear(weight(2));
            } else if is(b"text/*") {
                stream.hear(weight(2));
            }
        }
        if count == 0 {
            return Self::ANYTHING;
        }
        Self {
            json: json.quality > 0,
            stream: stream.quality > 0,
            resumes: true,
            rather: stream.form_against(json),
        }
    }

    /// Which form a reply of one message has for this client.
    pub(crate) fn form(self) -> Form {
        match (self.json, self.stream) {
            (true, true) => self.rather,
            (false, true) => Form::Stream,
            (_, false) => Form::Document,
        }
    }
}

/// What `Accept` says of one kind of reply.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Weight {
    /// How closely the range that says it fits: the closest one counts.
    precision: u8,
    /// In thousandths.
    quality: u16,
    /// Where the range stands.
    place: u32,
}

impl Weight {
    /// It is not taken.
    const NONE: Self = Self {
        precision: 0,
        quality: 0,
        place: 0,
    };

    /// One more range fits.
    fn hear(&mut self, other: Self) {
        if (other.precision, other.quality) > (self.precision, self.quality) {
            *self = other;
        }
    }

    /// What a client rather has that says this of streams, and the other of documents. A range alone is
    /// no wish for a stream: `*/*` is what clients send that never heard of one.
    fn form_against(self, document: Self) -> Form {
        let is_named_first = self.precision == 3 && self.place < document.place;
        if self.quality > document.quality || self.quality == document.quality && is_named_first {
            Form::Stream
        } else {
            Form::Document
        }
    }
}

/// The quality of a media range in thousandths; what cannot be read does not count.
fn quality(range: &[u8]) -> u16 {
    let mut parameters = range.split(|byte| *byte == b';').skip(1);
    let found = parameters.find_map(|parameter| match parameter.trim_ascii() {
        [b'q' | b'Q', b'=', value @ ..] => thousandths(value),
        _ => None,
    });
    found.unwrap_or(1000)
}

/// Reads `0`, `1` or a fraction between them of up to three digits.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole, b'.', fraction @ ..] => (whole, fraction),
        [whole] => (whole, &[][..]),
        _ => return None,
    };
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    if fraction.len() > 3 {
        return None;
    }
    let mut sum = digit(whole)? * 1000;
    for (byte, place) in fraction.iter().zip([100, 10, 1]) {
        sum += digit(byte)? * place;
    }
    (sum <= 1000).then_some(sum)
}

/// Whether a client asks for an event stream by its name, not by a range that it is in.
pub(crate) fn asks_for_events(head: &Head) -> bool {
    let mut ranges = head
        .all(Field::Accept)
        .flat_map(|value| value.split(|byte| *byte == b','));
    ranges.any(|range| {
        essence(range).eq_ignore_ascii_case(b"text/event-stream") && quality(range) > 0
    })
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

/// The headers that say which trace a request is part of. They are handed on as they are, so that spans of
/// both sides meet: the gateway writes no span, and one of its own as their parent would be in no trace.
/// What `_meta` says of a trace is the message's own and passes with it.
pub(crate) fn trace_of(head: &Head) -> Vec<(HeaderName, HeaderValue)> {
    let is_trace = |name: &[u8]| TRACE.iter().any(|it| name.eq_ignore_ascii_case(it));
    head.others()
        .filter(|(name, _)| is_trace(name))
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_bytes(value).ok()?;
            Some((HeaderName::from_bytes(name).ok()?, value))
        })
        .collect()
}

/// What a body is.
pub(crate) enum Read {
    /// A message, and where the known members of its params are.
    One(Message, Met),
    /// Several messages in an array. Whether there may be such, `batch` says.
    Batch,
}

/// Reads the message of a body, and where the known members of its params are: one pass for both.
///
/// # Errors
/// The body is no message; with the id of one that has an id all the same.
pub(crate) fn read(body: &Bytes, nesting: u32) -> Result<Read, (LocalReply, Option<Bytes>)> {
    let mut met = Met::default();
    let visit = |level, member: Member<'_>| met.take(level, &member);
    match message::read_along(body, nesting, &Met::PATH, visit) {
        Ok(message) => Ok(Read::One(message, met)),
        Err(Malformed::NotJson) => Err((LocalReply::NotJson, None)),
        Err(Malformed::TooDeep) => Err((LocalReply::Ill(Ill::TooDeep), None)),
        Err(Malformed::Listed { id }) => Err((LocalReply::Ill(Ill::Listed), id)),
        Err(Malformed::Batch) => Ok(Read::Batch),
        Err(Malformed::NotMessage { id }) => Err((LocalReply::NotMessage, id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(values: &[&str]) -> Accepts {
        let fields: Vec<_> = values.iter().map(|v| ("accept", v.as_bytes())).collect();
        Accepts::of(&Head::with("POST /mcp", &fields))
    }

    #[test]
    fn order_and_quality_say_which_form_a_client_rather_has() {
        for (value, form) in [
            ("application/json, text/event-stream", Form::Document),
            ("text/event-stream, application/json", Form::Stream),
            (
                "Text/Event-Stream;q=1.000 , APPLICATION/JSON; q=1",
                Form::Stream,
            ),
            ("text/event-stream;q=0.9, application/json", Form::Document),
            (
                "application/json;q=0.899, text/event-stream;q=0.9",
                Form::Stream,
            ),
            (
                "application/json;charset=utf-8;Q=0.5, text/event-stream",
                Form::Stream,
            ),
            ("text/event-stream, */*", Form::Stream),
            ("*/*, text/event-stream", Form::Document),
            ("*/*;q=0.1, text/event-stream;q=0.2", Form::Stream),
            ("text/*, application/json", Form::Document),
            ("*/*", Form::Document),
            ("text/event-stream", Form::Stream),
            ("application/json", Form::Document),
            // The closest range counts, wherever it stands.
            (
                "text/event-stream;q=0.1, text/*, application/json;q=0.5",
                Form::Document,
            ),
            // What is no quality does not count.
            (
                "text/event-stream;q=high, application/json;q=2",
                Form::Stream,
            ),
            (
                "application/json;q=0.0001, text/event-stream",
                Form::Document,
            ),
        ] {
            assert_eq!(accepts(&[value]).form(), form, "{value}");
        }
        assert_eq!(accepts(&[]).form(), Form::Document);
        let two_lines = ["text/event-stream", "application/json"];
        assert_eq!(accepts(&two_lines).form(), Form::Stream);
    }

    #[test]
    fn what_has_no_quality_at_all_is_not_taken() {
        for (value, json, stream) in [
            ("application/json, text/event-stream;q=0", true, false),
            ("text/event-stream;q=0.000, */*", true, false),
            ("application/json;q=0, */*;q=0.1", false, true),
            ("*/*;q=0", false, false),
            ("text/html", false, false),
            ("text/*", false, true),
            ("application/*", true, false),
            ("", false, false),
        ] {
            let taken = accepts(&[value]);
            assert_eq!((taken.json, taken.stream), (json, stream), "{value:?}");
        }
    }
}
