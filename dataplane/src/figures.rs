//! How a gateway does at a moment, in the few figures by which one plan is held against another.
//!
//! Owns their form, and how they are gathered. What they mean for a plan is decided by `mcpc-daemon`.

use crate::pipeline::Plane;
use crate::status::UpstreamState;
use crate::tally::Calls;
use crate::upstream::Replicas;

/// How it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// The servers of the live plan.
    pub servers: Vec<ServerFigures>,
    /// What was counted of all calls.
    pub calls: Calls,
}

/// How one server does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFigures {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// Which upstream it is: another number means that a plan has started it anew.
    pub life: u64,
    /// How it is.
    pub condition: Condition,
}

/// How a server is, as far as anybody has tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It answers.
    Well,
    /// Nobody knows yet.
    Unknown,
    /// It does not answer.
    Failing,
}

/// The figures of this moment.
pub(crate) fn gather(plane: &Plane) -> Figures {
    let snapshot = plane.live.load();
    let servers = snapshot.servers.iter();
    let servers = servers.map(|(name, replicas)| ServerFigures {
        name: name.clone(),
        life: replicas.life(),
        condition: condition(replicas),
    });
    Figures {
        servers: servers.collect(),
        calls: plane.tally.calls(),
    }
}

fn condition(replicas: &Replicas) -> Condition {
    let state = replicas.state();
    match state.condition {
        UpstreamState::Ready => Condition::Well,
        UpstreamState::Failing | UpstreamState::Down => Condition::Failing,
        // Between two attempts, the first of which has failed.
        UpstreamState::Idle | UpstreamState::Starting if state.last_failure.is_some() => {
            Condition::Failing
        }
        UpstreamState::Idle | UpstreamState::Starting | UpstreamState::Draining => {
            Condition::Unknown
        }
    }
}
