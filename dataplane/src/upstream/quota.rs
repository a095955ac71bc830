//! How many replicas of a server may be out of use at once because calls to them failed.
//!
//! Owns the count. Who is out of use is each replica's `breaker`'s; what still goes to one that fails, since
//! too many others are out of use already, is `replicas`' to choose. Made anew with each plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places of one server.
pub(super) struct Quota {
    most: usize,
    taken: AtomicUsize,
}

/// One place, until it is dropped.
pub(super) struct Seat(Arc<Quota>);

impl Quota {
    /// A share, in percent, of so many replicas. One may always be out of use.
    pub(super) fn of(percent: u32, replicas: usize) -> Arc<Self> {
        let percent = usize::try_from(percent).unwrap_or(usize::MAX);
        Arc::new(Self {
            most: (replicas.saturating_mul(percent) / 100).max(1),
            taken: AtomicUsize::new(0),
        })
    }

    /// A place, if there is one left.
    pub(super) fn take(self: &Arc<Self>) -> Option<Seat> {
        let more = |taken| (taken < self.most).then_some(taken + 1);
        let taken = self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Seat(Arc::clone(self)))
    }

    /// A place for one that is out of use already.
    pub(super) fn seat(self: &Arc<Self>) -> Seat {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(self))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
