//! Tells an upstream which resources are watched, as long as one of its sessions lasts.
//!
//! Owns making true what `watches` wants: a request for each URI in the legacy era (2025-11-25
//! Resources §Subscriptions), one stream for all of them in the modern one (2026-07-28
//! `subscriptions/listen`). What the upstream says later comes in by `intake`, `stream` or `stdio`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcpc_plan::Timeouts;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::listening::Listening;
use super::watches::{Standing, Topics};
use super::{Session, Tried, Upstream};
use crate::call::{Call, Era, Reply};
use crate::failure::Failure;
use crate::json;
use crate::params::Params;

/// How many subscriptions one upstream is asked for at the same time.
const ASKING_MAX: usize = 8;

/// How long an answer to one may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Wishes that come within this time of each other become one change of a stream.
const GATHERING: Duration = Duration::from_millis(20);

/// The pauses before a stream that ended or was refused is opened again.
const PAUSE_FROM: Duration = Duration::from_secs(1);
const PAUSE_TO: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Subscribe,
    Unsubscribe,
}

/// Keeps the upstream told, in a session that has just begun. Never returns.
pub(super) async fn keep(upstream: &Arc<Upstream>, session: &Arc<Session>) {
    upstream.watches.begin();
    if session.profile.subscribes {
        match session.profile.era {
            Era::Legacy => one_by_one(upstream, session).await,
            Era::Modern => all_at_once(upstream, session).await,
        }
    }
    refuse_all(upstream).await;
}

/// An upstream that never tells of updates. Clients are told so before they get here; but it may have
/// been another one when they asked.
async fn refuse_all(upstream: &Upstream) {
    let mut topics = upstream.watches.topics();
    loop {
        let refused = wanted(&topics.borrow_and_update());
        if !refused.is_empty() {
            settle(upstream, &refused, |_| Standing::Refused(None));
        }
        if topics.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn wanted(topics: &Topics) -> BTreeSet<Box<str>> {
    let wanted = topics
        .iter()
        .filter(|(_, topic)| topic.standing == Standing::Wanted);
    wanted.map(|(uri, _)| uri.clone()).collect()
}

fn settle(upstream: &Upstream, uris: &BTreeSet<Box<str>>, standing: impl Fn(&str) -> Standing) {
    let outcomes = uris.iter().map(|uri| (uri.as_ref(), standing(uri)));
    upstream.watches.settle(outcomes);
}

/// What was asked for a URI, and the answer.
type Answered = (Verb, Box<str>, Result<Reply, Failure>);

/// The state of a legacy session's subscriptions.
struct Told<'u> {
    upstream: &'u Arc<Upstream>,
    session: &'u Arc<Session>,
    /// What the upstream holds.
    held: BTreeSet<Box<str>>,
    /// What it is being asked about: requests for one URI must not overtake each other.
    busy: BTreeSet<Box<str>>,
    asking: JoinSet<Answered>,
}

async fn one_by_one(upstream: &Arc<Upstream>, session: &Arc<Session>) {
    let mut topics = upstream.watches.topics();
    let mut told = Told {
        upstream,
        session,
        held: BTreeSet::new(),
        busy: BTreeSet::new(),
        asking: JoinSet::new(),
    };
    loop {
        let steps = told.steps(&topics.borrow_and_update());
        for (verb, uri) in steps {
            told.ask(verb, uri);
        }
        tokio::select! {
            changed = topics.changed() => if changed.is_err() { return },
            Some(answered) = told.asking.join_next() => {
                // One that panicked stays busy: that is a bug, and costs its own URI only.
                if let Ok((verb, uri, outcome)) = answered {
                    told.note(verb, &uri, outcome);
                }
            }
        }
    }
}

impl Told<'_> {
    /// What to ask next.
    fn steps(&self, topics: &Topics) -> Vec<(Verb, Box<str>)> {
        let missing = topics
            .iter()
            .filter(|(uri, topic)| topic.standing == Standing::Wanted && !self.busy.contains(*uri));
        let missing = missing.map(|(uri, _)| (Verb::Subscribe, uri.clone()));
        let left = self
            .held
            .iter()
            .filter(|uri| !topics.contains_key(*uri) && !self.busy.contains(*uri));
        let left = left.map(|uri| (Verb::Unsubscribe, uri.clone()));
        let room = ASKING_MAX.saturating_sub(self.asking.len());
        left.chain(missing).take(room).collect()
    }

    fn ask(&mut self, verb: Verb, uri: Box<str>) {
        if verb == Verb::Subscribe && self.held.contains(&uri) {
            // It was given up and wanted again before the upstream was told of either.
            let held = (uri.as_ref(), Standing::Held);
            return self.upstream.watches.settle([held]);
        }
        self.busy.insert(uri.clone());
        let (upstream, session) = (Arc::clone(self.upstream), Arc::clone(self.session));
        self.asking.spawn(async move {
            let outcome = ask(&upstream, &session, verb, &uri).await;
            (verb, uri, outcome)
        });
    }

    fn note(&mut self, verb: Verb, uri: &str, outcome: Result<Reply, Failure>) {
        self.busy.remove(uri);
        if verb == Verb::Unsubscribe {
            // Whatever it says, nobody waits for its updates any more.
            self.held.remove(uri);
            return;
        }
        let standing = match outcome {
            Ok(Reply::Result(_)) => {
                self.held.insert(uri.into());
                Standing::Held
            }
            Ok(Reply::Error(error)) => Standing::Refused(Some(error.into_value())),
            Err(failure) => Standing::Failed(failure),
        };
        if standing != Standing::Held {
            tracing::debug!(server = %self.upstream.name, "a subscription was not taken");
        }
        self.upstream.watches.settle([(uri, standing)]);
    }
}

