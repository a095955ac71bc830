//! The bytes of one connection: what came and was not taken yet, and the stream itself.
//!
//! Owns every read and write, and tells the [`Link`] of them. A head, the rest of a body and the next
//! request share one buffer. Does not know what the bytes mean: `head`, `chunked` and `reply` do.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::chunked::{Chunked, End};
use super::fault::HeadBounds;
use super::head::{Head, Length};
use super::link::{Link, Owes};

/// What a connection runs on: a socket, a TLS stream or a pipe.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// One connection's bytes.
pub(super) struct Wire<S: ?Sized = dyn Stream> {
    pub(super) link: Rc<Link>,
    pub(super) bounds: HeadBounds,
    /// What came and was not taken.
    pub(super) buffer: BytesMut,
    /// What is left of the body of the request that is served.
    pub(super) rest: Rest,
    /// The client waits for `100 Continue`.
    pub(super) continues: bool,
    stream: S,
}

/// What is left of a body.
pub(super) enum Rest {
    None,
    Sized(u64),
    Chunked(Chunked),
    /// It is not framed as it must be: nothing may be read any more.
    Broken,
}

/// How much room there is for a head and, most of the time, for its body.
const BUFFER_BYTES: usize = 8 * 1024;

/// With less room than this a read is not worth its system call.
const READ_BYTES_LEAST: usize = 2 * 1024;

/// A buffer that had to grow beyond this is not kept for the next request.
const KEPT_BYTES: usize = 64 * 1024;

/// How much of the next requests is read while one is served.
const AHEAD_BYTES: usize = 1024;

/// How much of what a client still sends after its last reply is read before the connection is
/// closed. Closing with unread bytes would reset the connection, and a client that was refused for
/// its framing or for too large a body might never see why.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How much is read at once of what nobody will look at.
const LINGER_READ_BYTES: usize = 16 * 1024;

impl<S: Stream> Wire<S> {
    /// A connection from its first byte on.
    pub(super) fn new(stream: S, link: Rc<Link>, bounds: HeadBounds) -> Self {
        Self {
            link,
            bounds,
            buffer: BytesMut::new(),
            rest: Rest::None,
            continues: false,
            stream,
        }
    }
}

