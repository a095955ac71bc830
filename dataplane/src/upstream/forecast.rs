//! How many sessions are about to begin, by those that began.
//!
//! Owns the memory of the last of them. Who begins while a process starts finds none that is ready, so what will be
//! needed at once is what began within the time that one start may take: the most of it for some minutes back, since
//! clients come in bursts that come again. What is made of it is `private`'s.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How far back it looks.
const HORIZON: Duration = Duration::from_secs(300);

/// What it remembers: as many as there may be spares.
const KEPT: usize = 64;

/// See the file's header.
pub(super) struct Forecast {
    /// When the last sessions began, in order.
    begun: VecDeque<Instant>,
    /// How long one start may take.
    window: Duration,
}

impl Forecast {
    /// No session has begun.
    pub(super) fn new(window: Duration) -> Self {
        Self {
            begun: VecDeque::new(),
            window,
        }
    }

    /// So many sessions have begun since the last time.
    pub(super) fn note(&mut self, count: usize, now: Instant) {
        let count = count.min(KEPT);
        let excess = (self.begun.len() + count).saturating_sub(KEPT);
        self.begun.drain(..excess);
        self.begun.extend(std::iter::repeat_n(now, count));
    }

    /// How many are to be expected while one process starts.
    pub(super) fn expected(&mut self, now: Instant) -> usize {
        while let Some(oldest) = self.begun.front()
            && now.duration_since(*oldest) >= HORIZON
        {
            self.begun.pop_front();
        }
        let counts = self.begun.iter().enumerate().map(|(first, from)| {
            let end = self.begun.partition_point(|it| *it - *from < self.window);
            end - first
        });
        counts.max().unwrap_or(0)
    }

    /// Returns when it expects less than before.
    pub(super) async fn lapse(&self) {
        match self.begun.front() {
            Some(oldest) => tokio::time::sleep_until(*oldest + HORIZON).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(10);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_busiest_time_of_a_start_within_the_last_minutes_is_expected_again() {
        let begin = Instant::now();
        let mut forecast = Forecast::new(START);
        assert_eq!(forecast.expected(begin), 0);
        for (count, at) in [(1, 0), (3, 20), (2, 29), (1, 30), (1, 100)] {
            forecast.note(count, after(begin, at));
        }
        assert_eq!(forecast.expected(after(begin, 100)), 5, "20 to 29");
        // What began at 20 is too long ago, at 29 and 30 not yet.
        assert_eq!(forecast.expected(after(begin, 320)), 3);
        assert_eq!(forecast.expected(after(begin, 330)), 1);
        assert_eq!(forecast.expected(after(begin, 400)), 0);
    }

    #[test]
    fn no_crowd_makes_it_remember_more_than_it_may() {
        let begin = Instant::now();
        let mut forecast = Forecast::new(START);
        for round in 0..10 {
            forecast.note(usize::MAX, after(begin, round));
            forecast.note(30, after(begin, round));
        }
        assert_eq!(forecast.begun.len(), KEPT);
        assert_eq!(forecast.expected(after(begin, 9)), KEPT);
    }

    #[tokio::test(start_paused = true)]
    async fn it_lapses_with_the_oldest_that_it_remembers() {
        let begin = Instant::now();
        let mut forecast = Forecast::new(START);
        forecast.note(2, begin);
        assert_eq!(forecast.expected(begin), 2);
        forecast.lapse().await;
        assert_eq!(Instant::now(), begin + HORIZON);
        assert_eq!(forecast.expected(Instant::now()), 0);
    }
}
