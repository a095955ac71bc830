//! The life of one upstream, as the keeper lives it: start, hold, lose, rest, start again.
//!
//! Owns the order of attempts, pauses between them, and the end. Publishes each step through
//! `presence`. Does not send calls: workers do, with the session that is published here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mcpc_plan::StartWhen;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::checks;
use super::child::{self, Child, Program};
use super::ends::{How, Last};
use super::former::Former;
use super::handshake::{HttpHandshake, Verdict};
use super::hang;
use super::http::HttpSession;
use super::http_sse::{SseSession, may_be_spoken};
use super::intake;
use super::late;
use super::presence::Stage;
use super::probe;
use super::restarts::Restarts;
use super::subscribe;
use super::wire::Site;
use super::{Carrier, Line, Session, Upstream};
use crate::call::Era;
use crate::failure::Failure;
use crate::profile::Profile;
use crate::tally::Origin;

/// The pauses between attempts to reach an HTTP server that nobody needs right now. One that lists go on without is tried more
/// often.
const HTTP_PAUSE_FROM: Duration = Duration::from_secs(1);
const HTTP_PAUSE_TO: Duration = Duration::from_secs(30);

/// How long the farewell to a session may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// When an upstream ends. Without calls in flight the end begins at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// How long calls in flight may go on.
    pub(crate) calls: Instant,
    /// When nothing of it may be left.
    pub(crate) all: Instant,
}

/// Keeps an upstream until it is stopped. Another one like it may be known to speak this era.
pub(super) async fn keep(
    upstream: Arc<Upstream>,
    definition: mcpc_plan::Upstream,
    known: Option<Era>,
) {
    upstream.health.note_stage();
    let known = known.map(Verdict::of);
    match &upstream.carrier {
        Carrier::Http(site) => {
            keep_http(&upstream, site, &definition, known).await;
            site.close();
        }
        Carrier::Stdio(program) => {
            let mut former = Former::default();
            keep_stdio(&upstream, program, definition.era, known, &mut former).await;
            // The last but one may be on its way out. Its ladder bounds that as well.
            let _ended = timeout_at(upstream.gone_by(), former.gone()).await;
        }
    }
    upstream.publish(Stage::Stopped);
}

impl End {
    /// Calls may go on for this long.
    pub(crate) fn after(grace: Duration) -> Self {
        let calls = Instant::now() + grace;
        Self {
            calls,
            all: calls + child::LADDER,
        }
    }

    /// All of it fits into the grace: its last part is for what is still busy then.
    pub(crate) fn within(grace: Duration) -> Self {
        let all = Instant::now() + grace;
        let calls = all - child::LADDER.min(grace / 4);
        Self { calls, all }
    }
}

