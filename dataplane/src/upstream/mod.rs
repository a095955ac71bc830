//! Upstreams: what sends a call to an MCP server and brings back what it answers.
//!
//! ```text
//! Replicas::send ─► turns ─► one of several upstreams: an ordinary server has one
//!                └► private ─► the one that the session has to itself
//! Upstream::send ─► presence (one load) ─► http ─► wire ─► head, body   a POST per call
//!                                       │          └► pool, lease      its connection
//!                                       └► stdio ─► child's stdin    one process for all calls
//!                                                └► http_sse         or one stream of 2024-11-05
//! keep (keeper thread) ─► handshake | child ─► presence; intake ─► changes; subscribe ─► watches; probe
//! ```
//!
//! Owns the life of an upstream across plans, its id space, and what is repeated after a lost
//! session. Does not decide who may call (`policy`) or how a failure is told (`reply`).

mod body;
mod breaker;
mod changes;
mod checks;
mod child;
mod durations;
mod ends;
mod events;
#[cfg(test)]
mod fake;
mod farewell;
mod floor;
mod forecast;
mod former;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod hang;
mod head;
mod health;
mod http;
mod http_sse;
#[cfg(test)]
mod http_sse_tests;
mod intake;
mod keep;
mod label;
mod late;
mod lease;
mod leavers;
pub(crate) mod lines;
mod listening;
mod masks;
pub(crate) mod page;
mod pool;
mod presence;
mod private;
#[cfg(test)]
mod private_tests;
mod probe;
#[cfg(all(test, target_os = "linux"))]
mod process_tests;
mod question;
mod quota;
mod replicas;
#[cfg(test)]
mod replicas_tests;
mod resolved;
mod restarts;
mod retries;
#[cfg(test)]
mod retries_tests;
mod revision;
#[cfg(test)]
mod session_tests;
mod sse;
mod stderr;
mod stdio;
#[cfg(test)]
mod stdio_tests;
mod stream;
mod subscribe;
mod telling;
#[cfg(test)]
mod tests;
mod tour;
mod tries;
mod turns;
mod watches;
mod whose;
mod wire;
#[cfg(test)]
mod wire_tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mcpc_plan::{Limits, Rules, Transport};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::Reach;
use crate::call::{Answer, Call, Era, Event, Leave};
use crate::changes::Changes;
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::policy::Permit;
use crate::profile::Profile;

use breaker::Breaker;
use checks::Checks;
use child::Program;
use farewell::Farewell;
use floor::{Floor, Place, may_ask_on};
use health::{Health, InFlight};
use http::{HttpSession, Outcome};
use label::Label;
use late::Late;
use masks::Masks;
use presence::Presence;
use quota::Quota;
use retries::{Retries, is_safe};
use stdio::Link;
use wire::Site;

pub(crate) use breaker::{Position, Reading};
pub(crate) use checks::Checked;
pub(crate) use child::LADDER;
pub(crate) use durations::BOUNDS_SECONDS;
pub(crate) use ends::{How, PastEnd};
pub(crate) use health::State;
pub(crate) use keep::End;
pub(crate) use late::Wish;
pub(crate) use leavers::{Leavers, Leaves};
pub(crate) use private::{Counts, Premises, Private};
pub(crate) use question::{Question, Unaskable};
pub(crate) use replicas::{Replica, Replicas, Sent};
pub(crate) use resolved::{Resolved, Unusable};
pub(crate) use stream::EventStream;
use stream::Opening;
pub(crate) use watches::{Inbox, Unwatchable, Watch, Watches};

/// Numbers upstreams.
static LIVES: AtomicU64 = AtomicU64::new(0);

