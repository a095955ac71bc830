//! What runs behind the doors: the live plan, what is alive behind it, and the swap of plans.
//!
//! Owns prepare, commit and drain (the life of a plan) without threads or sockets of its own, so
//! that tests drive it on pipes and virtual time. `gateway` gives it doors and threads.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, SystemTime};

use mcpc_plan::{Digest, Limits, Plan};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use crate::Reach;
use crate::ask::state::StateSeal;
use crate::keeper::Keeper;
use crate::list;
use crate::pipeline::Plane;
use crate::prepare::{Prepared, Standing};
use crate::refusal::{Refusal, Swapped};
use crate::replay::Replays;
use crate::resolved_plan::ResolvedPlan;
use crate::session::{Seal, SessionKeys, Sessions, keep_swept};
use crate::snapshot::Snapshot;
use crate::status::Refused;
use crate::survey::Scene;
use crate::swap_news;
use crate::timestamp::Timestamp;
use crate::upstream::{End, LADDER, Leaves, Premises};

/// The live plan and what is alive behind it.
pub(crate) struct Engine {
    pub(crate) plane: Arc<Plane>,
    pub(crate) scene: Arc<Scene>,
    standing: Standing,
    premises: Arc<Premises>,
    reach: Arc<dyn Reach>,
    keeper: Keeper,
    /// Ends the relays of the live plan, and what looks for changes that came with it, when it is replaced.
    /// Without it each swap would leave some behind that wait for a change of an upstream that has none.
    relays: watch::Sender<()>,
    /// The snapshots before the live one that requests still hold.
    in_use: Vec<watch::Receiver<()>>,
    listens: Listens,
}

/// Whether the addresses of the plan are listened on: only what is bound cannot change.
struct Listens {
    for_clients: bool,
    for_operators: bool,
}

