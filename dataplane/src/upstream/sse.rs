//! Decodes event streams (WHATWG HTML §9.2.6) without touching a socket: bytes in, events out.
//!
//! Owns line endings, fields, comments and the bound on one event. Does not know JSON-RPC and does
//! not reconnect. The result does not depend on how the bytes were cut into chunks. They are collected
//! where they are decoded: what an event says is a slice of them.

use bytes::{Buf as _, Bytes, BytesMut};

/// One dispatched event. Its data is not empty: an event without data only moves the last id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// The event's type; absent means `message`.
    pub(super) kind: Option<Bytes>,
    /// The data lines, joined by line feeds.
    pub(super) data: Bytes,
}

/// An event or a line is larger than allowed. The stream cannot be decoded further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The state between reads. Invariant: the first `searched` bytes of `text` hold no line ending.
pub(super) struct Decoder {
    bytes_max: usize,
    text: BytesMut,
    searched: usize,
    has_begun: bool,
    was_carriage_return: bool,
    kind: Option<Bytes>,
    data: Option<DataLines>,
    last_id: Option<Bytes>,
    retry_ms: Option<u64>,
}

/// Data lines so far: the first one is a slice, more than one are joined.
enum DataLines {
    One(Bytes),
    Joined(BytesMut),
}

impl Decoder {
    /// A decoder that refuses events of more than `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            text: BytesMut::new(),
            searched: 0,
            has_begun: false,
            was_carriage_return: false,
            kind: None,
            data: None,
            last_id: None,
            retry_ms: None,
        }
    }

    /// Where the next bytes go, behind those that are there. Call [`Decoder::next`] until it has
    /// nothing before adding more.
    pub(super) fn text(&mut self) -> &mut BytesMut {
        &mut self.text
    }

    /// How many bytes may be added before one event is certainly too large.
    pub(super) fn room(&self) -> usize {
        // The name of the field, and one byte to tell what is just large enough from what is not.
        self.bytes_max.saturating_sub(self.text.len()) + 8
    }

    /// The next event of what was fed, or nothing until more is fed.
    pub(super) fn next(&mut self) -> Option<Result<SseEvent, TooLarge>> {
        loop {
            let line = match self.next_line()? {
                Ok(line) => line,
                Err(too_large) => return Some(Err(too_large)),
            };
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Some(Ok(event));
                }
            } else if let Err(too_large) = self.take_field(&line) {
                return Some(Err(too_large));
            }
        }
    }

    /// Begins with a new stream. What was not dispatched of the old one is sent again.
    pub(super) fn reopen(&mut self) {
        let last_id = self.last_id.take();
        let retry_ms = self.retry_ms;
        *self = Self::new(self.bytes_max);
        self.last_id = last_id;
        self.retry_ms = retry_ms;
    }

    /// The id of the last event that had one, for resuming. An empty one takes the last one back.
    pub(super) fn last_id(&self) -> Option<&Bytes> {
        self.last_id.as_ref().filter(|id| !id.is_empty())
    }

    /// How long the upstream wants a client to wait before it reconnects.
    pub(super) fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn next_line(&mut self) -> Option<Result<Bytes, TooLarge>> {
        if self.was_carriage_return && !self.text.is_empty() {
            self.was_carriage_return = false;
            if self.text.first() == Some(&b'\n') {
                self.text.advance(1);
            }
        }
        let unseen = self.text.get(self.searched..).unwrap_or_default();
        let end = memchr::memchr2(b'\n', b'\r', unseen).map(|at| self.searched + at);
        if end.unwrap_or(self.text.len()) > self.bytes_max {
            return Some(Err(TooLarge));
        }
        let Some(end) = end else {
            self.searched = self.text.len();
            return None;
        };
        self.searched = 0;
        self.was_carriage_return = self.text.get(end) == Some(&b'\r');
        if end == 0 {
            self.text.advance(1);
            self.has_begun = true;
            return Some(Ok(Bytes::new()));
        }
        let line = self.text.split_to(end).freeze();
        self.text.advance(1);
        Some(Ok(self.without_mark(line)))
    }

    /// The stream may begin with a byte order mark.
    fn without_mark(&mut self, line: Bytes) -> Bytes {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first && line.starts_with(b"\xef\xbb\xbf") {
            line.slice(3..)
        } else {
            line
        }
    }

    fn take_field(&mut self, line: &Bytes) -> Result<(), TooLarge> {
        let colon = memchr::memchr(b':', line);
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let rest = colon.and_then(|colon| line.get(colon + 1..));
        let rest = rest.unwrap_or_default();
        let value = rest.strip_prefix(b" ").unwrap_or(rest);
        match name {
            b"data" => return self.take_data(line.slice_ref(value)),
            // What is meant without a word needs no slice.
            b"event" if value.is_empty() || value == b"message" => self.kind = None,
            b"event" => self.kind = Some(line.slice_ref(value)),
            b"id" if !value.contains(&0) => self.last_id = Some(line.slice_ref(value)),
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry_ms = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
            }
            // An empty name is a comment; others are reserved for later revisions.
            _ => {}
        }
        Ok(())
    }

    fn take_data(&mut self, value: Bytes) -> Result<(), TooLarge> {
        let data = match self.data.take() {
            None => DataLines::One(value),
            Some(DataLines::One(first)) => {
                let mut joined = BytesMut::with_capacity(first.len() + value.len() + 1);
                joined.extend_from_slice(&first);
                DataLines::Joined(joined).and(&value)
            }
            Some(joined @ DataLines::Joined(_)) => joined.and(&value),
        };
        if data.len() > self.bytes_max {
            return Err(TooLarge);
        }
        self.data = Some(data);
        Ok(())
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let kind = self.kind.take();
        let data = match self.data.take()? {
            DataLines::One(data) => data,
            DataLines::Joined(data) => data.freeze(),
        };
        (!data.is_empty()).then_some(SseEvent { kind, data })
    }
}

