//! Whether an upstream can be used right now, as workers see it and as the keeper tells it.
//!
//! Owns the one pointer that the hot path loads, and the waiting of those who come too early, or only want
//! to know. Does not start or connect anything: `keep` does, and publishes every step here.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mcpc_plan::StartWhen;
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::{Carrier, Session, Upstream};
use crate::call::Era;
use crate::failure::Failure;
use crate::pulse;

/// How long a call waits for a restart that is already scheduled. Longer pauses fail at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the keeper is doing with an upstream.
#[derive(Clone)]
pub(super) enum Stage {
    /// Nobody has needed it yet.
    Waiting,
    /// It is being started or connected to.
    Starting,
    /// Calls can be sent.
    Ready(Arc<Session>),
    /// Its process is ending. What comes of that is decided once its last words are heard.
    Ending,
    /// The last attempt failed; the next one is at `until`, or sooner if `on_demand` and needed.
    Resting {
        failure: Failure,
        until: Instant,
        on_demand: bool,
    },
    /// It ended too often; the next attempt is at `until` and not sooner.
    Degraded { until: Instant },
    /// Calls to it failed too often; it is tried at `until` and gets none before.
    Open { until: Instant },
    /// It left the plan; its session or process is being ended.
    Stopping,
    /// Nothing is left of it.
    Stopped,
}

/// A stage, and how many attempts have come to an end before it.
#[derive(Clone)]
pub(super) struct Phase {
    pub(super) attempts: u64,
    pub(super) stage: Stage,
}

/// See the file's header.
pub(super) struct Presence {
    live: ArcSwapOption<Session>,
    phase: watch::Sender<Phase>,
    demand: Notify,
    rousing: Notify,
}

impl Presence {
    pub(super) fn new() -> Self {
        Self {
            live: ArcSwapOption::empty(),
            phase: watch::Sender::new(Phase {
                attempts: 0,
                stage: Stage::Waiting,
            }),
            demand: Notify::new(),
            rousing: Notify::new(),
        }
    }

    /// The session to use. The common case is one load; otherwise the keeper is asked to hurry and
    /// the caller waits for the outcome of the attempt that is under way, or of the next one.
    pub(super) async fn session(&self, deadline: Instant) -> Result<Arc<Session>, Failure> {
        if let Some(session) = self.live.load_full() {
            return Ok(session);
        }
        // Boxed: the wait is rare, and its timer would weigh on every call in flight.
        Box::pin(self.wait(deadline)).await
    }

    /// The session to use, if there is one now.
    pub(super) fn ready(&self) -> Option<Arc<Session>> {
        self.live.load_full()
    }

    /// Whether there is one now.
    pub(super) fn is_ready(&self) -> bool {
        self.live.load().is_some()
    }