/// One upstream, alive across plans as long as its content key is in use. It must be told to
/// [`Upstream::stop`]; being dropped is not enough, because the keeper holds it as well.
pub(crate) struct Upstream {
    name: Label,
    clients: Clients,
    bounds: Bounds,
    carrier: Carrier,
    /// What it was started with.
    resolved: Resolved,
    masks: Masks,
    presence: Presence,
    ids: AtomicU64,
    changes: watch::Sender<Changes>,
    watches: Arc<Watches>,
    floor: Arc<Floor>,
    health: Health,
    breaker: Breaker,
    checks: Checks,
    retries: Retries,
    late: Late,
    /// When the end comes, once the upstream has left the plan.
    stopping: watch::Sender<Option<End>>,
    life: u64,
    /// Whether it is there for somebody: a spare is not before a session has it.
    wanted: watch::Sender<bool>,
    /// Whether a later plan than the one that started it is live.
    is_taken_over: AtomicBool,
    keeper: Keeper,
}

/// Whose calls an upstream gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clients {
    /// Those of all that come.
    All,
    /// Those of one session.
    One,
}

/// The bounds that an upstream keeps by itself.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    reply_bytes: usize,
    nesting: u32,
}

/// How the upstream is reached.
enum Carrier {
    Http(Arc<Site>),
    Stdio(Box<Program>),
}

/// What the calls between two losses share.
struct Session {
    profile: Arc<Profile>,
    line: Line,
}

enum Line {
    Http(HttpSession),
    Stdio(Arc<Link>),
}

impl Session {
    fn is_http(&self) -> bool {
        matches!(self.line, Line::Http(_))
    }

    /// Whether the upstream takes a closed connection for a cancellation (2026-07-28 §Cancellation).
    fn is_told_by_closing(&self) -> bool {
        self.is_http() && self.profile.era == Era::Modern
    }
}

impl Upstream {
    /// Begins an upstream's life. Nothing is waited for: the keeper starts or connects it.
    pub(crate) fn start(
        definition: &mcpc_plan::Upstream,
        resolved: Resolved,
        keeper: &Keeper,
        reach: &Arc<dyn Reach>,
        limits: &Limits,
    ) -> Result<Arc<Self>, Unusable> {
        Self::start_beside(None, definition, resolved, keeper, reach, limits)
    }

    /// The same, for one session, beside the one that all others share. That one may have been found to speak an era,
    /// and how this one ends is told of both.
    fn start_beside(
        shared: Option<&Arc<Self>>,
        definition: &mcpc_plan::Upstream,
        resolved: Resolved,
        keeper: &Keeper,
        reach: &Arc<dyn Reach>,
        limits: &Limits,
    ) -> Result<Arc<Self>, Unusable> {
        let kept = resolved.clone();
        let era = shared.and_then(|shared| shared.era());
        let name = shared.map(|shared| shared.name.clone());
        let name = name.unwrap_or_else(|| Label::new(&definition.name));
        let ends = shared.map(|shared| Arc::clone(&shared.health.ends));
        let carrier = match &definition.transport {
            Transport::Http(http) => {
                let site = Site::new(http, &resolved.headers, Arc::clone(reach));
                Carrier::Http(Arc::new(site.ok_or(Unusable::BadValue {
                    field: "url".into(),
                })?))
            }
            Transport::Stdio(stdio) => Carrier::Stdio(Box::new(Program {
                definition: stdio.clone(),
                env: resolved.env,
                reach: Arc::clone(reach),
            })),
            Transport::Replicated(_) => return Err(Unusable::severally()),
        };
        let upstream = Arc::new(Self {
            name,
            clients: shared.map_or(Clients::All, |_| Clients::One),
            bounds: Bounds {
                reply_bytes: usize::try_from(limits.reply_bytes).unwrap_or(usize::MAX),
                nesting: limits.nesting,
            },
            carrier,
            masks: Masks::of(&kept.secrets),
            resolved: kept,
            presence: Presence::new(),
            ids: AtomicU64::new(handshake::HANDSHAKE_ID + 1),
            changes: watch::Sender::new(Changes::default()),
            watches: Arc::new(Watches::new()),
            floor: Floor::new(),
            health: Health::new(ends.unwrap_or_default()),
            breaker: Breaker::new(),
            checks: Checks::new(),
            retries: Retries::new(),
            late: Late::new(),
            stopping: watch::Sender::new(None),
            life: LIVES.fetch_add(1, Ordering::Relaxed),
            wanted: watch::Sender::new(shared.is_none()),
            is_taken_over: AtomicBool::new(false),
            keeper: keeper.clone(),
        });
        keeper.spawn(keep::keep(Arc::clone(&upstream), definition.clone(), era));
        Ok(upstream)
    }

