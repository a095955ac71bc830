//! When an upstream that fails gets no calls any more.
//!
//! Owns the count of failures within the plan's window, and whether the breaker is open. Only failures
//! come here: a call that is answered costs nothing. Does not try the upstream: its keeper does, with a
//! question that changes nothing; see `probe`, `keep` and `docs/decisions/0028-replicas.md`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mcpc_plan::Breaker as Rule;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Upstream;
use super::health::InFlight;
use super::quota::{Quota, Seat};
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
    /// How often it has opened without having done well in between.
    in_a_row: u32,
    /// How many replicas may be out of use at once, if that is bounded.
    quota: Option<Arc<Quota>>,
    /// Its place among them, while it is not closed.
    seat: Option<Seat>,
    /// How often it did not open because too many others were.
    withheld: u64,
    /// When that was last.
    withheld_at: Option<Instant>,
}

/// What a failure has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// It opens, until then.
    Opens(Instant),
    /// It would, but too many others are open. It is new that it would.
    Withheld,
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
    /// How often it did not open because too many replicas were out of use.
    pub(crate) withheld: u64,
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
    pub(super) fn obey(&self, rule: Option<&Rule>, quota: Option<&Arc<Quota>>) {
        self.0.send_if_modified(|inner| {
            inner.quota = quota.cloned();
            if inner.position != Position::Closed {
                inner.seat = quota.map(Quota::seat);
            }
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

    /// A call that began then has failed.
    fn note(&self, failure: Failure, began: Instant) -> Option<Noted> {
        if self.0.borrow().rule.is_none() || !counts(failure) {
            return None;
        }
        let mut noted = None;
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
            if let Some(quota) = &inner.quota {
                let Some(seat) = quota.take() else {
                    inner.failures.pop_front();
                    inner.withheld += 1;
                    let before = inner.withheld_at.replace(now);
                    let is_new = before.is_none_or(|at| now.duration_since(at) >= within);
                    noted = is_new.then_some(Noted::Withheld);
                    return false;
                };
                inner.seat = Some(seat);
            }
            inner.openings += 1;
            inner.forget_old_trouble(now);
            inner.open();
            noted = inner.until.map(Noted::Opens);
            true
        });
        noted
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
            withheld: inner.withheld,
            until: inner.until,
        })
    }
}

impl Inner {
    fn open(&mut self) {
        self.failures.clear();
        self.withheld_at = None;
        self.position = Position::Open;
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.until = Some(Instant::now() + self.open_for());
    }

    fn close(&mut self) {
        self.failures.clear();
        self.position = Position::Closed;
        self.until = None;
        self.seat = None;
        self.closed = Some(Instant::now());
    }

    /// An upstream that has done well for as long as it was out of use begins with the first pause again.
    fn forget_old_trouble(&mut self, now: Instant) {
        let pause = self.open_for();
        if self.closed.is_none_or(|closed| now - closed > pause) {
            self.in_a_row = 0;
        }
    }

    fn open_for(&self) -> Duration {
        let Some(rule) = &self.rule else {
            return Duration::ZERO;
        };
        let most = rule.open_for_ms_max.unwrap_or(rule.open_for_ms);
        let doublings = self.in_a_row.saturating_sub(1).min(32);
        let open_for_ms = rule.open_for_ms.saturating_mul(1 << doublings);
        Duration::from_millis(open_for_ms.min(most))
    }
}

impl Upstream {
    /// A call has failed.
    pub(super) fn note_failure(&self, failure: Failure, flight: &InFlight) {
        self.health.note_failure(failure);
        self.health.note_failed_call();
        if let Some(until) = self.note_at_breaker(failure, flight.began()) {
            // The keeper does so as well, a moment later.
            self.presence.shut(until);
        }
    }

