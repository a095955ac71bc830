//! What operators see: the live plan, the refused one, and the state of every upstream.
//!
//! Owns the documents of the admin listener; `mcpc status` reads the same types back. Does not
//! gather what they say (`survey` does) and does not serve them (`admin` does). Carries codes and
//! names only, never a configuration value.

mod draining;
mod ends;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mcpc_plan::{Digest, Era};
use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;
pub use draining::{DrainingReason, DrainingStatus};
pub use ends::{EndKind, ProcessEnd};

/// The status document, served by `/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the gateway.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// How long it has run, in milliseconds.
    pub uptime_ms: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// Where clients connect.
    pub address: SocketAddr,
    /// How many clients are connected.
    pub connections: u32,
    /// How many legacy sessions have state.
    pub sessions: u32,
    /// The plan that is executed.
    pub live: Option<Live>,
    /// The last plan that was refused since the live one was committed.
    pub refused: Option<Refused>,
    /// Until when the live plan is on probation, if it is.
    #[serde(default)]
    pub probation: Option<Timestamp>,
    /// The plans that are kept on disk, if there is a place for them.
    #[serde(default)]
    pub kept: Option<Kept>,
    /// What the system denies the gateway at this moment.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
    /// How hard pressed the gateway is.
    #[serde(default)]
    pub pressure: PressureStatus,
    /// What clients can connect to.
    pub endpoints: Vec<EndpointStatus>,
    /// What is behind it.
    pub upstreams: Vec<UpstreamStatus>,
    /// What was behind it before and is not gone yet; of many, the first 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<DrainingStatus>,
}

/// Where the gateway is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not yet serving.
    Starting,
    /// The listeners accept.
    Serving,
    /// Clients are still served as ever, but none shall be sent here any more: the stop is near.
    Leaving,
    /// Shutting down: in-flight calls finish, new connections are not taken.
    Draining,
}

/// The plan that is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Which one.
    pub digest: Digest,
    /// Since when.
    pub since: Timestamp,
    /// Where it came from, for example `mcpc.yaml`.
    pub source: String,
    /// How it came to be live.
    #[serde(default)]
    pub taken: Taken,
}

/// How a plan came to be live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Taken {
    /// It was loaded from its source.
    #[default]
    Loaded,
    /// It was live before, and the one that replaced it was rolled back.
    RolledBack,
    /// It was live when the gateway ran before; what its source holds now cannot be used.
    LastGood,
}

/// The plans that are kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Where.
    pub directory: String,
    /// The live one, and those that can be gone back to, the newest first.
    pub plans: Vec<Digest>,
    /// Why the live one is not on disk, or not safely: in words, without a path.
    pub error: Option<String>,
}

/// A plan, or a configuration that did not become one, that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which plan, or which text if that became none: of one file it is what `sha256sum` tells.
    pub digest: Option<Digest>,
    /// Why, as a code.
    pub code: String,
    /// Why, in words.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// Something that the system denies the gateway: descriptors, processes, a log. It serves with what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The code.
    pub code: String,
    /// What it is, in words.
    pub text: String,
    /// What the system said.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was met since then.
    pub times: u64,
}

/// How hard pressed the gateway is, and what it gives up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PressureStatus {
    /// What it gives up now.
    pub stage: Stage,
    /// Since when; nothing if it never gave up anything.
    pub since: Option<Timestamp>,
    /// How much is used of each thing that there may be too little of, in percent.
    pub percent: BTreeMap<String, u32>,
    /// What was given up since the start.
    pub shed: BTreeMap<String, u64>,
}

/// What a gateway under pressure gives up. Each includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// There is no pressure.
    #[default]
    Nothing,
    /// Idle connections, and that connections are kept.
    Connections,
    /// New sessions.
    Sessions,
    /// New calls.
    Calls,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its path.
    pub path: String,
    /// The names of the servers behind it.
    pub servers: Vec<String>,
}