impl Engine {
    /// Makes the first plan live. Upstreams start; no door is open yet.
    pub(crate) fn start(
        plan: Plan,
        source: String,
        reach: Arc<dyn Reach>,
        keeper: Keeper,
        keys: &SessionKeys,
    ) -> Result<Self, Refusal> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let sessions = Sessions::new(Seal::new(keys), &plan.limits, now, wall)?;
        let states = StateSeal::new(keys, now, wall);
        let premises = Premises::new(&sessions, &plan.limits);
        reach.give_up_after(unacknowledged(&plan.limits));
        keeper.let_start(plan.limits.starts);
        let plan = ResolvedPlan::of(plan, reach.as_ref());
        let Prepared {
            snapshot, standing, ..
        } = Standing::default().prepare(plan, None, &keeper, &reach, &premises)?;
        keeper.spawn(keep_swept(Arc::downgrade(&sessions)));
        let plane = Arc::new(Plane::new(
            Arc::clone(&snapshot),
            sessions,
            states,
            Replays::new()?,
        ));
        let scene = Arc::new(Scene::new(source, &snapshot));
        let relays = relay_changes(&keeper, &snapshot);
        snapshot.take_effect();
        Ok(Self {
            plane,
            scene,
            standing,
            premises,
            reach,
            keeper,
            relays,
            in_use: Vec::new(),
            listens: Listens {
                for_clients: true,
                for_operators: true,
            },
        })
    }

    /// Looks up the secrets of a plan.
    pub(crate) fn resolve(&self, plan: Plan) -> ResolvedPlan {
        ResolvedPlan::of(plan, self.reach.as_ref())
    }

    /// Makes a plan live, or leaves everything as it is and remembers why.
    pub(crate) fn swap(&mut self, next: ResolvedPlan) -> Result<Swapped, Refusal> {
        let digest = next.plan.digest.clone();
        let swapped = self.try_swap(next);
        if let Err(refusal) = &swapped {
            self.note_refused(Some(digest), refusal);
        }
        swapped
    }

    fn try_swap(&mut self, next: ResolvedPlan) -> Result<Swapped, Refusal> {
        let live = self.plane.live.load_full();
        let plan = &next.plan;
        let listens = &self.listens;
        let addresses = [
            (
                listens.for_clients,
                "listen",
                live.listener.address,
                plan.listener.address,
            ),
            (
                listens.for_operators,
                "admin",
                live.admin.address,
                plan.admin.address,
            ),
        ];
        let mut differing = addresses.iter();
        let differing = differing.find(|(is_open, _, live, new)| *is_open && live != new);
        if let Some((_, which, live, new)) = differing {
            let reason =
                format!("the {which} address is {live}, and {new} in its place needs a restart");
            return Err(Refusal::new("MCPC9606", reason));
        }
        let is_live = plan.digest == live.digest;
        let prepared =
            self.standing
                .prepare(next, Some(&live), &self.keeper, &self.reach, &self.premises)?;
        // The same plan can still mean something new: other values of its secrets.
        if is_live && prepared.started == 0 {
            self.scene.settled();
            return Ok(Swapped::Unchanged);
        }
        Ok(self.commit(prepared, &live))
    }

    /// Makes a prepared plan live. Cannot fail.
    fn commit(&mut self, prepared: Prepared, before: &Snapshot) -> Swapped {
        let Prepared {
            snapshot,
            standing,
            kept,
            started,
        } = prepared;
        standing.take_over(&self.standing);
        self.plane.live.store(Arc::clone(&snapshot));
        snapshot.take_effect();
        self.plane.sessions.adopt(&snapshot.limits);
        let limits = &snapshot.limits;
        self.reach.give_up_after(unacknowledged(limits));
        self.premises.room.resize(limits.private_upstreams);
        self.keeper.let_start(limits.starts);
        self.scene.committed(&snapshot);
        self.relays = relay_changes(&self.keeper, &snapshot);
        for served in &snapshot.endpoints {
            served.hubs.all.replaced();
            let old = before.endpoint(&served.endpoint.path);
            swap_news::tell(&self.keeper, served, old.map(Arc::as_ref), &self.relays);
        }
        let leaving = self.standing.without(&standing);
        let stopped = leaving.len();
        let grace = Duration::from_millis(snapshot.limits.grace_ms);
        self.in_use.push(before.in_use.0.subscribe());
        self.in_use.retain(|in_use| in_use.has_changed().is_ok());
        let end = End::within(grace);
        let leaving_privates = self.standing.privates_without(&standing);
        let shared = leaving.iter().cloned().map(|it| it as Arc<dyn Leaves>);
        let privates = leaving_privates.iter().cloned();
        let privates = privates.map(|it| it as Arc<dyn Leaves>);
        self.scene.left(shared.chain(privates), end);
        for upstream in leaving {
            let in_use = self.in_use.clone();
            self.keeper.spawn(async move {
                // It may have no calls and get one yet: from a request that is still being read.
                let _out_of_grace = timeout_at(end.calls, all_end(in_use)).await;
                upstream.end(end).await;
            });
        }
        for private in leaving_privates {
            let in_use = self.in_use.clone();
            self.keeper.spawn(async move {
                let _out_of_grace = timeout_at(end.calls, all_end(in_use)).await;
                private.end(end).await;
            });
        }
        self.standing = standing;
        Swapped::Live {
            kept,
            started,
            stopped,
        }
    }

    /// Tries those servers at once that are down or rest before their next attempt, and gives their names.
    pub(crate) fn try_again(&self) -> Vec<Box<str>> {
        let live = self.plane.live.load_full();
        let servers = live.servers.iter();
        let servers = servers.map(|(name, replicas)| (name, replicas.everybody()));
        // Two names may share what is behind them: it is looked at for both before either is tried.
        let resting: Vec<_> = servers
            .filter(|(_, upstreams)| upstreams.iter().any(|upstream| upstream.rests()))
            .collect();
        for upstream in resting.iter().flat_map(|(_, upstreams)| upstreams) {
            upstream.rouse();
        }
        resting.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Remembers that a new configuration was refused.
    pub(crate) fn note_refused(&self, digest: Option<Digest>, refusal: &Refusal) {
        self.scene.refused(Refused {
            digest,
            code: refusal.code.to_owned(),
            reason: refusal.reason.clone(),
            at: Timestamp::from(SystemTime::now()),
        });
    }

    /// The doors are open; the listeners, if there are any, at these addresses.
    pub(crate) fn serving(&mut self, clients: Option<SocketAddr>, operators: Option<SocketAddr>) {
        self.listens = Listens {
            for_clients: clients.is_some(),
            for_operators: operators.is_some(),
        };
        self.scene.serving(clients);
    }

    /// Ends what would not end by itself: notification streams.
    pub(crate) fn drain(&self) {
        self.scene.draining();
        self.plane.streams.close();
    }

    /// Lets each upstream end as soon as it has no calls. `quiet` is for those that are on their way.
    pub(crate) fn release(&self, quiet: Duration, end: End) {
        for upstream in self.standing.upstreams() {
            let upstream = Arc::clone(upstream);
            self.keeper.spawn(async move {
                sleep(quiet).await;
                upstream.end(end).await;
            });
        }
        for private in self.standing.privates() {
            let private = Arc::clone(private);
            self.keeper.spawn(async move {
                sleep(quiet).await;
                private.end(end).await;
            });
        }
    }

    /// Lets calls end that go on without their callers, until then. Not for the keeper's own thread.
    pub(crate) fn see_out(&self, until: Instant) {
        let (done, waiting) = mpsc::sync_channel::<()>(1);
        let keeper = self.keeper.clone();
        self.keeper.spawn(async move {
            let _out_of_grace = timeout_at(until, keeper.all_seen_out()).await;
            drop(done);
        });
        // Nothing is ever sent: the channel closes when the last one has ended.
        let _all_ended = waiting.recv_timeout(until.saturating_duration_since(Instant::now()));
    }

    /// Stops all upstreams at once.
    pub(crate) fn stop(self) {
        self.stop_by(Instant::now() + LADDER);
    }

    /// Stops all upstreams and waits, but no longer than until then. Not for the keeper's own thread.
    pub(crate) fn stop_by(self, all: Instant) {
        let (done, waiting) = mpsc::sync_channel::<()>(1);
        let calls = Instant::now();
        for upstream in self.standing.upstreams() {
            let upstream = Arc::clone(upstream);
            let done = done.clone();
            self.keeper.spawn(async move {
                upstream.end(End { calls, all }).await;
                drop(done);
            });
        }
        for private in self.standing.privates() {
            let private = Arc::clone(private);
            let done = done.clone();
            self.keeper.spawn(async move {
                private.end(End { calls, all }).await;
                drop(done);
            });
        }
        drop(done);
        // Nothing is ever sent: the channel closes when the last one is done.
        let done = waiting.recv_timeout(all.saturating_duration_since(calls));
        if done == Err(RecvTimeoutError::Timeout) {
            let upstreams = self.standing.upstreams().filter(|it| !it.is_gone());
            let privates = self.standing.privates().filter(|it| !it.is_gone());
            let servers = upstreams.count() + privates.count();
            tracing::warn!(
                servers,
                "not all servers have ended in time, and what is left of them may go on"
            );
        }
    }
}

