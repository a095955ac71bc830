//! Heads of requests: one pass that refuses what two parsers could read in two ways and finds what
//! the gateway reads.
//!
//! Owns the judgement of request lines and fields, stricter than RFC 9112 allows for, on purpose
//! (`docs/decisions/0012-framing-guard.md`, `0022-server-leg.md`). Fields that the gateway knows have a
//! place of their own; the others stay ranges. Nothing is copied. Knows no sockets; bodies are `chunked`'s and `intake`'s.

use bytes::Bytes;
use http::Uri;
use memchr::{memchr, memchr3, memrchr};

use super::fault::{Fault, HeadBounds};

/// One request's head, and how far it was read.
#[derive(Default)]
pub(crate) struct Head {
    bytes: Bytes,
    method: Method,
    name: Span,
    target: Span,
    path: Span,
    /// A target that names more than a path. Few clients send one.
    absolute: Option<Box<Uri>>,
    known: [Span; Field::COUNT],
    /// Which known fields stand there, and which more than once: a bit each.
    seen: u16,
    repeated: u16,
    /// Fields without a place of their own, and what repeats one that has.
    others: Vec<(Span, Span)>,
    reading: Reading,
    length: Length,
    connection: Connection,
}

/// A field that the gateway reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Field {
    /// `Host`.
    Host,
    /// `Origin`.
    Origin,
    /// `Accept`.
    Accept,
    /// `Content-Type`.
    ContentType,
    /// `Mcp-Session-Id`.
    Session,
    /// `MCP-Protocol-Version`.
    Version,
    /// `Mcp-Method`.
    Method,
    /// `Mcp-Name`.
    Name,
    /// `Last-Event-ID`.
    LastEvent,
    /// `Authorization`.
    Authorization,
    /// `Expect`.
    Expect,
}

/// How a message's body is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is none.
    #[default]
    None,
    /// By a count of bytes, which is not zero.
    Sized(u64),
    /// By chunks.
    Chunked,
}

/// What is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
    Delete,
    Head,
    /// Any other one.
    #[default]
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Protocol {
    /// The request line was not read yet.
    #[default]
    Unknown,
    Http10,
    Http11,
}

/// A range of the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

/// How far a head was read. Offsets count from the first byte of the request.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// Where the current line starts.
    line: usize,
    /// Up to where no line end was found.
    searched: usize,
    /// Where the request starts: behind an empty line, of which one is tolerated (RFC 9112 §2.2).
    start: usize,
    fields: usize,
    length: Option<u64>,
    is_chunked: bool,
    protocol: Protocol,
}

/// What `Connection` asks for.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
}

impl Field {
    const COUNT: usize = 11;

    /// The field of this name, if the gateway reads it. Most others fall out by their length.
    fn of(name: &[u8]) -> Option<Self> {
        let field = match (name.len(), name.first()?.to_ascii_lowercase()) {
            (4, _) => Self::Host,
            (6, b'a') => Self::Accept,
            (6, b'o') => Self::Origin,
            (6, b'e') => Self::Expect,
            (8, b'm') => Self::Name,
            (10, b'm') => Self::Method,
            (12, b'c') => Self::ContentType,
            (13, b'a') => Self::Authorization,
            (13, b'l') => Self::LastEvent,
            (14, b'm') => Self::Session,
            (20, b'm') => Self::Version,
            _ => return None,
        };
        name.eq_ignore_ascii_case(field.spelled()).then_some(field)
    }

    const fn spelled(self) -> &'static [u8] {
        match self {
            Self::Host => b"host",
            Self::Origin => b"origin",
            Self::Accept => b"accept",
            Self::ContentType => b"content-type",
            Self::Session => b"mcp-session-id",
            Self::Version => b"mcp-protocol-version",
            Self::Method => b"mcp-method",
            Self::Name => b"mcp-name",
            Self::LastEvent => b"last-event-id",
            Self::Authorization => b"authorization",
            Self::Expect => b"expect",
        }
    }

    #[cfg(test)]
    const ALL: [Self; Self::COUNT] = [
        Self::Host,
        Self::Origin,
        Self::Accept,
        Self::ContentType,
        Self::Session,
        Self::Version,
        Self::Method,
        Self::Name,
        Self::LastEvent,
        Self::Authorization,
        Self::Expect,
    ];

    fn bit(self) -> u16 {
        1 << (self as u8)
    }
}

/// What the gateway asks.
impl Head {
    /// The method.
    pub(crate) fn method(&self) -> Method {
        self.method
    }

