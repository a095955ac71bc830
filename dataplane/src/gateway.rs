//! The running gateway: threads, listeners, the live snapshot and what came before it.
//!
//! Owns start, swap (prepare, commit, drain), status and shutdown. Does not compile, watch files or
//! handle signals: `mcpc run` and `mcpcd` do, and hand plans in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcpc_plan::{Digest, Plan};

use crate::Reach;
use crate::status::Status;

/// How the gateway runs, beyond what the plan says.
pub struct Options {
    /// The outside: sockets, processes, variables.
    pub reach: Arc<dyn Reach>,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
}

/// A running gateway. Dropping it without [`Gateway::shutdown`] stops at once.
pub struct Gateway {}

/// Why the gateway did not start, or why a plan was refused. Each has a code of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code, for example `MCPC9601`.
    pub code: &'static str,
    /// The reason, without secrets.
    pub reason: String,
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The plan is the live one already.
    Unchanged,
    /// The plan is live.
    Live {
        /// Upstreams that kept their processes and sessions.
        kept: usize,
        /// Upstreams that are new.
        started: usize,
        /// Upstreams that drain.
        stopped: usize,
    },
}

impl Gateway {
    /// Binds the listeners, starts the threads and makes the plan live.
    ///
    /// # Errors
    /// A missing secret, an address that cannot be bound, a thread that cannot be started.
    pub fn start(_plan: Plan, _options: Options) -> Result<Self, Refusal> {
        Err(Refusal {
            code: "MCPC9600",
            reason: String::new(),
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    /// Where operators connect.
    pub fn admin_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    /// Makes a plan live, or leaves everything as it is and remembers why (see [`Status`]).
    ///
    /// # Errors
    /// As [`Gateway::start`]; also a listener address that differs, which needs a restart.
    pub fn swap(&self, _plan: Plan) -> Result<Swapped, Refusal> {
        Ok(Swapped::Unchanged)
    }

    /// Remembers that a new configuration did not even become a plan, for status, log and readiness detail.
    pub fn note_refused(&self, _digest: Option<Digest>, _refusal: &Refusal) {}

    /// What the status page shows.
    pub fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime_ms: 0,
            phase: crate::Phase::Starting,
            address: self.address(),
            connections: 0,
            live: None,
            refused: None,
            endpoints: Vec::new(),
            upstreams: Vec::new(),
        }
    }

    /// Stops accepting, lets in-flight calls finish within the grace, stops children.
    pub fn shutdown(self, _grace: Duration) {}
}
