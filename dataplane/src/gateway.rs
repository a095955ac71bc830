//! The running gateway: threads, the live snapshot and what is alive behind it.
//!
//! Owns start, swap (prepare, commit, drain), status and shutdown. Does not compile, watch files or
//! handle signals: `mcpc run` and `mcpcd` do, and hand plans in.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use mcpc_plan::{Digest, Plan};
use tokio::time::Instant;

use crate::Reach;
use crate::keeper::{Keeper, KeeperThread};
use crate::pipeline::Plane;
use crate::prepare::{Prepared, Standing};
use crate::session::{NoRandomness, Seal, Sessions};
use crate::snapshot::Snapshot;
use crate::status::{Refused, Status};
use crate::survey::Scene;
use crate::timestamp::Timestamp;
use crate::upstream::Upstream;
use crate::workers::Workers;

/// After the grace, children get this long for the ladder of signals.
const LADDER: Duration = Duration::from_secs(6);

/// How the gateway runs, beyond what the plan says.
pub struct Options {
    /// The outside: sockets, processes, variables.
    pub reach: Arc<dyn Reach>,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// Where plans come from, for status: `mcpc.yaml`.
    pub source: String,
}

/// A running gateway. Dropping it without [`Gateway::shutdown`] stops at once.
pub struct Gateway {
    // Dropped in this order: first no more requests, then no more upstreams.
    workers: Workers,
    plane: Arc<Plane>,
    scene: Arc<Scene>,
    standing: Standing,
    reach: Arc<dyn Reach>,
    keeper: KeeperThread,
}

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

impl Refusal {
    pub(crate) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    pub(crate) fn system(what: &str, error: &io::Error) -> Self {
        Self::new(
            "MCPC9605",
            format!("the system cannot {what}: {}", error.kind()),
        )
    }
}

impl From<NoRandomness> for Refusal {
    fn from(_: NoRandomness) -> Self {
        Self::new(
            "MCPC9604",
            "the system gives no randomness for session keys",
        )
    }
}

impl Gateway {
    /// Binds the listeners, starts the threads and makes the plan live.
    ///
    /// # Errors
    /// A missing secret, an address that cannot be bound, a thread that cannot be started.
    pub fn start(plan: Plan, options: Options) -> Result<Self, Refusal> {
        let Options {
            reach,
            workers,
            source,
        } = options;
        let keeper =
            KeeperThread::start().map_err(|error| Refusal::system("start a thread", &error))?;
        let sessions = Sessions::new(
            Seal::random()?,
            &plan.limits,
            Instant::now(),
            SystemTime::now(),
        )?;
        let address = plan.listener.address;
        let Prepared {
            snapshot, standing, ..
        } = Standing::default().prepare(plan, &keeper.keeper(), &reach)?;
        let plane = Arc::new(Plane::new(Arc::clone(&snapshot), sessions));
        let workers = match Workers::start(address, workers, &plane) {
            Ok(workers) => workers,
            Err(refusal) => {
                stop_all(
                    &keeper.keeper(),
                    standing.upstreams().cloned().collect(),
                    Duration::ZERO,
                );
                return Err(refusal);
            }
        };
        let scene = Arc::new(Scene::new(source, workers.address(), &snapshot));
        relay_changes(&keeper.keeper(), &snapshot);
        scene.serving();
        Ok(Self {
            workers,
            plane,
            scene,
            standing,
            reach,
            keeper,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.workers.address()
    }

    /// Where operators connect.
    pub fn admin_address(&self) -> SocketAddr {
        self.plane.live.load().admin.address
    }

    /// Makes a plan live, or leaves everything as it is and remembers why (see [`Status`]).
    ///
    /// # Errors
    /// As [`Gateway::start`]; also a listener that differs, which needs a restart.
    pub fn swap(&mut self, plan: Plan) -> Result<Swapped, Refusal> {
        let digest = plan.digest.clone();
        let swapped = self.try_swap(plan);
        if let Err(refusal) = &swapped {
            self.note_refused(Some(digest), refusal);
        }
        swapped
    }

    fn try_swap(&mut self, plan: Plan) -> Result<Swapped, Refusal> {
        let live = self.plane.live.load_full();
        if plan.digest == live.digest {
            self.scene.settled();
            return Ok(Swapped::Unchanged);
        }
        let same_doors = plan.listener.address == live.listener.address
            && plan.admin.address == live.admin.address;
        if !same_doors {
            return Err(Refusal::new(
                "MCPC9606",
                "the listen or admin address differs, and that needs a restart",
            ));
        }
        let keeper = self.keeper.keeper();
        let prepared = self.standing.prepare(plan, &keeper, &self.reach)?;
        Ok(self.commit(prepared, &live, &keeper))
    }

    /// Makes a prepared plan live. Cannot fail.
    fn commit(&mut self, prepared: Prepared, before: &Snapshot, keeper: &Keeper) -> Swapped {
        let Prepared {
            snapshot,
            standing,
            kept,
            started,
        } = prepared;
        self.plane.live.store(Arc::clone(&snapshot));
        self.plane.sessions.adopt(&snapshot.limits);
        self.scene.committed(&snapshot);
        relay_changes(keeper, &snapshot);
        for served in &snapshot.endpoints {
            let same = before
                .endpoint(&served.endpoint.path)
                .is_some_and(|old| old.endpoint == served.endpoint);
            if !same {
                served.hub.touch();
            }
        }
        let leaving = self.standing.without(&standing);
        let stopped = leaving.len();
        let grace = Duration::from_millis(snapshot.limits.grace_ms);
        for upstream in leaving {
            keeper.spawn(async move { upstream.stop(grace).await });
        }
        self.standing = standing;
        Swapped::Live {
            kept,
            started,
            stopped,
        }
    }

    /// Remembers that a new configuration was refused, for status, health and readiness detail.
    pub fn note_refused(&self, digest: Option<Digest>, refusal: &Refusal) {
        self.scene.refused(Refused {
            digest,
            code: refusal.code.to_owned(),
            reason: refusal.reason.clone(),
            at: Timestamp::from(SystemTime::now()),
        });
    }

    /// What the status page shows.
    pub fn status(&self) -> Status {
        self.scene.status(&self.plane)
    }

    /// Stops accepting, lets in-flight calls finish within the grace, stops children.
    pub fn shutdown(mut self, grace: Duration) {
        self.scene.draining();
        self.plane.streams.close();
        self.workers.stop(grace);
        stop_all(
            &self.keeper.keeper(),
            self.standing.upstreams().cloned().collect(),
            Duration::ZERO,
        );
        self.keeper.shutdown();
    }
}

/// Stops upstreams and waits until nothing of them is left, within the ladder of signals.
fn stop_all(keeper: &Keeper, upstreams: Vec<Arc<Upstream>>, grace: Duration) {
    let (done, waiting) = mpsc::channel::<()>();
    for upstream in upstreams {
        let done = done.clone();
        keeper.spawn(async move {
            upstream.stop(grace).await;
            drop(done);
        });
    }
    drop(done);
    // Nothing is ever sent: the channel closes when the last one is done.
    let _all_done = waiting.recv_timeout(grace + LADDER);
}

/// Tells each endpoint's hub of the changes of its upstreams, for as long as the snapshot lives.
fn relay_changes(keeper: &Keeper, snapshot: &Arc<Snapshot>) {
    for served in &snapshot.endpoints {
        for member in &served.members {
            let relay =
                Arc::clone(&served.hub).relay(Arc::clone(&member.upstream), Arc::downgrade(served));
            keeper.spawn(relay);
        }
    }
}
