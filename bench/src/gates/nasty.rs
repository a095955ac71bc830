//! Requests that are made to cost more than they should: deep, wide, long, escaped, cut into pieces.
//!
//! Owns their bytes. Each is at or just below a bound, where it is taken, or beyond one, where it must be
//! refused cheaply. All ask for the connection to be closed, so that an answer has an end.

use std::fmt::Write as _;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use crate::client::{META, dial, initialize, modern_headers, post};
use crate::failure::Failure;
use crate::reply::ReplyReader;

/// One request.
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    /// Whether it is complete, so that there is an answer.
    pub(super) is_answered: bool,
}

type Making = Pin<Box<dyn Future<Output = Result<Request, Failure>>>>;

/// Makes a request for the gateway at an address.
pub(super) type Make = fn(SocketAddr) -> Making;

/// Every kind, with its name.
pub(super) const ALL: [(&str, Make); 22] = [
    ("a plain call", |at| call(at, "", "{\"bytes\":1}")),
    ("nesting beyond the bound", |at| {
        call(at, "", &"[".repeat(MOST))
    }),
    ("nesting within the bound, again and again", |at| {
        let one = format!("{}{}", "[".repeat(50), "]".repeat(50));
        let all = vec![one; MOST / 101].join(",");
        call(at, "", &format!("{{\"bytes\":1,\"a\":[{all}]}}"))
    }),
    ("escapes", |at| {
        let text = "\\u00e9".repeat(MOST / 6);
        call(at, "", &format!("{{\"bytes\":1,\"a\":\"{text}\"}}"))
    }),
    ("escaped quotes", |at| {
        let text = "\\\"".repeat(MOST / 2);
        call(at, "", &format!("{{\"bytes\":1,\"a\":\"{text}\"}}"))
    }),
    ("a wide array", |at| {
        let all = "0,".repeat(MOST / 2);
        call(at, "", &format!("{{\"bytes\":1,\"a\":[{all}0]}}"))
    }),
    ("many empty objects", |at| {
        let all = "{},".repeat(MOST / 3);
        call(at, "", &format!("{{\"bytes\":1,\"a\":[{all}0]}}"))
    }),
    ("many members", |at| {
        let mut all = String::new();
        for number in 0..MOST / 12 {
            // A text takes everything.
            let _cannot_fail = write!(all, "\"{number:06}\":0,");
        }
        call(at, "", &format!("{{{all}\"bytes\":1}}"))
    }),
    ("blanks", |at| {
        call(at, "", &format!("{}{{\"bytes\":1}}", " ".repeat(MOST)))
    }),
    ("a giant id", |at| {
        let id = format!("\"{}\"", "i".repeat(MOST));
        raw(
            at,
            "tools/call",
            Some("web.echo"),
            &id,
            "\"name\":\"web.echo\",\"arguments\":{\"bytes\":1}",
        )
    }),
    ("a giant name", |at| {
        let name = "n".repeat(MOST);
        raw(at, "tools/call", None, "1", &format!("\"name\":\"{name}\""))
    }),
    (
        "a giant name in base64, in a header and the message",
        |at| {
            // "{}" of the base64 alphabet: three bytes 0x69 for each "aWlp".
            let header = format!("=?base64?{}?=", "aWlp".repeat(10_000));
            let params = format!("\"name\":\"{}\"", "iii".repeat(10_000));
            raw(at, "tools/call", Some(&header), "1", &params)
        },
    ),
    ("a giant URI", |at| {
        let uri = format!("file:///{}", "%2e%2e/".repeat(MOST / 7));
        raw(
            at,
            "resources/read",
            None,
            "1",
            &format!("\"uri\":\"{uri}\""),
        )
    }),
    ("a long cursor", |at| {
        let cursor = "c".repeat(MOST);
        raw(
            at,
            "tools/list",
            None,
            "1",
            &format!("\"cursor\":\"{cursor}\""),
        )
    }),
    ("a long progress token", |at| {
        let token = "t".repeat(MOST);
        let meta = META.replacen('{', &format!("{{\"progressToken\":\"{token}\","), 1);
        let params = format!("\"name\":\"web.echo\",\"arguments\":{{\"bytes\":1}},{meta}");
        with_params(at, "tools/call", Some("web.echo"), "1", &params)
    }),
    ("subscriptions without end", |at| {
        let all = vec!["\"file:///a\""; MOST / 12].join(",");
        let params = format!("\"notifications\":{{\"resourceSubscriptions\":[{all}]}}");
        raw(at, "subscriptions/listen", None, "1", &params)
    }),
    ("as many headers as there may be", |at| {
        let headers = (0..80).fold(String::new(), |headers, number| {
            headers + &format!("x-{number}: {number}\r\n")
        });
        call(at, &headers, "{\"bytes\":1}")
    }),
    ("more headers than there may be", |at| {
        let headers = "a:\r\n".repeat(15_000);
        call(at, &headers, "{\"bytes\":1}")
    }),
    ("long headers of every kind that is read", |at| {
        let value = "a,b;q=0.1,".repeat(1000);
        let headers = format!(
            "accept: {value}\r\ntracestate: {value}\r\nbaggage: {value}\r\nmcp-session-id: {value}\r\n"
        );
        call(at, &headers, "{\"bytes\":1}")
    }),
    ("a head that does not end", |at| {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: {at}\r\nx: {}",
            "x".repeat(60_000)
        );
        made(Request {
            bytes: head.into_bytes(),
            is_answered: false,
        })
    }),
    ("chunks of one byte", |at| {
        let whole = message(
            "tools/call",
            "1",
            &format!(
                "\"name\":\"web.echo\",\"arguments\":{{\"bytes\":1,\"a\":\"{}\"}},{META}",
                "a".repeat(100_000)
            ),
        );
        let mut bytes = format!("POST /mcp HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\n{}transfer-encoding: chunked\r\n\r\n", modern_headers("tools/call", Some("web.echo"))).into_bytes();
        for byte in whole.bytes() {
            bytes.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        made(Request {
            bytes,
            is_answered: true,
        })
    }),
    ("a batch of 64 lists", |at| Box::pin(batch(at))),
];