impl Upstream {
    /// Lets in-flight calls finish within the grace, then ends sessions and processes. Returns when
    /// nothing of the upstream is left.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.end(End::after(grace)).await;
    }

    /// The same by these moments.
    pub(crate) async fn end(&self, end: End) {
        self.stopping.send_if_modified(|stopping| {
            let is_sooner = stopping.is_none_or(|before| end.calls < before.calls);
            if is_sooner {
                let all = stopping.map_or(end.all, |before| before.all.min(end.all));
                *stopping = Some(End { all, ..end });
            }
            is_sooner
        });
        self.presence.stopped().await;
    }

    /// Another plan than the one that started it is live now, and has these names for it.
    pub(crate) fn take_over(&self, names: &[Box<str>]) {
        self.is_taken_over.store(true, Ordering::Relaxed);
        self.name.settle(names);
    }

    /// Whether the live plan has started it.
    pub(crate) fn origin(&self) -> Origin {
        if self.is_taken_over.load(Ordering::Relaxed) {
            Origin::TakenOver
        } else {
            Origin::New
        }
    }

    /// Whether its next attempt is waited for: it is down, or could not be reached.
    pub(crate) fn rests(&self) -> bool {
        self.presence.rests()
    }

    /// Makes that attempt now. What its processes did before is forgiven.
    pub(crate) fn rouse(&self) {
        self.presence.rouse();
    }

    pub(super) fn publish(&self, stage: Stage) {
        self.say(&stage);
        let has_session = matches!(stage, Stage::Ready(_));
        if has_session {
            self.health.note_reached();
        }
        self.presence.publish(stage);
        self.health.note_stage();
        if has_session && self.late.note_session() {
            self.note_all_changed();
        }
    }

    /// Says what operators have to know. An upstream over HTTP that is tried in vain is told of once, until it is
    /// reached; how a process has ended is told as it ends.
    fn say(&self, stage: &Stage) {
        let server = &self.name;
        match stage {
            Stage::Ready(session) => {
                let revision = &session.profile.revision;
                self.health.is_missing.store(false, Ordering::Relaxed);
                tracing::info!(%server, %revision, "the server is ready");
            }
            Stage::Resting { failure, .. } => {
                let code = failure.code();
                let is_process = matches!(self.carrier, Carrier::Stdio(_));
                if is_process || self.health.is_missing.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%server, code, ?failure, "the server cannot be used");
                } else {
                    tracing::warn!(%server, code, ?failure, "the server cannot be used, and is tried again until it can");
                }
            }
            Stage::Open { until } => {
                let code = Failure::CircuitOpen(0).code();
                let failure = self.health.last_failure().map(tracing::field::debug);
                let pause = until.saturating_duration_since(Instant::now());
                tracing::warn!(%server, code, failure, ?pause, "calls failed too often, and there are none for now");
            }
            Stage::Degraded { .. } => {
                let code = Failure::Degraded(0).code();
                tracing::error!(%server, code, "the server ended too often and is left alone for now");
            }
            Stage::Waiting | Stage::Starting | Stage::Ending | Stage::Stopping | Stage::Stopped => {
            }
        }
    }

    /// Waits until the upstream has left the plan.
    pub(super) async fn leaving(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _left = stopping.wait_for(Option::is_some).await;
    }

    /// When nothing of the upstream may be left.
    pub(super) fn gone_by(&self) -> Instant {
        let end = *self.stopping.borrow();
        end.map_or_else(|| Instant::now() + child::LADDER, |end| end.all)
    }

    /// Waits until the upstream has left the plan and its calls are done or out of grace.
    pub(super) async fn drained(&self) {
        self.leaving().await;
        let mut stopping = self.stopping.subscribe();
        loop {
            let end = *stopping.borrow_and_update();
            let until = end.map_or_else(Instant::now, |end| end.calls);
            tokio::select! {
                () = self.health.idle() => return,
                () = sleep_until(until) => return,
                // The grace was cut short.
                _changed = stopping.changed() => {}
            }
        }
    }
}

async fn keep_http(
    upstream: &Arc<Upstream>,
    site: &Arc<Site>,
    definition: &mcpc_plan::Upstream,
    mut verdict: Option<Verdict>,
) {
    let handshake = HttpHandshake {
        site,
        era: definition.era,
        timeouts: &definition.timeouts,
        bounds: &upstream.bounds,
    };
    let mut pause = HTTP_PAUSE_FROM;
    let mut has_opened = false;
    loop {
        // Behind an open breaker nobody waits for what comes of it.
        if !upstream.breaker.is_open() {
            upstream.publish(Stage::Starting);
        }
        let opening = async {
            // A closed semaphore would mean that the keeper is gone, and this task with it.
            let _turn = upstream.keeper.handshakes().acquire().await;
            open(upstream, &handshake, &mut verdict).await
        };
        let opened = tokio::select! {
            opened = opening => opened,
            () = upstream.drained() => return,
        };
        let failure = match opened {
            Ok(Opened::Http(http, profile)) => {
                pause = HTTP_PAUSE_FROM;
                let is_first = !std::mem::replace(&mut has_opened, true);
                match hold(upstream, http, profile, is_first).await {
                    Held::Drained => return,
                    Held::Lost => continue,
                }
            }
            Ok(Opened::Sse(sse, profile)) => {
                pause = HTTP_PAUSE_FROM;
                let is_first = !std::mem::replace(&mut has_opened, true);
                match hold_sse(upstream, sse, profile, is_first).await {
                    Held::Drained => return,
                    Held::Lost => Failure::Closed,
                }
            }
            Err(failure) => failure,
        };
        upstream.health.note_failure(failure);
        tokio::select! {
            () = rest(upstream, failure, &mut pause) => {}
            () = upstream.presence.roused() => {
                upstream.breaker.half_open();
                pause = HTTP_PAUSE_FROM;
            }
            () = upstream.drained() => return,
        }
    }
}

