//! Heads of HTTP/1.1 messages towards upstreams: requests are rendered, response heads are read.
//!
//! Owns the fields that every request carries, what may stand in a field, and what is believed of a
//! response's framing (RFC 9112 §6.3). Does no input or output: `wire` does, and `body` reads what
//! comes behind a head. Of a response only the few fields that matter here are kept.

use std::mem::MaybeUninit;

use http::StatusCode;
use http::{HeaderName, HeaderValue};
use mcpc_plan::HttpTransport;

use crate::failure::Failure;
use crate::params::write_number;

/// The most bytes of a response head.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most fields of a response head.
const FIELDS_MAX: usize = 100;

/// The fields that every request of a site or a session carries, as they are sent.
#[derive(Clone)]
pub(super) struct Preamble {
    path: Box<str>,
    fields: Vec<u8>,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Takes a message.
    Post,
    /// Opens a stream.
    Get,
    /// Ends a session.
    Delete,
}

/// Room for the fields of a single request.
const FIELDS_BYTES: usize = 256;

/// A request whose head still takes fields. The body comes first in the bytes, so that its length
/// is known to the head and both share one allocation.
pub(super) struct Draft {
    bytes: Vec<u8>,
    body_bytes: usize,
}

/// A request as it is sent.
pub(super) struct Request(Draft);

/// A text that cannot stand in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotFieldValue;

/// What a response's body is, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Events,
    Other,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Sized(u64),
    Chunked,
    UntilClose,
}

/// A response head, as far as anybody wants to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) kind: Kind,
    pub(super) session_id: Option<Box<[u8]>>,
    pub(super) length: Length,
    /// Whether the upstream keeps the connection open afterwards.
    pub(super) keeps: bool,
}

impl Preamble {
    /// The fields of every request to a site; nothing if path or authority cannot stand in a head.
    pub(super) fn new(
        transport: &HttpTransport,
        secrets: &[(HeaderName, HeaderValue)],
    ) -> Option<Self> {
        if !transport.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut preamble = Self {
            path: transport.path.clone(),
            fields: Vec::new(),
        };
        let accept = b"application/json, text/event-stream";
        let agent = concat!("mcpc/", env!("CARGO_PKG_VERSION"));
        preamble.add("host", transport.authority.as_bytes()).ok()?;
        preamble.add("accept", accept).ok()?;
        let is_agent = |(name, _): &(HeaderName, _)| *name == http::header::USER_AGENT;
        if !secrets.iter().any(is_agent) {
            preamble.add("user-agent", agent.as_bytes()).ok()?;
        }
        for (name, value) in secrets {
            preamble.add(name.as_str(), value.as_bytes()).ok()?;
        }
        Some(preamble)
    }

    /// The same and one more field.
    pub(super) fn with(&self, name: &str, value: &[u8]) -> Result<Self, NotFieldValue> {
        let mut preamble = self.clone();
        preamble.add(name, value)?;
        Ok(preamble)
    }

