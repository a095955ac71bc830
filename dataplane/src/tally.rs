//! Counts calls and those that failed, so that what a new plan does can be held against the one before.
//!
//! Owns the counters: one line of cache for each thread, so that counting a call costs no thread a wait
//! for another one. Reading adds them up. Does not judge: `mcpc-daemon`'s probation does.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::failure::Failure;

/// More threads than this share a line, and count as truly.
const LINES: usize = 64;

/// What was counted since the start, on all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls that were sent to an upstream and came to an end, well or not.
    pub all: u64,
    /// Those without an answer from the upstream.
    pub failed: u64,
    /// Those of them that no plan can be blamed for: an upstream that the live plan took over from the
    /// one before went away, and not because of a deadline.
    pub excused: u64,
}

/// The counters of one gateway.
pub(crate) struct Tally {
    lines: Box<[Line]>,
}

/// Two lines of most caches, since they are fetched in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Line {
    all: AtomicU64,
    failed: AtomicU64,
    excused: AtomicU64,
}

/// Whether the live plan has started an upstream, or taken it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The live plan has started it.
    New,
    /// It was alive before.
    TakenOver,
}

impl Tally {
    /// Counters at zero.
    pub(crate) fn new() -> Self {
        Self {
            lines: (0..LINES).map(|_| Line::default()).collect(),
        }
    }

    /// Counts a call that its upstream has answered.
    pub(crate) fn answered(&self) {
        if let Some(line) = self.line() {
            line.all.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a call that has failed.
    pub(crate) fn failed(&self, failure: Failure, origin: Origin) {
        let Some(line) = self.line() else {
            return;
        };
        if is_nobodys(failure) {
            return;
        }
        line.all.fetch_add(1, Ordering::Relaxed);
        line.failed.fetch_add(1, Ordering::Relaxed);
        if origin == Origin::TakenOver && !is_deadline(failure) {
            line.excused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub(crate) fn calls(&self) -> Calls {
        let sum = |counter: fn(&Line) -> &AtomicU64| {
            let counts = self.lines.iter().map(counter);
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        Calls {
            all: sum(|line| &line.all),
            failed: sum(|line| &line.failed),
            excused: sum(|line| &line.excused),
        }
    }

    fn line(&self) -> Option<&Line> {
        self.lines.get(thread_number() % LINES)
    }
}

/// The number of this thread among those that count.
pub(crate) fn thread_number() -> usize {
    NUMBER.get().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    })
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The number of this thread.
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Whether a plan can bring a failure about by the deadlines that it sets.
fn is_deadline(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::ConnectTimeout
            | Failure::FirstByteTimeout
            | Failure::IdleTimeout
            | Failure::TotalTimeout
    )
}

/// Whether a failure says nothing about a plan: what the client can be asked, how many sessions there
/// are, or the end of a plan that was replaced.
fn is_nobodys(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::AskRefused
            | Failure::AsksTooOften
            | Failure::SessionServersFull
            | Failure::Stopped
            | Failure::CutOff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_for_themselves_and_nothing_is_lost() {
        let tally = Tally::new();
        std::thread::scope(|scope| {
            for _ in 0..LINES + 3 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        tally.answered();
                        tally.failed(Failure::Closed, Origin::New);
                    }
                });
            }
        });
        let calls = (LINES as u64 + 3) * 100;
        let expected = Calls {
            all: 2 * calls,
            failed: calls,
            excused: 0,
        };
        assert_eq!(tally.calls(), expected);
    }

    #[test]
    fn only_what_a_plan_can_bring_about_is_held_against_it() {
        for (failure, origin, (failed, excused)) in [
            (Failure::Unreachable, Origin::New, (1, 0)),
            (Failure::Unreachable, Origin::TakenOver, (1, 1)),
            (Failure::TotalTimeout, Origin::TakenOver, (1, 0)),
            (Failure::Unauthorized, Origin::New, (1, 0)),
            (Failure::AskRefused, Origin::New, (0, 0)),
            (Failure::Stopped, Origin::TakenOver, (0, 0)),
        ] {
            let tally = Tally::new();
            tally.failed(failure, origin);
            let expected = Calls {
                all: failed,
                failed,
                excused,
            };
            assert_eq!(tally.calls(), expected, "{failure:?} {origin:?}");
        }
    }
}
