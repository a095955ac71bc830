//! When a process that ended is started again.
//!
//! Owns the pauses (exponential, with jitter) and the limit within a window. Pure: what happened
//! goes in, the next stage comes out; `keep` waits.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use mcpc_plan::Restart;
use tokio::time::Instant;

use super::presence::Stage;
use crate::failure::Failure;

/// The history of one process.
pub(super) struct Restarts {
    at_most: usize,
    within: Duration,
    pause_from: Duration,
    pause_to: Duration,
    pause: Duration,
    history: VecDeque<Instant>,
}

impl Restarts {
    pub(super) fn new(policy: &Restart) -> Self {
        let pause_from = Duration::from_millis(policy.backoff_from_ms);
        Self {
            at_most: usize::try_from(policy.at_most).unwrap_or(usize::MAX),
            within: Duration::from_millis(policy.within_ms),
            pause_from,
            pause_to: Duration::from_millis(policy.backoff_to_ms),
            pause: pause_from,
            history: VecDeque::new(),
        }
    }

    /// A process that lived longer than the longest pause begins with the shortest again.
    pub(super) fn note_life(&mut self, life: Duration) {
        if life > self.pause_to {
            self.pause = self.pause_from;
        }
    }

    /// What comes after an end: a pause, or the rest of the window if there were too many.
    pub(super) fn after(&mut self, failure: Failure) -> Stage {
        let now = Instant::now();
        if failure.is_of_gateway() {
            // It says nothing about the process, and may be over at any time.
            return self.rest(failure, now);
        }
        while self
            .history
            .front()
            .is_some_and(|restart| now.duration_since(*restart) > self.within)
        {
            self.history.pop_front();
        }
        if self.history.len() >= self.at_most {
            let oldest = self.history.front().copied().unwrap_or(now);
            return Stage::Degraded {
                until: oldest + self.within,
            };
        }
        self.history.push_back(now);
        self.rest(failure, now)
    }

    fn rest(&mut self, failure: Failure, now: Instant) -> Stage {
        let until = now + jittered(self.pause);
        self.pause = (self.pause * 2).min(self.pause_to);
        Stage::Resting {
            failure,
            until,
            on_demand: false,
        }
    }
}

/// Between three quarters and the whole of a pause, so that children that fell together do not
/// rise together.
fn jittered(pause: Duration) -> Duration {
    // A fresh hasher is keyed at random; no more is asked of this number.
    let random = RandomState::new().hash_one(0);
    let quarter = u64::try_from(pause.as_micros() / 4)
        .unwrap_or(u64::MAX)
        .max(1);
    pause.saturating_sub(Duration::from_micros(random % quarter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_the_gateway_lacks_is_not_counted_against_the_process() {
        let mut restarts = Restarts::new(&Restart {
            at_most: 1,
            within_ms: 60_000,
            backoff_from_ms: 200,
            backoff_to_ms: 500,
        });
        for _ in 0..9 {
            let stage = restarts.after(Failure::NoProcess);
            assert!(matches!(
                stage,
                Stage::Resting {
                    failure: Failure::NoProcess,
                    ..
                }
            ));
        }
        assert!(matches!(
            restarts.after(Failure::Closed),
            Stage::Resting { .. }
        ));
        assert!(matches!(
            restarts.after(Failure::Closed),
            Stage::Degraded { .. }
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_until_the_window_is_full_and_then_it_is_waited_for() {
        let mut restarts = Restarts::new(&Restart {
            at_most: 3,
            within_ms: 60_000,
            backoff_from_ms: 200,
            backoff_to_ms: 500,
        });
        let began = Instant::now();
        for expected in [200, 400, 500] {
            let stage = restarts.after(Failure::Closed);
            assert!(
                matches!(stage, Stage::Resting { until, .. }
                    if until - began <= Duration::from_millis(expected)
                    && until - began >= Duration::from_millis(expected * 3 / 4)),
                "{expected}"
            );
        }
        let stage = restarts.after(Failure::Closed);
        assert!(
            matches!(stage, Stage::Degraded { until } if until == began + Duration::from_secs(60))
        );
        tokio::time::advance(Duration::from_secs(61)).await;
        restarts.note_life(Duration::from_secs(1));
        let stage = restarts.after(Failure::Closed);
        assert!(matches!(stage, Stage::Resting { .. }));
    }
}
