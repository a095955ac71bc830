//! Gathers what operators see: the live plan, the refused one, and the state of every upstream.
//!
//! Owns the moment's picture, made anew for each question from what the parts know of themselves.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::call::Era;
use crate::pipeline::Plane;
use crate::reach::{CANNOT_EXECUTE, Ended};
use crate::shortage;
use crate::snapshot::Snapshot;
use crate::status::{
    BreakerState, BreakerStatus, CheckedStatus, EndKind, EndpointStatus, Kept, Live, Phase,
    ProcessEnd, Refused, ReplicaStatus, RetriesStatus, SessionServersStatus, Status, Taken,
    UpstreamStatus,
};
use crate::timestamp::Timestamp;
use crate::upstream::{
    Checked, End, How, Leavers, Leaves, PastEnd, Position, Reading, Replica, Replicas, State,
};

/// What the gateway knows of its own life.
pub(crate) struct Scene {
    started: Instant,
    started_at: Timestamp,
    phase: AtomicU8,
    source: String,
    /// Known once the doors are open.
    address: OnceLock<SocketAddr>,
    live: ArcSwap<Live>,
    refused: ArcSwapOption<Refused>,
    probation: ArcSwapOption<Timestamp>,
    kept: ArcSwapOption<Kept>,
    leavers: Leavers,
    accepted: AtomicU64,
    unchanged: AtomicU64,
    refusals: AtomicU64,
}

/// What became of the plans that came after the first one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reloads {
    pub(crate) accepted: u64,
    pub(crate) unchanged: u64,
    pub(crate) refused: u64,
}

impl Scene {
    /// A gateway that starts with a plan.
    pub(crate) fn new(source: String, snapshot: &Snapshot) -> Self {
        let live = live(&source, snapshot);
        Self {
            started: Instant::now(),
            started_at: Timestamp::now(),
            phase: AtomicU8::new(Phase::Starting as u8),
            source,
            address: OnceLock::new(),
            live: ArcSwap::from_pointee(live),
            refused: ArcSwapOption::empty(),
            probation: ArcSwapOption::empty(),
            kept: ArcSwapOption::empty(),
            leavers: Leavers::default(),
            accepted: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        }
    }

    /// Clients are served; the listeners, if there are any, accept at this address.
    pub(crate) fn serving(&self, address: Option<SocketAddr>) {
        if let Some(address) = address {
            // The doors open once; a second address would be a bug that changes nothing.
            let _first = self.address.set(address);
        }
        self.phase.store(Phase::Serving as u8, Ordering::Release);
    }

    /// When it started, by the clock of that moment: it is the same however the clock is set since.
    pub(crate) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// The gateway will be told to stop soon. Not before it serves, and not again when it stops already: then it is
    /// false.
    pub(crate) fn leaving(&self) -> bool {
        let serving = Phase::Serving as u8;
        let leaving = Phase::Leaving as u8;
        let moved =
            self.phase
                .compare_exchange(serving, leaving, Ordering::AcqRel, Ordering::Acquire);
        moved.is_ok()
    }

    /// The gateway stops.
    pub(crate) fn draining(&self) {
        self.phase.store(Phase::Draining as u8, Ordering::Release);
    }

    /// Another plan is live; what was refused before is history.
    pub(crate) fn committed(&self, snapshot: &Snapshot) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        self.live.store(Arc::new(live(&self.source, snapshot)));
        self.refused.store(None);
    }

    /// These have left the plan with the one before it, and are to end by these moments.
    pub(crate) fn left(&self, left: impl Iterator<Item = Arc<dyn Leaves>>, end: End) {
        self.leavers.add(left, end);
    }

    /// A plan was refused.
    pub(crate) fn refused(&self, refused: Refused) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        self.refused.store(Some(Arc::new(refused)));
    }

    /// The same plan came again, so nothing is refused any more.
    pub(crate) fn settled(&self) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
        self.refused.store(None);
        self.taken(Taken::Loaded);
    }

    /// The live plan came to be live in this way.
    pub(crate) fn taken(&self, taken: Taken) {
        self.live.rcu(|live| Live {
            taken,
            ..Live::clone(live)
        });
    }

    /// The live plan is on probation until then, or no longer.
    pub(crate) fn on_probation(&self, until: Option<Timestamp>) {
        self.probation.store(until.map(Arc::new));
    }

    /// What became of the plans that came after the first one.
    pub(crate) fn reloads(&self) -> Reloads {
        Reloads {
            accepted: self.accepted.load(Ordering::Relaxed),
            unchanged: self.unchanged.load(Ordering::Relaxed),
            refused: self.refusals.load(Ordering::Relaxed),
        }
    }

    /// What is kept on disk.
    pub(crate) fn kept(&self, kept: Option<Kept>) {
        self.kept.store(kept.map(Arc::new));
    }

    fn phase(&self) -> Phase {
        let phases = [
            Phase::Starting,
            Phase::Serving,
            Phase::Leaving,
            Phase::Draining,
        ];
        let now = self.phase.load(Ordering::Acquire);
        let phase = phases.into_iter().find(|phase| *phase as u8 == now);
        phase.unwrap_or(Phase::Draining)
    }

    /// The picture of this moment.
    pub(crate) fn status(&self, plane: &Plane) -> Status {
        let snapshot = plane.live.load();
        let endpoints = snapshot.endpoints.iter().map(|served| EndpointStatus {
            path: served.endpoint.path.as_ref().into(),
            servers: served
                .members
                .iter()
                .map(|member| member.name.as_ref().into())
                .collect(),
        });
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            phase: self.phase(),
            address: self
                .address
                .get()
                .copied()
                .unwrap_or(snapshot.listener.address),
            connections: plane.connections.load(Ordering::Relaxed),
            sessions: plane.sessions.count(),
            live: Some(Live::clone(&self.live.load())),
            refused: self.refused.load().as_deref().cloned(),
            probation: self.probation.load().as_deref().copied(),
            kept: self.kept.load().as_deref().cloned(),
            troubles: shortage::troubles(),
            pressure: plane.pressure.status(),
            endpoints: endpoints.collect(),
            upstreams: snapshot
                .servers
                .iter()
                .map(|(name, replicas)| upstream_status(name, replicas))
                .collect(),
            draining: self.leavers.status(),
        }
    }
}

