//! The running gateway: an engine with doors and threads.
//!
//! Owns the order of start and shutdown. Does not compile, watch files or handle signals: `mcpc run`
//! and `mcpcd` do, and hand plans in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcpc_plan::{Digest, Plan};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::Reach;
use crate::admin::{AdminThread, Desk};
use crate::container;
use crate::descriptors;
use crate::engine::Engine;
use crate::figures::{self, Figures};
use crate::keeper::KeeperThread;
use crate::listener::{self, FAREWELL, QUIET};
use crate::metrics;
use crate::order::{Order, Orders};
use crate::pressure;
use crate::refusal::{Refusal, Swapped};
use crate::resolved_plan::ResolvedPlan;
use crate::session::SessionKeys;
use crate::status::{Kept, Status, Taken};
use crate::stdio::{Stdio, StdioThread};
use crate::timestamp::Timestamp;
use crate::upstream::End;
use crate::workers::Workers;

/// How the gateway runs, beyond what the plan says.
pub struct Options {
    /// The outside: sockets, processes, variables.
    pub reach: Arc<dyn Reach>,
    /// Worker threads; 0 means one per core.
    pub workers: usize,
    /// Where plans come from, for status: `mcpc.yaml`.
    pub source: String,
    /// The listener of the plan for clients.
    pub clients: Door,
    /// The listener of the plan for operators.
    pub operators: Door,
    /// A client that needs no listener.
    pub stdio: Option<Stdio>,
    /// What seals session ids and request states. Without them there is a key that ends with the process.
    pub session_keys: Option<SessionKeys>,
}

/// Whether a listener of the plan is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// It is.
    Open,
    /// It is not: nothing on this machine or another can connect.
    Shut,
}

/// The most of a grace that is for what has to end after the calls: the ladder of the children, and
/// one second more.
const LAST_PART: Duration = Duration::from_secs(7);

/// A running gateway. Dropping it without [`Gateway::shutdown`] stops at once.
pub struct Gateway {
    // Dropped in this order: first no more requests, then no more upstreams.
    stdio: Option<StdioThread>,
    workers: Option<Workers>,
    engine: Engine,
    keeper: KeeperThread,
    // Last, so that probes are answered while everything else ends.
    admin: Option<AdminThread>,
    orders: Option<mpsc::Receiver<Order>>,
}

/// What clients and operators come in by.
struct Doors {
    admin: Option<AdminThread>,
    workers: Option<Workers>,
    stdio: Option<StdioThread>,
    orders: Option<mpsc::Receiver<Order>>,
}

impl Gateway {
    /// Binds the listeners, starts the threads and makes the plan live.
    ///
    /// # Errors
    /// A missing secret, an address that cannot be bound, a thread that cannot be started.
    pub fn start(plan: Plan, mut options: Options) -> Result<Self, Refusal> {
        let keys = options.session_keys.take();
        let keys = keys.map_or_else(SessionKeys::random, Ok)?;
        let keeper =
            KeeperThread::start().map_err(|error| Refusal::system("start a thread", &error))?;
        let reach = Arc::clone(&options.reach);
        let source = options.source.clone();
        let (address, admin_address) = (plan.listener.address, plan.admin.address);
        let mut engine = Engine::start(plan, source, reach, keeper.keeper(), &keys)?;
        let doors = match Doors::open(options, address, admin_address, &engine) {
            Ok(doors) => doors,
            Err(refusal) => {
                engine.stop();
                return Err(refusal);
            }
        };
        descriptors::settle();
        engine.plane.pressure.bound_memory(container::memory());
        keeper
            .keeper()
            .spawn(pressure::watch(Arc::downgrade(&engine.plane)));
        engine.serving(
            doors.workers.as_ref().map(Workers::address),
            doors.admin.as_ref().map(AdminThread::address),
        );
        Ok(Self {
            stdio: doors.stdio,
            workers: doors.workers,
            engine,
            keeper,
            admin: doors.admin,
            orders: doors.orders,
        })
    }

    /// Where clients connect, if they can.
    pub fn address(&self) -> Option<SocketAddr> {
        self.workers.as_ref().map(Workers::address)
    }

