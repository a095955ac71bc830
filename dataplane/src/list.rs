//! Lists of several upstreams under one endpoint: asked in parallel, each with its own deadline,
//! merged in the order of the plan.
//!
//! Owns filtering, renaming and merging list entries; `pages` fetches them. One upstream that does not answer
//! costs its own part and nothing else; the merged list says whose part is missing. Entries stay
//! bytes, so fields that this build does not know are never lost.

mod pages;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcpc_plan::{MemberId, Names};
use tokio::time::{Instant, timeout_at};

use crate::beside::Beside;
use crate::call::{Era, Party};
use crate::failure::Failure;
use crate::join;
use crate::json;
use crate::list_kind::Kind;
use crate::mirror::{self, BadAnnotation, Mirrored};
use crate::repeats::is_repeatable;
use crate::snapshot::{Served, ServedMember};
use crate::tasks::listed::{as_called, is_required};
use crate::upstream::{Upstream, Wish};

pub(crate) use pages::{Part, Terms, call, pages};

/// How long a list waits at most for an upstream that has just failed.
const WAIT_AFTER_FAILURE: Duration = Duration::from_secs(2);

/// And for one that owes another list.
const WAIT_BESIDE_LATE: Duration = Duration::from_millis(250);

/// And if clients wait to be told what has become of it.
const NEWS_MAX: Duration = Duration::from_millis(250);

/// The merged list of an endpoint.
pub(crate) struct Merged {
    /// The entries, separated by commas.
    pub(crate) entries: Vec<u8>,
    /// How many there are.
    pub(crate) count: usize,
    /// For how long every part may be cached, in milliseconds (2026-07-28 Caching: the least).
    pub(crate) ttl_ms: u64,
    /// Whether every part may be shared between callers.
    pub(crate) is_public: bool,
    /// The servers whose part is missing.
    pub(crate) missing: Vec<Box<str>>,
    /// What the list says beside its entries, if it is that of one server. Several may each say something
    /// else, and none of them of the whole.
    pub(crate) beside: Option<Beside>,
}

/// Asks every member and merges what comes. A member that the client has to itself is asked there, if it
/// runs; one is not started for a list. `correlation` is the number of the request that the list
/// answers; there is none if the gateway wants to know for itself.
///
/// # Errors
/// The first member's failure if not one member answered: a failure is never shown as an empty list.
pub(crate) async fn merge(
    served: &Arc<Served>,
    kind: Kind,
    party: Party,
    correlation: Option<u64>,
) -> Result<Merged, Failure> {
    let asks = served.members.iter().map(|member| -> join::Boxed<'_, _> {
        Box::pin(async move {
            match member.replicas.own_now(party) {
                Some(own) => (fetch_from(served, member, &own, kind).await, false),
                None => (fetch(served, member, kind).await, true),
            }
        })
    });
    let given = join::all(asks.collect()).await;
    let mut merging = Merging::new();
    merging.merged.beside = of_sole(&given);
    let mut failure = None;
    for (member, (part, is_shared)) in served.members.iter().zip(given) {
        let digest = match part {
            Ok(part) => {
                if kind == Kind::Tools {
                    member.tools_known.note_listed();
                }
                Some(merging.take(kind, member, &part))
            }
            Err(why) => {
                member.trail.missing(kind.method(), correlation, why);
                failure = failure.or(Some(why));
                merging.merged.missing.push(member.name.clone());
                None
            }
        };
        // What a client has to itself says nothing of what others know.
        if correlation.is_some() && is_shared {
            member.shown.note(kind, digest);
        }
    }
    let Merging {
        mut merged,
        listed,
        mirrors,
        repeats,
        task_tools,
        seen,
        ..
    } = merging;
    if merged.missing.len() == served.members.len()
        && let Some(failure) = failure
    {
        return Err(failure);
    }
    // What is missing now may be there in a moment.
    if !merged.missing.is_empty() || merged.ttl_ms == u64::MAX {
        merged.ttl_ms = 0;
    }
    match kind {
        Kind::Resources => served.directory.learn_uris(listed.into_iter()),
        Kind::Templates => served.directory.learn_templates(listed.into_iter()),
        Kind::Tools => {
            served.mirrors.learn(&mirrors, merged.missing.is_empty());
            let is_complete = merged.missing.is_empty();
            served.repeats.learn(&repeats, &seen, is_complete);
            served.task_tools.learn(&task_tools, &seen, is_complete);
        }
        Kind::Prompts => {}
    }
    Ok(merged)
}

/// What the list says beside its entries if it is that of one server.
fn of_sole(given: &[(Result<Part, Failure>, bool)]) -> Option<Beside> {
    match given {
        [(Ok(part), _)] => part.beside.clone(),
        _ => None,
    }
}

