//! The upstreams that sessions of one server have to themselves (`sharing: session`).
//!
//! Owns which session has which, the spares that are kept ready, the room that there is for both, and
//! their end: with the session, after a time without a call, or when the server leaves the plan. Does not
//! start, connect or send: each is an [`Upstream`] with a keeper of its own. Clients without a session
//! have the one that all share; `replicas` tells who has which. See
//! `docs/decisions/0037-a-server-for-each-session.md`.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mcpc_plan::{Limits, Rules, StartWhen, Transport};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::forecast::Forecast;
use super::{End, Leaves, Sent, Upstream};
use crate::Reach;
use crate::call::Call;
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::policy::Permit;
use crate::session::{Live, Sessions};

/// How long a call may go on that came when its process was about to end for want of any.
const LATECOMER: Duration = Duration::from_secs(2);

/// When spares are looked after again if there was no room, or if the server cannot be reached.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// What the private upstreams of all servers have in common.
pub(crate) struct Premises {
    pub(crate) sessions: Arc<Sessions>,
    /// For all of them together.
    pub(crate) room: Arc<Room>,
}

/// How many there may be, and how many there are.
pub(crate) struct Room {
    most: AtomicU32,
    taken: AtomicU32,
}

/// See the file's header. It lives across plans as long as the upstream does that all others share, and
/// must be told to [`Private::end`].
pub(crate) struct Private {
    definition: mcpc_plan::Upstream,
    limits: Limits,
    reach: Arc<dyn Reach>,
    keeper: Keeper,
    shared: Arc<Upstream>,
    /// Whether nothing is to be started before somebody needs it.
    is_lazy: bool,
    premises: Arc<Premises>,
    /// By the number of the session.
    owned: papaya::HashMap<u128, Arc<Owned>>,
    /// By the number of the upstream.
    spares: papaya::HashMap<u64, Arc<Upstream>>,
    room: Room,
    rule: watch::Sender<Rule>,
    /// A spare was taken, or there is room again.
    refill: Notify,
    /// How many sessions have begun to use one since spares were last looked after.
    newly_begun: AtomicUsize,
    ending: watch::Sender<Option<End>>,
    /// Those of which something is left.
    alive: watch::Sender<usize>,
}

/// What the live plan says.
#[derive(Clone, Default, PartialEq, Eq)]
struct Rule {
    idle: Option<Duration>,
    /// How many are kept ready at least and at most.
    spares: (usize, usize),
    rules: Rules,
}

/// What one session has.
#[derive(Default)]
struct Owned {
    begun: OnceLock<Result<Arc<Upstream>, Failure>>,
}

/// What operators see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that sessions have, and those that are on their way out.
    pub(crate) in_use: u32,
    /// Those that are ready for sessions to come.
    pub(crate) spares: u32,
    pub(crate) at_most: u32,
}

impl Premises {
    /// Nothing is there yet.
    pub(crate) fn new(sessions: &Arc<Sessions>, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            sessions: Arc::clone(sessions),
            room: Arc::new(Room::new(limits.private_upstreams)),
        })
    }
}

impl Room {
    fn new(most: u32) -> Self {
        Self {
            most: AtomicU32::new(most),
            taken: AtomicU32::new(0),
        }
    }

