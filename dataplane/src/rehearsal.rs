//! A gateway without sockets or threads, on the caller's runtime: for tests on pipes and virtual time.
//!
//! Owns nothing of its own: the same engine, connections and pipeline as [`Gateway`](crate::Gateway),
//! with pipes for doors. Compiled only with the feature `rehearsal`, which no binary has.

use std::rc::{Rc, Weak};
use std::sync::Arc;

use mcpc_plan::{Digest, Plan};
use tokio::io::DuplexStream;
use tokio::time::sleep;

use crate::Reach;
use crate::engine::Engine;
use crate::figures::{self, Figures};
use crate::keeper::Keeper;
use crate::listener::SWEEP;
use crate::pipeline::Plane;
use crate::refusal::{Refusal, Swapped};
use crate::resolved_plan::ResolvedPlan;
use crate::server::fault::HeadBounds;
use crate::server::{Connections, IDLE_SECONDS, serve_connection};
use crate::session::SessionKeys;
use crate::status::{Kept, Status, Taken};
use crate::timestamp::Timestamp;

/// How much a pipe holds before its writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// A gateway for tests. Lives on a current-thread runtime within a `LocalSet`.
pub struct Rehearsal {
    engine: Engine,
    connections: Rc<Connections>,
}

/// The way in of a rehearsal.
#[derive(Clone)]
pub struct Entrance {
    plane: Arc<Plane>,
    connections: Rc<Connections>,
}

impl Rehearsal {
    /// Makes a plan live.
    ///
    /// # Errors
    /// As [`Gateway::start`](crate::Gateway::start), but for addresses and threads.
    pub fn start(plan: Plan, reach: Arc<dyn Reach>) -> Result<Self, Refusal> {
        let connections = Rc::new(Connections::new());
        tokio::task::spawn_local(keep_sweeping(Rc::downgrade(&connections)));
        let engine = Engine::start(
            plan,
            "rehearsal".to_owned(),
            reach,
            Keeper::here(),
            &SessionKeys::random()?,
        )?;
        Ok(Self {
            engine,
            connections,
        })
    }

    /// Opens a client connection; speaks HTTP/1.1.
    pub fn connect(&self) -> DuplexStream {
        self.entrance().connect()
    }

    /// Where clients connect, for those that outlive this borrow.
    pub fn entrance(&self) -> Entrance {
        Entrance {
            plane: Arc::clone(&self.engine.plane),
            connections: Rc::clone(&self.connections),
        }
    }

    /// As [`Gateway::resolve`](crate::Gateway::resolve).
    pub fn resolve(&self, plan: Plan) -> ResolvedPlan {
        self.engine.resolve(plan)
    }

    /// Makes another plan live.
    ///
    /// # Errors
    /// As [`Gateway::swap`](crate::Gateway::swap).
    pub fn swap(&mut self, plan: ResolvedPlan) -> Result<Swapped, Refusal> {
        self.engine.swap(plan)
    }

    /// As [`Gateway::try_again`](crate::Gateway::try_again).
    pub fn try_again(&self) -> Vec<Box<str>> {
        self.engine.try_again()
    }

    /// As [`Gateway::figures`](crate::Gateway::figures).
    pub fn figures(&self) -> Figures {
        figures::gather(&self.engine.plane)
    }

    /// As [`Gateway::note_refused`](crate::Gateway::note_refused).
    pub fn note_refused(&self, digest: Option<Digest>, refusal: &Refusal) {
        self.engine.note_refused(digest, refusal);
    }

    /// As [`Gateway::note_set_aside`](crate::Gateway::note_set_aside).
    pub fn note_set_aside(&self, taken: Taken, digest: Option<Digest>, refusal: &Refusal) {
        self.engine.scene.taken(taken);
        self.engine.note_refused(digest, refusal);
    }

    /// As [`Gateway::note_probation`](crate::Gateway::note_probation).
    pub fn note_probation(&self, until: Option<Timestamp>) {
        self.engine.scene.on_probation(until);
    }

    /// As [`Gateway::note_kept`](crate::Gateway::note_kept).
    pub fn note_kept(&self, kept: Option<Kept>) {
        self.engine.scene.kept(kept);
    }

    /// What the status page would show.
    pub fn status(&self) -> Status {
        self.engine.scene.status(&self.engine.plane)
    }

    /// Ends notification streams, as a shutdown does first.
    pub fn drain(&self) {
        self.engine.drain();
    }
}

impl Entrance {
    /// Opens a client connection; speaks HTTP/1.1.
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let (plane, connections) = (Arc::clone(&self.plane), Rc::clone(&self.connections));
        let bounds = HeadBounds::of(&plane.live.load().limits);
        let plane = Rc::new(plane);
        tokio::task::spawn_local(async move {
            serve_connection(server, &plane, bounds, &connections).await;
        });
        client
    }
}

/// What a worker thread does for its connections.
async fn keep_sweeping(connections: Weak<Connections>) {
    loop {
        sleep(SWEEP).await;
        let Some(connections) = connections.upgrade() else {
            return;
        };
        connections.sweep(IDLE_SECONDS);
    }
}