/// Asks for one subscription, or its end, within this very session.
async fn ask(
    upstream: &Arc<Upstream>,
    session: &Arc<Session>,
    verb: Verb,
    uri: &str,
) -> Result<Reply, Failure> {
    let mut params = b"{\"uri\":".to_vec();
    json::write_text(&mut params, uri);
    params.push(b'}');
    let params = Params::read(Some(params.into()), upstream.bounds.nesting);
    let method: &[u8] = match verb {
        Verb::Subscribe => b"resources/subscribe",
        Verb::Unsubscribe => b"resources/unsubscribe",
    };
    let call = Call::own(
        Bytes::from_static(method),
        params.map_err(|_| Failure::Garbage)?,
        Timeouts::all(PATIENCE),
        Instant::now() + PATIENCE,
    );
    match upstream.try_once(&call, session).await? {
        Tried::Done(reply) => Ok(reply),
        Tried::Stream(stream) => stream.into_answer().await?.into_reply().await,
        Tried::Lost | Tried::Suspect(_) => {
            upstream.lose(session);
            Err(Failure::SessionLost)
        }
    }
}

/// One stream for all URIs. When there are others, the next stream is open before the last one ends.
async fn all_at_once(upstream: &Arc<Upstream>, session: &Arc<Session>) {
    let mut topics = upstream.watches.topics();
    let mut open: Option<Listening> = None;
    let mut pause = PAUSE_FROM;
    loop {
        let uris: BTreeSet<Box<str>> = topics.borrow_and_update().keys().cloned().collect();
        if uris.is_empty() {
            open = None;
            if topics.changed().await.is_err() {
                return;
            }
            // Those who come together are asked for together.
            sleep(GATHERING).await;
            continue;
        }
        let began = Instant::now();
        let opened = tokio::select! {
            opened = Listening::open(upstream, session, &uris) => opened,
            () = hear_on(upstream, open.as_mut()) => return,
        };
        let failure = match opened {
            Ok((listening, honoured)) => {
                settle(upstream, &uris, |uri| {
                    if honoured.contains(uri) {
                        Standing::Held
                    } else {
                        Standing::Refused(None)
                    }
                });
                tokio::select! {
                    failure = open.insert(listening).hear(upstream) => failure,
                    () = differs(&mut topics, &uris) => {
                        sleep(GATHERING).await;
                        continue;
                    }
                }
            }
            Err(failure) => {
                upstream.health.note_failure(failure);
                failure
            }
        };
        open = None;
        upstream.watches.interrupted();
        let wanted = wanted(&topics.borrow_and_update());
        settle(upstream, &wanted, |_| Standing::Failed(failure));
        if began.elapsed() > PAUSE_TO {
            pause = PAUSE_FROM;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_TO);
    }
}

/// Hears what there is to be heard meanwhile. Never returns.
async fn hear_on(upstream: &Upstream, open: Option<&mut Listening>) {
    if let Some(open) = open {
        open.hear(upstream).await;
    }
    std::future::pending::<()>().await;
}

/// Waits until a stream for these URIs is not what is wanted any more.
async fn differs(topics: &mut watch::Receiver<Topics>, uris: &BTreeSet<Box<str>>) {
    let differs = |topics: &Topics| {
        !topics.keys().eq(uris)
            || topics
                .values()
                .any(|topic| topic.standing == Standing::Wanted)
    };
    if topics.wait_for(differs).await.is_err() {
        std::future::pending::<()>().await;
    }
}
