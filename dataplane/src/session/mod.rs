//! Legacy sessions: what a token cannot carry because it changes.
//!
//! Owns the bounded registry of live sessions (log level, last use, end) and of their calls in
//! flight, so that `notifications/cancelled` finds its call from any thread. A token that this
//! process did not issue but whose seal opens gets fresh state: sessions survive a restart or a
//! change of replica. What time it is comes from the caller, so that tests run on virtual time.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod keys;
mod token;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcpc_plan::Limits;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::call::Flight;
use crate::changes::Changes;
use crate::level::Level;
use crate::subscriptions::Subscriptions;
pub(crate) use keys::KeyRing;
pub use keys::SessionKeys;
use token::Sealed;
pub(crate) use token::{Asks, Grant, NoRandomness, Revision, Seal};

/// The rank of no level: above all that there are.
const LEVEL_UNSET: u8 = u8::MAX;

/// All legacy sessions of the gateway, shared by its threads.
pub(crate) struct Sessions {
    seal: Seal,
    /// Marks the sessions that this process issued: of these, an unknown one has ended.
    instance: u64,
    clock: Clock,
    bounds: Bounds,
    count: AtomicU32,
    swept_ms: AtomicU64,
    live: papaya::HashMap<u128, Arc<Live>>,
    calls: papaya::HashMap<CallKey, Arc<Flight>>,
}

/// A session that was found.
pub(crate) struct Session {
    /// What its token says.
    pub(crate) grant: Grant,
    /// Its state.
    pub(crate) live: Arc<Live>,
}

/// The state of one session.
pub(crate) struct Live {
    number: u128,
    issued_s: u64,
    used_ms: AtomicU64,
    /// Calls and streams under way; a session with any is not idle.
    holds: AtomicU32,
    level: AtomicU8,
    /// Most sessions have none.
    subscriptions: OnceLock<Arc<Subscriptions>>,
    /// What servers that it has to itself say of their lists. Most sessions have none.
    changes: OnceLock<watch::Sender<Changes>>,
    /// What is kept for this client in case that it comes back, in bytes.
    kept_bytes: AtomicUsize,
    ended: AtomicBool,
    end: Notify,
}

/// A call or stream under way, which keeps its session from expiring.
pub(crate) struct Hold {
    live: Arc<Live>,
    sessions: Arc<Sessions>,
}

/// A call in flight, found by its request id until this is dropped.
pub(crate) struct InFlight {
    hold: Hold,
    key: CallKey,
    flight: Arc<Flight>,
}

/// The same for one whose client has gone.
struct Left {
    hold: Hold,
    key: CallKey,
    flight: Weak<Flight>,
}

/// Why no session began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotBegun {
    /// There are as many as the plan allows.
    Full,
    /// The system gave no randomness.
    NoRandomness,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct CallKey {
    session: u128,
    id: RequestId,
}

/// A request id as raw JSON. Nearly all fit the short form, which needs no allocation.
#[derive(Clone, PartialEq, Eq, Hash)]
enum RequestId {
    Short([u8; 22], u8),
    Long(Box<[u8]>),
}

/// Expired sessions are looked for this often.
const SWEEP: Duration = Duration::from_secs(10);

/// Sweeps for as long as the registry lives.
pub(crate) async fn keep_swept(sessions: Weak<Sessions>) {
    loop {
        sleep(SWEEP).await;
        let Some(sessions) = sessions.upgrade() else {
            return;
        };
        sessions.sweep(Instant::now());
    }
}

/// Two clocks that were read at the same moment: time passes on one, and the other says when.
pub(crate) struct Clock {
    start: Instant,
    start_unix_s: u64,
}

struct Bounds {
    sessions: AtomicU32,
    idle_ms: AtomicU64,
}

