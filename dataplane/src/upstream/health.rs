//! What is known of an upstream's health, counted on the side of its calls.
//!
//! Owns the counters and the state that operators see. Does not act on any of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::durations::{Counted, Durations};
use super::ends::{Ends, PastEnd};
use super::presence::Stage;
use super::{Checked, Reading, Upstream};
use crate::call::Era;
use crate::failure::Failure;
use crate::status::UpstreamState;

/// Counters of one upstream.
pub(super) struct Health {
    in_flight: AtomicU64,
    is_idle: Notify,
    began: Instant,
    last_use_micros: AtomicU64,
    last_failure: ArcSwapOption<Failure>,
    latency_micros: AtomicU64,
    durations: Durations,
    failures: AtomicU64,
    /// Whether the log says last that it cannot be used.
    pub(super) is_missing: AtomicBool,
    pub(super) pid: AtomicU64,
    starts: AtomicU64,
    pub(super) ignored_lines: AtomicU64,
    pub(super) ends: Arc<Ends>,
    since: ArcSwapOption<SystemTime>,
}

/// A call on its way. Counted until it is dropped.
pub(super) struct InFlight {
    upstream: Arc<Upstream>,
    began: Instant,
}

/// What operators see of an upstream.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Whether it can be used.
    pub(crate) condition: UpstreamState,
    /// Since when the condition holds.
    pub(crate) since: SystemTime,
    /// The era that was found, while it is ready.
    pub(crate) era: Option<Era>,
    /// The last failure since the last success.
    pub(crate) last_failure: Option<Failure>,
    /// The process id of a child.
    pub(crate) pid: Option<u64>,
    /// How often a child was started again.
    pub(crate) restarts: u64,
    /// How its last processes ended, newest first.
    pub(crate) ends: Vec<PastEnd>,
    /// When a process is started again, while there is none.
    pub(crate) next_start: Option<Instant>,
    /// How many lines of a child's output belonged to nobody.
    pub(crate) ignored_lines: u64,
    /// How long the last call took to its answer.
    pub(crate) latency: Option<Duration>,
    /// Calls under way.
    pub(crate) in_flight: u64,
}

impl Health {
    /// Of one whose processes end beside those of others of its server.
    pub(super) fn new(ends: Arc<Ends>) -> Self {
        Self {
            in_flight: AtomicU64::new(0),
            is_idle: Notify::new(),
            began: Instant::now(),
            last_use_micros: AtomicU64::new(0),
            last_failure: ArcSwapOption::empty(),
            latency_micros: AtomicU64::new(0),
            durations: Durations::new(),
            failures: AtomicU64::new(0),
            is_missing: AtomicBool::new(false),
            pid: AtomicU64::new(0),
            starts: AtomicU64::new(0),
            ignored_lines: AtomicU64::new(0),
            ends,
            since: ArcSwapOption::empty(),
        }
    }

    pub(super) fn note_success(&self, flight: &InFlight) {
        let micros = u64::try_from(flight.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.store(micros.max(1), Ordering::Relaxed);
        self.durations.note(micros);
        self.note_reached();
        flight.upstream.late.note_answer();
    }

    /// The upstream took a connection of the keeper's, which ends only the failures to connect.
    pub(super) fn note_connected(&self) {
        let last = self.last_failure.load();
        if last.as_ref().is_some_and(|last| last.is_before_send()) {
            self.note_reached();
        }
    }

    /// The upstream answered. What it did to calls before says nothing any more.
    pub(super) fn note_reached(&self) {
        if self.last_failure.load().is_some() && self.last_failure.swap(None).is_some() {
            self.note_stage();
        }
    }

    pub(super) fn note_failure(&self, failure: Failure) {
        if self.last_failure.swap(Some(Arc::new(failure))).is_none() {
            self.note_stage();
        }
    }

    /// The last failure since the last success.
    pub(super) fn last_failure(&self) -> Option<Failure> {
        self.last_failure.load().as_deref().copied()
    }

    /// A process was started.
    pub(super) fn note_start(&self) {
        if self.starts.fetch_add(1, Ordering::Relaxed) > 0 {
            self.ends.note_restart();
        }
    }

    /// Whether another process was started before.
    pub(super) fn is_restarted(&self) -> bool {
        self.starts.load(Ordering::Relaxed) > 1
    }

    /// A call has failed.
    pub(super) fn note_failed_call(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How many calls are under way.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Somebody uses it.
    pub(super) fn note_use(&self) {
        let micros = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.last_use_micros.store(micros, Ordering::Relaxed);
    }

    /// When somebody used it last, if nobody does now.
    pub(super) fn last_use(&self) -> Instant {
        self.began + Duration::from_micros(self.last_use_micros.load(Ordering::Relaxed))
    }

    /// Whether it can be used has changed, for the keeper or for its calls.
    pub(super) fn note_stage(&self) {
        self.since.store(Some(Arc::new(SystemTime::now())));
    }

    /// Waits until no call is under way.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.is_idle.notified();
            if self.in_flight.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl InFlight {
    pub(super) fn begin(upstream: &Arc<Upstream>) -> Self {
        upstream.health.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            upstream: Arc::clone(upstream),
            began: Instant::now(),
        }
    }

    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let health = &self.upstream.health;
        health.note_use();
        if health.in_flight.fetch_sub(1, Ordering::Release) == 1 {
            health.is_idle.notify_waiters();
        }
    }
}

/// What operators are told.
impl Upstream {
    /// What operators see.
    pub(crate) fn state(&self) -> State {
        State::of(self)
    }