/// Waits until the upstream is tried again. Behind an open breaker the next handshake decides: it is the
/// only one who tries, and changes nothing at the upstream.
async fn rest(upstream: &Arc<Upstream>, failure: Failure, pause: &mut Duration) {
    if upstream.breaker.is_open() {
        return probe::rest(upstream).await;
    }
    let longest = if upstream.is_missed() {
        late::REACH_PAUSE_TO
    } else {
        HTTP_PAUSE_TO
    };
    let until = Instant::now() + (*pause).min(longest);
    *pause = (*pause * 2).min(HTTP_PAUSE_TO);
    upstream.publish(Stage::Resting {
        failure,
        until,
        on_demand: true,
    });
    tokio::select! {
        () = sleep_until(until) => {}
        () = upstream.presence.demanded() => {}
        // Calls may fail because they wait in vain.
        () = upstream.breaker.opened() => probe::rest(upstream).await,
    }
}

/// A session over HTTP.
enum Opened {
    Http(HttpSession, Profile),
    Sse(SseSession, Profile),
}

/// Opens a session over Streamable HTTP, or over the transport before it if the server has only that.
async fn open(
    upstream: &Arc<Upstream>,
    handshake: &HttpHandshake<'_>,
    verdict: &mut Option<Verdict>,
) -> Result<Opened, Failure> {
    match handshake.open(verdict).await {
        Ok((session, profile)) => Ok(Opened::Http(session, profile)),
        Err(failure) if handshake.era != mcpc_plan::Era::Modern && may_be_spoken(failure) => {
            let opened = SseSession::open(handshake.site, upstream, handshake.timeouts).await;
            // A server that has neither is known by its answer to the newer one.
            let (session, profile) = opened.map_err(|older| match older {
                Failure::Status(_) => failure,
                other => other,
            })?;
            Ok(Opened::Sse(session, profile))
        }
        Err(failure) => Err(failure),
    }
}

/// Lets calls use a session, and clients know that what it shows may differ from what the last one did.
fn ready(upstream: &Upstream, session: &Arc<Session>, is_first: bool) {
    show(upstream, session);
    if !is_first {
        upstream.note_all_changed();
    }
}

/// Lets calls use a session, unless they have failed too often while it was being opened.
fn show(upstream: &Upstream, session: &Arc<Session>) {
    upstream.breaker.close();
    checks::note_answer(upstream);
    upstream.publish(match upstream.breaker.until() {
        None => Stage::Ready(Arc::clone(session)),
        Some(until) => Stage::Open { until },
    });
}

#[derive(PartialEq, Eq)]
enum Held {
    /// The upstream does not know the session any more.
    Lost,
    /// The upstream left the plan.
    Drained,
}

/// Holds a session until it is lost or no longer needed.
async fn hold(
    upstream: &Arc<Upstream>,
    http: HttpSession,
    profile: Profile,
    is_first: bool,
) -> Held {
    let session = Arc::new(Session {
        profile: Arc::new(profile),
        line: Line::Http(http),
    });
    ready(upstream, &session, is_first);
    let Line::Http(http) = &session.line else {
        return Held::Lost;
    };
    let session = &session;
    let listening = async {
        intake::listen(upstream, session, http).await;
        // It ends only with the session, which is then withdrawn.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = upstream.presence.lost(session) => Held::Lost,
        () = probe::guard(upstream, session) => Held::Lost,
        () = checks::keep(upstream, session) => Held::Lost,
        () = listening => Held::Lost,
        () = subscribe::keep(upstream, session) => Held::Lost,
        () = late::ask(upstream, session) => Held::Lost,
        () = upstream.drained() => {
            upstream.publish(Stage::Stopping);
            http.end(Instant::now() + FAREWELL).await;
            Held::Drained
        }
    }
}

/// Holds a session of the older transport until it is lost or no longer needed.
async fn hold_sse(
    upstream: &Arc<Upstream>,
    mut sse: SseSession,
    profile: Profile,
    is_first: bool,
) -> Held {
    let session = Arc::new(Session {
        profile: Arc::new(profile),
        line: Line::Stdio(Arc::clone(&sse.link)),
    });
    ready(upstream, &session, is_first);
    tokio::select! {
        () = sse.gone() => Held::Lost,
        () = probe::guard(upstream, &session) => Held::Lost,
        () = checks::keep(upstream, &session) => Held::Lost,
        () = subscribe::keep(upstream, &session) => Held::Lost,
        () = late::ask(upstream, &session) => Held::Lost,
        () = upstream.drained() => {
            upstream.publish(Stage::Stopping);
            Held::Drained
        }
    }
}

