//! A table of framings, judged whole and byte by byte, with the same verdict.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use super::chunked::{Chunked, EXTENSION_BYTES, End};
use super::fault::{Fault, HeadBounds};
use super::head::{Head, Length};

pub(crate) const BOUNDS: HeadBounds = HeadBounds {
    bytes: 4096,
    fields: 20,
};

/// Requests that pass untouched, and how many they are.
pub(crate) const GOOD: &[(u64, &str)] = &[
    (1, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (1, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (1, "GET / HTTP/1.0\r\n\r\n"),
    (
        1,
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    ),
    (1, "GET http://a:1/mcp?x HTTP/1.1\r\nHost: a:1\r\n\r\n"),
    (1, "OPTIONS * HTTP/1.1\r\nhOST:a\r\n\r\n"),
    (
        1,
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        1,
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
    ),
    (
        1,
        "POST /mcp HTTP/1.1\r\nHost: a\r\nContent-Length: \t007 \t\r\n\r\n1234567",
    ),
    (
        2,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        3,
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        1,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        1,
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:Chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ),
    (
        1,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00A\r\n0123456789\r\n000\r\n\r\n",
    ),
    (
        1,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"b c\";d\r\nx\r\n0;e\r\n\r\n",
    ),
    (
        2,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        1,
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    ),
    (
        1,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    ),
    (
        1,
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \r\nZ: \u{e9}\r\nCookie: a=b; c=d:e\r\n\r\n",
    ),
    (
        1,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n\r\n\0\n",
    ),
];

/// Requests that are refused, after this prefix passed.
pub(crate) const BAD: &[(Fault, &str, &str)] = &[
    (
        Fault::BothLengths,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::BothLengths,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2 2\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \x0b2\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n{}",
    ),
    (
        Fault::ContentLength,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n{}",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::TransferEncoding,
        "",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::Folded,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    ),
    (Fault::Folded, "", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    (
        Fault::Folded,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\t, gzip\r\n\r\n0\r\n\r\n",
    ),
    (Fault::Field, "", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    (
        Fault::Field,
        "",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Fault::Field,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    ),
    (Fault::Field, "", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"),
    (
        Fault::Field,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nX\u{e9}: b\r\n\r\n",
    ),
    (
        Fault::Field,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n",
    ),
    (Fault::LineEnd, "", "GET / HTTP/1.1\nHost: a\n\n"),
    (
        Fault::LineEnd,
        "",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    ),
    (
        Fault::LineEnd,
        "",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
    ),
    (Fault::LineEnd, "", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    (
        Fault::LineEnd,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
    ),
    (Fault::LineEnd, "", "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    (Fault::HostMissing, "", "GET / HTTP/1.1\r\n\r\n"),
    (
        Fault::HostMissing,
        "",
        "GET http://a/ HTTP/1.1\r\nX: y\r\n\r\n",
    ),
    (
        Fault::HostTwice,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ),
    (
        Fault::HostTwice,
        "",
        "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
    ),
    (Fault::RequestLine, "", "GET /\r\n\r\n"),
    (Fault::RequestLine, "", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        Fault::RequestLine,
        "",
        "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (Fault::RequestLine, "", " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Fault::RequestLine, "", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    (
        Fault::RequestLine,
        "",
        "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (Fault::RequestLine, "", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Fault::RequestLine, "", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    (Fault::RequestLine, "", "\x16\x03\x01\r\n"),
    (
        Fault::RequestLine,
        "",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (Fault::Version, "", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    (Fault::Version, "", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    (Fault::Version, "", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (
        Fault::Connect,
        "",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    ),
    (
        Fault::Upgrade,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    (
        Fault::Upgrade,
        "",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c, websocket\r\n\r\n",
    ),
    (
        Fault::HostTwice,
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ),
    (
        Fault::RequestLine,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "{}\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "x\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        ";a\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        " 1\r\nx\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "-1\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0",
        "x1\r\nx\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1",
        " \r\nx\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1",
        "\nx\r\n0\r\n\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r",
        "\rx\r\n0\r\n\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx",
        "y\r\n0\r\n\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx",
        "\n0\r\n\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r",
        "x0\r\n\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n000000000000000",
        "1\r\nx",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff",
        "f\r\nx",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a",
        "\nx\r\n0\r\n\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        "\0\r\nx\r\n0\r\n\r\n",
    ),
    (
        Fault::Folded,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        " A: b\r\n\r\n",
    ),
    (
        Fault::Field,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        ": b\r\n\r\n",
    ),
    (
        Fault::Field,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA",
        " : b\r\n\r\n",
    ),
    (
        Fault::Field,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA",
        "\r\n\r\n",
    ),
    (
        Fault::LineEnd,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:",
        "\n\r\n",
    ),
    (
        Fault::LineEnd,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r",
        "\r\n",
    ),
    (
        Fault::Chunk,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r",
        "x",
    ),
];

/// Follows the requests on a connection, as `wire` and `intake` do. Gives how much of them was right.
struct Framing {
    head: Head,
    rest: Length,
    chunked: Chunked,
    heads: u64,
    fault: Option<Fault>,
}

struct Progress {
    passed: usize,
    fault: Option<Fault>,
}

impl Framing {
    fn new(_: HeadBounds) -> Self {
        Self {
            head: Head::default(),
            rest: Length::None,
            chunked: Chunked::new(),
            heads: 0,
            fault: None,
        }
    }

    fn heads(&self) -> u64 {
        self.heads
    }

    fn is_in_body(&self) -> bool {
        self.rest != Length::None
    }

    fn advance(&mut self, bytes: &[u8]) -> Progress {
        let mut passed = 0;
        while self.fault.is_none() && passed < bytes.len() {
            let rest = &bytes[passed..];
            let step = match self.rest {
                Length::None => self.head.read(rest, BOUNDS),
                Length::Sized(left) => {
                    let count = usize::try_from(left).unwrap().min(rest.len());
                    let left = left - count as u64;
                    self.rest = if left == 0 {
                        Length::None
                    } else {
                        Length::Sized(left)
                    };
                    passed += count;
                    continue;
                }
                Length::Chunked => {
                    let (count, end) = self.chunked.read(rest, BOUNDS, |_| {});
                    passed += count;
                    match end {
                        Ok(End::Open) => {}
                        Ok(End::Closed) => self.rest = Length::None,
                        Err(fault) => self.fault = Some(fault),
                    }
                    continue;
                }
            };
            match step {
                Ok(None) => break,
                Ok(Some(count)) => {
                    passed += count;
                    self.heads += 1;
                    self.rest = self.head.length();
                    self.chunked = Chunked::new();
                    self.head.clear();
                }
                Err(fault) => self.fault = Some(fault),
            }
        }
        Progress {
            passed,
            fault: self.fault,
        }
    }
}

/// Gives the bytes in pieces of one size, holding back what has not passed, as the guard does.
fn feed(framing: &mut Framing, bytes: &[u8], piece: usize) -> (usize, Option<Fault>) {
    let mut passed = 0;
    let mut seen = 0;
    while seen < bytes.len() {
        seen = bytes.len().min(seen + piece);
        let progress = framing.advance(&bytes[passed..seen]);
        passed += progress.passed;
        if progress.fault.is_some() {
            return (passed, progress.fault);
        }
    }
    (passed, None)
}

#[test]
fn good_requests_pass_untouched_however_they_are_cut() {
    for (count, text) in GOOD {
        for piece in [1, 2, 3, 7, text.len()] {
            let mut framing = Framing::new(BOUNDS);
            let verdict = feed(&mut framing, text.as_bytes(), piece);
            assert_eq!(verdict, (text.len(), None), "{piece}: {text:?}");
            assert_eq!(framing.heads(), *count, "{piece}: {text:?}");
            assert!(!framing.is_in_body(), "{piece}: {text:?}");
        }
    }
}

#[test]
fn bad_requests_are_refused_at_the_same_byte_however_they_are_cut() {
    for (fault, good, bad) in BAD {
        let text = [*good, *bad].concat();
        for piece in [1, 2, 3, 7, text.len()] {
            let mut framing = Framing::new(BOUNDS);
            let verdict = feed(&mut framing, text.as_bytes(), piece);
            assert_eq!(verdict, (good.len(), Some(*fault)), "{piece}: {text:?}");
            let again = framing.advance(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!((again.passed, again.fault), (0, Some(*fault)));
        }
    }
}

#[test]
fn a_large_body_is_skipped_by_count() {
    let mut framing = Framing::new(BOUNDS);
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    assert_eq!(feed(&mut framing, head, head.len()).0, head.len());
    let piece = [b'\r'; 1000];
    for left in (1..=1000).rev() {
        assert!(framing.is_in_body(), "{left}");
        assert_eq!(framing.advance(&piece).passed, piece.len());
    }
    assert!(!framing.is_in_body());
}

#[test]
fn a_head_is_bounded_in_bytes_with_and_without_an_end() {
    let fits = |filler: usize| {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "x".repeat(filler)
        );
        let mut framing = Framing::new(BOUNDS);
        (head.len(), feed(&mut framing, head.as_bytes(), head.len()))
    };
    let most = BOUNDS.bytes - fits(0).0;
    assert_eq!(fits(most).1, (BOUNDS.bytes, None));
    assert_eq!(fits(most + 1).1, (0, Some(Fault::HeadTooLarge)));
    for piece in [1, 1000, 5000] {
        let endless = [b'a'; 5000];
        let mut framing = Framing::new(BOUNDS);
        let verdict = feed(&mut framing, &endless, piece);
        assert_eq!(verdict, (0, Some(Fault::HeadTooLarge)), "{piece}");
    }
}

#[test]
fn fields_are_bounded_in_number() {
    let judge = |fields: usize| {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(fields - 1)
        );
        let mut framing = Framing::new(BOUNDS);
        feed(&mut framing, head.as_bytes(), head.len()).1
    };
    assert_eq!(judge(BOUNDS.fields), None);
    assert_eq!(judge(BOUNDS.fields + 1), Some(Fault::TooManyFields));
}

#[test]
fn extensions_and_trailers_are_bounded_over_a_whole_body() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let judge = |body: String| {
        let mut framing = Framing::new(BOUNDS);
        let text = format!("{head}{body}");
        feed(&mut framing, text.as_bytes(), text.len()).1
    };
    let extended = |count: usize| format!("1;{}\r\nx\r\n", "e".repeat(count));
    assert_eq!(judge(extended(EXTENSION_BYTES)), None);
    assert_eq!(
        judge(extended(EXTENSION_BYTES + 1)),
        Some(Fault::ChunkExtension)
    );
    assert_eq!(
        judge(extended(100).repeat(EXTENSION_BYTES / 100 + 1)),
        Some(Fault::ChunkExtension)
    );
    let long = format!("0\r\nA: {}", "b".repeat(BOUNDS.bytes));
    assert_eq!(judge(long), Some(Fault::HeadTooLarge));
    let many = format!("0\r\n{}\r\n", "A: b\r\n".repeat(BOUNDS.fields + 1));
    assert_eq!(judge(many), Some(Fault::TooManyFields));
}

/// Good requests with a few bytes changed, added or removed: the same ones on every run.
pub(crate) fn mutants(count: usize) -> Vec<Vec<u8>> {
    // Biased to what framing is made of.
    let alphabet = b"GET / HTTP/1.1\r\nHost: aContent-Length3Transfer-Encoding: chunked;\t\0\x80";
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap_or_default()
    };
    let mut mutant = || {
        let (_, start) = GOOD[next() % GOOD.len()];
        let mut text = start.as_bytes().to_vec();
        for _ in 0..next() % 4 {
            let at = next() % text.len();
            let byte = alphabet[next() % alphabet.len()];
            match next() % 3 {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        text
    };
    (0..count).map(|_| mutant()).collect()
}

#[test]
fn any_bytes_at_all_end_in_a_verdict_that_does_not_depend_on_the_cut() {
    for text in mutants(2000) {
        let whole = feed(&mut Framing::new(BOUNDS), &text, text.len());
        for piece in [1, 5] {
            let cut = feed(&mut Framing::new(BOUNDS), &text, piece);
            assert_eq!(cut, whole, "{:?}", String::from_utf8_lossy(&text));
        }
    }
}
