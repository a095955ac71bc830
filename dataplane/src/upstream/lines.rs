//! Cuts a child's output, or a client's, into messages (2026-07-28 §stdio: one message per line), without reading
//! any pipe: bytes in, lines out.
//!
//! Owns the bound on one message, and finding out whose answer an oversized line was, so that only
//! that call fails. The result does not depend on how the bytes were cut into chunks.

use bytes::{Bytes, BytesMut};

/// How much of an oversized line is kept from its beginning and its end. The id of a message
/// stands near one of them: at the front in Python and Rust servers, at the end in TypeScript ones.
const KEPT_BYTES: usize = 256;

/// A longer line gives back the room that it took: a process may answer with much once and never again.
const LONG_BYTES: usize = 256 * 1024;

/// Something between two line breaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line within the bound, without its line break.
    Whole(Bytes),
    /// A line beyond it, and the id of the call that it answers, if that can be told.
    Oversized(Option<u64>),
}

/// The state between chunks.
pub(crate) struct Framer {
    bytes_max: usize,
    /// What has no line break yet, up to `scanned`.
    buffer: BytesMut,
    scanned: usize,
    skipped: Option<Skipped>,
}

/// The two ends of a line that is being skipped.
struct Skipped {
    head: Bytes,
    tail: BytesMut,
}

impl Framer {
    /// A framer that refuses lines of more than `bytes_max` bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            buffer: BytesMut::new(),
            scanned: 0,
            skipped: None,
        }
    }

    /// Where the next bytes are read into, with room for more of them the more there are.
    pub(crate) fn room(&mut self) -> &mut BytesMut {
        let wanted = if self.buffer.len() < 16 * 1024 {
            8 * 1024
        } else {
            256 * 1024
        };
        self.buffer.reserve(wanted);
        &mut self.buffer
    }

    /// The next line of what was read, or nothing until more is.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let unseen = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', unseen).map(|at| at + self.scanned) else {
            self.scanned = self.buffer.len();
            if self.skipped.is_some() || self.scanned > self.bytes_max {
                self.skip(self.scanned);
            }
            return None;
        };
        if self.skipped.is_some() || end > self.bytes_max {
            self.skip(end);
            drop(self.buffer.split_to(1));
            let skipped = self.skipped.take()?;
            return Some(Line::Oversized(skipped.id()));
        }
        let mut line = self.buffer.split_to(end);
        drop(self.buffer.split_to(1));
        self.scanned = 0;
        self.settle(end);
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        Some(Line::Whole(line.freeze()))
    }

    /// What stands behind the last line break, once there is no more to read: not everybody ends a
    /// last line.
    pub(crate) fn rest(&mut self) -> Option<Line> {
        if let Some(skipped) = self.skipped.take() {
            return Some(Line::Oversized(skipped.id()));
        }
        self.scanned = 0;
        let line = self.buffer.split();
        (!line.is_empty()).then(|| Line::Whole(line.freeze()))
    }

    /// Lets go of what held the first `length` bytes, which are taken, if they were many.
    fn settle(&mut self, length: usize) {
        if length > LONG_BYTES {
            self.buffer = BytesMut::from(self.buffer.as_ref());
        }
    }

    /// Forgets the first `length` bytes but for what tells whose they were.
    fn skip(&mut self, length: usize) {
        let bytes = self.buffer.split_to(length);
        self.scanned = 0;
        self.settle(length);
        let skipped = self.skipped.get_or_insert_with(|| Skipped {
            head: Bytes::copy_from_slice(bytes.get(..KEPT_BYTES).unwrap_or(&bytes)),
            tail: BytesMut::new(),
        });
        let from = bytes.len().saturating_sub(KEPT_BYTES);
        skipped
            .tail
            .extend_from_slice(bytes.get(from..).unwrap_or_default());
        let surplus = skipped.tail.len().saturating_sub(KEPT_BYTES);
        drop(skipped.tail.split_to(surplus));
    }
}

/// The id of the call that a line answers which is no message, if that can be told: it stands at either
/// end, in one place only, and nothing in the line is named as a method is. A server numbers its own
/// requests as it likes, so one of those says nothing about a call.
pub(crate) fn id_of_answer(line: &[u8]) -> Option<u64> {
    if memchr::memmem::find(line, b"\"method\"").is_some() {
        return None;
    }
    match (id_at_front(line), id_at_end(line)) {
        (Some(front), Some(end)) => (front == end).then_some(front),
        (front, end) => front.or(end),
    }
}

impl Skipped {
    fn id(&self) -> Option<u64> {
        id_at_front(&self.head).or_else(|| id_at_end(&self.tail))
    }
}

