//! The table of framings through guard and hyper, over an in-memory pipe, whole and byte by byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

use super::framing_cases::{mutants, table};
use super::fuzzing::BOUNDS;
use super::tests::{By, fine};
use super::{Connections, Head, Intake, serve_connection};
use crate::call::Era;

/// Long enough that whatever can happen has happened; the clock is virtual.
const QUIET: Duration = Duration::from_secs(1);

/// Fields that nothing behind the connection reads.
const OF_THE_HOP: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// What a service sees of whole requests: everything but what belongs to the hop.
#[derive(Default)]
struct Seen(RefCell<Vec<String>>);

impl Seen {
    async fn of_hyper(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, mut body) = request.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Response::new("cut".into());
            };
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        let fields = head.headers.iter();
        let mut fields: Vec<_> = fields
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .filter(|(name, _)| !OF_THE_HOP.contains(&name.as_str()))
            .collect();
        fields.sort();
        let path = head.uri.path();
        self.note(
            head.method.as_str(),
            path,
            head.uri.query(),
            &fields,
            &bytes,
        );
        Response::new("fine".into())
    }

    async fn answer(&self, head: &Head, intake: Intake<'_>) -> crate::server::Response {
        let bytes = match intake.collect(1_000_000).await {
            Ok(bytes) => bytes,
            Err(reply) => return reply.into_response(Era::Modern, None, 0),
        };
        let mut fields = head.everything();
        fields.sort();
        self.note(head.name(), head.path(), head.query(), &fields, &bytes);
        fine()
    }

    fn note(
        &self,
        method: &str,
        path: &str,
        query: Option<&str>,
        fields: &[(String, Vec<u8>)],
        body: &[u8],
    ) {
        let seen = format!("{method} {path} {query:?} {fields:?} {body:?}");
        self.0.borrow_mut().push(seen);
    }
}

