//! A gateway without sockets or threads, on the caller's runtime: for tests on pipes and virtual time.
//!
//! Owns nothing of its own: the same engine, connections and pipeline as [`Gateway`](crate::Gateway),
//! with pipes for doors. Compiled only with the feature `rehearsal`, which no binary has.

use std::rc::{Rc, Weak};
use std::sync::Arc;

use mcpc_plan::Plan;
use tokio::io::DuplexStream;
use tokio::time::sleep;

use crate::Reach;
use crate::engine::Engine;
use crate::gateway::{Refusal, Swapped};
use crate::keeper::Keeper;
use crate::listener::SWEEP;
use crate::server::fault::HeadBounds;
use crate::server::{Connections, IDLE_SECONDS, serve_connection};
use crate::session::SessionKeys;
use crate::status::Status;

/// How much a pipe holds before its writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// A gateway for tests. Lives on a current-thread runtime within a `LocalSet`.
pub struct Rehearsal {
    engine: Engine,
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
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let (plane, connections) = (Arc::clone(&self.engine.plane), Rc::clone(&self.connections));
        let bounds = HeadBounds::of(&plane.live.load().limits);
        let plane = Rc::new(plane);
        tokio::task::spawn_local(async move {
            serve_connection(server, &plane, bounds, &connections).await;
        });
        client
    }

    /// Makes another plan live.
    ///
    /// # Errors
    /// As [`Gateway::swap`](crate::Gateway::swap).
    pub fn swap(&mut self, plan: Plan) -> Result<Swapped, Refusal> {
        self.engine.swap(plan)
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