/// Somewhat less than the largest body.
const MOST: usize = 4_000_000;

fn made(request: Request) -> Making {
    Box::pin(std::future::ready(Ok(request)))
}

/// A call with these headers and arguments.
fn call(at: SocketAddr, headers: &str, arguments: &str) -> Making {
    let headers = format!(
        "{}{headers}",
        modern_headers("tools/call", Some("web.echo"))
    );
    let params = format!("\"name\":\"web.echo\",\"arguments\":{arguments},{META}");
    closing(at, &headers, &message("tools/call", "1", &params))
}

/// A request with this id and these params.
fn raw(at: SocketAddr, method: &str, name: Option<&str>, id: &str, params: &str) -> Making {
    with_params(at, method, name, id, &format!("{params},{META}"))
}

fn with_params(at: SocketAddr, method: &str, name: Option<&str>, id: &str, params: &str) -> Making {
    closing(
        at,
        &modern_headers(method, name),
        &message(method, id, params),
    )
}

fn message(method: &str, id: &str, params: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{{{params}}}}}")
}

fn closing(at: SocketAddr, headers: &str, message: &str) -> Making {
    let headers = format!("{headers}connection: close\r\n");
    made(Request {
        bytes: post(at, &headers, message),
        is_answered: true,
    })
}

/// As many lists in one message as a batch may have, in a session of the revision that has batches.
async fn batch(at: SocketAddr) -> Result<Request, Failure> {
    let mut stream = dial(at).await?;
    let mut reader = ReplyReader::default();
    let headers = initialize(at, "2025-03-26", &mut stream, &mut reader).await?;
    let one = |id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/list\"}}");
    let all: Vec<String> = (0..64).map(one).collect();
    let headers = format!("{headers}connection: close\r\n");
    Ok(Request {
        bytes: post(at, &headers, &format!("[{}]", all.join(","))),
        is_answered: true,
    })
}