fn live(source: &str, snapshot: &Snapshot) -> Live {
    Live {
        digest: snapshot.digest.clone(),
        since: Timestamp::from(SystemTime::now()),
        source: source.to_owned(),
        taken: Taken::Loaded,
    }
}

fn upstream_status(name: &str, replicas: &Replicas) -> UpstreamStatus {
    let state = replicas.state();
    let several = replicas.all().count() > 1;
    let all = replicas.all().filter(|_| several);
    UpstreamStatus {
        name: name.to_owned(),
        state: state.condition,
        since: Timestamp::from(state.since),
        era: era(&state),
        latency_ms: latency_ms(&state),
        in_flight: u32::try_from(replicas.in_flight()).unwrap_or(u32::MAX),
        restarts: u32::try_from(state.restarts).unwrap_or(u32::MAX),
        ignored_lines: u32::try_from(state.ignored_lines).unwrap_or(u32::MAX),
        pid: state.pid.and_then(|pid| u32::try_from(pid).ok()),
        last_error: last_error(&state),
        ends: state.ends.iter().map(process_end).collect(),
        next_start: state.next_start.map(in_time),
        breaker: replicas.breaker().as_ref().map(breaker_status),
        health: replicas.checked().map(checked_status),
        retries: replicas.retries().then(|| {
            let spent = replicas.spent();
            RetriesStatus {
                sent: spent.sent,
                refused: spent.refused,
            }
        }),
        sessions: replicas.counts().map(|counts| SessionServersStatus {
            in_use: counts.in_use,
            spares: counts.spares,
            at_most: counts.at_most,
        }),
        replicas: all.map(replica_status).collect(),
    }
}

fn replica_status(replica: &Replica) -> ReplicaStatus {
    let state = replica.upstream.state();
    ReplicaStatus {
        place: replica.place.as_ref().into(),
        state: state.condition,
        since: Timestamp::from(state.since),
        is_backup: replica.is_backup,
        era: era(&state),
        latency_ms: latency_ms(&state),
        in_flight: u32::try_from(state.in_flight).unwrap_or(u32::MAX),
        last_error: last_error(&state),
        breaker: replica.upstream.breaker().as_ref().map(breaker_status),
        health: replica.upstream.checked().map(checked_status),
    }
}

fn checked_status(checked: Checked) -> CheckedStatus {
    CheckedStatus {
        healthy: checked.is_healthy,
        asked: checked.asked,
        failed: checked.failed,
        last_error: checked.failure.map(|failure| failure.code().to_owned()),
    }
}

fn process_end(end: &PastEnd) -> ProcessEnd {
    let (how, number) = match end.how {
        How::Ended(Ended::Code(CANNOT_EXECUTE)) => (EndKind::NotExecuted, None),
        How::Ended(Ended::Code(code)) => (EndKind::Exited, Some(code)),
        How::Ended(Ended::Signal(signal)) => (EndKind::Signalled, Some(signal)),
        How::Ended(Ended::Crowded(count)) => (EndKind::Crowded, Some(count)),
        How::Ended(Ended::Starved(count)) => (EndKind::OutOfMemory, Some(count)),
        How::ClosedPipe => (EndKind::ClosedPipe, None),
        How::Hung => (EndKind::Hung, None),
        How::NotConfined => (EndKind::NotConfined, None),
        How::NotReady => (EndKind::NotReady, None),
        How::Lost => (EndKind::Lost, None),
    };
    ProcessEnd {
        at: Timestamp::from(end.at),
        pid: end.pid,
        lived_ms: end.lived.map(millis),
        how,
        number,
        error: end.failure.code().to_owned(),
    }
}

fn in_time(until: tokio::time::Instant) -> Timestamp {
    let left = until.saturating_duration_since(tokio::time::Instant::now());
    Timestamp::from(SystemTime::now() + left)
}

fn breaker_status(reading: &Reading) -> BreakerStatus {
    BreakerStatus {
        state: breaker_state(reading.position),
        failures: u32::try_from(reading.failures).unwrap_or(u32::MAX),
        openings: reading.openings,
        withheld: reading.withheld,
        until: reading.until.map(in_time),
    }
}

pub(crate) fn breaker_state(position: Position) -> BreakerState {
    match position {
        Position::Closed => BreakerState::Closed,
        Position::Open => BreakerState::Open,
        Position::HalfOpen => BreakerState::HalfOpen,
    }
}

fn era(state: &State) -> Option<mcpc_plan::Era> {
    state.era.map(|era| match era {
        Era::Modern => mcpc_plan::Era::Modern,
        Era::Legacy => mcpc_plan::Era::Legacy,
    })
}

fn latency_ms(state: &State) -> Option<u64> {
    state.latency.map(millis)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn last_error(state: &State) -> Option<String> {
    state.last_failure.map(|failure| failure.code().to_owned())
}