/// Lists a member's tools if nobody has done so: a client may call without listing, and what its
/// headers must say stands in the list. A server that does not list cannot be held to it; no call waits
/// for it longer than a list would, and not beyond its own deadline.
pub(crate) async fn know_tools(served: &Served, member: &ServedMember, deadline: Instant) {
    if !member.tools_known.is_to_be_looked_for() {
        return;
    }
    let wait = Duration::from_millis(member.timeouts.list_ms);
    let looking = async {
        let part = fetch(served, member, Kind::Tools).await;
        part.is_ok_and(|part| {
            learn_tools(served, member, &part);
            true
        })
    };
    let until = deadline.min(Instant::now() + wait);
    // Hardly any call waits here, and none has to keep room for it.
    Box::pin(member.tools_known.look(until, looking)).await;
}

/// Answers a digest of what is exposed.
fn learn_tools(served: &Served, member: &ServedMember, part: &Part) -> u64 {
    let mut merging = Merging::new();
    let digest = merging.take(Kind::Tools, member, part);
    served.mirrors.learn(&merging.mirrors, false);
    served.repeats.learn(&merging.repeats, &merging.seen, false);
    let (task_tools, seen) = (&merging.task_tools, &merging.seen);
    served.task_tools.learn(task_tools, seen, false);
    digest
}

/// Whether clients have to be told that a member's part of a list is another one now, as one of its
/// replicas says. Nobody looks if nobody listens: who comes later lists anyway.
pub(crate) async fn is_news(
    served: &Served,
    member: &ServedMember,
    upstream: &Arc<Upstream>,
    kind: Kind,
    is_heard: bool,
) -> bool {
    if kind == Kind::Tools {
        member.tools_known.note_changed();
    }
    // There may be nothing to compare it with.
    if !is_heard || member.shown.is_unseen(kind) {
        return true;
    }
    let looking = exposed(served, member, upstream, kind);
    let digest = timeout_at(Instant::now() + NEWS_MAX, looking).await;
    member.shown.is_news(kind, digest.ok().flatten())
}

/// A digest of what is exposed of a member's part of a list, as one of its replicas gives it now.
pub(crate) async fn exposed(
    served: &Served,
    member: &ServedMember,
    upstream: &Arc<Upstream>,
    kind: Kind,
) -> Option<u64> {
    let part = fetch_from(served, member, upstream, kind).await.ok()?;
    if kind != Kind::Tools {
        return Some(Merging::new().take(kind, member, &part));
    }
    let digest = learn_tools(served, member, &part);
    member.tools_known.note_listed();
    Some(digest)
}

/// The same of a part without entries.
pub(crate) fn nothing_exposed() -> u64 {
    DefaultHasher::new().finish()
}

/// A list on its way, and what is learned of it.
struct Merging {
    merged: Merged,
    /// The servers' own names, and whose they are.
    listed: Vec<(Box<str>, MemberId)>,
    /// By exposed name.
    mirrors: HashMap<Box<str>, Arc<[Mirrored]>>,
    /// Tools that may be called twice, by exposed name.
    repeats: HashSet<Box<str>>,
    /// Tools that are called as tasks, by exposed name.
    task_tools: HashSet<Box<str>>,
    seen: HashSet<String>,
}

impl Merging {
    fn new() -> Self {
        Self {
            merged: Merged {
                entries: Vec::new(),
                count: 0,
                ttl_ms: u64::MAX,
                is_public: true,
                missing: Vec::new(),
                beside: None,
            },
            listed: Vec::new(),
            mirrors: HashMap::new(),
            repeats: HashSet::new(),
            task_tools: HashSet::new(),
            seen: HashSet::new(),
        }
    }

    /// Takes a member's part. Answers a digest of what is exposed of it.
    fn take(&mut self, kind: Kind, member: &ServedMember, part: &Part) -> u64 {
        let mut digest = DefaultHasher::new();
        self.merged.ttl_ms = self.merged.ttl_ms.min(part.ttl_ms);
        self.merged.is_public &= part.is_public;
        for entry in &part.entries {
            let Ok(mirrored) = mirrored(kind, member, part.era, entry) else {
                continue;
            };
            let is_task = kind == Kind::Tools && part.era == Era::Legacy && is_required(entry);
            let as_called = is_task.then(|| as_called(entry));
            let entry = as_called.as_ref().unwrap_or(entry);
            let Some(named) = Named::of(kind, member, entry) else {
                continue;
            };
            entry.hash(&mut digest);
            // What another member has taken is still a part of this one's.
            if self.seen.contains(&named.exposed) || !self.merged.add(entry, &named) {
                continue;
            }
            self.listed.push((named.own.as_ref().into(), member.id));
            if !mirrored.is_empty() {
                self.mirrors.insert(named.exposed.as_str().into(), mirrored);
            }
            if kind == Kind::Tools && member.replicas.retries() && is_repeatable(entry) {
                self.repeats.insert(named.exposed.as_str().into());
            }
            if is_task && part.runs_tasks {
                self.task_tools.insert(named.exposed.as_str().into());
            }
            self.seen.insert(named.exposed);
        }
        digest.finish()
    }
}

