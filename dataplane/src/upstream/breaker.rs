//! When an upstream that fails gets no calls any more.
//!
//! Owns the count of failures within the plan's window, and whether the breaker is open. Only failures
//! come here: a call that is answered costs nothing. Does not try the upstream: its keeper does, with a
//! question that changes nothing; see `probe`, `keep` and `docs/decisions/0028-replicas.md`.

use std::collections::VecDeque;
use std::time::Duration;

use mcpc_plan::Breaker as Rule;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::failure::Failure;

/// The breaker of one upstream. It outlives plans; its rule is that of the live one.
pub(super) struct Breaker(watch::Sender<Inner>);

#[derive(Default)]
struct Inner {
    rule: Option<Rule>,
    /// The failures within the window. Bounded by the rule.
    failures: VecDeque<Instant>,
    position: Position,
    /// When the upstream may be tried, while it is open.
    until: Option<Instant>,
    /// When it was closed after having been open. What began before says nothing any more.
    closed: Option<Instant>,
    openings: u64,
}

/// Whether calls may go to the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Position {
    /// They do.
    #[default]
    Closed,
    /// They do not, and nobody tries yet.
    Open,
    /// They do not, and one question finds out whether they could.
    HalfOpen,
}

/// What operators see of a breaker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) position: Position,
    /// The failures that count now.
    pub(crate) failures: usize,
    /// How often it has opened.
    pub(crate) openings: u64,
    /// When the upstream is tried, while it is open.
    pub(crate) until: Option<Instant>,
}

impl Breaker {
    /// Closed, and without a rule it stays so.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Inner::default()))
    }

    /// Takes the rule of the live plan. What was counted before counts on. Without a rule it closes, and
    /// one that is open is so for as long as the new rule says.
    pub(super) fn obey(&self, rule: Option<&Rule>) {
        self.0.send_if_modified(|inner| {
            if inner.rule.as_ref() == rule {
                return false;
            }
            let before = inner.open_for();
            inner.rule = rule.cloned();
            if rule.is_none() {
                inner.close();
            } else if let Some(since) = inner.until.and_then(|until| until.checked_sub(before)) {
                inner.until = Some(since + inner.open_for());
            }
            true
        });
    }

    /// A call that began then has failed. Gives when the upstream may be tried, if it opens because of that.
    pub(super) fn note(&self, failure: Failure, began: Instant) -> Option<Instant> {
        if self.0.borrow().rule.is_none() || !counts(failure) {
            return None;
        }
        let mut opened = None;
        self.0.send_if_modified(|inner| {
            let Some(rule) = &inner.rule else {
                return false;
            };
            let is_stale = inner.closed.is_some_and(|closed| began < closed);
            if is_stale || inner.position != Position::Closed {
                return false;
            }
            let now = Instant::now();
            let within = Duration::from_millis(rule.within_ms);
            let enough = usize::try_from(rule.failures).unwrap_or(usize::MAX);
            inner.failures.retain(|at| now.duration_since(*at) < within);
            inner.failures.push_back(now);
            if inner.failures.len() < enough {
                return false;
            }
            inner.openings += 1;
            inner.open();
            opened = inner.until;
            true
        });
        opened
    }

    /// Whether calls are refused.
    pub(super) fn is_open(&self) -> bool {
        self.0.borrow().position != Position::Closed
    }

    /// Waits until it opens.
    pub(super) async fn opened(&self) {
        let mut inner = self.0.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _open = inner
            .wait_for(|inner| inner.position != Position::Closed)
            .await;
    }

    /// When the upstream may be tried; nothing unless it is open.
    pub(super) fn until(&self) -> Option<Instant> {
        self.0.borrow().until
    }

    /// Waits until that moment is another one.
    pub(super) async fn postponed(&self, until: Option<Instant>) {
        let mut inner = self.0.subscribe();
        let _other = inner.wait_for(|inner| inner.until != until).await;
    }

    /// The pause is over: one question finds out.
    pub(super) fn half_open(&self) {
        self.0.send_if_modified(|inner| {
            let is_open = inner.position == Position::Open;
            if is_open {
                inner.position = Position::HalfOpen;
            }
            is_open
        });
    }

    /// The upstream was tried in vain: the next pause begins.
    pub(super) fn reopen(&self) {
        self.0.send_if_modified(|inner| {
            let is_open = inner.position == Position::HalfOpen;
            if is_open {
                inner.open();
            }
            is_open
        });
    }

    /// The upstream was reached: calls may go there again if that was the trial. Otherwise it changes
    /// nothing, and failures go on counting: to be reached says little of calls.
    pub(super) fn close(&self) {
        self.0.send_if_modified(|inner| {
            let is_tried = inner.position == Position::HalfOpen;
            if is_tried {
                inner.close();
            }
            is_tried
        });
    }

    /// What operators see; nothing without a rule.
    pub(super) fn reading(&self) -> Option<Reading> {
        let inner = self.0.borrow();
        let rule = inner.rule.as_ref()?;
        let (now, within) = (Instant::now(), Duration::from_millis(rule.within_ms));
        let recent = inner.failures.iter();
        Some(Reading {
            position: inner.position,
            failures: recent
                .filter(|at| now.duration_since(**at) < within)
                .count(),
            openings: inner.openings,
            until: inner.until,
        })
    }
}