impl Sessions {
    /// An empty registry. `now` and `wall` are the same moment on two clocks.
    pub(crate) fn new(
        seal: Seal,
        limits: &Limits,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Arc<Self>, NoRandomness> {
        Ok(Arc::new(Self {
            seal,
            instance: random_u64()?,
            clock: Clock::new(now, wall),
            bounds: Bounds {
                sessions: AtomicU32::new(limits.sessions),
                idle_ms: AtomicU64::new(limits.session_idle_ms),
            },
            count: AtomicU32::new(0),
            swept_ms: AtomicU64::new(0),
            live: papaya::HashMap::new(),
            calls: papaya::HashMap::new(),
        }))
    }

    /// Takes the bounds of a new plan. Sessions beyond a lower bound live on; no new ones begin.
    pub(crate) fn adopt(&self, limits: &Limits) {
        let bounds = &self.bounds;
        bounds.sessions.store(limits.sessions, Ordering::Relaxed);
        bounds
            .idle_ms
            .store(limits.session_idle_ms, Ordering::Relaxed);
    }

    /// Begins a session on an endpoint. Gives its id for `Mcp-Session-Id`.
    pub(crate) fn begin(
        &self,
        grant: Grant,
        endpoint: &str,
        now: Instant,
    ) -> Result<(String, Session), NotBegun> {
        if !self.reserve() {
            // What is due to expire makes room; at most once a second, so that a flood of
            // refused clients does not make every one of them pay for a sweep.
            let now_ms = self.clock.ms(now);
            if now_ms < self.swept_ms.load(Ordering::Relaxed) + 1000 {
                return Err(NotBegun::Full);
            }
            self.sweep(now);
            if !self.reserve() {
                return Err(NotBegun::Full);
            }
        }
        self.issue(grant, endpoint, now).map_err(|NoRandomness| {
            self.release();
            NotBegun::NoRandomness
        })
    }

    /// Finds the session of a token. Unknown, ended, expired, altered, another endpoint, another
    /// principal: one and the same answer, nothing.
    pub(crate) fn find(
        &self,
        token: &[u8],
        endpoint: &str,
        principal: [u8; 16],
        now: Instant,
    ) -> Option<Session> {
        let sealed = self.seal.open(token, endpoint)?;
        if sealed.grant.principal != principal {
            return None;
        }
        let known = self.live.pin().get(&sealed.number).cloned();
        let live = match known {
            Some(live) => live,
            None => self.take_over(&sealed, now)?,
        };
        let now_ms = self.clock.ms(now);
        if live.ended.load(Ordering::Acquire) || self.is_expired(&live, now_ms) {
            return None;
        }
        live.used_ms.fetch_max(now_ms, Ordering::Relaxed);
        Some(Session {
            grant: sealed.grant,
            live,
        })
    }

    /// The session with this number, unless it has ended.
    pub(crate) fn alive(&self, number: u128) -> Option<Arc<Live>> {
        let live = self.live.pin().get(&number).cloned();
        live.filter(|live| !live.ended.load(Ordering::Acquire))
    }

    /// Ends a session (`DELETE`): its calls are cancelled, its streams end, its id is unknown.
    pub(crate) fn end(&self, live: &Live) {
        if live.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        live.tell_end();
        if live.holds.load(Ordering::Acquire) > 0 {
            for (key, flight) in &self.calls.pin() {
                if key.session == live.number {
                    flight.cancel();
                }
            }
        }
        // A session of another process must be remembered as ended, or its token would be taken
        // over again; `sweep` forgets it once the token is too old for that.
        if self.is_own(live.number) {
            self.forget(live.number);
        }
    }

    /// Forgets expired sessions. One timer for all of them: see [`keep_swept`].
    pub(crate) fn sweep(&self, now: Instant) {
        let now_ms = self.clock.ms(now);
        self.swept_ms.store(now_ms, Ordering::Relaxed);
        let map = self.live.pin();
        let expired = |live: &Live| {
            if live.ended.load(Ordering::Acquire) {
                return !self.is_young(live.issued_s, now);
            }
            self.is_expired(live, now_ms)
        };
        for (number, live) in &map {
            if expired(live) && matches!(map.remove_if(number, |_, it| expired(it)), Ok(Some(_))) {
                live.ended.store(true, Ordering::Release);
                live.tell_end();
                self.release();
            }
        }
    }

    /// What tells this process from others that have its keys.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// How many sessions have state.
    pub(crate) fn count(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }

    /// Registers a call under the client's request id (raw JSON). Nothing if that id is in flight.
    pub(crate) fn start(self: &Arc<Self>, live: &Arc<Live>, id: &[u8]) -> Option<InFlight> {
        let key = CallKey::new(live.number, id);
        let flight = Arc::new(Flight::default());
        let calls = self.calls.pin();
        if let Err(taken) = calls.try_insert(key.clone(), Arc::clone(&flight)) {
            // Who asks again has given up what was left.
            if !taken.current.is_left() {
                return None;
            }
            calls.insert(key.clone(), Arc::clone(&flight));
        }
        let hold = self.hold(live);
        if live.ended.load(Ordering::Acquire) {
            // `end` may have looked for calls before this one was there.
            flight.cancel();
        }
        Some(InFlight { hold, key, flight })
    }

    /// Cancels the call with this request id, if it is in flight.
    pub(crate) fn cancel(&self, live: &Live, id: &[u8]) -> bool {
        let calls = self.calls.pin();
        let found = calls.get(&CallKey::new(live.number, id));
        found.inspect(|flight| flight.cancel()).is_some()
    }

    /// A call is not to be found any more. Another one may have its id by now.
    fn forget_call(&self, key: &CallKey, flight: *const Flight) {
        let is_it = |_: &CallKey, it: &Arc<Flight>| std::ptr::eq(Arc::as_ptr(it), flight);
        let _was_there = self.calls.pin().remove_if(key, is_it);
    }

    /// Keeps a session from expiring, for a stream that is open.
    pub(crate) fn hold(self: &Arc<Self>, live: &Arc<Live>) -> Hold {
        live.holds.fetch_add(1, Ordering::AcqRel);
        Hold {
            live: Arc::clone(live),
            sessions: Arc::clone(self),
        }
    }

    fn issue(
        &self,
        grant: Grant,
        endpoint: &str,
        now: Instant,
    ) -> Result<(String, Session), NoRandomness> {
        let sealed = Sealed {
            grant,
            number: u128::from(self.instance) << 64 | u128::from(random_u64()?),
            issued_s: self.clock.unix_s(now),
        };
        let token = self.seal.seal(&sealed, endpoint)?;
        let live = Arc::new(Live::new(
            sealed.number,
            sealed.issued_s,
            self.clock.ms(now),
        ));
        let number_is_new = self
            .live
            .pin()
            .try_insert(sealed.number, Arc::clone(&live))
            .is_ok();
        // Two equal numbers of 64 random bits: as likely as no randomness at all.
        if !number_is_new {
            return Err(NoRandomness);
        }
        Ok((token, Session { grant, live }))
    }

    /// Gives fresh state to a session that another process issued.
    fn take_over(&self, sealed: &Sealed, now: Instant) -> Option<Arc<Live>> {
        if self.is_own(sealed.number) || !self.is_young(sealed.issued_s, now) || !self.reserve() {
            return None;
        }
        let fresh = Arc::new(Live::new(
            sealed.number,
            sealed.issued_s,
            self.clock.ms(now),
        ));
        let map = self.live.pin();
        match map.try_insert(sealed.number, Arc::clone(&fresh)) {
            Ok(_) => Some(fresh),
            Err(other_thread) => {
                self.release();
                Some(Arc::clone(other_thread.current))
            }
        }
    }

    fn is_own(&self, number: u128) -> bool {
        number >> 64 == u128::from(self.instance)
    }

    /// Whether a token is young enough to be taken over.
    fn is_young(&self, issued_s: u64, now: Instant) -> bool {
        let age_s = self.clock.unix_s(now).saturating_sub(issued_s);
        let idle_ms = self.bounds.idle_ms.load(Ordering::Relaxed);
        age_s.saturating_mul(1000) <= idle_ms.saturating_mul(2)
    }

    fn is_expired(&self, live: &Live, now_ms: u64) -> bool {
        let idle_ms = now_ms.saturating_sub(live.used_ms.load(Ordering::Relaxed));
        live.holds.load(Ordering::Acquire) == 0
            && idle_ms > self.bounds.idle_ms.load(Ordering::Relaxed)
    }

    fn reserve(&self) -> bool {
        let most = self.bounds.sessions.load(Ordering::Relaxed);
        self.count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < most).then_some(count + 1)
            })
            .is_ok()
    }

    fn release(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    fn forget(&self, number: u128) {
        if self.live.pin().remove(&number).is_some() {
            self.release();
        }
    }
}

