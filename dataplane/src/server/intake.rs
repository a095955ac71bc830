//! The body of a request, read when it is asked for and within a bound.
//!
//! Owns the three ways in which one is there: already in the buffer, announced by its size, in chunks.
//! Comes from `connection`; whoever answers takes it, or leaves it to the connection to skip.

use std::cell::RefCell;
use std::future::poll_fn;

use bytes::{Buf, Bytes};

use super::chunked::End;
use super::link::Owes;
use super::wire::{self, Rest, Wire};
use crate::reply::LocalReply;

/// The body of a request, which was not read yet.
pub(crate) struct Intake<'c> {
    wire: &'c RefCell<Wire>,
}

/// What a client waits for that wants to know first whether its body is welcome.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Room for a read of chunks whose sizes are not known.
const CHUNKS_READ_BYTES: usize = 16 * 1024;

impl<'c> Intake<'c> {
    /// The body of the request whose head was taken last.
    pub(super) fn new(wire: &'c RefCell<Wire>) -> Self {
        Self { wire }
    }

    /// The whole body, if it is no larger than the bound. Most are here already and stay where they are.
    ///
    /// # Errors
    /// The refusal if it is too large, ends early or is not framed as it must be.
    pub(crate) async fn collect(self, bytes_limit: u64) -> Result<Bytes, LocalReply> {
        if let Some(body) = self.at_once(bytes_limit)? {
            return Ok(body);
        }
        Box::pin(self.wait(bytes_limit)).await
    }

    /// The body, if all of it is here.
    fn at_once(&self, bytes_limit: u64) -> Result<Option<Bytes>, LocalReply> {
        let mut wire = self.wire.borrow_mut();
        match wire.rest {
            Rest::None => Ok(Some(Bytes::new())),
            Rest::Sized(count) if count > bytes_limit => Err(LocalReply::BodyTooLarge),
            Rest::Sized(count) => {
                let here = usize::try_from(count).ok();
                let here = here.filter(|count| *count <= wire.buffer.len() && !wire.continues);
                Ok(here.map(|count| wire.take_rest(count)))
            }
            Rest::Chunked(_) => Ok(None),
            Rest::Broken => Err(LocalReply::BodyCut),
        }
    }

    async fn wait(self, bytes_limit: u64) -> Result<Bytes, LocalReply> {
        let continues = {
            let mut wire = self.wire.borrow_mut();
            wire.link.owes(Owes::Body);
            std::mem::take(&mut wire.continues)
        };
        if continues && !wire::write(self.wire, &[CONTINUE]).await {
            return Err(LocalReply::BodyCut);
        }
        let sized = match self.wire.borrow().rest {
            Rest::Sized(count) => Some(count),
            _ => None,
        };
        match sized {
            Some(count) => {
                self.sized(usize::try_from(count).unwrap_or(usize::MAX))
                    .await
            }
            None => self.chunks(bytes_limit).await,
        }
    }

    /// Reads a body of a known size straight behind what is there of it.
    async fn sized(&self, count: usize) -> Result<Bytes, LocalReply> {
        loop {
            let missing = count.saturating_sub(self.wire.borrow().buffer.len());
            if missing == 0 {
                return Ok(self.wire.borrow_mut().take_rest(count));
            }
            self.fill(missing).await?;
        }
    }

    async fn chunks(&self, bytes_limit: u64) -> Result<Bytes, LocalReply> {
        let mut body = Vec::new();
        loop {
            let end = self.decode(&mut body)?;
            if body.len() as u64 > bytes_limit {
                return Err(LocalReply::BodyTooLarge);
            }
            if end == End::Closed {
                self.wire.borrow_mut().take_rest(0);
                return Ok(body.into());
            }
            self.fill(CHUNKS_READ_BYTES).await?;
        }
    }

    /// Takes what chunks of the body are in the buffer.
    fn decode(&self, body: &mut Vec<u8>) -> Result<End, LocalReply> {
        let wire = &mut *self.wire.borrow_mut();
        let Rest::Chunked(chunked) = &mut wire.rest else {
            return Err(LocalReply::BodyCut);
        };
        let take = |data: &[u8]| body.extend_from_slice(data);
        let (count, end) = chunked.read(&wire.buffer, wire.bounds, take);
        wire.buffer.advance(count);
        end.map_err(|fault| {
            wire.rest = Rest::Broken;
            LocalReply::Framing(fault)
        })
    }

    async fn fill(&self, least: usize) -> Result<(), LocalReply> {
        let came = poll_fn(|context| self.wire.borrow_mut().poll_fill(context, least)).await;
        came.then_some(()).ok_or(LocalReply::BodyCut)
    }
}