    /// The path of the target.
    pub(crate) fn path(&self) -> &str {
        match &self.absolute {
            Some(uri) => uri.path(),
            None => std::str::from_utf8(self.get(self.path)).unwrap_or_default(),
        }
    }

    /// The query of the target, without its question mark.
    pub(crate) fn query(&self) -> Option<&str> {
        if let Some(uri) = &self.absolute {
            return uri.query();
        }
        let target = std::str::from_utf8(self.get(self.target)).ok()?;
        let target = target.split_once('#').map_or(target, |(before, _)| before);
        target.split_once('?').map(|(_, query)| query)
    }

    /// The authority of a target that names one.
    pub(crate) fn authority(&self) -> Option<&str> {
        let uri = self.absolute.as_ref()?;
        uri.authority().map(http::uri::Authority::as_str)
    }

    /// The value of a field; the first one, if there are several.
    pub(crate) fn field(&self, field: Field) -> Option<&[u8]> {
        let span = self.known.get(field as usize)?;
        (self.seen & field.bit() != 0).then(|| self.get(*span))
    }

    /// Whether a field stands there more than once.
    pub(crate) fn repeats(&self, field: Field) -> bool {
        self.repeated & field.bit() != 0
    }

    /// All values of a field.
    pub(crate) fn all(&self, field: Field) -> impl Iterator<Item = &[u8]> {
        let others: &[_] = if self.repeats(field) {
            &self.others
        } else {
            &[]
        };
        let repeated = others
            .iter()
            .filter(move |(name, _)| Field::of(self.get(*name)) == Some(field))
            .map(|(_, value)| self.get(*value));
        self.field(field).into_iter().chain(repeated)
    }

    /// Names and values of the fields that the gateway does not know one by one.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.others
            .iter()
            .map(|(name, value)| (self.get(*name), self.get(*value)))
    }

    fn get(&self, span: Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_default()
    }
}

/// What the connection asks.
impl Head {
    /// How the body is delimited.
    pub(crate) fn length(&self) -> Length {
        self.length
    }

    /// Whether the client speaks HTTP/1.0.
    pub(crate) fn is_old(&self) -> bool {
        self.reading.protocol == Protocol::Http10
    }

    /// Whether the connection may serve another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        !self.connection.close && (!self.is_old() || self.connection.keep_alive)
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) fn expects_continue(&self) -> bool {
        let mut expected = self.all(Field::Expect);
        let last = expected.by_ref().last();
        last.is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"))
    }

    /// Makes room for the next request.
    pub(crate) fn clear(&mut self) {
        let mut others = std::mem::take(&mut self.others);
        others.clear();
        *self = Self {
            others,
            ..Self::default()
        };
    }

    /// Takes the bytes that were judged.
    pub(crate) fn keep(&mut self, bytes: Bytes) {
        self.bytes = bytes;
    }

    /// Reads on. `bytes` start with the first byte of the request, however much of it was seen before.
    /// Gives how many bytes the head has, or nothing if it is incomplete.
    ///
    /// # Errors
    /// Why the request is refused. Nothing may be read from this connection any more.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        bounds: HeadBounds,
    ) -> Result<Option<usize>, Fault> {
        loop {
            // What lies behind the bound is not looked at, or the verdict would depend on how much is here.
            let most = bytes.len().min(self.reading.start + bounds.bytes);
            let Some(line) = self.next_line(bytes.get(..most).unwrap_or_default())? else {
                if most < bytes.len() {
                    return Err(Fault::HeadTooLarge);
                }
                return Ok(None);
            };
            let text = bytes.get(line.range()).unwrap_or_default();
            if self.reading.protocol == Protocol::Unknown {
                if text.is_empty() && self.reading.start == 0 {
                    self.reading.start = self.reading.line;
                } else {
                    self.request_line(line, text)?;
                }
            } else if text.is_empty() {
                self.finish()?;
                return Ok(Some(self.reading.line));
            } else {
                self.one_field(line, text, bounds)?;
            }
        }
    }
}

#[cfg(test)]
impl Head {
    /// The method as it was sent.
    pub(crate) fn name(&self) -> &str {
        std::str::from_utf8(self.get(self.name)).unwrap_or_default()
    }