    /// The same at another path; nothing if it cannot stand in a request.
    pub(super) fn at(&self, path: &str) -> Option<Self> {
        let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self {
            path: path.into(),
            fields: self.fields.clone(),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// How much room to leave behind a body.
    pub(super) fn head_bytes(&self) -> usize {
        self.path.len() + self.fields.len() + FIELDS_BYTES
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), NotFieldValue> {
        write_field(&mut self.fields, name, value)
    }
}

impl Draft {
    /// Begins a request. Only a message has a body. What is reserved beside it is little: blocks of up
    /// to a kilobyte come from the allocator's quick lists.
    pub(super) fn new(verb: Verb, preamble: &Preamble, body: Vec<u8>) -> Self {
        let body_bytes = body.len();
        let mut bytes = body;
        bytes.reserve(preamble.head_bytes());
        bytes.extend_from_slice(match verb {
            Verb::Post => b"POST ",
            Verb::Get => b"GET ",
            Verb::Delete => b"DELETE ",
        });
        bytes.extend_from_slice(preamble.path.as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        bytes.extend_from_slice(&preamble.fields);
        if verb == Verb::Post {
            bytes.extend_from_slice(b"content-type: application/json\r\ncontent-length: ");
            write_number(&mut bytes, u64::try_from(body_bytes).unwrap_or(u64::MAX));
            bytes.extend_from_slice(b"\r\n");
        }
        Self { bytes, body_bytes }
    }

    /// Adds a field.
    pub(super) fn field(&mut self, name: &str, value: &[u8]) -> Result<(), NotFieldValue> {
        write_field(&mut self.bytes, name, value)
    }

    /// The head is complete.
    pub(super) fn end(mut self) -> Request {
        self.bytes.extend_from_slice(b"\r\n");
        Request(self)
    }
}

impl Request {
    /// Head and body, without the first `written` bytes of both.
    pub(super) fn rest(&self, written: usize) -> (&[u8], &[u8]) {
        let Draft { bytes, body_bytes } = &self.0;
        let (body, head) = bytes.split_at_checked(*body_bytes).unwrap_or_default();
        let of_body = written.saturating_sub(head.len());
        (
            head.get(written..).unwrap_or_default(),
            body.get(of_body..).unwrap_or_default(),
        )
    }

    /// The bytes of head and body.
    pub(super) fn len(&self) -> usize {
        self.0.bytes.len()
    }
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), NotFieldValue> {
    if !value.iter().copied().all(is_field_byte) {
        return Err(NotFieldValue);
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn is_field_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Reads a response head. Gives it with its length in bytes, or nothing if it is incomplete.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Failure> {
    // Nothing may stand in front of a status line, not even what parsers skip.
    if bytes.first().is_some_and(|first| *first != b'H') {
        return Err(Failure::Garbage);
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut fields)
        .map_err(|_| Failure::Garbage)?;
    let head_bytes = match parsed {
        httparse::Status::Complete(length) if length <= HEAD_BYTES_MAX => length,
        httparse::Status::Partial if bytes.len() <= HEAD_BYTES_MAX => return Ok(None),
        httparse::Status::Complete(_) | httparse::Status::Partial => return Err(Failure::Garbage),
    };
    Ok(Some((Head::of(&response)?, head_bytes)))
}

/// What the fields of a head say, before it is known whether they agree.
#[derive(Default)]
struct Said<'a> {
    kind: Option<&'a [u8]>,
    session_id: Option<&'a [u8]>,
    length: Option<u64>,
    is_chunked: bool,
    closes: bool,
}

impl<'a> Said<'a> {
    fn take(&mut self, name: &str, value: &'a [u8]) -> Result<(), Failure> {
        // Names are told apart by their length first: most fields are of no interest.
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                self.closes |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
            }
            12 if name.eq_ignore_ascii_case("content-type") => {
                self.kind = self.kind.or(Some(value));
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = number(value).ok_or(Failure::Garbage)?;
                if self.length.replace(length).is_some_and(|it| it != length) {
                    return Err(Failure::Garbage);
                }
            }
            14 if name.eq_ignore_ascii_case("mcp-session-id") => {
                self.session_id = self.session_id.or(Some(value));
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Failure::Garbage);
                }
                self.is_chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Head {
    fn of(response: &httparse::Response<'_, '_>) -> Result<Self, Failure> {
        let mut said = Said::default();
        for field in response.headers.iter() {
            said.take(field.name, field.value)?;
        }
        let status = response
            .code
            .and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or(Failure::Garbage)?;
        let is_latest = response.version == Some(1);
        let is_bare = status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = match (said.is_chunked, said.length) {
            (true, Some(_)) => return Err(Failure::Garbage),
            (true, None) if !is_latest => return Err(Failure::Garbage),
            _ if is_bare => Length::Sized(0),
            (true, None) => Length::Chunked,
            (false, Some(length)) => Length::Sized(length),
            (false, None) => Length::UntilClose,
        };
        Ok(Self {
            status,
            kind: Kind::of(said.kind.unwrap_or_default()),
            session_id: said.session_id.map(Box::from),
            length,
            keeps: is_latest && !said.closes && length != Length::UntilClose,
        })
    }
}

impl Kind {
    fn of(value: &[u8]) -> Self {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        let essence = essence.trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/json") {
            Self::Json
        } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Self::Events
        } else {
            Self::Other
        }
    }
}

/// A number of decimal digits only.
fn number(digits: &[u8]) -> Option<u64> {
    // 18 digits cannot overflow, and no body is larger.
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number * 10 + digit)
    })
}