impl Live {
    fn new(number: u128, issued_s: u64, now_ms: u64) -> Self {
        Self {
            number,
            issued_s,
            used_ms: AtomicU64::new(now_ms),
            holds: AtomicU32::new(0),
            level: AtomicU8::new(LEVEL_UNSET),
            subscriptions: OnceLock::new(),
            changes: OnceLock::new(),
            kept_bytes: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            end: Notify::new(),
        }
    }

    /// What tells it from all other sessions.
    pub(crate) fn number(&self) -> u128 {
        self.number
    }

    /// From which level on the client wants log messages; nothing until it has said so.
    pub(crate) fn level(&self) -> Option<Level> {
        Level::from_rank(self.level.load(Ordering::Relaxed))
    }

    /// What its client has subscribed to. They do not survive a restart of the gateway.
    pub(crate) fn subscriptions(&self) -> &Arc<Subscriptions> {
        let subscriptions = self.subscriptions.get_or_init(Arc::default);
        if self.ended.load(Ordering::Acquire) {
            // `tell_end` may have looked for them before they were there.
            subscriptions.end();
        }
        subscriptions
    }

    /// The changes of the lists of servers that the session has to itself.
    pub(crate) fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.get_or_init(watch::Sender::default).subscribe()
    }

    /// The lists of a server that the session has to itself have changed between these counts. Who
    /// comes to listen later lists anyway.
    pub(crate) fn note_changes(&self, last: Changes, now: Changes) {
        if let Some(changes) = self.changes.get() {
            changes.send_modify(|changes| {
                changes.tools += u64::from(last.tools != now.tools);
                changes.prompts += u64::from(last.prompts != now.prompts);
                changes.resources += u64::from(last.resources != now.resources);
            });
        }
    }

    fn tell_end(&self) {
        self.end.notify_waiters();
        if let Some(subscriptions) = self.subscriptions.get() {
            subscriptions.end();
        }
    }

    /// How many bytes are kept for this client in case that it comes back.
    pub(crate) fn kept_bytes(&self) -> &AtomicUsize {
        &self.kept_bytes
    }

    /// Resolves when the session has ended or expired.
    pub(crate) async fn ended(&self) {
        let end = self.end.notified();
        tokio::pin!(end);
        // Registered before the flag is read: an end between the two is not missed.
        end.as_mut().enable();
        if !self.ended.load(Ordering::Acquire) {
            end.await;
        }
    }

    /// Takes the level of `logging/setLevel`.
    pub(crate) fn set_level(&self, level: Level) {
        self.level.store(level.rank(), Ordering::Relaxed);
    }
}