    async fn wait(&self, deadline: Instant) -> Result<Arc<Session>, Failure> {
        let mut phase = self.phase.subscribe();
        let seen = phase.borrow().attempts;
        self.hurry();
        loop {
            {
                let now = phase.borrow_and_update();
                match &now.stage {
                    Stage::Ready(session) => return Ok(Arc::clone(session)),
                    Stage::Stopping | Stage::Stopped => return Err(Failure::Stopped),
                    Stage::Degraded { until } => return Err(Failure::Degraded(seconds_to(*until))),
                    Stage::Open { until } => return Err(Failure::CircuitOpen(seconds_to(*until))),
                    Stage::Resting {
                        failure,
                        until,
                        on_demand,
                    } => {
                        let is_far = !on_demand && *until > Instant::now() + PATIENCE;
                        if is_far || now.attempts > seen {
                            return Err(told_later(*failure, *until));
                        }
                    }
                    Stage::Waiting | Stage::Starting | Stage::Ending => {}
                }
            }
            let changed = tokio::select! {
                biased;
                changed = timeout_at(deadline, phase.changed()) => changed,
                // Whoever cuts the call off cannot tell that it was not sent.
                () = pulse::stopped() => return Err(Failure::Stopped),
            };
            match changed {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Failure::Stopped),
                Err(_) => return Err(Failure::ConnectTimeout),
            }
        }
    }

    /// The era of the live session: one load.
    pub(super) fn era(&self) -> Option<Era> {
        self.live.load().as_ref().map(|session| session.profile.era)
    }

    /// Whether the live session is one of a server without tasks of 2025-11-25: one load.
    pub(super) fn runs_no_tasks(&self) -> bool {
        let live = self.live.load();
        let mut live = live.iter();
        live.any(|session| !session.profile.runs_tasks)
    }

    /// The session to use once this one is out of use.
    pub(super) async fn session_after(
        &self,
        lost: &Arc<Session>,
        deadline: Instant,
    ) -> Result<Arc<Session>, Failure> {
        match timeout_at(deadline, self.withdrawn(lost)).await {
            Ok(()) => self.session(deadline).await,
            Err(_) => Err(Failure::SessionLost),
        }
    }

    /// Tells workers and waiters what happens now.
    pub(super) fn publish(&self, stage: Stage) {
        self.live.store(match &stage {
            Stage::Ready(session) => Some(Arc::clone(session)),
            _ => None,
        });
        self.phase.send_modify(|phase| {
            let was_starting = matches!(phase.stage, Stage::Starting);
            phase.attempts += u64::from(was_starting);
            phase.stage = stage;
        });
    }

    /// Takes a session out of use at once: no further call is sent with it, and who needs one
    /// waits for the next.
    pub(super) fn withdraw(&self, session: &Arc<Session>) {
        let live = self.live.load();
        if live.as_ref().is_some_and(|live| Arc::ptr_eq(live, session)) {
            self.live.compare_and_swap(&*live, None);
        }
        self.phase.send_if_modified(|phase| {
            let is_current =
                matches!(&phase.stage, Stage::Ready(ready) if Arc::ptr_eq(ready, session));
            if is_current {
                phase.stage = Stage::Starting;
            }
            is_current
        });
    }

    /// Takes the session of a process out of use at once, because that is ending: a call that comes now waits
    /// for the next process, and is not one of those that fail with this one.
    pub(super) fn end(&self, session: &Arc<Session>) {
        self.phase.send_if_modified(|phase| {
            let is_current =
                matches!(&phase.stage, Stage::Ready(ready) if Arc::ptr_eq(ready, session));
            if is_current {
                self.live.store(None);
                phase.stage = Stage::Ending;
            }
            is_current
        });
    }

    /// Takes the session out of use at once, because the breaker has opened.
    pub(super) fn shut(&self, until: Instant) {
        self.phase.send_if_modified(|phase| {
            let is_ready = matches!(phase.stage, Stage::Ready(_));
            if is_ready {
                self.live.store(None);
                phase.stage = Stage::Open { until };
            }
            is_ready
        });
    }

    /// Waits until a session is of no use any more. Behind an open breaker it only rests.
    pub(super) async fn lost(&self, session: &Arc<Session>) {
        let is_kept = |stage: &Stage| match stage {
            Stage::Ready(ready) => Arc::ptr_eq(ready, session),
            Stage::Open { .. } => true,
            _ => false,
        };
        let mut phase = self.phase.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _lost = phase.wait_for(|phase| !is_kept(&phase.stage)).await;
    }

    /// Waits until a session is no longer used.
    pub(super) async fn withdrawn(&self, session: &Arc<Session>) {
        let is_current =
            |stage: &Stage| matches!(stage, Stage::Ready(ready) if Arc::ptr_eq(ready, session));
        let mut phase = self.phase.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _gone = phase.wait_for(|phase| !is_current(&phase.stage)).await;
    }

    /// What it means that a call has failed in this way: an upstream whose calls have had their time did not go
    /// away by itself.
    pub(super) fn told(&self, failure: Failure) -> Failure {
        let is_cut = matches!(
            failure,
            Failure::Closed | Failure::SessionLost | Failure::Unreachable
        );
        match self.phase.borrow().stage {
            Stage::Stopping | Stage::Stopped if is_cut => Failure::CutOff,
            _ => failure,
        }
    }

    /// Waits until nothing is left.
    pub(super) async fn stopped(&self) {
        let mut phase = self.phase.subscribe();
        let _gone = phase
            .wait_for(|phase| matches!(phase.stage, Stage::Stopped))
            .await;
    }

    /// Whether nothing is left.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.phase.borrow().stage, Stage::Stopped)
    }

    /// What happens now.
    pub(super) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// Asks the keeper to hurry. However often it is asked, it is told once.
    pub(super) fn hurry(&self) {
        self.demand.notify_one();
    }

    /// Waits until a call needs the upstream.
    pub(super) async fn demanded(&self) {
        self.demand.notified().await;
    }

    /// Whether the next attempt is waited for.
    pub(super) fn rests(&self) -> bool {
        let stage = &self.phase.borrow().stage;
        matches!(
            stage,
            Stage::Resting { .. } | Stage::Degraded { .. } | Stage::Open { .. }
        )
    }

    /// Ends the wait for the next attempt, if there is one. A call that comes from now on waits for that attempt,
    /// except behind an open breaker.
    pub(super) fn rouse(&self) {
        self.phase.send_if_modified(|phase| {
            let is_at_rest = matches!(phase.stage, Stage::Resting { .. } | Stage::Degraded { .. });
            if is_at_rest {
                phase.stage = Stage::Starting;
            }
            is_at_rest
        });
        self.rousing.notify_waiters();
    }

    /// Waits until somebody ends the wait for the next attempt: counts from this call, not from the first poll.
    pub(super) fn roused(&self) -> Notified<'_> {
        self.rousing.notified()
    }
}

impl Upstream {
    /// Whether it starts when somebody needs it, and nobody has.
    pub(crate) fn is_asleep(&self) -> bool {
        let is_lazy = match &self.carrier {
            Carrier::Stdio(program) => program.definition.start.when == StartWhen::Lazy,
            Carrier::Http(_) => false,
        };
        is_lazy && matches!(self.presence.phase().stage, Stage::Waiting)
    }

    /// Waits until calls can be sent, or what the keeper tries has failed. Does not ask it to try.
    pub(crate) async fn settled(&self) {
        let is_under_way =
            |stage: &Stage| matches!(stage, Stage::Waiting | Stage::Starting | Stage::Ending);
        let mut phase = self.presence.phase.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _settled = phase.wait_for(|phase| !is_under_way(&phase.stage)).await;
    }
}

/// What an end means to a call that comes after it: nothing of that call was sent.
fn told_later(failure: Failure, until: Instant) -> Failure {
    match failure {
        Failure::Closed => Failure::Between(seconds_to(until)),
        other => other,
    }
}

/// After how many seconds calls are taken again; a moment that has passed stands for soon.
fn seconds_to(until: Instant) -> u32 {
    let left = until.saturating_duration_since(Instant::now());
    let seconds = left.as_millis().div_ceil(1000).max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
