//! Requests whose framing is good, bad or nearly good, for the tests of this leg.
//!
//! Owns the table and the mutants; what is judged of them is in `framing_tests` and `oracle_tests`.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use super::fault::{Fault, HeadBounds};

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