/// Sends bytes in pieces, then reads until the server closes or falls silent. Gives what came.
async fn talk(mut client: DuplexStream, bytes: &[u8], piece: usize) -> (String, bool) {
    for piece in bytes.chunks(piece.max(1)) {
        // The server may close before it has read everything.
        if client.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut reply = Vec::new();
    let closed = timeout(QUIET, client.read_to_end(&mut reply)).await.is_ok();
    (String::from_utf8_lossy(&reply).into_owned(), closed)
}

/// Sends bytes through the guard. Gives the reply, whether the server closed, what the service saw.
async fn through_us(bytes: &[u8], piece: usize) -> (String, bool, Vec<String>) {
    let (client, server) = duplex(64 * 1024);
    let seen = Seen::default();
    let connections = Connections::new();
    let service = By(async |head: &Head, intake: Intake<'_>| seen.answer(head, intake).await);
    let server = serve_connection(server, &service, BOUNDS, &connections);
    let ((reply, closed), ()) = tokio::join!(talk(client, bytes, piece), server);
    (reply, closed, seen.0.into_inner())
}

/// The same through hyper alone.
async fn through_hyper(bytes: &[u8]) -> Vec<String> {
    let (client, server) = duplex(64 * 1024);
    let seen = Seen::default();
    let service = service_fn(|request| async {
        let response = seen.of_hyper(request).await;
        Ok::<_, Infallible>(response)
    });
    let server = http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let (_, _) = tokio::join!(talk(client, bytes, bytes.len()), server);
    seen.0.into_inner()
}

#[tokio::test(start_paused = true)]
async fn good_requests_reach_the_service_as_hyper_alone_would_hand_them_over() {
    for good in table().good {
        let text = good.text;
        let plain = through_hyper(text.as_bytes()).await;
        assert_eq!(plain.len(), good.bodies.len(), "{text:?}");
        for piece in [1, 5, text.len()] {
            let (reply, _, seen) = through_us(text.as_bytes(), piece).await;
            assert_eq!(seen, plain, "{piece}: {text:?}");
            assert_eq!(
                reply.matches("HTTP/1.").count(),
                seen.len() + expects(&text)
            );
            assert!(!reply.contains(" 400 "), "{reply}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_passes_the_guard_is_what_hyper_alone_sees_and_never_more() {
    let (mut passed, mut refused) = (0, 0);
    for text in mutants(400) {
        let plain = through_hyper(&text).await;
        let (reply, _, seen) = through_us(&text, text.len()).await;
        let shown = String::from_utf8_lossy(&text);
        assert!(plain.starts_with(&seen), "{shown:?}: {plain:?} {seen:?}");
        if reply.contains("MCPC901") {
            refused += 1;
        } else {
            // Not refused by the guard: then both come to the same end.
            assert_eq!(seen, plain, "{shown:?}");
            passed += 1;
        }
    }
    assert!(passed > 50 && refused > 50, "{passed} {refused}");
}

/// How many interim responses a text asks for.
fn expects(text: &str) -> usize {
    text.matches("100-continue").count()
}

#[tokio::test(start_paused = true)]
async fn bad_requests_get_one_refusal_after_the_replies_to_the_good_ones() {
    for bad in table().bad {
        let whole_before = through_hyper(bad.before.as_bytes()).await.len();
        let text = bad.whole();
        for piece in [1, 5, text.len()] {
            let (reply, closed, seen) = through_us(text.as_bytes(), piece).await;
            assert_eq!(seen.len(), whole_before, "{piece}: {text:?}");
            assert!(closed, "{piece}: {text:?}");
            let statuses: Vec<&str> = reply.matches("HTTP/1.1 200 OK").collect();
            assert_eq!(statuses.len(), whole_before, "{reply}");
            assert_eq!(reply.matches("HTTP/1.1 400 Bad Request\r\n").count(), 1);
            assert!(reply.contains("connection: close\r\n"), "{reply}");
            assert!(reply.contains("\"code\":\"MCPC9010\""), "{reply}");
            let refusal_is_last =
                reply.rfind("HTTP/1.1").unwrap() == reply.find("HTTP/1.1 400").unwrap();
            assert!(refusal_is_last, "{reply}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_answered_with_431() {
    let filler = "x".repeat(BOUNDS.bytes);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {filler}\r\n\r\n");
    let many = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
        "X: y\r\n".repeat(BOUNDS.fields)
    );
    for text in [long, many, "x".repeat(BOUNDS.bytes * 2)] {
        for piece in [1000, text.len()] {
            let (reply, closed, seen) = through_us(text.as_bytes(), piece).await;
            assert!(reply.starts_with("HTTP/1.1 431 "), "{reply}");
            assert!(reply.contains("\"code\":\"MCPC9011\""), "{reply}");
            assert!(closed && seen.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn large_bodies_and_many_pipelined_requests_pass() {
    let body = "b".repeat(300_000);
    let one = format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let chunked = format!(
        "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let small = "GET /c HTTP/1.1\r\nHost: a\r\n\r\n".repeat(50);
    let text = [one, chunked, small].concat();
    let plain = through_hyper(text.as_bytes()).await;
    assert_eq!(plain.len(), 52);
    for piece in [999, 10_000, text.len()] {
        let (_, closed, seen) = through_us(text.as_bytes(), piece).await;
        assert_eq!(seen, plain);
        assert!(!closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_that_goes_on_sending_still_reads_the_refusal() {
    let bad = "GET / HTTP/1.1\r\n\r\n";
    let text = [bad, &"x".repeat(200_000)].concat();
    let (reply, closed, seen) = through_us(text.as_bytes(), 10_000).await;
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    assert!(closed && seen.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_in_a_head_ends_the_connection() {
    let (mut client, server) = duplex(1024);
    let connections = Connections::new();
    let service = By(async |_: &Head, _: Intake<'_>| fine());
    let server = serve_connection(server, &service, BOUNDS, &connections);
    let leave = async move {
        client.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
        tokio::task::yield_now().await;
        drop(client);
    };
    let ended = timeout(QUIET, async { tokio::join!(leave, server) }).await;
    assert!(ended.is_ok());
}
