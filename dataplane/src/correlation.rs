//! The numbers by which a reply and the lines of the log about it find each other.
//!
//! Owns that no two requests of one start have the same number, whichever listener they come by. How
//! a number is written is up to those who write: 16 hexadecimal digits.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How many numbers a thread takes at once, so that threads seldom meet at the counter.
const AT_ONCE: u64 = 256;

/// Numbers requests. The upper half differs from start to start.
pub(crate) struct Numbers(AtomicU64);

thread_local! {
    /// The next number of this thread, and how many are left.
    static NEXT: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

impl Numbers {
    /// Begins with the moment.
    pub(crate) fn new() -> Self {
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(AtomicU64::new(started.as_secs() << 32))
    }

    /// A number for one more request.
    pub(crate) fn next(&self) -> u64 {
        let (next, left) = match NEXT.get() {
            (_, 0) => (self.0.fetch_add(AT_ONCE, Ordering::Relaxed), AT_ONCE),
            numbers => numbers,
        };
        NEXT.set((next + 1, left - 1));
        next
    }
}
