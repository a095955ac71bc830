//! Bodies of responses: sized, chunked, or until the connection closes (RFC 9112 §6 and §7).
//!
//! Owns where a body ends, and how its bytes get from the socket to whoever joins them with as few
//! copies as there can be: what is left of a large piece is read straight behind what was read
//! before. Does not know what the bytes mean. Comes from `wire`, goes back to `pool`.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::time::{Instant, timeout_at};

use super::head::Length;
use super::lease::Lease;
use super::pool;
use crate::failure::Failure;

/// The most bytes of the line in front of a chunk. Nobody uses the extensions that may stand there.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// The most bytes of trailers. They carry nothing that an MCP message needs.
const TRAILER_BYTES_MAX: usize = 8 * 1024;
const TRAILERS_MAX: usize = 32;

/// What is left of a piece is read past the connection's buffer if it is at least this much.
const DIRECT_BYTES_MIN: usize = 16 * 1024;

/// The rest of a response, and the connection that it comes from.
pub(super) struct Body {
    lease: Lease,
    rest: Rest,
    /// Whether the connection can be used again afterwards.
    keeps: bool,
}

/// What must come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    Sized(u64),
    UntilClose,
    ChunkLine,
    Chunk(u64),
    ChunkEnd,
    Trailers,
}

/// What is known of a body after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filled {
    /// There are more bytes, and there may be more to come.
    Some,
    /// The body has ended; there are no more bytes than before.
    End,
}

impl Body {
    pub(super) fn new(lease: Lease, length: Length, keeps: bool) -> Self {
        let rest = match length {
            Length::Sized(0) => Rest::Nothing,
            Length::Sized(bytes) => Rest::Sized(bytes),
            Length::Chunked => Rest::ChunkLine,
            Length::UntilClose => Rest::UntilClose,
        };
        Self { lease, rest, keeps }
    }

    /// The whole body in one buffer. The connection goes back to the pool.
    pub(super) async fn collect(
        mut self,
        bytes_max: usize,
        idle: Duration,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let whole = self.read_whole(bytes_max, idle, deadline).await?;
        self.settle();
        Ok(whole)
    }

    /// The whole body in one buffer, for a caller that judges it before it [settles](Self::settle):
    /// behind an answer that belongs to another request there may be more of them.
    pub(super) async fn read_whole(
        &mut self,
        bytes_max: usize,
        idle: Duration,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        if let Rest::Sized(bytes) = self.rest {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            if bytes > bytes_max {
                return Err(Failure::TooLarge);
            }
            // A small answer comes along with its head.
            if bytes <= self.lease.buffer.len() {
                let whole = self.lease.buffer.split_to(bytes).freeze();
                self.rest = Rest::Nothing;
                return Ok(whole);
            }
        }
        // Boxed: the wait would weigh on every call.
        Box::pin(self.join(bytes_max, idle, deadline)).await
    }

    async fn join(
        &mut self,
        bytes_max: usize,
        idle: Duration,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let mut whole = BytesMut::new();
        loop {
            // One more than there may be shows that there are too many.
            let most = bytes_max.saturating_add(1) - whole.len();
            match self.fill(&mut whole, most, idle, deadline).await? {
                Filled::End => break,
                Filled::Some if whole.len() > bytes_max => return Err(Failure::TooLarge),
                Filled::Some => {}
            }
        }
        Ok(whole.freeze())
    }

    /// Appends what comes next, up to `most` bytes. A timer is armed only if nothing is there yet.
    pub(super) async fn fill(
        &mut self,
        out: &mut BytesMut,
        most: usize,
        idle: Duration,
        deadline: Instant,
    ) -> Result<Filled, Failure> {
        let at_once = poll_fn(|context| Poll::Ready(self.poll_fill(context, out, most))).await;
        let now = Instant::now();
        // A timer is not heard as long as there is always something to read.
        if now >= deadline {
            return Err(Failure::TotalTimeout);
        }
        if let Poll::Ready(filled) = at_once {
            return filled;
        }
        let idle_end = now + idle;
        let filling = poll_fn(|context| self.poll_fill(context, out, most));
        match timeout_at(idle_end.min(deadline), filling).await {
            Ok(filled) => filled,
            Err(_) if idle_end < deadline => Err(Failure::IdleTimeout),
            Err(_) => Err(Failure::TotalTimeout),
        }
    }

