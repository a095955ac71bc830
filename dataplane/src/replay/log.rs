//! The events of one stream: numbered, and kept for a client that may come back.
//!
//! Owns the ids of events, which event a reader gets next, and which events are given up when there
//! is no room. Knows no clock and no channel: `performance` drives it.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{STREAM_BYTES_MAX, Share};

/// The events so far. Invariant: those of `kept` are consecutive and end with number `last`, unless
/// `kept` is empty.
pub(super) struct Log {
    share: Share,
    kept: VecDeque<Bytes>,
    /// The number of the newest event; the first one has number 1.
    last: u64,
    /// The number of the last event that was given to a reader, or that no reader can get any more.
    given: u64,
    /// Whether the newest event was given up before anybody read it.
    is_newest_lost: bool,
}

impl Log {
    pub(super) fn new(share: Share) -> Self {
        Self {
            share,
            kept: VecDeque::new(),
            last: 0,
            given: 0,
            is_newest_lost: false,
        }
    }

    /// The share of the bounds that this stream has.
    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// Adds an event. While somebody reads, what was not read yet stays.
    pub(super) fn push(&mut self, frame: &[u8], is_read: bool) {
        self.last += 1;
        self.is_newest_lost = false;
        let mut event = event_id(self.share.number, self.last);
        event.extend_from_slice(frame);
        self.share.take(event.len());
        self.kept.push_back(event.into());
        self.trim(is_read);
    }

    /// What the reader gets next, if there is something.
    pub(super) fn due(&self) -> Option<Bytes> {
        let behind = usize::try_from(self.last - self.given).unwrap_or(usize::MAX);
        let at = self.kept.len().checked_sub(behind)?;
        self.kept.get(at).cloned()
    }

    /// The reader has got what was due.
    pub(super) fn note_given(&mut self) {
        self.given += 1;
        self.trim(true);
    }

    /// There is nobody who reads any more.
    pub(super) fn note_left(&mut self) {
        self.trim(false);
    }

    /// Goes on behind an event; false if there was no such event.
    pub(super) fn go_behind(&mut self, after: u64) -> bool {
        if after > self.last {
            return false;
        }
        // What is not kept any more is left out.
        self.given = after.max(self.first() - 1);
        true
    }

    /// Whether nobody can get the newest event any more. If it is the reply, coming back is in vain.
    pub(super) fn has_lost_the_end(&self) -> bool {
        self.is_newest_lost
    }

    /// Gives up the oldest events until the rest is within the bounds. The newest one may be as large
    /// as a message can be: it is the reply, once the call has ended.
    fn trim(&mut self, is_read: bool) {
        while let Some(oldest) = self.kept.front() {
            let is_over =
                self.share.is_over() || self.share.bytes > STREAM_BYTES_MAX && self.kept.len() > 1;
            let is_needed = is_read && self.first() > self.given;
            if !is_over || is_needed {
                return;
            }
            self.share.give_back(oldest.len());
            self.kept.pop_front();
            self.is_newest_lost = self.kept.is_empty() && self.given < self.last;
            self.given = self.given.max(self.first() - 1);
        }
    }

    /// The number of the oldest event that is kept, or of the next one.
    fn first(&self) -> u64 {
        self.last + 1 - u64::try_from(self.kept.len()).unwrap_or(self.last)
    }
}

/// The line with an event's id: which stream it is of, and its number there.
pub(super) fn event_id(stream: u64, number: u64) -> Vec<u8> {
    format!("id: {stream:016x}-{number}\n").into_bytes()
}

/// Reads an id that this gateway could have given out.
pub(super) fn parse_id(id: &[u8]) -> Option<(u64, u64)> {
    let id = std::str::from_utf8(id).ok()?;
    let (stream, number) = id.split_once('-')?;
    let is_ours = stream.len() == 16 && !stream.starts_with('+') && !number.starts_with('+');
    let stream = u64::from_str_radix(stream, 16).ok().filter(|_| is_ours)?;
    Some((stream, number.parse().ok()?))
}
