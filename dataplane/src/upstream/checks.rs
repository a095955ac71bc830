//! Whether a server answers when it is asked now and then, without any call.
//!
//! Owns the series of answers and failures, what they say of the server, and when the next question is
//! due. What is asked is `probe`'s; that an unhealthy replica gets no call while there is a healthy one
//! is `replicas`'. A server that nobody has started is not asked: questions belong to a session.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcpc_plan::Health as Rule;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Session, Upstream, probe};
use crate::failure::Failure;

/// The health of one upstream. It outlives plans; its rule is that of the live one.
pub(super) struct Checks {
    inner: watch::Sender<Inner>,
    /// For whoever chooses among replicas: one load.
    is_unhealthy: AtomicBool,
}

#[derive(Default)]
struct Inner {
    rule: Option<Rule>,
    /// The last outcomes that were alike.
    in_a_row: u32,
    /// The last failure, unless the last question was answered.
    failure: Option<Failure>,
    is_unhealthy: bool,
    failed: u64,
    asked: u64,
}

/// What operators see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) is_healthy: bool,
    /// The last failure, unless the last question was answered.
    pub(crate) failure: Option<Failure>,
    /// How many questions were asked.
    pub(crate) asked: u64,
    /// How many of them were not answered.
    pub(crate) failed: u64,
}

/// What a question has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Unhealthy,
    Healthy,
}

impl Checks {
    /// Healthy, and without a rule nobody asks.
    pub(super) fn new() -> Self {
        Self {
            inner: watch::Sender::new(Inner::default()),
            is_unhealthy: AtomicBool::new(false),
        }
    }

    /// Takes the rule of the live plan. Without one it is healthy.
    pub(super) fn obey(&self, rule: Option<&Rule>) {
        self.inner.send_if_modified(|inner| {
            if inner.rule.as_ref() == rule {
                return false;
            }
            inner.rule = rule.cloned();
            inner.in_a_row = 0;
            if rule.is_none() {
                *inner = Inner::default();
                self.is_unhealthy.store(false, Ordering::Relaxed);
            }
            true
        });
    }

    /// Whether it has left so many questions unanswered that others are to be preferred.
    pub(super) fn is_unhealthy(&self) -> bool {
        self.is_unhealthy.load(Ordering::Relaxed)
    }

    /// What operators see; nothing without a rule.
    pub(super) fn reading(&self) -> Option<Checked> {
        let inner = self.inner.borrow();
        inner.rule.as_ref().map(|_| Checked {
            is_healthy: !inner.is_unhealthy,
            failure: inner.failure,
            asked: inner.asked,
            failed: inner.failed,
        })
    }

    /// What came of a question.
    fn note(&self, outcome: Result<(), Failure>) -> Option<Turn> {
        let mut turn = None;
        self.inner.send_if_modified(|inner| {
            let Some(rule) = &inner.rule else {
                return false;
            };
            let failure = outcome.err();
            if failure.is_some() != inner.failure.is_some() {
                inner.in_a_row = 0;
            }
            inner.in_a_row = inner.in_a_row.saturating_add(1);
            inner.failure = failure;
            inner.asked += 1;
            inner.failed += u64::from(failure.is_some());
            turn = match (failure, inner.is_unhealthy) {
                (Some(_), false) if inner.in_a_row >= rule.failures => Some(Turn::Unhealthy),
                (None, true) if inner.in_a_row >= rule.successes => Some(Turn::Healthy),
                (Some(_) | None, _) => None,
            };
            if let Some(turn) = turn {
                inner.is_unhealthy = turn == Turn::Unhealthy;
                self.is_unhealthy
                    .store(inner.is_unhealthy, Ordering::Relaxed);
            }
            // Whoever waits here waits for another rule.
            false
        });
        turn
    }

    /// The rule, once there is one.
    async fn rule(&self) -> Rule {
        let mut inner = self.inner.subscribe();
        loop {
            if let Some(rule) = &inner.borrow_and_update().rule {
                return rule.clone();
            }
            // The sender lives in `self`, so it cannot be gone.
            let _changed = inner.changed().await;
        }
    }

    /// Waits until there is another rule.
    async fn replaced(&self, rule: &Rule) {
        let mut inner = self.inner.subscribe();
        let _other = inner
            .wait_for(|inner| inner.rule.as_ref() != Some(rule))
            .await;
    }
}

