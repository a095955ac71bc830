//! Responses byte by byte: what is read must not depend on how it was cut, and whatever is believed
//! of a broken response, hyper's client must read in the same way.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use mcpc_plan::{HttpTransport, Scheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;

use super::body::Filled;
use super::head::{Draft, Kind, Request, Verb};
use super::wire::Site;
use crate::Secret;
use crate::failure::Failure;
use crate::reach::{Dialed, Launch, Process, Reach, ReachFuture, Target};

const BODY_BYTES_MAX: usize = 4096;

/// Responses that everybody reads in the same way.
const SOUND: [&str; 9] = [
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nMCP-Session-Id: a\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=\"y\"\r\n!\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n00a\r\n0123456789\r\n0\r\na: b\r\nc: d\r\n\r\n",
    "HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
    "HTTP/1.1 500\r\ncontent-length: 3\r\nconnection: close\r\n\r\nend",
    "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\ndata: 1\n\n",
    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab",
];

/// What mutants are made of besides parts of themselves.
const PIECES: [&str; 18] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    ",",
    "0",
    "content-length: 5\r\n",
    "Content-Length: 1\r\n",
    "content-length: 5, 5\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "HTTP/1.1 103 Early\r\na: b\r\n\r\n",
    "0\r\n\r\n",
    "ffffffffffffffffff\r\n",
    "+5\r\n",
    ": ",
];

/// What was read of a response.
type Read = Result<(u16, Bytes), Failure>;

/// A peer that waits for a request, says its bytes in pieces and closes.
async fn say(mut far: DuplexStream, bytes: Vec<u8>, cuts: Vec<usize>) {
    let mut request = [0; 1024];
    let _asked = far.read(&mut request).await;
    let mut from = 0;
    for cut in cuts.into_iter().chain([bytes.len()]) {
        // A reader that has seen enough may have gone.
        let _heard = far.write_all(&bytes[from..cut]).await;
        from = cut;
        tokio::task::yield_now().await;
    }
}

/// An outside whose every connection says the same.
struct Sayer {
    bytes: Vec<u8>,
    cuts: Vec<usize>,
    connections: AtomicUsize,
}

impl Sayer {
    fn new(bytes: &[u8], cuts: Vec<usize>) -> Arc<Self> {
        Arc::new(Self {
            bytes: bytes.to_vec(),
            cuts,
            connections: AtomicUsize::new(0),
        })
    }
}

