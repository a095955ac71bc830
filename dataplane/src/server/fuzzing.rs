//! What must hold for any bytes that a client sends on a connection.
//!
//! Owns following the requests of a connection as `wire` and `intake` do, and the promises about them:
//! the verdict does not depend on how the bytes are cut, and a head that passes is one to another
//! parser as well. `crate::fuzzing` joins this with the other parsers.

use super::chunked::{Chunked, End};
use super::fault::{Fault, HeadBounds};
use super::head::{Head, Length};

/// Small enough that random bytes find them.
pub(super) const BOUNDS: HeadBounds = HeadBounds {
    bytes: 4096,
    fields: 20,
};

/// Follows the requests on a connection. Tells how much of them was right.
pub(super) struct Framing {
    head: Head,
    rest: Length,
    chunked: Chunked,
    /// Requests whose heads were whole.
    pub(super) heads: u64,
    /// The bodies, behind each other.
    pub(super) bodies: Vec<u8>,
    fault: Option<Fault>,
}

/// How far a connection was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) passed: usize,
    pub(super) fault: Option<Fault>,
}

impl Framing {
    pub(super) fn new() -> Self {
        Self {
            head: Head::default(),
            rest: Length::None,
            chunked: Chunked::new(),
            heads: 0,
            bodies: Vec::new(),
            fault: None,
        }
    }

    #[cfg(test)]
    pub(super) fn is_in_body(&self) -> bool {
        self.rest != Length::None
    }

    /// Reads on; gives how many of these bytes are done with.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Progress {
        let mut passed = 0;
        while self.fault.is_none() {
            let rest = bytes.get(passed..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let step = match self.rest {
                Length::None => self.head_of(rest),
                Length::Sized(left) => Ok(self.sized(rest, left)),
                Length::Chunked => self.chunks(rest),
            };
            match step {
                Ok(0) => break,
                Ok(count) => passed += count,
                Err((count, fault)) => {
                    passed += count;
                    self.fault = Some(fault);
                }
            }
        }
        let fault = self.fault;
        Progress { passed, fault }
    }

    fn head_of(&mut self, bytes: &[u8]) -> Result<usize, (usize, Fault)> {
        let read = self.head.read(bytes, BOUNDS).map_err(|fault| (0, fault))?;
        let Some(count) = read else { return Ok(0) };
        self.heads += 1;
        self.rest = self.head.length();
        self.chunked = Chunked::new();
        self.head.clear();
        Ok(count)
    }

    fn sized(&mut self, bytes: &[u8], left: u64) -> usize {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        self.bodies
            .extend_from_slice(bytes.get(..count).unwrap_or_default());
        self.rest = match left - count as u64 {
            0 => Length::None,
            left => Length::Sized(left),
        };
        count
    }

    fn chunks(&mut self, bytes: &[u8]) -> Result<usize, (usize, Fault)> {
        let bodies = &mut self.bodies;
        let (count, end) = self
            .chunked
            .read(bytes, BOUNDS, |data| bodies.extend_from_slice(data));
        match end {
            Ok(End::Open) => Ok(count),
            Ok(End::Closed) => {
                self.rest = Length::None;
                Ok(count)
            }
            Err(fault) => Err((count, fault)),
        }
    }
}

/// Gives the bytes in pieces of one size, holding back what has not passed, as a connection does.
pub(super) fn feed(framing: &mut Framing, bytes: &[u8], piece: usize) -> (usize, Option<Fault>) {
    let mut passed = 0;
    let mut seen = 0;
    while seen < bytes.len() {
        seen = bytes.len().min(seen + piece.max(1));
        let progress = framing.advance(bytes.get(passed..seen).unwrap_or_default());
        passed += progress.passed;
        if progress.fault.is_some() {
            return (passed, progress.fault);
        }
    }
    (passed, None)
}

/// Any bytes end in a verdict, the same however they are cut, and with the same bodies. A head that
/// passes is a head of the same length and with the same fields to another parser.
pub fn request(bytes: &[u8]) {
    let mut whole = Framing::new();
    let verdict = feed(&mut whole, bytes, bytes.len());
    for piece in [1, 5] {
        let mut cut = Framing::new();
        assert_eq!(
            feed(&mut cut, bytes, piece),
            verdict,
            "in pieces of {piece}"
        );
        assert_eq!(cut.heads, whole.heads, "in pieces of {piece}");
        assert_eq!(cut.bodies, whole.bodies, "in pieces of {piece}");
    }
    let mut head = Head::default();
    let Ok(Some(length)) = head.read(bytes, BOUNDS) else {
        return;
    };
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut other = httparse::Request::new(&mut fields);
    let read = other.parse(bytes);
    assert_eq!(read, Ok(httparse::Status::Complete(length)));
    head.keep(bytes::Bytes::copy_from_slice(
        bytes.get(..length).unwrap_or_default(),
    ));
    let ours = head.others().chain(known(&head));
    for (name, value) in ours {
        let mut theirs = other.headers.iter();
        let same =
            theirs.any(|it| name.eq_ignore_ascii_case(it.name.as_bytes()) && it.value == value);
        assert!(same, "{:?}", String::from_utf8_lossy(name));
    }
}

/// What decides where a request goes, by the names of the other parser.
fn known(head: &Head) -> impl Iterator<Item = (&[u8], &[u8])> {
    use super::Field;
    let fields = [
        (&b"host"[..], Field::Host),
        (b"origin", Field::Origin),
        (b"mcp-name", Field::Name),
        (b"mcp-session-id", Field::Session),
    ];
    let found = fields.map(|(name, field)| Some((name, head.field(field)?)));
    found.into_iter().flatten()
}