    /// A session has it from now on.
    fn want(&self) {
        self.wanted.send_replace(true);
    }

    /// Waits until it is there for somebody.
    async fn wanted(&self) {
        let mut wanted = self.wanted.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _wanted = wanted.wait_for(|is_wanted| *is_wanted).await;
    }

    /// Whether it was started with these values of its secrets.
    pub(crate) fn was_started_with(&self, resolved: &Resolved) -> bool {
        self.resolved.is_same(resolved)
    }

    /// Sends a call and waits for the first event. The permit is the proof that policy saw the call.
    ///
    /// The call is boxed once: it goes through several futures, and each would move it twice.
    pub(crate) async fn send(
        self: &Arc<Self>,
        call: impl Into<Box<Call>>,
        permit: Permit,
    ) -> Result<Answer, Failure> {
        let sent = self.send_telling(call.into(), permit).await;
        sent.map(|(answer, _)| answer)
    }

    /// The same, and which era the answer is of. Whoever asks the upstream itself afterwards hears what it
    /// is by then, which may be nothing, since calls outlive the session of an upstream that is stopped.
    async fn send_telling(
        self: &Arc<Self>,
        call: Box<Call>,
        permit: Permit,
    ) -> Result<(Answer, Era), Failure> {
        let flight = InFlight::begin(self);
        let session = self.session(call.deadline, flight.began()).await?;
        self.send_over(session, call, flight, permit).await
    }

    /// Sends a request of which nobody wants to know what comes of it. It has a deadline of its own.
    pub(crate) fn send_and_forget(self: &Arc<Self>, call: Box<Call>, permit: Permit) {
        let upstream = Arc::clone(self);
        self.keeper.errand(async move {
            if let Ok(Answer::Stream(mut events)) = upstream.send(call, permit).await {
                while let Ok(event) = events.next().await {
                    if matches!(event, Event::Done(_)) {
                        return;
                    }
                }
            }
        });
    }

    /// The session for a call that began then. To wait for one in vain is a failure like others.
    async fn session(&self, deadline: Instant, began: Instant) -> Result<Arc<Session>, Failure> {
        let session = self.presence.session(deadline).await;
        session.inspect_err(|failure| {
            self.health.note_failed_call();
            self.note_at_breaker(*failure, began);
        })
    }

    /// Sends a call over a session that it has, or had a moment ago.
    async fn send_over(
        self: &Arc<Self>,
        session: Arc<Session>,
        call: Box<Call>,
        flight: InFlight,
        _permit: Permit,
    ) -> Result<(Answer, Era), Failure> {
        if session.is_told_by_closing() && !matches!(call.leave, Leave::Cancels) {
            return Box::pin(self.send_detached(call, session, flight)).await;
        }
        self.try_send(call, session, flight).await
    }

    /// To a modern upstream over HTTP a closed connection is a cancellation, which a legacy client's
    /// departure is not: the call has to outlive its caller, unless the caller said otherwise.
    async fn send_detached(
        self: &Arc<Self>,
        call: Box<Call>,
        session: Arc<Session>,
        flight: InFlight,
    ) -> Result<(Answer, Era), Failure> {
        struct Detached(tokio::task::AbortHandle, Leave);
        impl Drop for Detached {
            fn drop(&mut self) {
                if self.1.cancels() {
                    self.0.abort();
                }
            }
        }
        let upstream = Arc::clone(self);
        let leave = call.leave.clone();
        let task = tokio::spawn(async move { upstream.try_send(call, session, flight).await });
        let _detached = Detached(task.abort_handle(), leave);
        task.await.unwrap_or(Err(Failure::Stopped))
    }

