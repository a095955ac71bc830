//! One request that is no call: a page of an HTTP server, over a connection of its own.
//!
//! Owns how those ask who operate gateways: for a plan at a URL, for a gateway's status. Speaks HTTP as
//! calls to upstreams do, so that a program needs one implementation of it. No redirects, no pool.

use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use mcpc_plan::HttpTransport;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::head::{Draft, Preamble, Verb};
use super::wire;
use crate::failure::Failure;
use crate::reach::Dialed;

/// What is asked for, and of whom.
pub struct Ask<'a> {
    /// The server and the path. Its own headers are templates, and not sent.
    pub place: &'a HttpTransport,
    /// Fields of the request.
    pub fields: &'a [(HeaderName, HeaderValue)],
    /// A JSON text to POST. Without one it is a GET.
    pub message: Option<Vec<u8>>,
    /// The most bytes of the answer.
    pub bytes_max: usize,
    /// For everything: the name, the connection, the whole answer.
    pub patience: Duration,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// Connects, asks, and reads the whole answer.
///
/// # Errors
/// No connection, no whole answer in time, none that is HTTP, or one that is too large.
pub async fn ask(
    connecting: impl Future<Output = io::Result<Box<dyn Dialed>>>,
    ask: Ask<'_>,
) -> io::Result<Page> {
    let in_time = timeout(ask.patience, exchange(connecting, ask)).await;
    in_time.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

async fn exchange(
    connecting: impl Future<Output = io::Result<Box<dyn Dialed>>>,
    ask: Ask<'_>,
) -> io::Result<Page> {
    let preamble = Preamble::new(ask.place, ask.fields);
    let preamble = preamble.ok_or(ErrorKind::InvalidInput)?;
    let (verb, body) = match ask.message {
        Some(message) => (Verb::Post, message),
        None => (Verb::Get, Vec::new()),
    };
    let mut draft = Draft::new(verb, &preamble, body);
    draft
        .field("connection", b"close")
        .map_err(|_| ErrorKind::InvalidInput)?;
    let stream = connecting.await?;
    let (_closing, closed) = watch::channel(false);
    let exchange = wire::once(stream, draft.end(), closed).await;
    let mut exchange = exchange.map_err(told)?;
    let whole =
        exchange
            .body
            .read_whole(ask.bytes_max, ask.patience, Instant::now() + ask.patience);
    Ok(Page {
        status: exchange.status.as_u16(),
        body: whole.await.map_err(told)?,
    })
}

/// The failures that an exchange without calls can have.
fn told(failure: Failure) -> io::Error {
    match failure {
        Failure::Closed => ErrorKind::UnexpectedEof.into(),
        Failure::TooLarge => io::Error::other("the answer is too large"),
        failure if failure.is_timeout() => ErrorKind::TimedOut.into(),
        _ => io::Error::other("the answer is not HTTP"),
    }
}