    /// From now on there may be so many. Those that are there may stay.
    pub(crate) fn resize(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let taken = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| {
                (taken < most).then_some(taken + 1)
            });
        taken.is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Leaves for Private {
    fn name(&self) -> String {
        self.shared.name.to_string()
    }

    fn in_flight(&self) -> u64 {
        Self::in_flight(self)
    }

    fn is_ending(&self) -> bool {
        self.ending.borrow().is_some()
    }

    fn is_gone(&self) -> bool {
        *self.alive.borrow() == 0
    }
}

impl Private {
    /// None is there yet. `shared` is what clients without a session have: it was made of the same
    /// definition, with the same secrets.
    pub(crate) fn new(
        mut definition: mcpc_plan::Upstream,
        rule: &mcpc_plan::Private,
        shared: &Arc<Upstream>,
        premises: &Arc<Premises>,
        reach: &Arc<dyn Reach>,
        limits: &Limits,
    ) -> Arc<Self> {
        let mut is_lazy = false;
        let mut start_time = Duration::ZERO;
        // A session's own begins when it is needed, and spares shall be ready.
        if let Transport::Stdio(stdio) = &mut definition.transport {
            is_lazy = stdio.start.when == StartWhen::Lazy;
            start_time = Duration::from_millis(stdio.start.timeout_ms);
            stdio.start.when = StartWhen::Eager;
        }
        let private = Arc::new(Self {
            definition,
            limits: limits.clone(),
            reach: Arc::clone(reach),
            keeper: shared.keeper.clone(),
            shared: Arc::clone(shared),
            is_lazy,
            premises: Arc::clone(premises),
            owned: papaya::HashMap::new(),
            spares: papaya::HashMap::new(),
            room: Room::new(rule.at_most),
            // Nothing is kept ready for a plan that may never be live.
            rule: watch::Sender::new(Rule::default()),
            refill: Notify::new(),
            newly_begun: AtomicUsize::new(0),
            ending: watch::Sender::new(None),
            alive: watch::Sender::new(0),
        });
        let forecast = Forecast::new(start_time);
        shared
            .keeper
            .spawn(Arc::clone(&private).keep_spares(forecast));
        private
    }