    async fn try_send(
        self: &Arc<Self>,
        call: Box<Call>,
        mut session: Arc<Session>,
        flight: InFlight,
    ) -> Result<(Answer, Era), Failure> {
        let mut has_repeated = false;
        loop {
            let is_safe = !has_repeated && is_safe(&call.method);
            let era = session.profile.era;
            let tried = self.try_once(&call, &session).await;
            match tried.map_err(|failure| self.presence.told(failure)) {
                Ok(Tried::Done(reply)) => {
                    self.health.note_success(&flight);
                    return Ok((Answer::Done(reply), era));
                }
                Ok(Tried::Stream(mut stream)) => {
                    stream.attach(flight);
                    let answer = Box::pin(stream.into_answer()).await?;
                    return Ok((answer, era));
                }
                Ok(Tried::Suspect(reply)) if !is_safe => {
                    self.lose(&session);
                    return Ok((Answer::Done(reply), era));
                }
                // A process that is gone was not sent it, so it can wait for any number of others.
                Ok(Tried::Lost) if has_repeated && session.is_http() => {
                    self.note_failure(Failure::SessionLost, &flight);
                    return Err(Failure::SessionLost);
                }
                Ok(Tried::Lost | Tried::Suspect(_)) => {
                    self.lose(&session);
                    session =
                        Box::pin(self.presence.session_after(&session, call.deadline)).await?;
                }
                // It can die under a request that was written. Only what changes nothing is sent again.
                Err(Failure::Closed) if is_safe && session.is_http() && !call.is_sent_once => {}
                Err(failure) => {
                    self.note_failure(failure, &flight);
                    return Err(failure);
                }
            }
            has_repeated = true;
        }
    }