/// An upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name in the configuration.
    pub name: String,
    /// How it is.
    pub state: UpstreamState,
    /// Since when it is so.
    pub since: Timestamp,
    /// The era it speaks, once known.
    pub era: Option<Era>,
    /// How long its last answer took, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Calls that wait for its answer.
    pub in_flight: u32,
    /// How often its process was started again.
    pub restarts: u32,
    /// How many lines of its output were no message, or one that nobody waited for.
    #[serde(default)]
    pub ignored_lines: u32,
    /// Its process id, if it is a running child.
    pub pid: Option<u32>,
    /// The code of its last failure.
    pub last_error: Option<String>,
    /// The last ends of its processes, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<ProcessEnd>,
    /// When its process is started again, if it is not there and nobody can have that sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start: Option<Timestamp>,
    /// Its breaker, if it is one server that has one; of several, each has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerStatus>,
    /// What came of asking it, if it is one server that the live plan asks; of several, each is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<CheckedStatus>,
    /// Its retries, if the live plan lets calls be sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<RetriesStatus>,
    /// What sessions have to themselves, if they do not share it. The other figures are those of the one that
    /// clients without a session share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionServersStatus>,
    /// Its replicas, as configured; none if it has only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replicas: Vec<ReplicaStatus>,
}

/// One of several interchangeable places of an upstream. The upstream's own figures are those of the
/// replica that is best off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// Where it is: host, port and path.
    pub place: String,
    /// How it is.
    pub state: UpstreamState,
    /// Since when it is so.
    pub since: Timestamp,
    /// Whether it is used only when no other replica can be.
    pub is_backup: bool,
    /// The era it speaks, once known.
    pub era: Option<Era>,
    /// How long its last answer took, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Calls that wait for its answer.
    pub in_flight: u32,
    /// The code of its last failure.
    pub last_error: Option<String>,
    /// Its breaker, if the live plan gives it one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<BreakerStatus>,
    /// What came of asking it, if the live plan does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<CheckedStatus>,
}

/// What came of asking a server whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedStatus {
    /// Whether it answers. A replica that is not healthy gets no calls while another one is.
    pub healthy: bool,
    /// How often it was asked.
    pub asked: u64,
    /// How often it did not answer.
    pub failed: u64,
    /// The code of the failure, unless it has answered the last time.
    pub last_error: Option<String>,
}

/// Servers that sessions have to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionServersStatus {
    /// How many sessions have one; those that are ending count as well.
    pub in_use: u32,
    /// How many are ready for sessions to come.
    pub spares: u32,
    /// How many of both there may be.
    pub at_most: u32,
}

/// Calls that were sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetriesStatus {
    /// How many there were.
    pub sent: u64,
    /// How many more there would have been with a larger budget.
    pub refused: u64,
}

/// A breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerStatus {
    /// Whether calls go to the server.
    pub state: BreakerState,
    /// How many failures count at this moment.
    pub failures: u32,
    /// How often it has opened.
    pub openings: u64,
    /// How often it did not open because too many other replicas' were.
    #[serde(default)]
    pub withheld: u64,
    /// When the server is asked whether it is there, while it is open.
    pub until: Option<Timestamp>,
}

/// Whether calls go to a server with a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// They do.
    Closed,
    /// They do not.
    Open,
    /// They do not, and the server is being asked whether it is there.
    HalfOpen,
}

/// How an upstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpstreamState {
    /// Nobody has needed it yet.
    Idle,
    /// It is being connected to or started.
    Starting,
    /// The last thing it did was to answer.
    Ready,
    /// The last thing it did was to fail; the next call tries again.
    Failing,
    /// It failed too often; calls are refused until its pause is over.
    Down,
    /// It left the plan, and its last calls finish.
    Draining,
}

impl UpstreamState {
    /// All of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::Idle,
        Self::Starting,
        Self::Ready,
        Self::Failing,
        Self::Down,
        Self::Draining,
    ];

    /// Its name on every page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Failing => "failing",
            Self::Down => "down",
            Self::Draining => "draining",
        }
    }
}

/// The health document, served by `/health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The sum of the components.
    pub status: HealthStatus,
    /// What the system denies the gateway at this moment.
    #[serde(default)]
    pub troubles: Vec<Trouble>,
    /// How hard pressed the gateway is.
    #[serde(default)]
    pub pressure: PressureStatus,
    /// The parts.
    pub components: Components,
}

/// How a component, or the whole, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// As it should be.
    Ok,
    /// It works in part.
    Degraded,
    /// It does not work.
    Unavailable,
}

/// The parts of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Components {
    /// The door for clients.
    pub listener: ListenerHealth,
    /// The plan.
    pub plan: PlanHealth,
    /// Every upstream by name.
    pub upstreams: BTreeMap<String, UpstreamHealth>,
}

/// The door for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerHealth {
    /// How it is.
    pub status: HealthStatus,
    /// Where the gateway is in its life, which is why.
    pub phase: Phase,
    /// Where it is.
    pub address: SocketAddr,
    /// How many clients are connected.
    pub connections: u32,
}