    /// All fields, with names in lower case.
    pub(crate) fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let text = |name: &[u8]| String::from_utf8_lossy(name).to_ascii_lowercase();
        let known = Field::ALL.into_iter().filter_map(|field| {
            let value = self.field(field)?.to_vec();
            Some((String::from_utf8_lossy(field.spelled()).into_owned(), value))
        });
        let others = self
            .others()
            .map(|(name, value)| (text(name), value.to_vec()));
        known.chain(others).collect()
    }

    /// A head that nobody judged: a method and a target, and fields, as often as they are given.
    pub(crate) fn with(request: &str, fields: &[(&str, &[u8])]) -> Self {
        let bounds = HeadBounds {
            bytes: usize::MAX,
            fields: usize::MAX,
        };
        let mut text = format!("{request} HTTP/1.1\r\n").into_bytes();
        let mut head = Self::default();
        let line = Span::of(0, text.len() - 2);
        let _judged = head.request_line(line, text.get(line.range()).unwrap_or_default());
        for (name, value) in fields {
            let start = text.len();
            text.extend_from_slice(&[name.as_bytes(), b": ", value].concat());
            let line = Span::of(start, text.len());
            let judged = head.one_field(line, text.get(line.range()).unwrap_or_default(), bounds);
            if judged == Err(Fault::HostTwice) {
                head.repeated |= Field::Host.bit();
            }
        }
        head.bytes = text.into();
        head
    }
}

/// Reading.
impl Head {
    /// The next whole line without its end; nothing if it is incomplete.
    fn next_line(&mut self, bytes: &[u8]) -> Result<Option<Span>, Fault> {
        let reading = &mut self.reading;
        let unseen = bytes.get(reading.searched..).unwrap_or_default();
        let Some(found) = memchr3(b'\r', b'\n', 0, unseen) else {
            reading.searched = bytes.len();
            return Ok(None);
        };
        let end = reading.searched + found;
        match (bytes.get(end), bytes.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => {
                let line = Span::of(reading.line, end);
                reading.line = end + 2;
                reading.searched = reading.line;
                Ok(Some(line))
            }
            (Some(b'\r'), None) => {
                reading.searched = end;
                Ok(None)
            }
            _ => Err(Fault::LineEnd),
        }
    }

    fn request_line(&mut self, line: Span, text: &[u8]) -> Result<(), Fault> {
        let (rest, version) = split_at(text, memrchr(b' ', text)).ok_or(Fault::RequestLine)?;
        let (method, target) = split_at(rest, memchr(b' ', rest)).ok_or(Fault::RequestLine)?;
        let protocol = match version {
            b"HTTP/1.1" => Protocol::Http11,
            b"HTTP/1.0" => Protocol::Http10,
            other if other.starts_with(b"HTTP/") => return Err(Fault::Version),
            _ => return Err(Fault::RequestLine),
        };
        self.method = match method {
            b"POST" => Method::Post,
            b"GET" => Method::Get,
            b"DELETE" => Method::Delete,
            b"HEAD" => Method::Head,
            b"CONNECT" => return Err(Fault::Connect),
            [] => return Err(Fault::RequestLine),
            other if other.iter().copied().all(is_token) => Method::Other,
            _ => return Err(Fault::RequestLine),
        };
        self.reading.protocol = protocol;
        self.name = line.part(0, method.len());
        let start = method.len() + 1;
        self.target = line.part(start, start + target.len());
        self.path = line.part(start, start + path_bytes(target)?);
        if target.first() != Some(&b'/') {
            let uri = Uri::try_from(target).map_err(|_| Fault::RequestLine)?;
            self.absolute = Some(Box::new(uri));
        }
        Ok(())
    }

    fn one_field(&mut self, line: Span, text: &[u8], bounds: HeadBounds) -> Result<(), Fault> {
        self.reading.fields += 1;
        if self.reading.fields > bounds.fields {
            return Err(Fault::TooManyFields);
        }
        let colon = text.iter().position(|byte| !is_token(*byte));
        let colon = colon.unwrap_or_default();
        // A blank before the colon is no token character either.
        if colon == 0 || text.get(colon) != Some(&b':') {
            let folded = matches!(text.first(), Some(b' ' | b'\t'));
            return Err(if folded { Fault::Folded } else { Fault::Field });
        }
        let name = text.get(..colon).unwrap_or_default();
        let value = trim(text.get(colon + 1..).unwrap_or_default(), colon + 1);
        let span = line.part(value.0, value.1);
        let value = text.get(value.0..value.1).unwrap_or_default();
        if self.framing_field(name, value)? {
            return Ok(());
        }
        if !is_plain(value) {
            return Err(Fault::Field);
        }
        let name_span = line.part(0, colon);
        let Some(field) = Field::of(name) else {
            self.others.push((name_span, span));
            return Ok(());
        };
        if self.seen & field.bit() == 0 {
            self.seen |= field.bit();
            if let Some(place) = self.known.get_mut(field as usize) {
                *place = span;
            }
            return Ok(());
        }
        if field == Field::Host {
            return Err(Fault::HostTwice);
        }
        self.repeated |= field.bit();
        self.others.push((name_span, span));
        Ok(())
    }