/// Asks a server for as long as it has this session. Returns when the session is lost.
pub(super) async fn keep(upstream: &Arc<Upstream>, session: &Arc<Session>) {
    loop {
        let rule = upstream.checks.rule().await;
        // Boxed: most servers have no rule, and would carry the room for a question.
        if Box::pin(ask(upstream, session, &rule)).await == Some(Failure::SessionLost) {
            return;
        }
    }
}

async fn ask(upstream: &Arc<Upstream>, session: &Arc<Session>, rule: &Rule) -> Option<Failure> {
    tokio::select! {
        () = sleep(jittered(Duration::from_millis(rule.every_ms))) => {}
        () = upstream.checks.replaced(rule) => return None,
    }
    if upstream.breaker.is_open() {
        // It is to be left alone, and asked when its pause is over.
        return None;
    }
    let patience = Duration::from_millis(rule.timeout_ms);
    let outcome = probe::ask(upstream, session, patience).await;
    match outcome {
        Err(failure) if failure.is_of_gateway() => {}
        outcome => note(upstream, outcome),
    }
    outcome.err()
}

/// A question was answered, or a session opened, which is as good.
pub(super) fn note_answer(upstream: &Upstream) {
    note(upstream, Ok(()));
}

fn note(upstream: &Upstream, outcome: Result<(), Failure>) {
    let server = &upstream.name;
    match upstream.checks.note(outcome) {
        Some(Turn::Unhealthy) => {
            let failure = outcome.err();
            let code = failure.map(Failure::code);
            let failure = failure.map(tracing::field::debug);
            tracing::warn!(%server, code, failure, "the server does not answer when asked, and is unhealthy");
        }
        Some(Turn::Healthy) => {
            tracing::info!(%server, "the server answers again, and is healthy");
        }
        None => return,
    }
    upstream.health.note_stage();
}

/// Between nine tenths and eleven tenths of a time, so that what was started together is not asked together.
fn jittered(time: Duration) -> Duration {
    // A fresh hasher is keyed at random; no more is asked of this number.
    let random = RandomState::new().hash_one(0);
    let fifth = u64::try_from(time.as_micros() / 5)
        .unwrap_or(u64::MAX)
        .max(1);
    time.saturating_mul(9) / 10 + Duration::from_micros(random % fifth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks(failures: u32, successes: u32) -> Checks {
        let checks = Checks::new();
        checks.obey(Some(&Rule {
            every_ms: 10_000,
            timeout_ms: 2_000,
            failures,
            successes,
        }));
        checks
    }

    #[test]
    fn only_a_series_turns_it() {
        let checks = checks(3, 2);
        let bad = || checks.note(Err(Failure::FirstByteTimeout));
        let good = || checks.note(Ok(()));
        assert_eq!([bad(), bad(), good(), bad(), bad()], [None; 5]);
        assert!(!checks.is_unhealthy());
        assert_eq!(bad(), Some(Turn::Unhealthy));
        assert_eq!(bad(), None, "it is said once");
        assert!(checks.is_unhealthy());
        let reading = checks.reading();
        let failure = reading.and_then(|reading| reading.failure);
        assert_eq!(failure, Some(Failure::FirstByteTimeout));
        assert_eq!([good(), bad(), good()], [None; 3]);
        assert_eq!(good(), Some(Turn::Healthy));
        let reading = checks.reading();
        let counts = reading.map(|it| (it.is_healthy, it.asked, it.failed));
        assert_eq!(counts, Some((true, 11, 7)));
    }

    #[test]
    fn without_a_rule_it_is_healthy() {
        let checks = checks(1, 1);
        checks.note(Err(Failure::Closed));
        assert!(checks.is_unhealthy());
        checks.obey(None);
        assert!(!checks.is_unhealthy());
        assert_eq!(checks.reading(), None);
        assert_eq!(checks.note(Err(Failure::Closed)), None);
    }

    #[test]
    fn questions_come_about_as_often_as_they_should() {
        let time = Duration::from_secs(10);
        let times: Vec<_> = (0..20).map(|_| jittered(time)).collect();
        let about = Duration::from_secs(9)..=Duration::from_secs(11);
        assert!(times.iter().all(|time| about.contains(time)));
        assert!(times.iter().any(|time| Some(time) != times.first()));
    }
}