    /// Gives when it may be tried, if the breaker opens because of this. The keeper says so.
    pub(super) fn note_at_breaker(&self, failure: Failure, began: Instant) -> Option<Instant> {
        match self.breaker.note(failure, began)? {
            Noted::Opens(until) => Some(until),
            Noted::Withheld => {
                let code = Failure::CircuitOpen(0).code();
                tracing::warn!(server = %self.name, code, ?failure, "calls failed too often, and it gets more: too many other replicas get none");
                None
            }
        }
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
        | Failure::ListTimeout
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
        | Failure::Between(_)
        | Failure::Degraded(_)
        | Failure::CircuitOpen(_)
        | Failure::AskRefused
        | Failure::AsksTooOften
        | Failure::Refused
        | Failure::NoDescriptor
        | Failure::NoProcess
        | Failure::SessionServersFull
        | Failure::NotConfined
        | Failure::Stopped
        | Failure::CutOff => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(open_for_ms: u64) -> Rule {
        Rule {
            failures: 3,
            within_ms: 10_000,
            open_for_ms,
            open_for_ms_max: None,
            replicas_percent_max: None,
        }
    }

    fn breaker() -> Breaker {
        let breaker = Breaker::new();
        breaker.obey(Some(&rule(5_000)), None);
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
        breaker.obey(None, None);
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
        breaker.obey(Some(&rule(1_000)), None);
        assert_eq!(breaker.until(), Some(opened + Duration::from_secs(1)));
        breaker.half_open();
        breaker.reopen();
        assert!(breaker.is_open());
        breaker.obey(None, None);
        assert!(!breaker.is_open());
        assert_eq!(breaker.until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn each_pause_is_twice_the_last_one_until_it_has_done_well() {
        let breaker = Breaker::new();
        let growing = Rule {
            open_for_ms_max: Some(18_000),
            ..rule(5_000)
        };
        breaker.obey(Some(&growing), None);
        let pause = || breaker.until().map(|until| until - Instant::now());
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        fails(&breaker, 3, Duration::ZERO).await;
        assert_eq!(pause(), seconds(5));
        for expected in [10, 18, 18] {
            breaker.half_open();
            breaker.reopen();
            assert_eq!(pause(), seconds(expected));
        }
        breaker.half_open();
        breaker.close();
        tokio::time::sleep(Duration::from_secs(17)).await;
        fails(&breaker, 3, Duration::ZERO).await;
        assert_eq!(pause(), seconds(18), "it did well for less than its pause");
        breaker.half_open();
        breaker.close();
        tokio::time::sleep(Duration::from_secs(19)).await;
        fails(&breaker, 3, Duration::ZERO).await;
        assert_eq!(pause(), seconds(5), "it did well for longer");
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_their_share_of_several_are_open() {
        let quota = Quota::of(50, 3);
        let several: Vec<Breaker> = (0..3).map(|_| Breaker::new()).collect();
        for breaker in &several {
            breaker.obey(Some(&rule(5_000)), Some(&quota));
            fails(breaker, 5, Duration::ZERO).await;
        }
        let open = || several.iter().filter(|it| it.is_open()).count();
        assert_eq!(open(), 1, "half of three is one");
        let [first, second, _] = several.as_slice() else {
            return;
        };
        assert_eq!(second.reading().map(|it| it.withheld), Some(3));
        let again = second.note(Failure::Closed, Instant::now());
        assert_eq!(again, None, "it is said once");
        tokio::time::sleep(Duration::from_secs(11)).await;
        fails(second, 2, Duration::ZERO).await;
        let anew = second.note(Failure::Closed, Instant::now());
        assert_eq!(anew, Some(Noted::Withheld), "it did well in between");
        first.half_open();
        first.reopen();
        fails(second, 1, Duration::ZERO).await;
        assert!(!second.is_open(), "who is tried in vain keeps its place");
        first.half_open();
        first.close();
        fails(second, 1, Duration::ZERO).await;
        assert!(second.is_open(), "there is room again");
        // Another plan counts anew those that it takes over.
        let next = Quota::of(50, 3);
        for breaker in &several {
            breaker.obey(Some(&rule(5_000)), Some(&next));
        }
        assert!(next.take().is_none());
        second.obey(None, None);
        assert!(next.take().is_some());
    }
}