    /// Takes a field that belongs to the hop, if it is one: nothing behind the connection reads those.
    fn framing_field(&mut self, name: &[u8], value: &[u8]) -> Result<bool, Fault> {
        match name.len() {
            // A server may ignore an offer (RFC 9110 §7.8), and common clients make this one.
            7 if name.eq_ignore_ascii_case(b"upgrade") && value != b"h2c" => Err(Fault::Upgrade),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for token in value.split(|byte| *byte == b',') {
                    let token = token.trim_ascii();
                    self.connection.close |= token.eq_ignore_ascii_case(b"close");
                    self.connection.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
                is_plain(value).then_some(true).ok_or(Fault::Field)
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = plain_number(value).ok_or(Fault::ContentLength)?;
                match self.reading.length.replace(length) {
                    None => Ok(true),
                    Some(_) => Err(Fault::ContentLength),
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let sound = self.reading.protocol == Protocol::Http11
                    && value.eq_ignore_ascii_case(b"chunked");
                if !sound || self.reading.is_chunked {
                    return Err(Fault::TransferEncoding);
                }
                self.reading.is_chunked = true;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Judges what only the whole head shows.
    fn finish(&mut self) -> Result<(), Fault> {
        if self.seen & Field::Host.bit() == 0 && !self.is_old() {
            return Err(Fault::HostMissing);
        }
        self.length = match (self.reading.is_chunked, self.reading.length) {
            (true, Some(_)) => return Err(Fault::BothLengths),
            (true, None) => Length::Chunked,
            (false, Some(length)) if length > 0 => Length::Sized(length),
            (false, _) => Length::None,
        };
        Ok(())
    }
}

impl Span {
    /// Heads are bounded far below what a span can tell.
    fn of(start: usize, end: usize) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: narrow(start),
            end: narrow(end),
        }
    }

    /// A part of it.
    fn part(self, start: usize, end: usize) -> Self {
        let base = self.start as usize;
        Self::of(base + start, base + end)
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// How many bytes of a target are its path. What no URI holds is refused.
fn path_bytes(target: &[u8]) -> Result<usize, Fault> {
    let refused = |byte: &u8| !byte.is_ascii_graphic() || matches!(byte, b'<' | b'>' | b'`');
    let is_end = |byte: &u8| matches!(byte, b'?' | b'#') || refused(byte);
    let path = target.iter().position(is_end).unwrap_or(target.len());
    let rest = target.get(path..).unwrap_or_default();
    let fragment = memchr(b'#', rest).unwrap_or(rest.len());
    let (query, fragment) = rest.split_at_checked(fragment).unwrap_or_default();
    let sound = !target.is_empty()
        && query.first().is_none_or(|byte| *byte == b'?')
        && query
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>'))
        && fragment.iter().all(u8::is_ascii_graphic);
    sound.then_some(path).ok_or(Fault::RequestLine)
}

/// What is before and after a byte.
fn split_at(bytes: &[u8], at: Option<usize>) -> Option<(&[u8], &[u8])> {
    let (before, rest) = bytes.split_at_checked(at?)?;
    Some((before, rest.get(1..)?))
}

/// Where a value starts and ends without the blanks around it that HTTP allows; other white space is
/// part of it. `start` is where it starts with them.
fn trim(value: &[u8], start: usize) -> (usize, usize) {
    let (mut value, mut start) = (value, start);
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
        start += 1;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    (start, start + value.len())
}

/// Whether a value has no control characters but tabs.
fn is_plain(value: &[u8]) -> bool {
    value
        .iter()
        .all(|byte| *byte >= b' ' && *byte != 0x7f || *byte == b'\t')
}

/// A number of decimal digits only.
fn plain_number(digits: &[u8]) -> Option<u64> {
    // 18 digits cannot overflow.
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number * 10 + digit)
    })
}

/// Whether a byte may stand in a method or field name (RFC 9110 §5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            let mark = matches!(
                byte,
                b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
            #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
            {
                table[byte as usize] = mark || byte.is_ascii_alphanumeric();
            }
            byte += 1;
        }
        table
    };
    TOKEN.get(usize::from(byte)).copied().unwrap_or(false)
}