impl Reach for Sayer {
    fn connect(&self, _target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        let (near, far) = duplex(16 * 1024);
        self.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(say(far, self.bytes.clone(), self.cuts.clone()));
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Dialed>) })
    }

    fn launch(&self, _launch: &Launch<'_>) -> io::Result<Process> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn give_up_after(&self, _: Duration) {}

    fn variable(&self, _name: &str) -> Option<Secret> {
        None
    }

    fn file(&self, _path: &str) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn site(reach: Arc<dyn Reach>) -> Site {
    let transport = HttpTransport {
        scheme: Scheme::Http,
        host: "upstream.test".into(),
        port: 80,
        authority: "upstream.test".into(),
        path: "/mcp".into(),
        headers: Box::new([]),
    };
    Site::new(&transport, &[], reach).unwrap()
}

fn request(site: &Site) -> Request {
    Draft::new(Verb::Post, site.preamble(), b"{}".to_vec()).end()
}

async fn read_by_us(reach: Arc<dyn Reach>) -> Read {
    let site = site(reach);
    let deadline = Instant::now() + Duration::from_secs(10);
    let exchange = site.exchange(request(&site), deadline).await?;
    let status = exchange.status.as_u16();
    let idle = Duration::from_secs(5);
    let body = exchange.body.collect(BODY_BYTES_MAX, idle, deadline);
    Ok((status, body.await?))
}

async fn read_by_hyper(bytes: &[u8]) -> Option<(u16, Bytes)> {
    let (near, far) = duplex(16 * 1024);
    tokio::spawn(say(far, bytes.to_vec(), Vec::new()));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
        .await
        .ok()?;
    tokio::spawn(connection);
    let request = hyper::Request::post("/mcp")
        .header("host", "upstream.test")
        .body(Full::new(Bytes::from_static(b"{}")));
    let response = sender.send_request(request.unwrap()).await.ok()?;
    let status = response.status().as_u16();
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
    Some((status, body.collect().await.ok()?.to_bytes()))
}

#[tokio::test(start_paused = true)]
async fn sound_responses_are_read_as_hyper_reads_them_however_they_are_cut() {
    for text in SOUND {
        let bytes = text.as_bytes();
        let expected = read_by_hyper(bytes).await;
        let expected = Ok(expected.unwrap());
        for cut in 0..bytes.len() {
            let reach = Sayer::new(bytes, vec![cut]);
            assert_eq!(read_by_us(reach).await, expected, "{text:?} cut at {cut}");
        }
        let reach = Sayer::new(bytes, (0..bytes.len()).collect());
        assert_eq!(read_by_us(reach).await, expected, "{text:?} byte by byte");
    }
}

/// A small generator (Knuth's constants), so that a failure comes back.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(bytes.len());
    match dice.below(6) {
        0 => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
        1 => drop(bytes.remove(at)),
        2 => bytes.truncate(at),
        3 => {
            let end = at + dice.below(bytes.len() - at).min(40);
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        // Most pieces only matter where a line begins.
        4 => {
            let lines: Vec<usize> = memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).collect();
            let at = lines.get(dice.below(lines.len())).copied().unwrap_or(0);
            let piece = PIECES[dice.below(PIECES.len())].bytes();
            bytes.splice(at..at, piece);
        }
        _ => {
            let piece = PIECES[dice.below(PIECES.len())].bytes();
            bytes.splice(at..at, piece);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_believed_of_a_broken_response_hyper_believes_too() {
    let mut dice = Dice(7);
    let (mut believed, mut refused) = (0, 0);
    for round in 0..12_000 {
        let mut bytes = SOUND[dice.below(SOUND.len())].as_bytes().to_vec();
        for _ in 0..=dice.below(3) {
            mutate(&mut bytes, &mut dice);
            if bytes.is_empty() {
                bytes.push(b'H');
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let cut = dice.below(bytes.len());
        match read_by_us(Sayer::new(&bytes, vec![cut])).await {
            Ok(ours) => {
                let theirs = read_by_hyper(&bytes).await;
                assert_eq!(Some(ours), theirs, "round {round}: {text:?}");
                believed += 1;
            }
            Err(Failure::Garbage | Failure::Closed | Failure::TooLarge) => refused += 1,
            Err(other) => assert_eq!(other, Failure::Garbage, "round {round}: {text:?}"),
        }
    }
    assert!(believed > 2_000 && refused > 2_000, "{believed}, {refused}");
}

#[tokio::test(start_paused = true)]
async fn framing_with_two_meanings_is_refused() {
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    let interim = "HTTP/1.1 103 Early\r\n\r\n".repeat(9);
    for text in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 4\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: \r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\nhello\n0\n\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0000000000000005\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n c\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        long.as_str(),
        many.as_str(),
        interim.as_str(),
    ] {
        let read = read_by_us(Sayer::new(text.as_bytes(), Vec::new())).await;
        assert_eq!(read, Err(Failure::Garbage), "{text:.200?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_larger_than_allowed_is_refused_whatever_its_framing() {
    let body = "x".repeat(BODY_BYTES_MAX + 1);
    let sized = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let open = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    // The announced size suffices: nothing of the body needs to come.
    for text in [sized, chunked, open] {
        let read = read_by_us(Sayer::new(text.as_bytes(), Vec::new())).await;
        assert_eq!(read, Err(Failure::TooLarge), "{text:.80?}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_that_nobody_asked_for_are_never_the_next_answer() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na";
    let stray = format!("{answer}HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nb");
    // Together with the answer, and behind it.
    for cuts in [Vec::new(), vec![answer.len()]] {
        let reach = Sayer::new(stray.as_bytes(), cuts);
        let site = site(reach.clone());
        for _ in 0..3 {
            let deadline = Instant::now() + Duration::from_secs(10);
            let exchange = site.exchange(request(&site), deadline).await.unwrap();
            let idle = Duration::from_secs(5);
            let body = exchange.body.collect(16, idle, deadline).await;
            assert_eq!(body, Ok(Bytes::from_static(b"a")));
            // The peer says the rest.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(reach.connections.load(Ordering::Relaxed), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn idle_connections_end_when_their_upstream_or_their_site_ends() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let (near, mut far) = duplex(1024);
    let lease = super::lease::Lease::new(
        Box::new(near),
        u64::MAX,
        tokio::sync::watch::Sender::new(false).subscribe(),
    );
    // Its site is gone, so it is not kept.
    super::body::Body::new(lease, super::head::Length::Sized(0), true).settle();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);

    let reach = Sayer::new(answer.as_bytes(), Vec::new());
    let site = site(reach);
    let deadline = Instant::now() + Duration::from_secs(10);
    let exchange = site.exchange(request(&site), deadline).await.unwrap();
    assert_eq!(exchange.kind, Kind::Other);
    let mut body = exchange.body;
    let mut out = bytes::BytesMut::new();
    let idle = Duration::from_secs(5);
    let filled = body.fill(&mut out, 16, idle, deadline).await;
    assert_eq!(filled, Ok(Filled::End));
    body.settle();
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Nobody asks for it any more, and its upstream has closed it: the sweep finds that out.
    assert!(!super::pool::sweep());
}
