//! What must hold for any bytes that a server sends: answers over HTTP, event streams, lines.
//!
//! Owns the promises: no panic, bounds that hold, and a result that does not depend on how the bytes
//! were cut. `crate::fuzzing` joins this with the other parsers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf, join, sink};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::Instant;

use super::body::Body;
use super::head::{self, Head};
use super::lease::Lease;
use super::lines::{Framer, Line};
use super::sse::{Decoder, SseEvent, TooLarge};
use crate::failure::Failure;

/// Small enough that random bytes find it.
const BYTES_MAX: usize = 64;

/// Bodies may be a little larger, so that several chunks fit.
const BODY_BYTES_MAX: usize = 512;

/// Long enough that nothing here ends by the clock.
const LONG: Duration = Duration::from_secs(3600);

thread_local! {
    static RUNTIME: Option<Runtime> = Builder::new_current_thread().enable_time().build().ok();
}

/// A connection whose bytes come in pieces of one size, and that then ends.
struct Pieces {
    bytes: Bytes,
    size: usize,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = self.size.min(self.bytes.len()).min(out.remaining());
        out.put_slice(&self.bytes.split_to(count));
        Poll::Ready(Ok(()))
    }
}

/// An answer of a server: its head is the same in one piece as in many, and so is its body.
pub fn response(bytes: &[u8]) {
    let Ok(Some((head, length))) = head::read(bytes) else {
        return;
    };
    let (own, rest) = bytes.split_at_checked(length).unwrap_or_default();
    assert_eq!(head::read(own), Ok(Some((head.clone(), length))));
    let before = own.get(..length.saturating_sub(1)).unwrap_or_default();
    assert_eq!(
        head::read(before),
        Ok(None),
        "a head ends with its last byte"
    );
    let whole = body(&head, rest, rest.len().max(1));
    for size in [1, 7] {
        assert_eq!(body(&head, rest, size), whole, "in pieces of {size}");
    }
    if let Ok(whole) = &whole {
        assert!(whole.len() <= BODY_BYTES_MAX.min(rest.len()));
    }
}

fn body(head: &Head, rest: &[u8], size: usize) -> Result<Bytes, Failure> {
    let bytes = Bytes::copy_from_slice(rest);
    let reading = async {
        let (_closing, closed) = watch::channel(false);
        let stream = join(Pieces { bytes, size }, sink());
        let lease = Lease::new(Box::new(stream), 0, closed);
        let mut body = Body::new(lease, head.length, head.keeps);
        let deadline = Instant::now() + LONG;
        let whole = body.read_whole(BODY_BYTES_MAX, LONG, deadline).await;
        drop(body);
        // What watches over the connection ends with it.
        tokio::task::yield_now().await;
        whole
    };
    RUNTIME.with(|runtime| {
        let runtime = runtime.as_ref().ok_or(Failure::Closed)?;
        runtime.block_on(reading)
    })
}

/// An event stream: the same events however it is cut, and none larger than allowed.
pub fn events(bytes: &[u8]) {
    let whole = decode(bytes, bytes.len());
    for size in [1, 3] {
        assert_eq!(decode(bytes, size), whole, "in pieces of {size}");
    }
    for event in whole.0.iter().flatten() {
        assert!(!event.data.is_empty() && event.data.len() <= BYTES_MAX);
    }
}

type Decoded = (Vec<Result<SseEvent, TooLarge>>, Option<Bytes>, Option<u64>);

fn decode(bytes: &[u8], size: usize) -> Decoded {
    let mut decoder = Decoder::new(BYTES_MAX);
    let mut events = Vec::new();
    'stream: for piece in bytes.chunks(size.max(1)) {
        decoder.text().extend_from_slice(piece);
        while let Some(event) = decoder.next() {
            let is_last = event.is_err();
            events.push(event);
            // Behind an event that is too large nothing is read.
            if is_last {
                break 'stream;
            }
        }
    }
    (events, decoder.last_id().cloned(), decoder.retry_ms())
}

/// Lines of a process: those that another way of cutting finds, and no larger than allowed.
pub fn lines(bytes: &[u8]) {
    let mut parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let rest = parts.pop().filter(|rest| !rest.is_empty());
    for size in [1, 7, bytes.len()] {
        let mut found = frame(bytes, size).into_iter();
        for part in &parts {
            let line = part.strip_suffix(b"\r").unwrap_or(part);
            is_line(found.next(), part, line);
        }
        if let Some(rest) = rest {
            is_line(found.next(), rest, rest);
        }
        assert_eq!(found.next(), None, "in pieces of {size}");
    }
}

fn is_line(found: Option<Line>, part: &[u8], line: &[u8]) {
    assert!(found.is_some(), "a line is missing: {part:?}");
    if let Some(Line::Whole(found)) = found {
        assert!(part.len() <= BYTES_MAX && found == line, "{found:?}");
    } else {
        assert!(part.len() > BYTES_MAX, "no line is told for {part:?}");
    }
}

fn frame(bytes: &[u8], size: usize) -> Vec<Line> {
    let mut framer = Framer::new(BYTES_MAX);
    let mut lines = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        framer.room().extend_from_slice(piece);
        while let Some(line) = framer.next() {
            lines.push(line);
        }
    }
    lines.extend(framer.rest());
    assert_eq!(framer.rest(), None, "a rest is taken once");
    lines
}