/// The plan. A refused newer one leaves it degraded: what is executed is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanHealth {
    /// How it is.
    pub status: HealthStatus,
    /// The live one.
    pub live: Option<Live>,
    /// The refused one.
    pub refused: Option<Refused>,
    /// Those that are kept on disk, and what is wrong with that.
    #[serde(default)]
    pub kept: Option<Kept>,
}

/// An upstream and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamHealth {
    /// How it is, in the terms of the other components.
    pub status: HealthStatus,
    /// The details.
    #[serde(flatten)]
    pub upstream: UpstreamStatus,
}

/// The readiness document, served by `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether clients can be sent here.
    pub ready: bool,
    /// Where the gateway is in its life.
    pub phase: Phase,
    /// The live plan.
    pub live: Option<Digest>,
    /// How it came to be live.
    #[serde(default)]
    pub taken: Option<Taken>,
    /// The refused plan.
    pub refused: Option<Refused>,
    /// The state of every upstream by name. A dead one does not make the gateway unready.
    pub upstreams: BTreeMap<String, UpstreamState>,
}

impl Status {
    /// What `/health` says.
    pub fn health(&self) -> Health {
        let listener = match self.phase {
            Phase::Serving => HealthStatus::Ok,
            // Who is here is served.
            Phase::Leaving => HealthStatus::Degraded,
            Phase::Starting | Phase::Draining => HealthStatus::Unavailable,
        };
        let plan = match (&self.live, &self.refused) {
            (None, _) => HealthStatus::Unavailable,
            (Some(_), Some(_)) => HealthStatus::Degraded,
            // The gateway serves, but it might not find the plan again.
            (Some(_), None) if self.is_kept_badly() => HealthStatus::Degraded,
            (Some(_), None) => HealthStatus::Ok,
        };
        let upstreams: BTreeMap<_, _> = self
            .upstreams
            .iter()
            .map(|upstream| (upstream.name.clone(), UpstreamHealth::of(upstream)))
            .collect();
        let all_well = upstreams.values().all(|it| it.status == HealthStatus::Ok);
        let status = match (listener, plan) {
            (HealthStatus::Ok, HealthStatus::Ok) if all_well && self.is_at_ease() => {
                HealthStatus::Ok
            }
            (HealthStatus::Unavailable, _) | (_, HealthStatus::Unavailable) => {
                HealthStatus::Unavailable
            }
            (HealthStatus::Ok | HealthStatus::Degraded, _) => HealthStatus::Degraded,
        };
        Health {
            status,
            troubles: self.troubles.clone(),
            pressure: self.pressure.clone(),
            components: Components {
                listener: ListenerHealth {
                    status: listener,
                    phase: self.phase,
                    address: self.address,
                    connections: self.connections,
                },
                plan: PlanHealth {
                    status: plan,
                    live: self.live.clone(),
                    refused: self.refused.clone(),
                    kept: self.kept.clone(),
                },
                upstreams,
            },
        }
    }

    /// Whether the gateway has what it needs for everybody who comes.
    fn is_at_ease(&self) -> bool {
        self.troubles.is_empty() && self.pressure.stage < Stage::Sessions
    }

    /// Whether plans are to be kept on disk, and cannot be.
    pub fn is_kept_badly(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.error.is_some())
    }

    /// What `/readyz` says.
    pub fn readiness(&self) -> Readiness {
        Readiness {
            ready: self.phase == Phase::Serving && self.live.is_some(),
            phase: self.phase,
            live: self.live.as_ref().map(|live| live.digest.clone()),
            taken: self.live.as_ref().map(|live| live.taken),
            refused: self.refused.clone(),
            upstreams: self
                .upstreams
                .iter()
                .map(|upstream| (upstream.name.clone(), upstream.state))
                .collect(),
        }
    }
}

impl HealthStatus {
    /// Whether it works, at least in part.
    pub fn is_serving(self) -> bool {
        match self {
            Self::Ok | Self::Degraded => true,
            Self::Unavailable => false,
        }
    }
}

impl UpstreamHealth {
    fn of(upstream: &UpstreamStatus) -> Self {
        let status = match upstream.state {
            // An upstream that leaves is no part of what the plan promises.
            UpstreamState::Idle
            | UpstreamState::Starting
            | UpstreamState::Ready
            | UpstreamState::Draining => HealthStatus::Ok,
            UpstreamState::Failing => HealthStatus::Degraded,
            UpstreamState::Down => HealthStatus::Unavailable,
        };
        let is_failing = |replica: &ReplicaStatus| {
            matches!(replica.state, UpstreamState::Failing | UpstreamState::Down)
        };
        let status = match status {
            HealthStatus::Ok if upstream.replicas.iter().any(is_failing) => HealthStatus::Degraded,
            status => status,
        };
        Self {
            status,
            upstream: upstream.clone(),
        }
    }
}

