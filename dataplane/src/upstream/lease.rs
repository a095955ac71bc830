//! One connection to an upstream, while somebody uses it.
//!
//! Owns the stream and what was read from it beyond what was asked for, and the connection's end
//! when its site closes. Does not know HTTP: `wire` writes requests, `head` and `body` read what
//! comes back. Idle connections lie in `pool`.

use std::convert::Infallible;
use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::watch;
use tokio::task::coop::unconstrained;

use super::pool;
use crate::reach::Dialed;

/// How much is read at once: a head with a short body, then more as long as reads are full.
const READ_BYTES_MIN: usize = 8 * 1024;
const READ_BYTES_MAX: usize = 128 * 1024;

/// A connection in use. Dropping it closes the connection, which is how a call is cancelled
/// (2026-07-28 §Cancellation).
pub(super) struct Lease {
    stream: Box<dyn Dialed>,
    /// Bytes that were read and not yet taken.
    pub(super) buffer: BytesMut,
    appetite: usize,
    site: u64,
    /// Ends with the site.
    open: oneshot::Receiver<Infallible>,
}

impl Lease {
    /// A new connection to a site. `closing` tells when the site closes, or is gone.
    pub(super) fn new(
        stream: Box<dyn Dialed>,
        site: u64,
        mut closing: watch::Receiver<bool>,
    ) -> Self {
        let (mut held, open) = oneshot::channel();
        // Every runtime here has one thread, so this is the thread in whose pool the connection is.
        tokio::spawn(async move {
            tokio::select! {
                () = held.closed() => return,
                _closing = closing.wait_for(|closing| *closing) => {}
            }
            drop(held);
            pool::sweep();
        });
        Self {
            stream,
            buffer: BytesMut::new(),
            appetite: READ_BYTES_MIN,
            site,
            open,
        }
    }

    pub(super) fn site(&self) -> u64 {
        self.site
    }

    /// Writes what is there of head and body. Gives how many bytes went.
    pub(super) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        head: &[u8],
        body: &[u8],
    ) -> Poll<io::Result<usize>> {
        let slices = [IoSlice::new(head), IoSlice::new(body)];
        Pin::new(&mut self.stream).poll_write_vectored(context, &slices)
    }

    /// Lets go what was written and is still held back, as TLS does.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Reads into the connection's buffer. No bytes mean the end of the connection.
    pub(super) fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = self.appetite;
        self.buffer.reserve(wanted);
        let polled = poll_read(&mut self.stream, context, &mut self.buffer, wanted);
        if matches!(polled, Poll::Ready(Ok(read)) if read == wanted) {
            self.appetite = (wanted * 2).min(READ_BYTES_MAX);
        }
        self.unless_closing(context, polled)
    }

    /// Reads up to `most` bytes past the connection's buffer, which is empty.
    pub(super) fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        out: &mut BytesMut,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let polled = poll_read(&mut self.stream, context, out, most);
        self.unless_closing(context, polled)
    }

    fn unless_closing(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if polled.is_pending() && self.is_closing(context) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        polled
    }

    fn is_closing(&mut self, context: &mut Context<'_>) -> bool {
        self.open.is_terminated() || Pin::new(&mut self.open).poll(context).is_ready()
    }

    /// Whether an idle connection can be used: its site is open, and neither an end nor a byte that
    /// nobody asked for has come. What is there now cannot be taken for the next answer.
    pub(super) fn is_quiet(&mut self) -> bool {
        if !self.buffer.is_empty() || self.open.try_recv() != Err(TryRecvError::Empty) {
            return false;
        }
        let mut byte = [0];
        let mut unasked = ReadBuf::new(&mut byte);
        let stream = &mut self.stream;
        let reading =
            std::future::poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut unasked));
        // A task that has used up its budget would be told that nothing is there, unseen.
        let reading = pin!(unconstrained(reading));
        reading
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    /// Gives memory back that only a large answer needed.
    pub(super) fn rest(&mut self) {
        self.appetite = READ_BYTES_MIN;
        if self.buffer.capacity() > 2 * READ_BYTES_MIN {
            self.buffer = BytesMut::new();
        }
    }
}

fn poll_read(
    stream: &mut Box<dyn Dialed>,
    context: &mut Context<'_>,
    out: &mut BytesMut,
    most: usize,
) -> Poll<io::Result<usize>> {
    let mut space = out.limit(most);
    pin!(stream.read_buf(&mut space)).poll(context)
}