fn unacknowledged(limits: &Limits) -> Duration {
    Duration::from_millis(limits.unacknowledged_ms)
}

/// Waits until none of these is in use.
async fn all_end(in_use: Vec<watch::Receiver<()>>) {
    for mut one in in_use {
        while one.changed().await.is_ok() {}
    }
}

/// Tells each endpoint's hubs of the changes of its upstreams, until what it returns is dropped.
fn relay_changes(keeper: &Keeper, snapshot: &Snapshot) -> watch::Sender<()> {
    let live = watch::Sender::new(());
    for served in &snapshot.endpoints {
        for (index, member) in served.members.iter().enumerate() {
            for upstream in member.replicas.upstreams() {
                let (of_member, said_by) = (Arc::clone(served), Arc::clone(upstream));
                let is_news = move |kind, is_heard| {
                    let (served, upstream) = (Arc::clone(&of_member), Arc::clone(&said_by));
                    async move {
                        match served.members.get(index) {
                            Some(member) => {
                                list::is_news(&served, member, &upstream, kind, is_heard).await
                            }
                            None => false,
                        }
                    }
                };
                let hubs = served.hubs.clone();
                let hub = if member.replicas.is_private() {
                    hubs.private
                } else {
                    hubs.all
                };
                let changes = upstream.changes();
                keeper.spawn(hub.relay(changes, live.subscribe(), is_news));
            }
        }
    }
    live
}