    /// What operators see of its breaker; nothing if the live plan gives it none.
    pub(crate) fn breaker(&self) -> Option<Reading> {
        self.breaker.reading()
    }

    /// How long its calls took to their answers.
    pub(crate) fn durations(&self) -> Counted {
        self.health.durations.counted()
    }

    /// Waits until it has no call, and no client watches any of its resources.
    pub(super) async fn quiet(&self) {
        loop {
            self.health.idle().await;
            if !self.watches.is_watched() {
                return;
            }
            self.watches.left().await;
            self.health.note_use();
        }
    }

    /// How many of its calls have failed.
    pub(crate) fn failed_calls(&self) -> u64 {
        self.health.failures.load(Ordering::Relaxed)
    }

    /// What came of the questions to it; nothing if the live plan asks none.
    pub(crate) fn checked(&self) -> Option<Checked> {
        self.checks.reading()
    }
}

impl State {
    pub(super) fn of(upstream: &Upstream) -> Self {
        let health = &upstream.health;
        let last_failure = health.last_failure();
        let phase = upstream.presence.phase();
        let era = match &phase.stage {
            Stage::Ready(session) => Some(session.profile.era),
            _ => None,
        };
        let unhealthy = upstream.checks.is_unhealthy();
        let checked = upstream.checks.reading().and_then(|it| it.failure);
        let next_start = match &phase.stage {
            Stage::Resting {
                until,
                on_demand: false,
                ..
            }
            | Stage::Degraded { until } => Some(*until),
            _ => None,
        };
        let (condition, last_failure) = match phase.stage {
            Stage::Waiting => (UpstreamState::Idle, last_failure),
            Stage::Starting | Stage::Ending => (UpstreamState::Starting, last_failure),
            // A session may be at hand although nobody answers any more.
            Stage::Ready(_) if last_failure.is_some() => (UpstreamState::Failing, last_failure),
            Stage::Ready(_) if unhealthy => (UpstreamState::Failing, checked),
            Stage::Ready(_) => (UpstreamState::Ready, last_failure),
            Stage::Resting { failure, .. } => (UpstreamState::Failing, Some(failure)),
            Stage::Degraded { .. } | Stage::Open { .. } => (UpstreamState::Down, last_failure),
            Stage::Stopping | Stage::Stopped => (UpstreamState::Draining, last_failure),
        };
        let micros = health.latency_micros.load(Ordering::Relaxed);
        let pid = health.pid.load(Ordering::Relaxed);
        Self {
            condition,
            since: health
                .since
                .load_full()
                .map_or(SystemTime::UNIX_EPOCH, |since| *since),
            era,
            last_failure,
            pid: (pid != 0).then_some(pid),
            restarts: health.ends.restarts(),
            ends: health.ends.all(),
            next_start,
            ignored_lines: health.ignored_lines.load(Ordering::Relaxed),
            latency: (micros != 0).then(|| Duration::from_micros(micros)),
            in_flight: health.in_flight.load(Ordering::Relaxed),
        }
    }
}
