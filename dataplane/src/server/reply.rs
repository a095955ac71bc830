//! How a reply is written: its head, and its body as one write, several pieces, or chunks.
//!
//! Owns lengths, dates and `Connection`. A small reply is one write of one buffer, which the
//! connection keeps. A stream is written as its frames come, a bounded number of bytes at a time, and
//! is dropped when its client leaves.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::Write as _;
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;

use super::head::{Head, Method};
use super::response::{Content, Response};
use super::wire::{self, Wire};
use crate::body::{Body, Streaming};

/// Bodies and frames up to this size are copied behind their heads: one piece instead of several.
const COPY_MAX: usize = 16 * 1024;

/// Whether the connection goes on after a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    GoOn,
    Close,
}

/// Writes a reply. `out` is a buffer that nobody else uses. Gives whether the connection can go on.
pub(super) async fn send(
    wire: &RefCell<Wire>,
    head: &Head,
    response: Response,
    after: After,
    out: &mut Vec<u8>,
) -> bool {
    out.clear();
    // Only the end of the connection tells an old client where a stream ends.
    let after = match response.length() {
        None if head.is_old() => After::Close,
        _ => after,
    };
    let date = wire.borrow().link.date();
    write_head(out, head, &response, after, &date);
    let body = match response.into_body() {
        _ if head.method() == Method::Head => Body::Empty,
        body => body,
    };
    let written = match body {
        Body::Empty => wire::write(wire, &[out]).await,
        Body::Whole(body) if body.len() <= COPY_MAX => {
            out.extend_from_slice(&body);
            wire::write(wire, &[out]).await
        }
        body => Box::pin(send_large(wire, head, body, out)).await,
    };
    written && after == After::GoOn
}

async fn send_large(wire: &RefCell<Wire>, head: &Head, body: Body, out: &mut Vec<u8>) -> bool {
    match body {
        Body::Empty => true,
        Body::Whole(body) => wire::write(wire, &[out, &body]).await,
        Body::Pieces(pieces) => {
            let [first, value, last] = &*pieces;
            wire::write(wire, &[out, first, value, last]).await
        }
        Body::Stream(frames) => send_stream(wire, *frames, !head.is_old(), out).await,
    }
}

/// What happens next on a stream.
enum Step {
    Frame(Option<Bytes>),
    /// There is no frame for now, and something that was not written.
    Flush,
    Left,
}

/// Writes frames until there are no more, as chunks if the client knows them.
async fn send_stream(
    wire: &RefCell<Wire>,
    mut frames: Streaming,
    chunked: bool,
    out: &mut Vec<u8>,
) -> bool {
    loop {
        let step = poll_fn(|context| match frames.poll(context) {
            Poll::Ready(frame) => Poll::Ready(Step::Frame(frame)),
            Poll::Pending if !out.is_empty() => Poll::Ready(Step::Flush),
            Poll::Pending => wire.borrow_mut().poll_left(context).map(|()| Step::Left),
        })
        .await;
        let is_last = matches!(step, Step::Frame(None));
        let went = match step {
            Step::Left => false,
            Step::Frame(Some(frame)) => put(wire, &frame, chunked, out).await,
            Step::Frame(None) if chunked => {
                out.extend_from_slice(b"0\r\n\r\n");
                flush(wire, out).await
            }
            Step::Frame(None) | Step::Flush => flush(wire, out).await,
        };
        if !went || is_last {
            return went && chunked;
        }
    }
}

/// Puts a frame behind what was not written yet; writes when that is enough.
async fn put(wire: &RefCell<Wire>, frame: &[u8], chunked: bool, out: &mut Vec<u8>) -> bool {
    // An empty chunk would be the end.
    if frame.is_empty() {
        return true;
    }
    if chunked {
        // A buffer in memory takes everything.
        let _cannot_fail = write!(out, "{:x}\r\n", frame.len());
    }
    let end: &[u8] = if chunked { b"\r\n" } else { b"" };
    if frame.len() > COPY_MAX {
        let went = wire::write(wire, &[out, frame, end]).await;
        out.clear();
        return went;
    }
    out.extend_from_slice(frame);
    out.extend_from_slice(end);
    out.len() <= COPY_MAX || flush(wire, out).await
}

async fn flush(wire: &RefCell<Wire>, out: &mut Vec<u8>) -> bool {
    let went = wire::write(wire, &[out]).await;
    out.clear();
    went
}

fn write_head(out: &mut Vec<u8>, head: &Head, response: &Response, after: After, date: &[u8]) {
    let status = response.status();
    if status == StatusCode::OK && !head.is_old() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    } else {
        let version = if head.is_old() { "1.0" } else { "1.1" };
        let reason = status.canonical_reason().unwrap_or("Unknown");
        let _cannot_fail = write!(out, "HTTP/{version} {} {reason}\r\n", status.as_str());
    }
    out.extend_from_slice(fields_of(response.content()));
    for (name, value) in response.extras() {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    if after == After::Close {
        out.extend_from_slice(b"connection: close\r\n");
    } else if head.is_old() {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    match response.length() {
        // Such a reply has no body by its status (RFC 9110 §8.6).
        _ if status == StatusCode::NO_CONTENT => {}
        Some(length) => {
            out.extend_from_slice(b"content-length: ");
            write_number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        None if head.is_old() => {}
        None => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    out.extend_from_slice(b"date: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n\r\n");
}

/// The fields that say what a body is.
fn fields_of(content: Content) -> &'static [u8] {
    match content {
        Content::None => b"",
        Content::Json => b"content-type: application/json\r\n",
        Content::Events => {
            b"content-type: text/event-stream\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: usize) {
    let start = out.len();
    let mut rest = number;
    loop {
        out.push(b'0' + u8::try_from(rest % 10).unwrap_or_default());
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if let Some(digits) = out.get_mut(start..) {
        digits.reverse();
    }
}