    /// Where operators connect, if they can.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(AdminThread::address)
    }

    /// What resolves when the client on two streams has left and has its answers. For one waiter;
    /// nothing if there is no such client.
    pub fn client_left(&mut self) -> Option<oneshot::Receiver<()>> {
        self.stdio.as_mut().and_then(StdioThread::left)
    }

    /// Where the orders of operators arrive. For one taker, once; nothing if no operator can connect.
    pub fn orders(&mut self) -> Option<mpsc::Receiver<Order>> {
        self.orders.take()
    }

    /// Looks up the secrets of a plan, for [`swap`](Self::swap). May wait, as [`ResolvedPlan::of`] says.
    pub fn resolve(&self, plan: Plan) -> ResolvedPlan {
        self.engine.resolve(plan)
    }

    /// Makes a plan live, or leaves everything as it is and remembers why (see [`Status`]).
    ///
    /// # Errors
    /// As [`Gateway::start`]; also a listener that differs, which needs a restart.
    pub fn swap(&mut self, plan: ResolvedPlan) -> Result<Swapped, Refusal> {
        self.engine.swap(plan)
    }

    /// Tries those servers at once that are down or rest before their next attempt, and gives their names.
    pub fn try_again(&self) -> Vec<Box<str>> {
        self.engine.try_again()
    }

    /// Remembers that a new configuration was refused, for status, health and readiness detail.
    pub fn note_refused(&self, digest: Option<Digest>, refusal: &Refusal) {
        self.engine.note_refused(digest, refusal);
    }

    /// The live plan is not what its source holds: it came to be live in this way, and the source's
    /// was set aside.
    pub fn note_set_aside(&self, taken: Taken, digest: Option<Digest>, refusal: &Refusal) {
        self.engine.scene.taken(taken);
        self.engine.note_refused(digest, refusal);
    }

    /// Until when the live plan is on probation, or that it is not.
    pub fn note_probation(&self, until: Option<Timestamp>) {
        self.engine.scene.on_probation(until);
    }

    /// What is kept on disk, for status and health.
    pub fn note_kept(&self, kept: Option<Kept>) {
        self.engine.scene.kept(kept);
    }

    /// How the gateway does at this moment.
    pub fn figures(&self) -> Figures {
        figures::gather(&self.engine.plane)
    }

    /// How much memory the gateway may hold before it gives things up, in bytes: by its plan, or by the container
    /// that it runs in.
    pub fn memory_limit(&self) -> Option<u64> {
        let limits = &self.engine.plane.live.load().limits;
        self.engine.plane.pressure.memory_limit(limits)
    }

    /// What the status page shows.
    pub fn status(&self) -> Status {
        self.engine.scene.status(&self.engine.plane)
    }

    /// Nobody shall be sent here any more: the stop is near. Who comes is served as before.
    pub fn leave(&self) {
        let _is_new = self.engine.scene.leaving();
    }

    /// Stops accepting, lets in-flight calls finish, stops children. All of it fits into the grace:
    /// upstreams without calls end first, and the others get the last part of it.
    pub fn shutdown(mut self, grace: Duration) {
        let began = Instant::now();
        let last = LAST_PART.min(grace / 4);
        let calls = grace.saturating_sub(last);
        // What is left after the children is for the threads to end.
        let all = began + grace.saturating_sub(last / 7);
        self.engine.drain();
        // Clients hear first that their calls are cut off, then servers, and then connections are closed.
        let farewell = FAREWELL.min(calls / 4);
        let end = End {
            calls: began + calls - farewell / 2,
            all,
        };
        self.engine.release(QUIET.min(calls), end);
        if let Some(workers) = &self.workers {
            workers.begin_stop(calls);
        }
        if let Some(stdio) = &mut self.stdio {
            stdio.stop(calls);
        }
        if let Some(workers) = &mut self.workers {
            workers.join();
        }
        self.engine.see_out(end.calls);
        self.engine.stop_by(all);
        self.keeper.shutdown();
    }
}

impl Doors {
    /// Operators first, so that probes can see the start; then clients.
    fn open(
        options: Options,
        address: SocketAddr,
        admin_address: SocketAddr,
        engine: &Engine,
    ) -> Result<Self, Refusal> {
        let (admin, orders) = match options.operators {
            Door::Open => {
                let (orders, taking) = Orders::open();
                (
                    Some(open_admin(admin_address, engine, orders)?),
                    Some(taking),
                )
            }
            Door::Shut => (None, None),
        };
        let workers = match options.clients {
            Door::Open => Some(Workers::start(address, options.workers, &engine.plane)?),
            Door::Shut => None,
        };
        let stdio = options
            .stdio
            .map(|stdio| StdioThread::start(stdio, &engine.plane))
            .transpose()?;
        Ok(Self {
            admin,
            workers,
            stdio,
            orders,
        })
    }
}

/// The admin listener, before there is anything to serve: probes can see the start.
fn open_admin(
    address: SocketAddr,
    engine: &Engine,
    orders: Orders,
) -> Result<AdminThread, Refusal> {
    let (plane, scene) = (Arc::clone(&engine.plane), Arc::clone(&engine.scene));
    let numbers = Arc::clone(&plane.numbers);
    let leaving = Arc::clone(&scene);
    let (measured, of) = (Arc::clone(&scene), Arc::clone(&plane));
    let metrics = Arc::new(move |form| metrics::page(&measured, &of, form));
    let status = Arc::new(move || scene.status(&plane));
    let leave = Arc::new(move || {
        if leaving.leaving() {
            tracing::info!("an operator sends clients elsewhere: not ready any more");
        }
    });
    let desk = Desk::new(status, leave, orders, numbers).with_metrics(metrics);
    AdminThread::start(address, desk).map_err(|error| {
        let door = format!("{address} for operators");
        listener::unbound(&door, "`--admin` or `admin.address`", &error)
    })
}
