//! When an upstream that fails gets no calls any more.
//!
//! Owns the count of failures within the plan's window, and whether the breaker is open. Only failures
//! come here: a call that is answered costs nothing. Does not try the upstream: its keeper does, with a
//! handshake, which changes nothing; see `keep` and `docs/decisions/0028-replicas.md`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mcpc_plan::Breaker as Rule;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::failure::Failure;

/// The breaker of one upstream. It outlives plans; its rule is that of the live one.
pub(super) struct Breaker {
    rule: ArcSwapOption<Rule>,
    /// The failures within the window. Bounded by the rule. A cell: nobody listens.
    failures: watch::Sender<VecDeque<Instant>>,
    open: watch::Sender<bool>,
}

impl Breaker {
    /// Closed, and without a rule it stays so.
    pub(super) fn new() -> Self {
        Self {
            rule: ArcSwapOption::empty(),
            failures: watch::Sender::new(VecDeque::new()),
            open: watch::Sender::new(false),
        }
    }

    /// Takes the rule of the live plan. What was counted before counts on.
    pub(super) fn obey(&self, rule: Option<&Rule>) {
        self.rule.store(rule.map(|rule| Arc::new(rule.clone())));
    }

    /// A call has failed.
    pub(super) fn note(&self, failure: Failure) {
        let rule = self.rule.load();
        let Some(rule) = rule.as_ref().filter(|_| counts(failure)) else {
            return;
        };
        let now = Instant::now();
        let within = Duration::from_millis(rule.within_ms);
        let enough = usize::try_from(rule.failures).unwrap_or(usize::MAX);
        let mut is_enough = false;
        self.failures.send_if_modified(|failures| {
            failures.retain(|at| now.duration_since(*at) < within);
            failures.push_back(now);
            is_enough = failures.len() >= enough;
            if is_enough {
                failures.clear();
            }
            false
        });
        if is_enough {
            self.open
                .send_if_modified(|open| !std::mem::replace(open, true));
        }
    }

    /// Whether calls are refused.
    pub(super) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until it opens.
    pub(super) async fn opened(&self) {
        let mut open = self.open.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _open = open.wait_for(|open| *open).await;
    }

    /// The upstream was reached: calls may go there again.
    pub(super) fn close(&self) {
        self.failures.send_if_modified(|failures| {
            failures.clear();
            false
        });
        self.open
            .send_if_modified(|open| std::mem::replace(open, false));
    }

    /// How long nobody tries; no time if there is no rule any more.
    pub(super) fn pause(&self) -> Duration {
        let rule = self.rule.load();
        let open_for_ms = rule.as_ref().map_or(0, |rule| rule.open_for_ms);
        Duration::from_millis(open_for_ms)
    }
}

/// Whether a failure says that the upstream does not do well. What a client or a plan brought about,
/// what the gateway itself lacks, and what an upstream answered with, says nothing of the kind.
fn counts(failure: Failure) -> bool {
    match failure {
        Failure::Unreachable
        | Failure::ConnectTimeout
        | Failure::FirstByteTimeout
        | Failure::IdleTimeout
        | Failure::TotalTimeout
        | Failure::Closed
        | Failure::Garbage
        | Failure::WrongId
        | Failure::SessionLost
        | Failure::Handshake
        | Failure::Overloaded => true,
        Failure::Status(status) => status >= 500 || status == 429,
        Failure::TooLarge
        | Failure::Unauthorized
        | Failure::Degraded
        | Failure::CircuitOpen
        | Failure::AskRefused
        | Failure::AsksTooOften
        | Failure::Refused
        | Failure::NoDescriptor
        | Failure::NoProcess
        | Failure::Stopped => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        let breaker = Breaker::new();
        breaker.obey(Some(&Rule {
            failures: 3,
            within_ms: 10_000,
            open_for_ms: 5_000,
        }));
        breaker
    }

    async fn fails(breaker: &Breaker, times: usize, pause: Duration) {
        for _ in 0..times {
            breaker.note(Failure::Closed);
            tokio::time::sleep(pause).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_at_so_many_failures_within_the_window_and_not_before() {
        let slow = breaker();
        fails(&slow, 20, Duration::from_secs(5)).await;
        assert!(!slow.is_open(), "there are never three within ten seconds");
        let quick = breaker();
        fails(&quick, 2, Duration::from_secs(1)).await;
        assert!(!quick.is_open());
        fails(&quick, 1, Duration::ZERO).await;
        assert!(quick.is_open());
        assert_eq!(quick.pause(), Duration::from_secs(5));
        quick.close();
        fails(&quick, 2, Duration::ZERO).await;
        assert!(!quick.is_open(), "the count begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_of_the_upstream_count_and_only_under_a_rule() {
        let breaker = breaker();
        for _ in 0..10 {
            breaker.note(Failure::Status(404));
            breaker.note(Failure::TooLarge);
            breaker.note(Failure::AskRefused);
            breaker.note(Failure::CircuitOpen);
        }
        assert!(!breaker.is_open());
        breaker.obey(None);
        fails(&breaker, 10, Duration::ZERO).await;
        assert!(!breaker.is_open());
        assert_eq!(breaker.pause(), Duration::ZERO);
    }
}