    /// Whether it stands beside this upstream.
    pub(crate) fn is_beside(&self, shared: &Arc<Upstream>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// The live plan says how many there may be, and how they end.
    pub(crate) fn obey(&self, rule: &mcpc_plan::Private, rules: &Rules) {
        self.room.resize(rule.at_most);
        let count = |spares| usize::try_from(spares).unwrap_or(usize::MAX);
        let spares_most = rule.spares_at_most.unwrap_or_default().max(rule.spares);
        let rule = Rule {
            idle: rule.idle_ms.map(Duration::from_millis),
            spares: (count(rule.spares), count(spares_most)),
            rules: rules.clone(),
        };
        self.rule.send_if_modified(|before| {
            let is_another = *before != rule;
            *before = rule;
            is_another
        });
        let owned = self.owned.pin();
        for upstream in owned.values().filter_map(|owned| owned.upstream()) {
            upstream.obey(rules, None);
        }
    }

    /// Sends a call of a session to the upstream that it has to itself.
    pub(super) async fn send(
        self: &Arc<Self>,
        session: u128,
        call: Box<Call>,
        permit: Permit,
    ) -> Result<Sent, Failure> {
        let upstream = self.of(session)?;
        let answer = upstream.send_telling(call, permit).await?;
        Ok(Sent::by(answer, 0))
    }

    /// The upstream of a session. It begins with the first call that needs it.
    pub(super) fn of(self: &Arc<Self>, session: u128) -> Result<Arc<Upstream>, Failure> {
        let owned = {
            let all = self.owned.pin();
            Arc::clone(all.get_or_insert_with(session, Arc::default))
        };
        let begun = owned.begun.get_or_init(|| self.begin(session, &owned));
        begun
            .clone()
            .inspect(|upstream| upstream.health.note_use())
            .inspect_err(|_| self.forget(session, &owned))
    }

    /// The upstream of a session, if it has one.
    pub(super) fn of_now(&self, session: u128) -> Option<Arc<Upstream>> {
        let all = self.owned.pin();
        all.get(&session)?.upstream().cloned()
    }

    pub(crate) fn counts(&self) -> Counts {
        let all = self.spares.pin();
        let ready = all.values().filter(|spare| spare.is_ready()).count();
        let taken = self.room.taken.load(Ordering::Relaxed);
        let spares = u32::try_from(all.len()).unwrap_or(u32::MAX);
        Counts {
            in_use: taken.saturating_sub(spares),
            spares: u32::try_from(ready).unwrap_or(u32::MAX),
            at_most: self.room.most.load(Ordering::Relaxed),
        }
    }

    /// Ends all of them, as soon as they have no calls or by these moments. Returns when nothing is left.
    pub(crate) async fn end(&self, end: End) {
        self.ending.send_if_modified(|ending| {
            let is_sooner = ending.is_none_or(|before| end.calls < before.calls);
            if is_sooner {
                *ending = Some(end);
            }
            is_sooner
        });
        let mut alive = self.alive.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _none_left = alive.wait_for(|alive| *alive == 0).await;
    }

    fn begin(
        self: &Arc<Self>,
        session: u128,
        owned: &Arc<Owned>,
    ) -> Result<Arc<Upstream>, Failure> {
        // It may have ended since the call was read.
        let live = self.premises.sessions.alive(session);
        let live = live.ok_or(Failure::Stopped)?;
        let upstream = self.take_or_start()?;
        upstream.want();
        upstream.obey(&self.rule.borrow().rules, None);
        let attending =
            Arc::clone(self).attend(session, Arc::clone(owned), live, Arc::clone(&upstream));
        self.keeper.spawn(attending);
        self.newly_begun.fetch_add(1, Ordering::Relaxed);
        self.refill.notify_one();
        Ok(upstream)
    }

    /// A spare that is ready, one that is about to be, or a new one; one that has failed only if there is
    /// no room for another.
    fn take_or_start(&self) -> Result<Arc<Upstream>, Failure> {
        let is_well = |upstream: &Upstream| upstream.state().last_failure.is_none();
        let spare = self.take_spare(Upstream::is_ready);
        if let Some(spare) = spare.or_else(|| self.take_spare(is_well)) {
            return Ok(spare);
        }
        let started = self.start();
        started.or_else(|failure| self.take_spare(|_| true).ok_or(failure))
    }

    fn take_spare(&self, is_fit: impl Fn(&Upstream) -> bool) -> Option<Arc<Upstream>> {
        let spares = self.spares.pin();
        let mut fit = spares.iter().filter(|(_, spare)| is_fit(spare));
        // Who takes it off the list has it.
        fit.find_map(|(number, _)| spares.remove(number).cloned())
    }

    fn start(&self) -> Result<Arc<Upstream>, Failure> {
        if self.ending.borrow().is_some() {
            return Err(Failure::Stopped);
        }
        if !self.room.take() {
            return Err(Failure::SessionServersFull);
        }
        if !self.premises.room.take() {
            self.room.give_back();
            return Err(Failure::SessionServersFull);
        }
        let started = Upstream::start_beside(
            Some(&self.shared),
            &self.definition,
            self.shared.resolved.clone(),
            &self.keeper,
            &self.reach,
            &self.limits,
        );
        self.alive.send_modify(|alive| *alive += 1);
        started.map_err(|_unusable| {
            // The shared one was started with the same.
            self.note_end();
            Failure::Unreachable
        })
    }

    /// Nothing is left of one.
    fn note_end(&self) {
        self.room.give_back();
        self.premises.room.give_back();
        self.alive.send_modify(|alive| *alive -= 1);
        self.refill.notify_one();
    }

    fn forget(&self, session: u128, owned: &Arc<Owned>) {
        let all = self.owned.pin();
        let _another = all.remove_if(&session, |_, it| Arc::ptr_eq(it, owned));
    }

    /// Stays with a session's upstream until its end.
    async fn attend(
        self: Arc<Self>,
        session: u128,
        owned: Arc<Owned>,
        live: Arc<Live>,
        upstream: Arc<Upstream>,
    ) {
        let end = tokio::select! {
            // Its calls were cancelled.
            () = live.ended() => End::after(Duration::ZERO),
            () = self.unused(&upstream) => End::after(LATECOMER),
            end = self.ending() => end,
            () = relay(&upstream, &live) => End::after(Duration::ZERO),
        };
        self.forget(session, &owned);
        self.finish(&upstream, end).await;
    }

    /// Ends one and waits until nothing of it is left. If all are to end sooner, so is this one.
    async fn finish(&self, upstream: &Upstream, mut end: End) {
        let mut ending = self.ending.subscribe();
        loop {
            let sooner = *ending.borrow_and_update();
            end = sooner.filter(|it| it.calls < end.calls).unwrap_or(end);
            tokio::select! {
                () = upstream.end(end) => break,
                // The sender lives in `self`, so it cannot be gone.
                _sooner = ending.changed() => {}
            }
        }
        self.note_end();
    }

    /// Waits until all are to end, and gives when.
    async fn ending(&self) -> End {
        let mut ending = self.ending.subscribe();
        let end = ending.wait_for(Option::is_some).await;
        // The sender lives in `self`, so it cannot be gone.
        let end = end.ok().and_then(|end| *end);
        end.unwrap_or_else(|| End::after(Duration::ZERO))
    }

    /// All that there are.
    pub(super) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let (owned, spares) = (self.owned.pin(), self.spares.pin());
        let owned = owned.values().filter_map(|owned| owned.upstream());
        owned.chain(spares.values()).cloned().collect()
    }