    /// Puts the connection back. The end of a chunked answer may still be on its way behind its
    /// last event; anything else that comes closes the connection.
    pub(super) fn settle(self) {
        pool::give_back(self);
    }

    pub(super) fn lease(&mut self) -> &mut Lease {
        &mut self.lease
    }

    /// Takes a body apart whose end was read; nothing if its connection cannot be used again.
    pub(super) fn into_lease(self) -> Option<Lease> {
        let is_reusable = self.rest == Rest::Nothing && self.keeps && self.lease.buffer.is_empty();
        is_reusable.then_some(self.lease)
    }

    /// Whether a body ends here: yes, no, or not yet. Blank lines of an event stream do not count.
    pub(super) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if !self.keeps || matches!(self.rest, Rest::Sized(_)) {
            return Poll::Ready(false);
        }
        let mut tail = BytesMut::new();
        loop {
            match self.poll_fill(context, &mut tail, DIRECT_BYTES_MIN) {
                Poll::Ready(Ok(Filled::End)) => return Poll::Ready(self.lease.buffer.is_empty()),
                Poll::Ready(Ok(Filled::Some)) if tail.iter().all(u8::is_ascii_whitespace) => {
                    tail.clear();
                }
                Poll::Ready(Ok(Filled::Some) | Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        out: &mut BytesMut,
        most: usize,
    ) -> Poll<Result<Filled, Failure>> {
        loop {
            match self.rest {
                Rest::Nothing => return Poll::Ready(Ok(Filled::End)),
                Rest::Sized(left) | Rest::Chunk(left) => {
                    let left = usize::try_from(left).unwrap_or(usize::MAX).min(most);
                    let read = ready!(self.poll_data(context, out, left))?;
                    self.count(read);
                    if read > 0 {
                        return Poll::Ready(Ok(Filled::Some));
                    }
                }
                Rest::UntilClose => {
                    let read = ready!(self.poll_until_close(context, out, most))?;
                    if read > 0 {
                        return Poll::Ready(Ok(Filled::Some));
                    }
                    self.rest = Rest::Nothing;
                }
                Rest::ChunkLine | Rest::ChunkEnd | Rest::Trailers => match self.step()? {
                    Some(rest) => self.rest = rest,
                    None => ready!(self.poll_more(context))?,
                },
            }
        }
    }

    /// Moves bytes of a sized piece of which `left` are missing. May have read into the
    /// connection's buffer only; then there are none yet.
    fn poll_data(
        &mut self,
        context: &mut Context<'_>,
        out: &mut BytesMut,
        left: usize,
    ) -> Poll<Result<usize, Failure>> {
        let buffer = &mut self.lease.buffer;
        // One allocation for the whole piece, also if only its beginning is here.
        out.reserve(left);
        if !buffer.is_empty() {
            let count = left.min(buffer.len());
            out.extend_from_slice(buffer.get(..count).unwrap_or_default());
            buffer.advance(count);
            return Poll::Ready(Ok(count));
        }
        if left < DIRECT_BYTES_MIN && !matches!(self.rest, Rest::Sized(_)) {
            // The line of the next chunk comes along with the rest of a small one.
            return self.poll_more(context).map_ok(|()| 0);
        }
        match ready!(self.lease.poll_read_into(context, out, left)) {
            Ok(0) | Err(_) => Poll::Ready(Err(Failure::Closed)),
            Ok(count) => Poll::Ready(Ok(count)),
        }
    }

    fn poll_until_close(
        &mut self,
        context: &mut Context<'_>,
        out: &mut BytesMut,
        most: usize,
    ) -> Poll<Result<usize, Failure>> {
        if !self.lease.buffer.is_empty() {
            return self.poll_data(context, out, self.lease.buffer.len().min(most));
        }
        out.reserve(most.min(out.len().max(DIRECT_BYTES_MIN)));
        let read = ready!(self.lease.poll_read_into(context, out, most));
        Poll::Ready(read.map_err(|_| Failure::Closed))
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        match ready!(self.lease.poll_more(context)) {
            Ok(0) | Err(_) => Poll::Ready(Err(Failure::Closed)),
            Ok(_) => Poll::Ready(Ok(())),
        }
    }

    fn count(&mut self, read: usize) {
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        self.rest = match self.rest {
            Rest::Sized(left) if left > read => Rest::Sized(left - read),
            Rest::Sized(_) => Rest::Nothing,
            Rest::Chunk(left) if left > read => Rest::Chunk(left - read),
            Rest::Chunk(_) => Rest::ChunkEnd,
            rest => rest,
        };
    }

    /// Reads what stands between chunks; nothing if more of it must come first.
    fn step(&mut self) -> Result<Option<Rest>, Failure> {
        let buffer = &mut self.lease.buffer;
        let (length, rest) = match self.rest {
            Rest::ChunkLine => match chunk_line(buffer)? {
                Some((length, 0)) => (length, Rest::Trailers),
                Some((length, size)) => (length, Rest::Chunk(size)),
                None => return Ok(None),
            },
            Rest::ChunkEnd => match buffer.get(..2) {
                Some(b"\r\n") => (2, Rest::ChunkLine),
                Some(_) => return Err(Failure::Garbage),
                None => return Ok(None),
            },
            Rest::Trailers => match trailers(buffer)? {
                Some(length) => (length, Rest::Nothing),
                None => return Ok(None),
            },
            rest => return Ok(Some(rest)),
        };
        buffer.advance(length);
        Ok(Some(rest))
    }
}

/// The length of a chunk's line and the size that it tells; nothing if it is incomplete.
fn chunk_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, Failure> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        // The longest line may lack its line feed alone.
        let may_come = bytes.len() <= CHUNK_LINE_BYTES_MAX + 1;
        return may_come.then_some(None).ok_or(Failure::Garbage);
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.filter(|line| line.len() <= CHUNK_LINE_BYTES_MAX);
    let line = line.ok_or(Failure::Garbage)?;
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let extension = line.get(digits.len()..).unwrap_or_default();
    // Fifteen digits cannot overflow, and no body is larger.
    let is_sound = (1..=15).contains(&digits.len())
        && extension
            .iter()
            .all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..));
    let size = digits.iter().try_fold(0, |size, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(size << 4 | u64::from(digit))
    });
    match size {
        Some(size) if is_sound => Ok(Some((end + 1, size))),
        _ => Err(Failure::Garbage),
    }
}