async fn keep_stdio(
    upstream: &Arc<Upstream>,
    program: &Program,
    era: mcpc_plan::Era,
    mut verdict: Option<Verdict>,
    former: &mut Former,
) {
    if program.definition.start.when == StartWhen::Lazy {
        tokio::select! {
            () = upstream.presence.demanded() => {}
            () = upstream.leaving() => return,
        }
    }
    let mut restarts = Restarts::new(&program.definition.restart);
    loop {
        if !upstream.breaker.is_open() {
            upstream.publish(Stage::Starting);
        }
        former.last = Last::default();
        let opening = child::open(program, upstream, era, &mut verdict, former);
        let opening = upstream
            .keeper
            .start_in_turn(opening, upstream.wanted(), upstream.drained());
        let opened = opening.await;
        // Without a descriptor or room for a process there was none.
        if matches!(&opened, Some(opened) if !opened.as_ref().is_err_and(|it| it.is_of_gateway())) {
            upstream.health.note_start();
        }
        let (failure, lived) = match opened {
            None | Some(Err(Failure::Stopped)) => return,
            Some(Ok((mut child, profile))) => {
                let began = Instant::now();
                let held = hold_child(upstream, &mut child, profile).await;
                if held == ChildHeld::Drained {
                    upstream.publish(Stage::Stopping);
                    child.stop(upstream.gone_by()).await;
                    return;
                }
                child.retire(upstream, former).await;
                if held == ChildHeld::Hung {
                    former.last.how = Some(How::Hung);
                }
                restarts.note_life(began.elapsed());
                (Failure::Closed, Some(began.elapsed()))
            }
            Some(Err(failure)) => (failure, None),
        };
        upstream.health.note_failure(failure);
        if !failure.is_of_gateway() {
            upstream.health.ends.note(former.last, lived, failure);
        }
        tokio::select! {
            () = pause(upstream, restarts.after(failure)) => {}
            () = upstream.presence.roused() => {
                upstream.breaker.half_open();
                restarts = Restarts::new(&program.definition.restart);
            }
            () = upstream.drained() => return,
        }
    }
}

/// Waits out what comes after the end of a process.
async fn pause(upstream: &Upstream, stage: Stage) {
    let (Stage::Resting { until, .. } | Stage::Degraded { until }) = &stage else {
        return;
    };
    let until = *until;
    // What opened the breaker may have ended the process as well.
    probe::rest(upstream).await;
    upstream.publish(stage);
    sleep_until(until).await;
}

#[derive(PartialEq, Eq)]
enum ChildHeld {
    /// It is gone, or of no use any more.
    Lost,
    /// It hangs.
    Hung,
    /// The upstream left the plan.
    Drained,
}

/// Holds a process until it is gone or no longer needed.
async fn hold_child(upstream: &Arc<Upstream>, child: &mut Child, profile: Profile) -> ChildHeld {
    let pid = child.id().await;
    upstream.health.pid.store(pid.into(), Ordering::Relaxed);
    let began = Instant::now();
    let session = Arc::new(Session {
        profile: Arc::new(profile),
        line: Line::Stdio(Arc::clone(&child.link)),
    });
    let id = upstream.ids.fetch_add(1, Ordering::Relaxed);
    let listening = (session.profile.era == Era::Modern)
        .then(|| intake::listen_message(&session.profile, id))
        .flatten();
    show(upstream, &session);
    if let Some(message) = listening {
        // A process that does not read its input will be noticed by its callers.
        let deadline = began + FAREWELL;
        let _asked = child.link.write(message.into(), deadline).await;
    }
    if upstream.health.is_restarted() {
        upstream.note_all_changed();
    }
    let link = Arc::clone(&child.link);
    let gone = async {
        child.ending().await;
        upstream.presence.end(&session);
        child.gone().await;
    };
    let held = tokio::select! {
        () = gone => ChildHeld::Lost,
        () = probe::guard(upstream, &session) => ChildHeld::Lost,
        () = checks::keep(upstream, &session) => ChildHeld::Lost,
        () = subscribe::keep(upstream, &session) => ChildHeld::Lost,
        () = late::ask(upstream, &session) => ChildHeld::Lost,
        () = hang::hangs(&link, session.profile.era) => {
            let code = Failure::Closed.code();
            tracing::warn!(server = %upstream.name, pid, code, "the process hangs and is replaced");
            ChildHeld::Hung
        }
        () = upstream.drained() => ChildHeld::Drained,
    };
    upstream.health.pid.store(0, Ordering::Relaxed);
    held
}
