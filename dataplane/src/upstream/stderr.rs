//! What a child says on its standard error: always read, never trusted, into the log.
//!
//! Owns the bounds on it: bytes per line, lines per second, no secret of its environment, no
//! control characters. Does not keep anything.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

use super::label::Label;
use super::masks::Masks;

/// The most bytes of a line that are logged; the rest of it is dropped.
const LINE_BYTES_MAX: usize = 2048;

/// The most lines that are logged per period; the rest are counted.
const LINES_MAX: u32 = 50;
const PERIOD: Duration = Duration::from_secs(1);

/// Reads until the end.
pub(super) async fn drain(
    mut stderr: Box<dyn AsyncRead + Send + Unpin>,
    server: Label,
    masks: Masks,
) {
    let mut log = Log {
        server,
        masks,
        period_end: Instant::now() + PERIOD,
        lines: 0,
        dropped: 0,
    };
    let mut buffer = BytesMut::with_capacity(8 * 1024);
    let mut is_cut = false;
    while log.read(&mut stderr, &mut buffer).await {
        while let Some(end) = memchr::memchr(b'\n', &buffer) {
            if !std::mem::take(&mut is_cut) {
                log.line(buffer.get(..end).unwrap_or_default());
            }
            buffer.advance(end + 1);
        }
        if buffer.len() > LINE_BYTES_MAX {
            if !std::mem::replace(&mut is_cut, true) {
                log.line(&buffer);
            }
            buffer.clear();
        }
        buffer.reserve(8 * 1024);
        tokio::task::consume_budget().await;
    }
    if !is_cut && !buffer.is_empty() {
        log.line(&buffer);
    }
    log.begin_period();
}

struct Log {
    server: Label,
    masks: Masks,
    period_end: Instant,
    lines: u32,
    dropped: u64,
}

impl Log {
    /// Reads more. Answers whether there was any. A child that says nothing more has its dropped lines
    /// counted at the end of their period all the same.
    async fn read(
        &mut self,
        stderr: &mut Box<dyn AsyncRead + Send + Unpin>,
        buffer: &mut BytesMut,
    ) -> bool {
        if self.dropped > 0 {
            let more = timeout_at(self.period_end, stderr.read_buf(buffer)).await;
            match more {
                Ok(read) => return matches!(read, Ok(1..)),
                Err(_) => self.begin_period(),
            }
        }
        matches!(stderr.read_buf(buffer).await, Ok(1..))
    }

    /// Tells what was dropped in the period that ends.
    fn begin_period(&mut self) {
        if self.dropped > 0 {
            tracing::warn!(server = %self.server, lines = self.dropped, "lines of stderr were dropped");
        }
        self.period_end = Instant::now() + PERIOD;
        self.lines = 0;
        self.dropped = 0;
    }

    fn line(&mut self, line: &[u8]) {
        if Instant::now() >= self.period_end {
            self.begin_period();
        }
        if self.lines >= LINES_MAX {
            self.dropped += 1;
            return;
        }
        self.lines += 1;
        let text = self.presentable(line);
        if !text.is_empty() {
            tracing::info!(server = %self.server, stderr = %text);
        }
    }

    fn presentable(&self, line: &[u8]) -> String {
        let line_text = String::from_utf8_lossy(line);
        let masked = self.masks.masked(&line_text);
        let mut text = masked.unwrap_or_else(|| line_text.into_owned());
        if line.len() > LINE_BYTES_MAX {
            let mut most = LINE_BYTES_MAX.min(text.len());
            while !text.is_char_boundary(most) {
                most -= 1;
            }
            text.truncate(most);
            self.masks.cut_begun(&mut text);
        }
        text.retain(|character| !character.is_control() || character == '\t');
        text.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[test]
    fn a_line_is_shown_without_secrets_and_control_characters() {
        let log = Log {
            server: Label::new("a"),
            masks: Masks::of(&[
                Secret::new("hunter22"),
                Secret::new("id"),
                Secret::new("a secret\nof several lines\n"),
            ]),
            period_end: Instant::now(),
            lines: 0,
            dropped: 0,
        };
        let shown = log.presentable(b"\x1b[31mid: token=hunter22\xff\r");
        assert_eq!(shown, "[31mid: token=***\u{fffd}");
        assert_eq!(log.presentable(b"of several lines"), "***");
    }

    #[test]
    fn a_secret_at_the_place_of_the_cut_is_not_shown_in_part() {
        let log = Log {
            server: Label::new("a"),
            masks: Masks::of(&[Secret::new("hunter22")]),
            period_end: Instant::now(),
            lines: 0,
            dropped: 0,
        };
        for at in LINE_BYTES_MAX - 10..LINE_BYTES_MAX + 10 {
            for end in at..at + 30 {
                let mut line = "x".repeat(at) + "hunter22" + &"y".repeat(30);
                line.truncate(end.max(LINE_BYTES_MAX + 1));
                let shown = log.presentable(line.as_bytes());
                assert!(!shown.contains('h'), "{at} {end}: {shown}");
                assert!(shown.len() <= LINE_BYTES_MAX);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_dropped_is_told_though_nothing_follows() {
        let (mut child, stderr) = tokio::io::duplex(64 * 1024);
        let mut log = Log {
            server: Label::new("a"),
            masks: Masks::of([]),
            period_end: Instant::now() + PERIOD,
            lines: LINES_MAX,
            dropped: 0,
        };
        log.line(b"one too many");
        assert_eq!(log.dropped, 1);
        let mut stderr: Box<dyn AsyncRead + Send + Unpin> = Box::new(stderr);
        let mut buffer = BytesMut::new();
        let reading = log.read(&mut stderr, &mut buffer);
        let read = tokio::time::timeout(PERIOD * 2, reading).await;
        assert!(read.is_err(), "nothing came");
        assert_eq!((log.dropped, log.lines), (0, 0), "and was told");
        let written = tokio::io::AsyncWriteExt::write_all(&mut child, b"more").await;
        assert!(written.is_ok() && log.read(&mut stderr, &mut buffer).await);
        assert_eq!(&buffer[..], b"more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_without_line_breaks_is_read_to_its_end() {
        let flood = Box::new(tokio::io::repeat(b'x').take(64 * 1024 * 1024));
        drain(flood, Label::new("a"), Masks::of([])).await;
    }
}