    async fn try_once(
        self: &Arc<Self>,
        call: &Call,
        session: &Arc<Session>,
    ) -> Result<Tried, Failure> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let farewell = || Farewell::new(self, session, id, call.leave.clone());
        let place = self.place(call, session, id).await;
        match &session.line {
            Line::Http(_) if let Some(place) = place => {
                let farewell = farewell();
                Box::pin(self.try_heard(call, session, id, farewell, place)).await
            }
            Line::Http(http) => {
                // Whoever is told by closing needs nothing that speaks for the call until it streams.
                let mut early = (!session.is_told_by_closing()).then(farewell);
                let outcome = http.call(call, session.profile.era, id, &self.bounds).await;
                match (&mut early, &outcome) {
                    (Some(farewell), Err(failure)) => farewell.on_failure(*failure),
                    (None, _) | (_, Ok(Outcome::Events(_))) => {}
                    (Some(farewell), Ok(_)) => farewell.disarm(),
                }
                Ok(match outcome? {
                    Outcome::Done(reply) => Tried::Done(self.masks.reply(reply)),
                    Outcome::Unknown => Tried::Lost,
                    Outcome::Suspect(reply) => Tried::Suspect(self.masks.reply(reply)),
                    Outcome::Events(events) => {
                        let farewell = early.unwrap_or_else(farewell);
                        let stream = EventStream::over_http(events, farewell, call.deadline);
                        Tried::Stream(Box::new(stream))
                    }
                })
            }
            Line::Stdio(link) => {
                let mut farewell = farewell();
                match Box::pin(link.call(call, session.profile.era, id)).await {
                    Ok(events) => {
                        let stream = EventStream::over_stdio(events, farewell, call.deadline);
                        Ok(Tried::Stream(Box::new(stream.seated(place))))
                    }
                    Err(failure) => {
                        farewell.disarm();
                        match failure {
                            Failure::SessionLost => Ok(Tried::Lost),
                            failure => Err(failure),
                        }
                    }
                }
            }
        }
    }

    /// A place for a call that may be asked for without being named.
    async fn place(&self, call: &Call, session: &Session, id: u64) -> Option<Place> {
        let is_heard = !session.is_http() || self.floor.is_heard();
        if session.profile.era == Era::Modern || !is_heard || !may_ask_on(&call.method) {
            return None;
        }
        Some(self.floor.enter(id, call.party).await)
    }

    /// A call to a server that may ask on its general stream, even before the response begins.
    async fn try_heard(
        self: &Arc<Self>,
        call: &Call,
        session: &Arc<Session>,
        id: u64,
        mut farewell: Farewell,
        mut place: Place,
    ) -> Result<Tried, Failure> {
        let first_by = Instant::now() + Duration::from_millis(call.timeouts.first_byte_ms);
        let mut opening = self.opening(call, session, id);
        let outcome = tokio::select! {
            biased;
            outcome = &mut opening => outcome,
            question = place.asked() => {
                let stream = EventStream::before_head(opening, question, farewell, call.deadline, place);
                return Ok(Tried::Stream(Box::new(stream)));
            }
            () = sleep_until(first_by) => Err(Failure::FirstByteTimeout),
        };
        let tried = match outcome {
            Ok(Outcome::Events(events)) => {
                let stream = EventStream::over_http(events, farewell, call.deadline);
                return Ok(Tried::Stream(Box::new(stream.seated(Some(place)))));
            }
            Ok(Outcome::Done(reply)) => Tried::Done(self.masks.reply(reply)),
            Ok(Outcome::Unknown) => Tried::Lost,
            Ok(Outcome::Suspect(reply)) => Tried::Suspect(self.masks.reply(reply)),
            Err(failure) => {
                farewell.on_failure(failure);
                return Err(failure);
            }
        };
        farewell.disarm();
        place.end();
        Ok(tried)
    }

    /// A call on its way, which is not held to its first byte: its client may be asked before.
    fn opening(self: &Arc<Self>, call: &Call, session: &Arc<Session>, id: u64) -> Opening {
        let (upstream, session, mut call) = (Arc::clone(self), Arc::clone(session), call.clone());
        call.timeouts.first_byte_ms = call.timeouts.total_ms;
        Box::pin(async move {
            match &session.line {
                Line::Http(http) => {
                    let era = session.profile.era;
                    http.call(&call, era, id, &upstream.bounds).await
                }
                Line::Stdio(_) => Err(Failure::SessionLost),
            }
        })
    }

    /// Takes a session out of use; the keeper opens the next one.
    fn lose(&self, session: &Arc<Session>) {
        // A process is lost when it ends, which the keeper notices by itself.
        if session.is_http() {
            self.presence.withdraw(session);
        }
    }

    /// Whether a call could be sent at once.
    pub(crate) fn is_ready(&self) -> bool {
        self.presence.is_ready()
    }

    /// Whether it answers when asked, as far as it is.
    fn is_well(&self) -> bool {
        !self.checks.is_unhealthy()
    }

    /// What the upstream says about itself, once it is reached.
    pub(crate) async fn profile(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Arc<Profile>, Failure> {
        // Whoever waits here has a call or a list to follow, which an upstream that is stopped still takes.
        let _flight = InFlight::begin(self);
        let session = self.presence.session(deadline).await?;
        Ok(Arc::clone(&session.profile))
    }

    /// Whether it is known not to run calls as tasks of 2025-11-25: one load.
    pub(crate) fn runs_no_tasks(&self) -> bool {
        self.presence.runs_no_tasks()
    }

    /// The counters of list changes; a receiver sees every increase.
    pub(crate) fn changes(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// Which of its resources are watched.
    pub(crate) fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    /// The era that the upstream was found to speak; nothing while it is not reached.
    pub(crate) fn era(&self) -> Option<Era> {
        self.presence.era()
    }

    /// Tells this upstream from all others of this process.
    pub(crate) fn life(&self) -> u64 {
        self.life
    }

    /// The live plan says when it gets no calls any more, and when it is asked whether it is there.
    fn obey(&self, rules: &Rules, quota: Option<&Arc<Quota>>) {
        self.breaker.obey(rules.breaker.as_ref(), quota);
        self.checks.obey(rules.health.as_ref());
    }
}

/// What one attempt came to.
enum Tried {
    Done(crate::call::Reply),
    Stream(Box<EventStream>),
    /// The session is gone and the call was not executed.
    Lost,
    /// The session may be gone.
    Suspect(crate::call::Reply),
}