/// The length of the trailers with the empty line behind them; nothing if they are incomplete.
fn trailers(bytes: &[u8]) -> Result<Option<usize>, Failure> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let most = bytes.len().min(TRAILER_BYTES_MAX);
    let bounded = bytes.get(..most).unwrap_or_default();
    let Some(end) = memchr::memmem::find(bounded, b"\r\n\r\n") else {
        let may_come = bytes.len() < TRAILER_BYTES_MAX;
        return may_come.then_some(None).ok_or(Failure::Garbage);
    };
    let mut fields = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    let lines = bytes.get(..end + 4).unwrap_or_default();
    let is_line = |line: &[u8]| line.is_empty() || line.ends_with(b"\r");
    if !lines.split(|byte| *byte == b'\n').all(is_line) {
        return Err(Failure::Garbage);
    }
    match httparse::parse_headers(lines, &mut fields) {
        Ok(httparse::Status::Complete((length, _))) if length == end + 4 => Ok(Some(length)),
        Ok(_) | Err(_) => Err(Failure::Garbage),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use tokio::io::{join, repeat, sink};
    use tokio::sync::watch;

    use super::*;

    #[test]
    fn a_body_that_never_lets_the_reader_wait_ends_at_the_deadline() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (_closing, closed) = watch::channel(false);
            let lease = Lease::new(Box::new(join(repeat(b'\n'), sink())), 0, closed);
            let mut body = Body::new(lease, Length::UntilClose, false);
            let (began, second) = (Instant::now(), Duration::from_secs(1));
            let deadline = began + second / 20;
            let mut out = BytesMut::new();
            let end = loop {
                out.clear();
                assert!(began.elapsed() < 30 * second, "it goes on and on");
                let filled = body.fill(&mut out, DIRECT_BYTES_MIN, second, deadline);
                match filled.await {
                    Ok(Filled::Some) => {}
                    end => break end,
                }
            };
            assert_eq!(end, Err(Failure::TotalTimeout));
        });
    }
}