/// An entry's name: where it stands, what it is, and what clients see.
struct Named<'e> {
    span: Range<usize>,
    own: Cow<'e, str>,
    exposed: String,
}

impl<'e> Named<'e> {
    /// Nothing if the entry is not exposed or has no name.
    fn of(kind: Kind, member: &ServedMember, entry: &'e Bytes) -> Option<Self> {
        let (span, own) = kind.own_name(entry)?;
        let rename = |names: &Names| names.expose(&member.plan.prefix, &own).map(Cow::into_owned);
        let exposed = match kind {
            Kind::Tools => rename(&member.plan.tools)?,
            Kind::Prompts => rename(&member.plan.prompts)?,
            Kind::Resources | Kind::Templates => member
                .plan
                .resources
                .allows(&own)
                .then(|| own.clone().into_owned())?,
        };
        Some(Self { span, own, exposed })
    }
}

impl Merged {
    /// Adds an entry under the name that clients see; whether it could be.
    fn add(&mut self, entry: &Bytes, named: &Named<'_>) -> bool {
        let Named { span, exposed, .. } = named;
        let (Some(before), Some(after)) = (entry.get(..span.start), entry.get(span.end..)) else {
            return false;
        };
        if self.count > 0 {
            self.entries.push(b',');
        }
        self.count += 1;
        self.entries.extend_from_slice(before);
        json::write_text(&mut self.entries, exposed);
        self.entries.extend_from_slice(after);
        true
    }
}

/// The arguments of a listed tool that are headers as well. A tool of a modern upstream with an invalid
/// annotation is not listed (2026-07-28 Tools: clients leave it out and keep the others); an older one
/// knows nothing of annotations, and its tools can be called.
fn mirrored(
    kind: Kind,
    member: &ServedMember,
    era: Era,
    entry: &Bytes,
) -> Result<Arc<[Mirrored]>, BadAnnotation> {
    if kind != Kind::Tools {
        return Ok(Arc::default());
    }
    match mirror::read(entry) {
        Ok(mirrored) => Ok(mirrored.into()),
        Err(BadAnnotation) if era == Era::Modern => {
            tracing::warn!(server = %member.name, "a tool has an invalid x-mcp-header and is not listed");
            Err(BadAnnotation)
        }
        Err(BadAnnotation) => Ok(Arc::default()),
    }
}

/// One member's list, from the first of its replicas that gives it. As often as the plan says, if it does.
async fn fetch(served: &Served, member: &ServedMember, kind: Kind) -> Result<Part, Failure> {
    let until = Instant::now() + Duration::from_millis(member.timeouts.list_ms);
    let mut tries = member.replicas.tries();
    loop {
        let upstream = tries.next_to_ask(Wish::List(kind));
        let failure = match fetch_from(served, member, upstream, kind).await {
            Ok(part) => return Ok(part),
            Err(failure) => failure,
        };
        if !tries.lists_on(failure, until).await {
            return Err(failure);
        }
    }
}

/// All pages of one upstream's list, within its deadline. What was late once is not waited for again
/// until it is given in the background.
async fn fetch_from(
    served: &Served,
    member: &ServedMember,
    upstream: &Arc<Upstream>,
    kind: Kind,
) -> Result<Part, Failure> {
    let wish = Wish::List(kind);
    if upstream.owes(wish) {
        return Err(late(upstream));
    }
    let terms = Terms {
        name: &member.name,
        timeouts: &member.timeouts,
        limits: &served.limits,
        access: served.access,
        is_sent_once: member.replicas.retries(),
    };
    let usual = Duration::from_millis(member.timeouts.list_ms);
    let mut wait = member.patience(usual, WAIT_AFTER_FAILURE);
    if upstream.owes_anything() && upstream.era().is_some() {
        wait = wait.min(WAIT_BESIDE_LATE);
    }
    let began = Instant::now();
    let deadline = began + wait;
    let part = tokio::select! {
        biased;
        part = timeout_at(deadline, pages(&terms, upstream, kind, deadline)) => {
            part.unwrap_or(Err(Failure::ListTimeout))
        }
        // Whoever asked later has waited long enough as well.
        () = upstream.owes_list(kind) => return Err(late(upstream)),
    };
    let part = part.map_err(|failure| {
        if failure.is_timeout() && Instant::now() >= deadline {
            return late(upstream);
        }
        failure
    });
    let has_cost =
        |failure: &Failure| failure.is_timeout() || began.elapsed() >= WAIT_AFTER_FAILURE;
    if part.as_ref().is_err_and(has_cost) {
        let first_byte = Duration::from_millis(member.timeouts.first_byte_ms);
        upstream.note_late(wish, usual.min(first_byte));
    }
    if part.is_err() {
        upstream.note_missed();
    }
    part
}

/// What a list is told that goes on without an upstream for want of time.
fn late(upstream: &Upstream) -> Failure {
    match upstream.era() {
        Some(_) => Failure::ListTimeout,
        None => Failure::ConnectTimeout,
    }
}
