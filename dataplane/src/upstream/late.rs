//! What an upstream owes: lists that it was asked for and did not give in time, or its first word.
//!
//! Owns that a server which hangs costs its time once. Lists and greetings go on without what is owed;
//! one question at a time, asked in the background, finds out when it is given again, and clients are
//! told then. Does not wait for anything on behalf of a client: `list` and `discover` do.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcpc_plan::Timeouts;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Session, Tried, Upstream};
use crate::failure::Failure;
use crate::list;
use crate::list_kind::Kind;

/// The pauses between two questions. The first is also the least time between them, however often the
/// upstream answers something else meanwhile; the last is how long one that is well again may stay out of
/// lists, besides what the last question is waited for.
const PAUSE_FROM: Duration = Duration::from_secs(1);
const PAUSE_TO: Duration = Duration::from_secs(3);

/// The longest between two attempts to reach one that lists go on without.
pub(super) const REACH_PAUSE_TO: Duration = PAUSE_TO;

/// See the file's header. Bounded: what can be owed is a handful of kinds.
pub(super) struct Late {
    owed: watch::Sender<Owed>,
    /// Whether a list is among it: every answered call looks here, and none may wait for a lock.
    owes_lists: AtomicBool,
    answered: Notify,
}

#[derive(Default)]
struct Owed {
    /// A list has waited in vain for a session.
    session: bool,
    /// A greeting has.
    greeting: bool,
    /// A list went on without it while there was no session, for whatever reason.
    missed: bool,
    /// Lists that were late although there was a session.
    lists: BTreeSet<Kind>,
    /// How long the last of them was waited for.
    patience: Duration,
}

/// What somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Greeting,
    List(Kind),
}

impl Owed {
    fn is_anything(&self) -> bool {
        self.session || self.greeting || !self.lists.is_empty()
    }

    /// Whether to go on without what is wished for.
    fn covers(&self, wish: Wish, has_session: bool) -> bool {
        match wish {
            // A greeting waits for nothing but a session.
            Wish::Greeting => !has_session && self.is_anything(),
            Wish::List(kind) if has_session => self.lists.contains(&kind),
            // Who greets gives up sooner than who lists: a slow start costs a list its time as well.
            Wish::List(_) => self.session || !self.lists.is_empty(),
        }
    }

    /// The list to ask for after another one, each in its turn.
    fn next(&self, last: Option<Kind>) -> Option<(Kind, Duration)> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut later = self.lists.range((after, Bound::Unbounded));
        let kind = later.next().or_else(|| self.lists.first())?;
        Some((*kind, self.patience))
    }
}

impl Late {
    pub(super) fn new() -> Self {
        Self {
            owed: watch::Sender::new(Owed::default()),
            owes_lists: AtomicBool::new(false),
            answered: Notify::new(),
        }
    }

    /// The upstream has answered a call: it may answer what it owes as well.
    pub(super) fn note_answer(&self) {
        if self.owes_lists.load(Ordering::Relaxed) {
            self.answered.notify_one();
        }
    }

    /// There is a session now. Answers whether somebody went on without one.
    pub(super) fn note_session(&self) -> bool {
        self.owed.send_if_modified(|owed| {
            let was_session = std::mem::take(&mut owed.session);
            let was_missed = std::mem::take(&mut owed.missed);
            std::mem::take(&mut owed.greeting) || was_session || was_missed
        })
    }
}

impl Upstream {
    /// Whether to go on at once without what is wished for: it was late before, and is owed since.
    pub(crate) fn owes(&self, wish: Wish) -> bool {
        let has_session = self.presence.era().is_some();
        let owes = self.late.owed.borrow().covers(wish, has_session);
        if owes && !has_session {
            // Nobody waits, but somebody needs it.
            self.presence.hurry();
        }
        owes
    }

    /// Whether anything is owed, so that the rest is best not waited for either.
    pub(crate) fn owes_anything(&self) -> bool {
        self.late.owed.borrow().is_anything()
    }

    /// Waits until somebody else has found that a list is late.
    pub(crate) async fn owes_list(&self, kind: Kind) {
        let mut owed = self.late.owed.subscribe();
        let is_late = |owed: &Owed| owed.covers(Wish::List(kind), self.presence.era().is_some());
        // The sender lives in `self`, so it cannot be gone.
        let _late = owed.wait_for(is_late).await;
    }