    /// How many calls are under way at all of them.
    pub(super) fn in_flight(&self) -> u64 {
        let owned = self.owned.pin();
        let begun = owned.values().filter_map(|owned| owned.begun.get());
        let upstreams = begun.filter_map(|begun| begun.as_ref().ok());
        upstreams.map(|it| it.health.in_flight()).sum()
    }

    /// Waits until nobody has used one for as long as the live plan says. Another plan changes how long that is,
    /// not since when.
    async fn unused(&self, upstream: &Upstream) {
        let mut rule = self.rule.subscribe();
        let mut topics = upstream.watches.topics();
        // A spare was not used while it waited.
        upstream.health.note_use();
        loop {
            upstream.quiet().await;
            topics.mark_unchanged();
            let idle = rule.borrow_and_update().idle;
            let due = idle.map(|idle| upstream.health.last_use() + idle);
            if due.is_some_and(|due| due <= Instant::now()) {
                return;
            }
            tokio::select! {
                () = until(due) => {}
                _another_rule = rule.changed() => {}
                _subscribed = topics.changed() => {}
            }
        }
    }

    /// Keeps as many spares as the live plan says and sessions to come will need, until all are to end.
    async fn keep_spares(self: Arc<Self>, mut forecast: Forecast) {
        let mut rule = self.rule.subscribe();
        if self.is_lazy {
            tokio::select! {
                () = self.refill.notified() => {}
                _end = self.ending() => {}
            }
        }
        loop {
            let (least, most) = rule.borrow_and_update().spares;
            let now = Instant::now();
            forecast.note(self.newly_begun.swap(0, Ordering::Relaxed), now);
            let next = self.settle(forecast.expected(now).clamp(least, most));
            tokio::select! {
                () = next => {}
                () = self.refill.notified() => {}
                () = forecast.lapse() => {}
                _another_rule = rule.changed() => {}
                _end = self.ending() => break,
            }
        }
        self.dismiss(0);
    }

    /// Makes one spare if there are too few, and dismisses those too many. Returns when it is time to look
    /// again.
    async fn settle(self: &Arc<Self>, wanted: usize) {
        self.dismiss(wanted);
        if self.spares.len() >= wanted {
            return std::future::pending().await;
        }
        // A process that was started to find out the era would be thrown away.
        let is_known = self.definition.era != mcpc_plan::Era::Auto || self.shared.era().is_some();
        if !is_known
            && self
                .shared
                .profile(Instant::now() + LOOK_AGAIN)
                .await
                .is_err()
        {
            return sleep(LOOK_AGAIN).await;
        }
        match self.start() {
            Ok(spare) => {
                self.spares.pin().insert(spare.life(), spare);
            }
            Err(_no_room) => sleep(LOOK_AGAIN).await,
        }
    }

    fn dismiss(self: &Arc<Self>, wanted: usize) {
        while self.spares.len() > wanted
            && let Some(spare) = self.take_spare(|_| true)
        {
            let private = Arc::clone(self);
            self.keeper.spawn(async move {
                private.finish(&spare, End::after(Duration::ZERO)).await;
            });
        }
    }
}

impl Owned {
    fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.begun.get()?.as_ref().ok()
    }
}

/// Waits for a moment, if there is one.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Tells a session what its own upstream says of its lists. Ends with the upstream's last word.
async fn relay(upstream: &Upstream, live: &Live) {
    let mut changes = upstream.changes();
    let mut last = *changes.borrow_and_update();
    while changes.changed().await.is_ok() {
        let now = *changes.borrow_and_update();
        live.note_changes(last, now);
        last = now;
    }
}