impl Inner {
    fn open(&mut self) {
        self.failures.clear();
        self.position = Position::Open;
        self.until = Some(Instant::now() + self.open_for());
    }

    fn close(&mut self) {
        self.failures.clear();
        self.position = Position::Closed;
        self.until = None;
        self.closed = Some(Instant::now());
    }

    fn open_for(&self) -> Duration {
        let open_for_ms = self.rule.as_ref().map_or(0, |rule| rule.open_for_ms);
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
        | Failure::CircuitOpen(_)
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
            breaker.note(Failure::Closed, Instant::now());
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
        let pause = Duration::from_secs(5);
        assert_eq!(quick.until(), Some(Instant::now() + pause));
        quick.close();
        assert!(quick.is_open(), "nobody has tried");
        quick.half_open();
        quick.close();
        fails(&quick, 2, Duration::ZERO).await;
        assert!(!quick.is_open(), "the count begins anew");
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_of_the_upstream_count_and_only_under_a_rule() {
        let breaker = breaker();
        for _ in 0..10 {
            let now = Instant::now();
            breaker.note(Failure::Status(404), now);
            breaker.note(Failure::TooLarge, now);
            breaker.note(Failure::AskRefused, now);
            breaker.note(Failure::CircuitOpen(1), now);
        }
        assert!(!breaker.is_open());
        breaker.obey(None);
        fails(&breaker, 10, Duration::ZERO).await;
        assert!(!breaker.is_open());
        assert!(breaker.reading().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_closed_do_not_open_it_again() {
        let breaker = breaker();
        let began = Instant::now();
        fails(&breaker, 3, Duration::from_secs(1)).await;
        breaker.half_open();
        breaker.close();
        for _ in 0..10 {
            breaker.note(Failure::FirstByteTimeout, began);
        }
        assert!(!breaker.is_open());
        fails(&breaker, 3, Duration::ZERO).await;
        assert!(breaker.is_open());
        assert_eq!(breaker.reading().map(|reading| reading.openings), Some(2));
    }

    #[tokio::test(start_paused = true)]
    async fn to_be_reached_again_does_not_undo_failures_of_calls() {
        let breaker = breaker();
        for _ in 0..3 {
            assert!(!breaker.is_open());
            breaker.note(Failure::SessionLost, Instant::now());
            breaker.close();
        }
        assert_eq!(breaker.reading().map(|reading| reading.openings), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn another_rule_holds_for_one_that_is_open_too() {
        let breaker = breaker();
        fails(&breaker, 3, Duration::ZERO).await;
        let opened = Instant::now();
        let rule = |open_for_ms| Rule {
            failures: 3,
            within_ms: 10_000,
            open_for_ms,
        };
        breaker.obey(Some(&rule(1_000)));
        assert_eq!(breaker.until(), Some(opened + Duration::from_secs(1)));
        breaker.half_open();
        breaker.reopen();
        assert!(breaker.is_open());
        breaker.obey(None);
        assert!(!breaker.is_open());
        assert_eq!(breaker.until(), None);
    }
}