    /// A list goes on without it. If that is for want of a session, whoever has listed is told when there is one.
    pub(crate) fn note_missed(&self) {
        let has_session = self.presence.era().is_some();
        self.late
            .owed
            .send_if_modified(|owed| !has_session && !std::mem::replace(&mut owed.missed, true));
    }

    /// Whether somebody goes on without it until there is a session.
    pub(super) fn is_missed(&self) -> bool {
        self.late.owed.borrow().missed
    }

    /// Something did not come within this time.
    pub(crate) fn note_late(&self, wish: Wish, patience: Duration) {
        let has_session = self.presence.era().is_some();
        if has_session && wish != Wish::Greeting {
            self.health.note_failure(Failure::ListTimeout);
        }
        self.late.owed.send_if_modified(|owed| match wish {
            Wish::List(kind) if has_session => {
                owed.patience = patience;
                self.late.owes_lists.store(true, Ordering::Relaxed);
                owed.lists.insert(kind)
            }
            Wish::List(_) => !std::mem::replace(&mut owed.session, true),
            // What came at the last moment is not owed.
            Wish::Greeting => !has_session && !std::mem::replace(&mut owed.greeting, true),
        });
    }
}

/// Asks for what is owed as long as a session lasts. Never returns.
pub(super) async fn ask(upstream: &Arc<Upstream>, session: &Arc<Session>) {
    let mut owed = upstream.late.owed.subscribe();
    let mut pause = PAUSE_FROM;
    let mut not_before = Instant::now();
    let mut last = None;
    loop {
        let found = owed.wait_for(|owed| !owed.lists.is_empty()).await;
        let Ok(found) = found.map(|owed| owed.next(last)) else {
            // The sender lives in `upstream`, so it cannot be gone.
            return std::future::pending().await;
        };
        let Some((kind, patience)) = found else {
            continue;
        };
        if not_before.elapsed() > PAUSE_TO {
            pause = PAUSE_FROM;
        }
        tokio::select! {
            () = sleep_until(not_before) => {}
            () = answered(upstream, not_before.checked_sub(pause)) => {}
        }
        let is_given = is_given(upstream, session, kind, patience).await;
        last = Some(kind);
        if is_given {
            settle(upstream, kind);
            if !owed.borrow().lists.is_empty() {
                continue;
            }
        }
        // One that is given and late again is asked for after ever longer pauses, too.
        pause = (pause * 2).min(PAUSE_TO);
        not_before = Instant::now() + pause;
    }
}

/// Waits for an answer to somebody else's call, some time after the last question.
async fn answered(upstream: &Upstream, last: Option<Instant>) {
    if let Some(last) = last {
        sleep_until(last + PAUSE_FROM).await;
    }
    upstream.late.answered.notified().await;
}

/// A list is given again: clients that listed without it are told.
fn settle(upstream: &Upstream, kind: Kind) {
    let late = &upstream.late;
    let is_settled = late.owed.send_if_modified(|owed| {
        let was_owed = owed.lists.remove(&kind);
        late.owes_lists
            .store(!owed.lists.is_empty(), Ordering::Relaxed);
        was_owed
    });
    if is_settled {
        tracing::info!(server = %upstream.name, list = kind.method(), "the server answers again");
        upstream.health.note_reached();
        upstream.note_change(kind.changed().as_bytes());
    }
}

/// Whether the upstream answers when it is asked for a list, by a refusal or otherwise.
async fn is_given(
    upstream: &Arc<Upstream>,
    session: &Arc<Session>,
    kind: Kind,
    patience: Duration,
) -> bool {
    let deadline = Instant::now() + patience;
    let asked = async {
        let call = list::call(kind, None, Timeouts::all(patience), deadline);
        match upstream.try_once(&call, session).await? {
            Tried::Done(reply) => Ok(reply),
            Tried::Stream(stream) => stream.into_answer().await?.into_reply().await,
            Tried::Lost | Tried::Suspect(_) => {
                upstream.lose(session);
                Err(Failure::SessionLost)
            }
        }
    };
    match timeout_at(deadline, asked).await {
        Ok(Ok(_)) => true,
        Ok(Err(failure)) if !failure.is_timeout() => false,
        _ => {
            // What the question was told of the time it had says nothing of the list's.
            upstream.health.note_failure(Failure::ListTimeout);
            false
        }
    }
}
