//! Follows the framing of HTTP/1.1 requests and refuses what two parsers could read in two ways.
//!
//! Owns the judgement of request heads and chunked bodies as a state machine over bytes, without
//! sockets and without allocation. Stricter than RFC 9112 allows for, on purpose (see
//! `docs/decisions/0012-framing-guard.md`). Does not decode anything: hyper reads the same bytes
//! after `guard` let them pass.

use memchr::{memchr, memchr3, memrchr};

use crate::server::fault::{Fault, HeadBounds};

/// Follows one connection's requests.
pub(crate) struct Framing {
    bounds: HeadBounds,
    state: State,
    /// Heads that were let pass.
    heads: u64,
}

/// How far the bytes may go on to the HTTP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// So many of them. The rest is an incomplete head, or is refused.
    pub(crate) passed: usize,
    /// Why the rest is refused. Nothing may be read from this connection any more.
    pub(crate) fault: Option<Fault>,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head(Head),
    Sized(u64),
    Chunked(Chunked),
    Refused(Fault, Place),
}

/// Where a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before any of it passed.
    Head,
    /// After its head passed.
    Body,
}

/// What is known of a head that is not complete. Offsets count from the first byte not passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Head {
    /// Where the current line starts.
    line: usize,
    /// Up to where no line end was found.
    searched: usize,
    version: Option<Version>,
    /// An empty line came before the request; one is tolerated (RFC 9112 §2.2).
    blank: bool,
    fields: usize,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// Where a chunked body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunked {
    at: ChunkedAt,
    /// The size of the current chunk, as far as it was read; then, what is left of it.
    size: u64,
    digits: u8,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkedAt {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// The most bytes of chunk extensions in one body. Nobody uses them; much smaller than what hyper takes.
const EXTENSION_BYTES: usize = 1024;

impl Framing {
    /// At the start of a connection.
    pub(crate) fn new(bounds: HeadBounds) -> Self {
        Self {
            bounds,
            state: State::Head(Head::default()),
            heads: 0,
        }
    }

    /// Judges bytes. They start with the first byte that did not pass yet: an incomplete head is
    /// given again, with more behind it, and only what is new in it is looked at.
    pub(crate) fn advance(&mut self, bytes: &[u8]) -> Progress {
        let mut passed = 0;
        loop {
            let rest = bytes.get(passed..).unwrap_or_default();
            if rest.is_empty() {
                return Progress {
                    passed,
                    fault: None,
                };
            }
            let step = match self.state {
                State::Head(head) => self.read_head(head, rest),
                State::Sized(left) => Ok(Some(self.skip(left, rest))),
                State::Chunked(mut chunked) => {
                    let (count, step) = chunked.read(rest, self.bounds);
                    passed += count;
                    step.map(|end| {
                        self.state = match end {
                            End::Open => State::Chunked(chunked),
                            End::Closed => State::Head(Head::default()),
                        };
                        Some(0)
                    })
                }
                State::Refused(fault, _) => {
                    return Progress {
                        passed,
                        fault: Some(fault),
                    };
                }
            };
            match step {
                Ok(Some(count)) => passed += count,
                Ok(None) => {
                    return Progress {
                        passed,
                        fault: None,
                    };
                }
                Err(fault) => {
                    let place = match self.state {
                        State::Chunked(_) | State::Sized(_) => Place::Body,
                        State::Head(_) | State::Refused(..) => Place::Head,
                    };
                    self.state = State::Refused(fault, place);
                    return Progress {
                        passed,
                        fault: Some(fault),
                    };
                }
            }
        }
    }

    /// How many requests passed, not counting one whose head is incomplete.
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the rest of a body must come.
    pub(crate) fn is_in_body(&self) -> bool {
        matches!(self.state, State::Sized(_) | State::Chunked(_))
    }

    /// Where the request was refused, if one was.
    pub(crate) fn refused(&self) -> Option<Place> {
        match self.state {
            State::Refused(_, place) => Some(place),
            State::Head(_) | State::Sized(_) | State::Chunked(_) => None,
        }
    }

    fn skip(&mut self, left: u64, bytes: &[u8]) -> usize {
        let count = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left - count as u64;
        self.state = if left == 0 {
            State::Head(Head::default())
        } else {
            State::Sized(left)
        };
        count
    }

    /// Reads on in a head. Gives how many bytes pass, or nothing if the head is incomplete.
    fn read_head(&mut self, mut head: Head, bytes: &[u8]) -> Result<Option<usize>, Fault> {
        loop {
            let Some(line) = head.next_line(bytes)? else {
                if bytes.len() > self.bounds.bytes {
                    return Err(Fault::HeadTooLarge);
                }
                self.state = State::Head(head);
                return Ok(None);
            };
            if head.line > self.bounds.bytes {
                return Err(Fault::HeadTooLarge);
            }
            if let Some(version) = head.version {
                if line.is_empty() {
                    self.state = head.finish(version)?;
                    self.heads += 1;
                    return Ok(Some(head.line));
                }
                head.field(line, version, self.bounds)?;
            } else if line.is_empty() && !head.blank {
                let rest = Head {
                    blank: true,
                    ..Head::default()
                };
                self.state = State::Head(rest);
                return Ok(Some(head.line));
            } else {
                head.version = Some(request_line(line)?);
            }
        }
    }
}

impl Head {
    /// The next whole line without its end; nothing if it is incomplete.
    fn next_line<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
        let unseen = bytes.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr3(b'\r', b'\n', 0, unseen) else {
            self.searched = bytes.len();
            return Ok(None);
        };
        let end = self.searched + found;
        match (bytes.get(end), bytes.get(end + 1)) {
            (Some(b'\r'), Some(b'\n')) => {
                let line = bytes.get(self.line..end);
                self.line = end + 2;
                self.searched = self.line;
                Ok(line)
            }
            (Some(b'\r'), None) => {
                self.searched = end;
                Ok(None)
            }
            _ => Err(Fault::LineEnd),
        }
    }

    fn field(&mut self, line: &[u8], version: Version, bounds: HeadBounds) -> Result<(), Fault> {
        self.fields += 1;
        if self.fields > bounds.fields {
            return Err(Fault::TooManyFields);
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(Fault::Folded);
        }
        let (name, rest) = split_at(line, memchr(b':', line)).ok_or(Fault::Field)?;
        // A blank before the colon is no token character either.
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(Fault::Field);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                self.hosts += 1;
                if self.hosts > 1 {
                    return Err(Fault::HostTwice);
                }
            }
            // A server may ignore an offer (RFC 9110 §7.8), and common clients make this one.
            7 if name.eq_ignore_ascii_case(b"upgrade") && trim(rest) != b"h2c" => {
                return Err(Fault::Upgrade);
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = plain_number(trim(rest)).ok_or(Fault::ContentLength)?;
                if self.length.replace(length).is_some() {
                    return Err(Fault::ContentLength);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let sound =
                    version == Version::Http11 && trim(rest).eq_ignore_ascii_case(b"chunked");
                if !sound || self.chunked {
                    return Err(Fault::TransferEncoding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// The state after the head.
    fn finish(&self, version: Version) -> Result<State, Fault> {
        if self.hosts == 0 && version == Version::Http11 {
            return Err(Fault::HostMissing);
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Fault::BothLengths),
            (true, None) => Ok(State::Chunked(Chunked::new())),
            (false, Some(length)) if length > 0 => Ok(State::Sized(length)),
            (false, _) => Ok(State::Head(Self::default())),
        }
    }
}

enum End {
    Open,
    Closed,
}

impl Chunked {
    fn new() -> Self {
        Self {
            at: ChunkedAt::Size,
            size: 0,
            digits: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailer_fields: 0,
        }
    }

    /// Reads until the body ends, the bytes end or something is wrong; gives how many were right.
    fn read(&mut self, bytes: &[u8], bounds: HeadBounds) -> (usize, Result<End, Fault>) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.at == ChunkedAt::Data {
                let rest = bytes.len() - at;
                let count = usize::try_from(self.size).map_or(rest, |size| size.min(rest));
                self.size -= count as u64;
                at += count;
                if self.size == 0 {
                    self.at = ChunkedAt::DataCr;
                }
                continue;
            }
            if self.at == ChunkedAt::EndLf && *byte == b'\n' {
                return (at + 1, Ok(End::Closed));
            }
            match self.step(*byte, bounds) {
                Ok(next) => self.at = next,
                Err(fault) => return (at, Err(fault)),
            }
            at += 1;
        }
        (at, Ok(End::Open))
    }

    /// One byte that is not data.
    fn step(&mut self, byte: u8, bounds: HeadBounds) -> Result<ChunkedAt, Fault> {
        use ChunkedAt as At;
        match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeLf),
            (At::Size, b';') if self.digits > 0 => Ok(At::Extension),
            (At::Size, _) => self.size_digit(byte),
            (At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension_bytes += 1;
                if self.extension_bytes > EXTENSION_BYTES {
                    return Err(Fault::ChunkExtension);
                }
                Ok(At::Extension)
            }
            (At::SizeLf, b'\n') if self.size == 0 => Ok(At::Trailer),
            (At::SizeLf, b'\n') => Ok(At::Data),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => {
                self.digits = 0;
                Ok(At::Size)
            }
            (At::Trailer, b'\r') => Ok(At::EndLf),
            (At::Trailer, b' ' | b'\t') => Err(Fault::Folded),
            (At::Trailer | At::TrailerName | At::TrailerValue | At::TrailerLf, _) => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > bounds.bytes {
                    return Err(Fault::HeadTooLarge);
                }
                self.trailer(byte, bounds)
            }
            _ => Err(Fault::Chunk),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<ChunkedAt, Fault> {
        let digit = char::from(byte).to_digit(16).ok_or(Fault::Chunk)?;
        // Fifteen digits cannot overflow, and no body is larger.
        if self.digits == 15 {
            return Err(Fault::Chunk);
        }
        if self.digits == 0 {
            self.size = 0;
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        Ok(ChunkedAt::Size)
    }

    fn trailer(&mut self, byte: u8, bounds: HeadBounds) -> Result<ChunkedAt, Fault> {
        use ChunkedAt as At;
        match (self.at, byte) {
            (At::Trailer, _) if is_token(byte) => {
                self.trailer_fields += 1;
                if self.trailer_fields > bounds.fields {
                    return Err(Fault::TooManyFields);
                }
                Ok(At::TrailerName)
            }
            (At::TrailerName, b':') | (At::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                Ok(At::TrailerValue)
            }
            (At::TrailerName, _) if is_token(byte) => Ok(At::TrailerName),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerLf, b'\n') => Ok(At::Trailer),
            (At::TrailerValue | At::TrailerLf, _) => Err(Fault::LineEnd),
            _ => Err(Fault::Field),
        }
    }
}

fn request_line(line: &[u8]) -> Result<Version, Fault> {
    let (rest, version) = split_at(line, memrchr(b' ', line)).ok_or(Fault::RequestLine)?;
    let (method, target) = split_at(rest, memchr(b' ', rest)).ok_or(Fault::RequestLine)?;
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        other if other.starts_with(b"HTTP/") => return Err(Fault::Version),
        _ => return Err(Fault::RequestLine),
    };
    let sound = !method.is_empty()
        && method.iter().copied().all(is_token)
        && !target.is_empty()
        && target.iter().all(u8::is_ascii_graphic);
    if !sound {
        return Err(Fault::RequestLine);
    }
    if method == b"CONNECT" {
        return Err(Fault::Connect);
    }
    Ok(version)
}

/// What is before and after a byte.
fn split_at(bytes: &[u8], at: Option<usize>) -> Option<(&[u8], &[u8])> {
    let (before, rest) = bytes.split_at_checked(at?)?;
    Some((before, rest.get(1..)?))
}

/// Without the blanks around it that HTTP allows; other white space is part of the value.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
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
fn is_token(byte: u8) -> bool {
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

#[cfg(test)]
pub(crate) mod tests;