/// A status for tests: serving a plan, with these upstreams.
#[cfg(test)]
pub(crate) fn serving(upstreams: &[(&str, UpstreamState)]) -> Status {
    let since = Timestamp::from_unix_ms(1_785_196_800_000);
    Status {
        version: "0.0.0".into(),
        pid: 7,
        uptime_ms: 1234,
        phase: Phase::Serving,
        address: SocketAddr::from(([127, 0, 0, 1], 8080)),
        connections: 0,
        sessions: 0,
        pressure: PressureStatus::default(),
        live: Some(Live {
            digest: Digest::of(b"live"),
            since,
            source: "mcpc.yaml".into(),
            taken: Taken::Loaded,
        }),
        refused: None,
        probation: None,
        kept: None,
        troubles: Vec::new(),
        endpoints: vec![EndpointStatus {
            path: "/mcp".into(),
            servers: upstreams.iter().map(|(name, _)| (*name).into()).collect(),
        }],
        draining: Vec::new(),
        upstreams: upstreams
            .iter()
            .map(|(name, state)| UpstreamStatus {
                name: (*name).into(),
                state: *state,
                since,
                era: None,
                latency_ms: None,
                in_flight: 0,
                restarts: 0,
                ignored_lines: 0,
                pid: None,
                last_error: None,
                ends: Vec::new(),
                next_start: None,
                breaker: None,
                health: None,
                retries: None,
                sessions: None,
                replicas: Vec::new(),
            })
            .collect(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn refused() -> Refused {
        Refused {
            digest: None,
            code: "MCPC9601".into(),
            reason: "secret is missing".into(),
            at: Timestamp::from_unix_ms(1),
        }
    }

    #[test]
    fn a_dead_upstream_degrades_health_but_not_readiness() {
        let status = serving(&[("a", UpstreamState::Ready), ("b", UpstreamState::Down)]);
        let health = status.health();
        assert_eq!(health.status, HealthStatus::Degraded);
        assert_eq!(
            health.components.upstreams.get("b").unwrap().status,
            HealthStatus::Unavailable
        );
        assert!(status.readiness().ready);
    }

    #[test]
    fn all_well_is_ok() {
        let status = serving(&[("a", UpstreamState::Ready), ("b", UpstreamState::Idle)]);
        assert_eq!(status.health().status, HealthStatus::Ok);
    }

    #[test]
    fn a_refused_plan_degrades_but_stays_ready() {
        let mut status = serving(&[]);
        status.refused = Some(refused());
        assert_eq!(status.health().status, HealthStatus::Degraded);
        assert!(status.readiness().ready);
        assert_eq!(status.readiness().refused, Some(refused()));
    }

    #[test]
    fn without_a_plan_or_while_draining_it_is_not_ready() {
        let mut status = serving(&[]);
        status.phase = Phase::Draining;
        assert!(!status.readiness().ready);
        assert_eq!(status.health().status, HealthStatus::Unavailable);
        let mut status = serving(&[]);
        status.live = None;
        assert!(!status.readiness().ready);
        assert_eq!(status.health().status, HealthStatus::Unavailable);
    }

    #[test]
    fn every_document_comes_back_from_its_json() {
        let mut status = serving(&[("a", UpstreamState::Failing)]);
        status.refused = Some(refused());
        status.kept = Some(Kept {
            directory: "state/plans".into(),
            plans: vec![Digest::of(b"live")],
            error: Some("storage full".into()),
        });
        status.troubles.push(Trouble {
            code: "MCPC9615".into(),
            text: "no descriptor is left".into(),
            reason: "too many open files".into(),
            since: Timestamp::from_unix_ms(1),
            times: 3,
        });
        assert_eq!(status.health().status, HealthStatus::Degraded);
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
        let json = serde_json::to_string(&status.health()).unwrap();
        assert_eq!(
            serde_json::from_str::<Health>(&json).unwrap(),
            status.health()
        );
        let json = serde_json::to_string(&status.readiness()).unwrap();
        assert_eq!(
            serde_json::from_str::<Readiness>(&json).unwrap(),
            status.readiness()
        );
    }
}
