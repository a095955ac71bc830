//! How long the calls of one upstream took to their answers, for the metrics page.
//!
//! Owns the counts: one line of cache for each thread, so that counting costs no thread a wait for another
//! one. Made with the first answer: what nobody uses takes no room. Calls without an answer are counted where
//! failures are.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::tally;

/// The bounds, in microseconds.
const BOUNDS: [u64; 13] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000, 60_000_000,
];

/// The same in seconds, as they are written.
pub(crate) const BOUNDS_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// One more than there are bounds, for what is beyond the last one.
const BUCKETS: usize = BOUNDS.len() + 1;

/// Threads beyond this many share lines, and count as truly.
const LINES: usize = 16;

/// See the file's header.
pub(super) struct Durations(OnceLock<Box<[Line]>>);

/// Two lines of most caches, since they are fetched in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Line {
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

/// What was counted, on all threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    /// How many took no longer than each bound, and longer than the one before.
    pub(crate) buckets: [u64; BUCKETS],
    /// How long all of them took.
    pub(crate) sum: Duration,
}

impl Durations {
    pub(super) fn new() -> Self {
        Self(OnceLock::new())
    }

    /// A call was answered after so many microseconds.
    pub(super) fn note(&self, micros: u64) {
        let lines = self
            .0
            .get_or_init(|| (0..LINES).map(|_| Line::default()).collect());
        let Some(line) = lines.get(tally::thread_number() % LINES) else {
            return;
        };
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = line.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        line.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(super) fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        for line in self.0.get().into_iter().flatten() {
            for (sum, count) in counted.buckets.iter_mut().zip(&line.buckets) {
                *sum += count.load(Ordering::Relaxed);
            }
            counted.sum += Duration::from_micros(line.micros.load(Ordering::Relaxed));
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_in_the_bucket_of_its_time() {
        let durations = Durations::new();
        assert_eq!(durations.counted(), Counted::default());
        for micros in [1, 1_000, 1_001, 60_000_000, 60_000_001] {
            durations.note(micros);
        }
        let counted = durations.counted();
        let mut expected = [0; BUCKETS];
        for (bucket, count) in [(0, 2), (1, 1), (12, 1), (13, 1)] {
            if let Some(place) = expected.get_mut(bucket) {
                *place = count;
            }
        }
        assert_eq!(counted.buckets, expected);
        assert_eq!(counted.sum, Duration::from_micros(120_002_003));
    }

    #[test]
    fn the_bounds_are_written_as_they_are_counted() {
        for (micros, seconds) in BOUNDS.iter().zip(BOUNDS_SECONDS) {
            let written = Duration::from_secs_f64(seconds);
            assert_eq!(Duration::from_micros(*micros), written);
        }
    }

    #[test]
    fn threads_count_for_themselves_and_nothing_is_lost() {
        let durations = Durations::new();
        std::thread::scope(|scope| {
            for _ in 0..LINES + 3 {
                scope.spawn(|| (0..100).for_each(|_| durations.note(7)));
            }
        });
        let counted = durations.counted();
        let all: u64 = counted.buckets.iter().sum();
        assert_eq!(all, (LINES as u64 + 3) * 100);
        assert_eq!(counted.sum, Duration::from_micros(7 * all));
    }
}