impl DataLines {
    fn and(self, line: &[u8]) -> Self {
        match self {
            Self::One(data) => Self::One(data),
            Self::Joined(mut data) => {
                data.extend_from_slice(b"\n");
                data.extend_from_slice(line);
                Self::Joined(data)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::One(data) => data.len(),
            Self::Joined(data) => data.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: &[u8] = "\u{feff}: hello\r\nid: 1\r\ndata:\r\n\r\nevent: message\ndata: {\"a\":\ndata: \"\u{e9}\u{1f600}\"}\n\nretry: 250\rdata:x\r\rfoo: bar\ndata\ndata\n\nid: 7\u{0}\nevent:\ndata:  y\n\n: end\n".as_bytes();

    fn decode(bytes: &[u8], size: usize) -> (Vec<SseEvent>, Decoder) {
        let mut decoder = Decoder::new(64);
        let mut events = Vec::new();
        for chunk in bytes.chunks(size) {
            decoder.text().extend_from_slice(chunk);
            while let Some(event) = decoder.next() {
                events.extend(event.ok());
            }
        }
        (events, decoder)
    }

    #[test]
    fn an_odd_but_legal_stream_gives_the_same_events_however_it_is_cut() {
        let (whole, decoder) = decode(ODD, ODD.len());
        let data: Vec<_> = whole.iter().map(|event| event.data.clone()).collect();
        assert_eq!(
            data,
            ["{\"a\":\n\"\u{e9}\u{1f600}\"}", "x", "\n", " y"].map(Bytes::from)
        );
        assert_eq!(decoder.last_id().map(AsRef::as_ref), Some(&b"1"[..]));
        assert_eq!(decoder.retry_ms(), Some(250));
        for size in 1..ODD.len() {
            assert_eq!(decode(ODD, size).0, whole, "chunks of {size}");
        }
    }

    #[test]
    fn an_empty_id_takes_the_last_one_back_and_an_odd_retry_is_none() {
        let (_, decoder) = decode(b"id: 7\nretry: 10\ndata: x\n\nretry: 1s\nretry\n\n", 5);
        assert_eq!(decoder.last_id().map(AsRef::as_ref), Some(&b"7"[..]));
        assert_eq!(decoder.retry_ms(), Some(10));
        let (_, decoder) = decode(b"id: 7\ndata: x\n\nid\ndata: y\n\n", 5);
        assert_eq!(decoder.last_id(), None);
    }

    #[test]
    fn an_event_that_is_not_finished_is_not_dispatched() {
        assert!(decode(b"data: x\n", 3).0.is_empty());
        assert!(decode(b"data: x", 3).0.is_empty());
    }

    #[test]
    fn a_line_or_an_event_over_the_bound_is_refused() {
        for text in [
            format!("data: {}", "x".repeat(80)),
            format!("data: {}\n", "x".repeat(40)).repeat(2),
        ] {
            let mut decoder = Decoder::new(64);
            decoder.text().extend_from_slice(text.as_bytes());
            assert_eq!(decoder.next(), Some(Err(TooLarge)));
        }
    }
}