/// The `id` among the scalar members that an object begins with.
fn id_at_front(text: &[u8]) -> Option<u64> {
    let mut rest = text.trim_ascii_start().strip_prefix(b"{")?;
    loop {
        rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
        let (key, after) = split_at_quote(rest)?;
        let value = after
            .trim_ascii_start()
            .strip_prefix(b":")?
            .trim_ascii_start();
        let (value, after) = match value.strip_prefix(b"\"") {
            Some(text) => split_at_quote(text)?,
            None => value.split_at(value.iter().position(|byte| !byte.is_ascii_digit())?),
        };
        if key == b"id" {
            return super::http::number_of(value);
        }
        rest = after.trim_ascii_start().strip_prefix(b",")?;
    }
}

/// The `id` among the scalar members that an object ends with.
fn id_at_end(text: &[u8]) -> Option<u64> {
    let mut rest = text.trim_ascii_end().strip_suffix(b"}")?;
    loop {
        rest = rest.trim_ascii_end();
        let (before, value) = match rest.strip_suffix(b"\"") {
            Some(text) => rsplit_at_quote(text)?,
            None => rest.split_at(rest.iter().rposition(|byte| !byte.is_ascii_digit())? + 1),
        };
        let before = before.trim_ascii_end().strip_suffix(b":")?;
        let (before, key) = rsplit_at_quote(before.trim_ascii_end().strip_suffix(b"\"")?)?;
        if key == b"id" {
            return super::http::number_of(value);
        }
        rest = before.trim_ascii_end().strip_suffix(b",")?;
    }
}

fn split_at_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (inside, after) = text.split_at_checked(memchr::memchr(b'"', text)?)?;
    Some((inside, after.get(1..)?))
}

fn rsplit_at_quote(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, inside) = text.split_at_checked(memchr::memrchr(b'"', text)?)?;
    Some((before, inside.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, size: usize) -> Vec<Line> {
        let mut framer = Framer::new(40);
        let mut lines = Vec::new();
        for chunk in text.as_bytes().chunks(size) {
            framer.room().extend_from_slice(chunk);
            while let Some(line) = framer.next() {
                lines.push(line);
            }
        }
        lines.extend(framer.rest());
        assert_eq!(framer.rest(), None, "a rest is taken once");
        lines
    }

    #[test]
    fn a_long_line_gives_back_the_room_that_it_took() {
        let mut framer = Framer::new(16 << 20);
        for length in [8 << 20, 20 << 20] {
            for chunk in vec![b'x'; length].chunks(1 << 16) {
                framer.room().extend_from_slice(chunk);
                assert_eq!(framer.next(), None);
            }
            framer.room().extend_from_slice(b"\nnext");
            assert!(framer.next().is_some() && framer.next().is_none());
            let room = framer.room();
            assert_eq!(room.split(), "next");
            framer.scanned = 0;
            assert!(framer.room().capacity() < 2 * LONG_BYTES);
        }
    }

    #[test]
    fn lines_are_the_same_however_they_are_cut() {
        let long = "x".repeat(100);
        let text = format!(
            "{{\"a\":1}}\r\n\n{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{{\"x\":\"{long}\"}}}}\nb\n\
             {{\"result\":{{\"id\":5,\"x\":\"{long}\"}},\"jsonrpc\":\"2.0\",\"id\":8}}\nc\nrest"
        );
        let whole = |text: &'static str| Line::Whole(Bytes::from_static(text.as_bytes()));
        let expected = [
            whole("{\"a\":1}"),
            whole(""),
            Line::Oversized(Some(7)),
            whole("b"),
            Line::Oversized(Some(8)),
            whole("c"),
            whole("rest"),
        ];
        for size in 1..=text.len() {
            assert_eq!(cut(&text, size), expected, "chunks of {size}");
        }
    }

    #[test]
    fn whose_answer_a_broken_line_is_is_not_guessed() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":7,"result":{"x":NaN}}"#, Some(7)),
            (r#"{"result":{"x":NaN},"jsonrpc":"2.0","id":7}"#, Some(7)),
            (r#"{"jsonrpc":"2.0","id":7,"error":5}"#, Some(7)),
            (r#"{"id":7,"result":{}}"#, Some(7)),
            (r#"{"id":7,"result":{},"id":8}"#, None),
            (r#"{"id":7,"method":"m","params":[]}"#, None),
            (r#"{"params":[NaN],"method":"m","id":7}"#, None),
            (r#"{"result":{"id":7,"x":NaN}}"#, None),
            ("Listening on 7", None),
        ] {
            assert_eq!(id_of_answer(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn an_id_inside_a_result_is_nobodys() {
        let long = "x".repeat(600);
        for text in [
            format!("{{\"result\":{{\"x\":\"{long}\",\"id\":5}}}}\n"),
            format!("{{\"result\":{{\"id\":5,\"x\":\"{long}\"}}}}\n"),
            format!("{long}\n"),
            long,
        ] {
            assert_eq!(cut(&text, 64), [Line::Oversized(None)], "{text}");
        }
    }
}