impl Wire {
    /// Reads behind what is in the buffer, with room for at least so many bytes. Gives whether
    /// anything came; else the client has left.
    pub(super) fn poll_fill(&mut self, context: &mut Context<'_>, least: usize) -> Poll<bool> {
        let room = self.buffer.capacity() - self.buffer.len();
        if room < least.max(READ_BYTES_LEAST) {
            self.buffer.reserve(least.max(BUFFER_BYTES));
        }
        match pin!(self.stream.read_buf(&mut self.buffer)).poll(context) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(_)) => {
                self.link.heard();
                Poll::Ready(true)
            }
            Poll::Pending => {
                self.link.waits_for_client();
                Poll::Pending
            }
        }
    }

    /// Resolves when the client has left while its request is served. What it sends ahead is kept;
    /// from then on its departure shows only when the reply is written, or at the next read.
    pub(super) fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.buffer.is_empty() || !matches!(self.rest, Rest::None) {
            return Poll::Pending;
        }
        // Nothing came, most of the time: then this asks the reactor and not the system.
        let mut space = [MaybeUninit::uninit(); AHEAD_BYTES];
        let mut ahead = ReadBuf::uninit(&mut space);
        match ready!(Pin::new(&mut self.stream).poll_read(context, &mut ahead)) {
            Ok(()) if !ahead.filled().is_empty() => {
                self.link.heard();
                self.buffer.extend_from_slice(ahead.filled());
                Poll::Pending
            }
            Ok(()) | Err(_) => Poll::Ready(()),
        }
    }

    /// Looks for a whole head in the buffer and takes it.
    pub(super) fn take_head(&mut self, head: &mut Head) -> Result<bool, super::fault::Fault> {
        if self.buffer.is_empty() {
            return Ok(false);
        }
        let Some(count) = head.read(&self.buffer, self.bounds)? else {
            self.link.owes(Owes::Head);
            return Ok(false);
        };
        head.keep(self.buffer.split_to(count).freeze());
        self.link.owes(Owes::Nothing);
        self.rest = match head.length() {
            Length::None => Rest::None,
            Length::Sized(count) => Rest::Sized(count),
            Length::Chunked => Rest::Chunked(Chunked::new()),
        };
        self.continues = self.has_rest() && !head.is_old() && head.expects_continue();
        Ok(true)
    }

    /// Takes so many bytes of the buffer, which are the rest of the body.
    pub(super) fn take_rest(&mut self, count: usize) -> Bytes {
        self.rest = Rest::None;
        let body = self.buffer.split_to(count.min(self.buffer.len())).freeze();
        if body.len() > KEPT_BYTES {
            let next = self.buffer.split();
            self.buffer = BytesMut::with_capacity(BUFFER_BYTES);
            self.buffer.extend_from_slice(&next);
        }
        self.link.owes(Owes::Nothing);
        body
    }

    /// Whether there is more of the body than was taken.
    pub(super) fn has_rest(&self) -> bool {
        !matches!(self.rest, Rest::None)
    }

    /// Drops what nobody took of the body, if all of it is here. Gives whether the next request can
    /// be read.
    pub(super) fn skip_rest(&mut self) -> bool {
        let here = match &mut self.rest {
            Rest::None => return true,
            Rest::Broken => return false,
            Rest::Sized(count) => usize::try_from(*count)
                .ok()
                .filter(|count| *count <= self.buffer.len()),
            Rest::Chunked(chunked) => match chunked.read(&self.buffer, self.bounds, |_| {}) {
                (count, Ok(End::Closed)) => Some(count),
                _ => None,
            },
        };
        let Some(count) = here else {
            return false;
        };
        self.buffer.advance(count);
        self.rest = Rest::None;
        true
    }

    fn poll_write(&mut self, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<usize> {
        let stream = Pin::new(&mut self.stream);
        let polled = match slices {
            [one] => stream.poll_write(context, one),
            several => stream.poll_write_vectored(context, several),
        };
        self.link.wrote(polled.is_ready());
        // Whatever the reason: nothing more can be written.
        polled.map(|written| written.unwrap_or(0))
    }

    /// Ends the direction to the client, then reads and drops what the client still sends.
    fn poll_linger(&mut self, context: &mut Context<'_>, left: &mut Option<usize>) -> Poll<()> {
        if left.is_none() {
            let _left_already = ready!(Pin::new(&mut self.stream).poll_shutdown(context));
            if !self.has_rest() && self.buffer.is_empty() {
                return Poll::Ready(());
            }
            *left = Some(LINGER_BYTES);
            self.link.owes(Owes::End);
        }
        let mut space = [MaybeUninit::uninit(); LINGER_READ_BYTES];
        loop {
            let mut dropped = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut dropped));
            let count = dropped.filled().len();
            *left = left.filter(|left| count < *left).map(|left| left - count);
            if read.is_err() || count == 0 || left.is_none() {
                return Poll::Ready(());
            }
        }
    }
}

/// Writes all of some pieces. Gives whether the client took them.
pub(super) async fn write(wire: &RefCell<Wire>, pieces: &[&[u8]]) -> bool {
    let mut slices = [IoSlice::new(&[]); 5];
    let mut count = 0;
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    let mut rest = slices.get_mut(..count).unwrap_or_default();
    // Leaves out empty ones, which would look like an end.
    IoSlice::advance_slices(&mut rest, 0);
    poll_fn(|context| {
        while !rest.is_empty() {
            match ready!(wire.borrow_mut().poll_write(context, rest)) {
                0 => return Poll::Ready(false),
                written => IoSlice::advance_slices(&mut rest, written),
            }
        }
        Poll::Ready(true)
    })
    .await
}

/// Closes a connection so that its client can read what it was told.
pub(super) async fn close(wire: &RefCell<Wire>) {
    let mut left = None;
    poll_fn(|context| wire.borrow_mut().poll_linger(context, &mut left)).await;
}
