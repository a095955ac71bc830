//! How the processes of one server ended: the last few, for operators. Those that sessions have to themselves
//! are among them.
//!
//! Owns the record, which the keeper writes and `status` shows. Does not decide what follows from
//! an end: `restarts` does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;

use crate::failure::Failure;
use crate::reach::Ended;

/// So many are remembered.
const REMEMBERED: usize = 16;

/// The last ends, newest first, and how often one was followed by a start.
#[derive(Default)]
pub(super) struct Ends {
    restarts: AtomicU64,
    last: ArcSwap<Vec<PastEnd>>,
}

/// One end.
#[derive(Clone, Debug)]
pub(crate) struct PastEnd {
    /// When.
    pub(crate) at: SystemTime,
    /// Its process id, if it ran.
    pub(crate) pid: Option<u32>,
    /// For how long it could be used, if it ever could.
    pub(crate) lived: Option<Duration>,
    /// How.
    pub(crate) how: How,
    /// What its callers were told.
    pub(crate) failure: Failure,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By itself, by a signal, or because there were too many of it.
    Ended(Ended),
    /// One of its pipes is closed.
    ClosedPipe,
    /// It hung, and was ended.
    Hung,
    /// It was not started, because it cannot be locked in.
    NotConfined,
    /// It did not get ready, and was ended.
    NotReady,
    /// It is not known.
    Lost,
}

/// What is known of a process when it is gone.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Last {
    pub(super) pid: u32,
    pub(super) how: Option<How>,
}

impl Ends {
    pub(super) fn note(&self, last: Last, lived: Option<Duration>, failure: Failure) {
        let end = PastEnd {
            at: SystemTime::now(),
            pid: (last.pid != 0).then_some(last.pid),
            lived,
            how: last.how.unwrap_or(How::NotReady),
            failure,
        };
        self.last.rcu(|ends| {
            let earlier = ends.iter().take(REMEMBERED - 1).cloned();
            std::iter::once(end.clone())
                .chain(earlier)
                .collect::<Vec<_>>()
        });
    }

    pub(super) fn all(&self) -> Vec<PastEnd> {
        self.last.load().to_vec()
    }

    /// A process was started again.
    pub(super) fn note_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_newest_first() {
        let ends = Ends::default();
        for pid in 1..=40 {
            let how = Some(How::Ended(Ended::Code(0)));
            ends.note(Last { pid, how }, None, Failure::Closed);
        }
        let pids: Vec<_> = ends.all().iter().filter_map(|end| end.pid).collect();
        let expected: Vec<u32> = (25..=40).rev().collect();
        assert_eq!(pids, expected);
    }
}
