//! The framing guard: stands between a connection and hyper, and lets only unambiguous bytes through.
//!
//! Owns holding back a request's head until it is whole and judged by [`Framing`]. In place of a
//! refused head hyper reads a harmless request of ours ([`STAND_IN`]), which `connection` answers
//! with the refusal: so replies to earlier, pipelined requests go out first, in order, and then the
//! connection closes. Nothing of the refused request reaches hyper. Tells [`Link`] what the client
//! owes, for `connection`'s deadlines.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::{Link, Owes};
use crate::framing::{Framing, Place};
use crate::server::fault::HeadBounds;

/// What hyper reads in place of a refused head.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// How much is read at once while a head is held back.
const HELD_READ_BYTES: usize = 4096;

/// How much of what a client still sends after its last reply is read before the connection is
/// closed. Closing with unread bytes would reset the connection, and a client that was refused for
/// its framing or for too large a body might never see why.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// How much is read at once of what nobody will look at.
const LINGER_READ_BYTES: usize = 16 * 1024;

/// A stream whose incoming bytes are guarded. Lives on one thread.
pub(crate) struct Guarded<S> {
    stream: S,
    framing: Framing,
    link: Rc<Link>,
    /// An incomplete head, or what came with its end. Empty for most requests.
    held: Vec<u8>,
    /// How much of `held` has passed and waits for room.
    passed: usize,
    mode: Mode,
    linger_left: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Open,
    /// Refused in a head: this much of the stand-in has been read.
    StandIn(usize),
    /// Refused in a body, which hyper shall see as broken.
    Broken,
}

impl<S> Guarded<S> {
    /// Guards a stream from its first byte on.
    pub(crate) fn new(stream: S, bounds: HeadBounds, link: Rc<Link>) -> Self {
        Self {
            stream,
            framing: Framing::new(bounds),
            link,
            held: Vec::new(),
            passed: 0,
            mode: Mode::Open,
            linger_left: None,
        }
    }

    /// Judges what is in `held`, or `fresh` if nothing is. Gives how much of it passed.
    fn judge(&mut self, fresh: Option<&[u8]>) -> usize {
        let progress = self.framing.advance(fresh.unwrap_or(&self.held));
        if let Some(fault) = progress.fault {
            let (behind, mode) = match self.framing.refused() {
                // The head passed and was counted; hyper knows the request.
                Some(Place::Body) => (0, Mode::Broken),
                Some(Place::Head) | None => (1, Mode::StandIn(0)),
            };
            self.link.refuse(self.framing.heads() + behind, fault);
            self.mode = mode;
        }
        progress.passed
    }

    fn note_owed(&self) {
        let owes = if self.framing.is_in_body() {
            Owes::Body
        } else if self.held.is_empty() {
            Owes::Nothing
        } else {
            Owes::Head
        };
        self.link.owes(owes);
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Reads into hyper's own buffer, the way of nearly all bytes. Gives whether any passed, or the
    /// stream has ended.
    fn poll_direct(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let start = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let fresh = buffer.filled().get(start..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let passed = self.judge(Some(fresh));
        if self.mode == Mode::Open {
            self.held
                .extend_from_slice(fresh.get(passed..).unwrap_or_default());
        }
        buffer.set_filled(start + passed);
        Poll::Ready(Ok(passed > 0))
    }

    /// Reads behind the bytes that are held. Gives whether the stream has ended.
    fn poll_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut space = [MaybeUninit::uninit(); HELD_READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.held.extend_from_slice(buffer.filled());
        self.passed = self.judge(None);
        Poll::Ready(Ok(false))
    }

    /// Moves what has passed of `held` to hyper.
    fn deliver(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.passed.min(buffer.remaining());
        buffer.put_slice(self.held.get(..count).unwrap_or_default());
        self.held.drain(..count);
        self.passed -= count;
        if self.passed == 0 && (self.held.is_empty() || self.mode != Mode::Open) {
            self.held = Vec::new();
        }
    }

    /// What hyper reads after a refusal.
    fn poll_refused(&mut self, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.mode {
            Mode::StandIn(at) => {
                let rest = STAND_IN.get(at..).unwrap_or_default();
                if rest.is_empty() {
                    // Nothing more comes; hyper closes once it has answered the stand-in.
                    return Poll::Pending;
                }
                let count = rest.len().min(buffer.remaining());
                buffer.put_slice(rest.get(..count).unwrap_or_default());
                self.mode = Mode::StandIn(at + count);
                Poll::Ready(Ok(()))
            }
            Mode::Open | Mode::Broken => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Reads and drops what the client still sends after its last reply.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut left = self.linger_left.unwrap_or(LINGER_BYTES);
        let mut space = [MaybeUninit::uninit(); LINGER_READ_BYTES];
        loop {
            self.linger_left = Some(left);
            let mut buffer = ReadBuf::uninit(&mut space);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            let count = buffer.filled().len();
            if read.is_err() || count == 0 || count >= left {
                return Poll::Ready(());
            }
            left -= count;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.passed > 0 {
                this.deliver(buffer);
                this.note_owed();
                return Poll::Ready(Ok(()));
            }
            if this.mode != Mode::Open {
                return this.poll_refused(buffer);
            }
            let polled = if this.held.is_empty() {
                this.poll_direct(context, buffer)
            } else {
                this.poll_held(context)
            };
            match polled {
                Poll::Ready(Ok(true)) => {
                    this.note_owed();
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(false)) => this.note_owed(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.link.waits_for_client();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.link.wrote(polled.is_ready());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.link.wrote(polled.is_ready());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger_left.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
            if this.mode == Mode::Open && !this.framing.is_in_body() && this.held.is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.linger_left = Some(LINGER_BYTES);
            this.link.owes(Owes::End);
        }
        this.poll_linger(context).map(Ok)
    }
}

#[cfg(test)]
mod tests;
