//! What listening clients are told of their lists when another plan goes live.
//!
//! Owns which lists of an endpoint may be others by what is written, and which only because a server was
//! replaced. Of the former clients are told at once. A server of the latter is listed as soon as it can be,
//! and clients are told if it exposes something else than they were shown. `list` asks, `shown` compares,
//! `hub` tells.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mcpc_plan::MemberId;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::join::{self, Boxed};
use crate::keeper::Keeper;
use crate::list;
use crate::list_kind::Kind;
use crate::snapshot::{Served, ServedMember};

/// What each of the notifications is about.
const NOTICES: [&[Kind]; 3] = [
    &[Kind::Tools],
    &[Kind::Prompts],
    &[Kind::Resources, Kind::Templates],
];

/// How many servers are listed at once for one notification.
const LOOKS_MAX: usize = 256;

/// A replica that may give another part of a list than clients were shown.
#[derive(Clone, Copy)]
struct Doubt {
    kind: Kind,
    member: MemberId,
    replica: usize,
}

/// Tells the clients of an endpoint what its new plan makes of their lists. What has to be looked at first is
/// looked at until that plan is replaced as well.
pub(crate) fn tell(
    keeper: &Keeper,
    served: &Arc<Served>,
    before: Option<&Served>,
    live: &watch::Sender<()>,
) {
    let formers = before.map(Served::by_name).unwrap_or_default();
    for kinds in NOTICES {
        let doubts = before.and_then(|before| {
            let of_each = kinds.iter();
            let of_each = of_each.map(|kind| doubts(served, before, &formers, *kind));
            Some(of_each.collect::<Option<Vec<_>>>()?.concat())
        });
        match doubts {
            Some(doubts) if doubts.is_empty() => {}
            // For nobody no server is asked: who listens later lists anyway.
            Some(doubts) if served.hubs.all.is_heard() => {
                keeper.spawn(look(Arc::clone(served), kinds, doubts, live.subscribe()));
            }
            _ => tell_at_once(served, kinds),
        }
    }
}

/// What clients know of these lists is void from now on.
fn tell_at_once(served: &Served, kinds: &[Kind]) {
    for member in &served.members {
        for kind in kinds {
            member.shown.forget(*kind);
        }
    }
    served.hubs.all.touch(kinds);
}

/// What may be another part of a list now, if the list is made by the same rules of servers with the same
/// names in the same order. Nothing, not even no doubt, if it is not, or if there is nothing to compare.
fn doubts(
    served: &Served,
    before: &Served,
    formers: &HashMap<&str, &ServedMember>,
    kind: Kind,
) -> Option<Vec<Doubt>> {
    let mut parts = before.parts(kind);
    let mut doubts = Vec::new();
    for member in served.parts(kind) {
        let former = formers.get(&*member.name);
        let had_none = former.filter(|former| !former.replicas.may_list(kind));
        let part = match had_none {
            Some(former) => {
                let nothing = list::nothing_exposed();
                former.shown.note(kind, Some(nothing));
                former
            }
            None => parts.next()?,
        };
        if !member.has_same_rules(part, kind) {
            return None;
        }
        if member.has_same_upstreams(part) {
            continue;
        }
        if member.name != part.name || !can_be_compared(member, part, kind) {
            return None;
        }
        let replicas = 0..member.replicas.all().count();
        doubts.extend(replicas.map(|replica| Doubt {
            kind,
            member: member.id,
            replica,
        }));
    }
    parts.next().is_none().then_some(doubts)
}

/// Whether it is known what all clients were shown, and can be found out what they would be shown now: what
/// a session has to itself only that session knows, and a server that nobody needs is not started for this.
fn can_be_compared(member: &ServedMember, before: &ServedMember, kind: Kind) -> bool {
    !member.shown.is_unseen(kind)
        && !member.replicas.is_private()
        && !before.replicas.is_private()
        && !member.replicas.upstreams().any(|it| it.is_asleep())
}

/// Tells clients once if any of these is another part than they were shown.
async fn look(
    served: Arc<Served>,
    kinds: &'static [Kind],
    doubts: Vec<Doubt>,
    mut replaced: watch::Receiver<()>,
) {
    let turns = Semaphore::new(LOOKS_MAX);
    let looks = doubts.iter().map(|doubt| -> Boxed<'_, _> {
        let looking = is_news(&served, doubt, &turns);
        Box::pin(async { if looking.await { Ok(()) } else { Err(()) } })
    });
    let is_news = tokio::select! {
        // What was found to be news counts as known to clients, so it is told whatever else happens.
        biased;
        found = join::first(looks.collect()) => found.is_ok(),
        // Under the next plan nobody looks at it again.
        _ = replaced.changed() => true,
    };
    if is_news {
        served.hubs.all.touch(kinds);
    }
}

/// Whether a replica gives another part than clients were shown. One that is not given for as long as a list
/// would wait for it is another one.
async fn is_news(served: &Served, doubt: &Doubt, turns: &Semaphore) -> bool {
    let Some(member) = served.member(doubt.member) else {
        return true;
    };
    let Some(upstream) = member.replicas.upstream(doubt.replica) else {
        return true;
    };
    let looking = async {
        upstream.settled().await;
        // A closed semaphore would mean that nobody waits here any more.
        let _turn = turns.acquire().await;
        if !upstream.is_ready() {
            return None;
        }
        list::exposed(served, member, upstream, doubt.kind).await
    };
    let wait = Duration::from_millis(member.timeouts.list_ms);
    let digest = timeout_at(Instant::now() + wait, looking).await;
    member.shown.is_news(doubt.kind, digest.ok().flatten())
}