impl Hold {
    /// Resolves when the session has ended or expired.
    pub(crate) async fn ended(&self) {
        self.live.ended().await;
    }
}

impl InFlight {
    /// Its session.
    pub(crate) fn live(&self) -> &Live {
        &self.hold.live
    }

    /// The call: cancelled by its client, or because its session ended.
    pub(crate) fn flight(&self) -> &Arc<Flight> {
        &self.flight
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let (sessions, flight) = (&self.hold.sessions, &self.flight);
        if !flight.is_left() {
            return sessions.forget_call(&self.key, Arc::as_ptr(flight));
        }
        flight.keep(Box::new(Left {
            hold: sessions.hold(&self.hold.live),
            key: self.key.clone(),
            flight: Arc::downgrade(flight),
        }));
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let sessions = &self.hold.sessions;
        sessions.forget_call(&self.key, self.flight.as_ptr());
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The end of a long call is a use: the idle time begins now, not when the call began.
        let now_ms = self.sessions.clock.ms(Instant::now());
        self.live.used_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.live.holds.fetch_sub(1, Ordering::AcqRel);
    }
}

impl CallKey {
    fn new(session: u128, id: &[u8]) -> Self {
        let mut short = [0; 22];
        let id = match (short.get_mut(..id.len()), u8::try_from(id.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(id);
                RequestId::Short(short, len)
            }
            _ => RequestId::Long(id.into()),
        };
        Self { session, id }
    }
}

impl Clock {
    /// `now` and `wall` are the same moment.
    pub(crate) fn new(now: Instant, wall: SystemTime) -> Self {
        let since_1970 = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            start: now,
            start_unix_s: since_1970.as_secs(),
        }
    }

    fn ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Seconds since 1970.
    pub(crate) fn unix_s(&self, now: Instant) -> u64 {
        let since: Duration = now.saturating_duration_since(self.start);
        self.start_unix_s.saturating_add(since.as_secs())
    }
}

/// A number that nobody can guess.
pub(crate) fn random_u64() -> Result<u64, NoRandomness> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
impl Live {
    /// A session that is in no registry.
    pub(crate) fn numbered(number: u128) -> Self {
        Self::new(number, 0, 0)
    }
}

#[cfg(test)]
mod tests;
