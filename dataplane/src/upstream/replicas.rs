//! The replicas of one server, as calls see them. An ordinary server has one.
//!
//! Owns which replica a call goes to, and that it goes to another one if nothing of it has reached the
//! first. Does not send or connect: each replica is an [`Upstream`] with a keeper and a session of its
//! own, and a replica that cannot be connected to is out of use until its keeper has reached it again.
//! `turns` is the order in which they are used; see `docs/decisions/0028-replicas.md`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use super::quota::Quota;
use super::retries::{self, Spent};
use super::tour::Tour;
use super::tries::Tries;
use super::turns::Turns;
use super::{Checked, Private, Reading, State, Upstream, Wish};
use crate::ask::state::ReplicaMark;
use crate::call::{Answer, Call, Era, Party, Reply};
use crate::failure::Failure;
use crate::list_kind::Kind;
use crate::policy::Permit;
use crate::status::UpstreamState;
use crate::tally::Origin;
use mcpc_plan::{Balance, ContentKey, Rules, Transport};

/// See the file's header. Made with a plan; what is behind it may outlive the plan.
pub(crate) struct Replicas {
    key: ContentKey,
    pub(super) first: Replica,
    /// The others, as in the plan.
    others: Box<[Replica]>,
    turns: Turns,
    balance: Balance,
    rules: Rules,
    retry: Option<mcpc_plan::Retry>,
    /// What sessions have to themselves, and the plan's word on it.
    pub(super) private: Option<(Arc<Private>, mcpc_plan::Private)>,
    /// Whether all that a call needs is the one upstream that there is.
    is_plain: bool,
}

/// One replica.
pub(crate) struct Replica {
    mark: ReplicaMark,
    /// Where it is; nothing if it is the only one.
    pub(crate) place: Box<str>,
    weight: u32,
    pub(crate) is_backup: bool,
    pub(crate) upstream: Arc<Upstream>,
}

/// An answer, and whose it is.
pub(crate) struct Sent {
    pub(crate) answer: Answer,
    /// The position of the replica.
    pub(crate) replica: usize,
    /// The era that it is of.
    pub(crate) era: Era,
}

impl Sent {
    pub(super) fn by((answer, era): (Answer, Era), replica: usize) -> Self {
        Self {
            answer,
            replica,
            era,
        }
    }
}

impl Replicas {
    /// The replicas of a server of a plan, by what is alive; nothing if one is not.
    pub(crate) fn of(
        definition: &mcpc_plan::Upstream,
        alive: impl Fn(&ContentKey, &Rules) -> Option<Arc<Upstream>>,
    ) -> Option<Self> {
        let rules = Rules::of(definition);
        let replica = |replica: &mcpc_plan::Replica| {
            Some(Replica {
                mark: mark(&replica.key),
                place: replica.http.place().into(),
                weight: replica.weight,
                is_backup: replica.is_backup,
                upstream: alive(&replica.key, &rules)?,
            })
        };
        let mut balance = Balance::default();
        let (first, others) = match &definition.transport {
            Transport::Replicated(replicated) => {
                balance = replicated.balance;
                let (first, others) = replicated.replicas.split_first()?;
                let others: Option<_> = others.iter().map(replica).collect();
                (replica(first)?, others?)
            }
            Transport::Stdio(_) | Transport::Http(_) => {
                let only = Replica {
                    mark: mark(&definition.key),
                    place: Box::default(),
                    weight: 1,
                    is_backup: false,
                    upstream: alive(&definition.key, &rules)?,
                };
                (only, Box::default())
            }
        };
        let others_are_none = others.is_empty();
        Some(Self {
            key: definition.key.clone(),
            first,
            others,
            turns: Turns::new(),
            balance,
            rules,
            is_plain: others_are_none && definition.retry.is_none(),
            retry: definition.retry.clone(),
            private: None,
        })
    }

    /// The same, for a server that sessions have to themselves.
    pub(crate) fn beside(mut self, private: Option<(Arc<Private>, mcpc_plan::Private)>) -> Self {
        self.is_plain &= private.is_none();
        self.private = private;
        self
    }

    /// Sends a call to one of them. The permit is the proof that policy saw the call.
    pub(crate) async fn send(&self, call: Box<Call>, permit: Permit) -> Result<Sent, Failure> {
        if self.is_plain {
            let answer = self.first.upstream.send_telling(call, permit).await?;
            return Ok(Sent::by(answer, 0));
        }
        Box::pin(self.send_to_one(call, permit)).await
    }

    /// The only one, if there is one only.
    pub(super) fn sole(&self) -> Option<&Arc<Upstream>> {
        self.others.is_empty().then_some(&self.first.upstream)
    }

    async fn send_to_one(&self, mut call: Box<Call>, permit: Permit) -> Result<Sent, Failure> {
        if let Some((private, session)) = self.private(call.party) {
            if self.retry.is_none() {
                return private.send(session, call, permit).await;
            }
        } else if let Some(at) = call.replica {
            let replica = self.get(at).ok_or(Failure::Stopped)?;
            let answer = replica.upstream.send_telling(call, permit).await?;
            return Ok(Sent::by(answer, at));
        } else if call.method.starts_with(b"tasks/") {
            return self.send_to_holder(call, permit).await;
        }
        call.is_sent_once = self.retries();
        let mut tries = Tries::of(self, call.party);
        loop {
            let sent = self.send_once(&mut tries.tour, &call, permit).await;
            tries.pay();
            let failure = match sent {
                Ok(sent) => return Ok(sent),
                Err(failure) => failure,
            };
            if !retries::is_worth(failure, &call) || !tries.again(call.deadline).await {
                return Err(failure);
            }
            let key = self.key.short();
            tracing::debug!(key, ?failure, "the call is sent again");
        }
    }

    /// Sends a call to the one that its session has to itself, or to the next replica.
    async fn send_once(
        &self,
        tour: &mut Tour<'_>,
        call: &Call,
        permit: Permit,
    ) -> Result<Sent, Failure> {
        match self.private(call.party) {
            Some((private, session)) => private.send(session, call.clone().into(), permit).await,
            None => tour.send(call, permit).await,
        }
    }

    /// A call is sent to one of them, for the first time.
    pub(super) fn note_call(&self, replica: usize) {
        if let (Some(rule), Some(replica)) = (&self.retry, self.get(replica)) {
            replica.upstream.retries.note_call(rule.budget_percent);
        }
    }

    /// How often one request may be sent.
    pub(super) fn attempts(&self) -> u32 {
        self.retry.as_ref().map_or(1, |rule| rule.attempts)
    }

    /// Whether the plan says that calls may be sent again.
    pub(crate) fn retries(&self) -> bool {
        self.retry.is_some()
    }

    /// What became of that, at all of them.
    pub(crate) fn spent(&self) -> Spent {
        let each = self.upstreams().map(|upstream| upstream.retries.spent());
        each.fold(Spent::default(), |all, one| Spent {
            sent: all.sent + one.sent,
            refused: all.refused + one.refused,
        })
    }

    /// Sends a call about a task to the replica that has it. Which one that is nobody has written down:
    /// a task is unknown to all others, and asking them changes nothing there.
    async fn send_to_holder(&self, call: Box<Call>, permit: Permit) -> Result<Sent, Failure> {
        let mut tour = self.tour();
        let mut unknown = None;
        loop {
            let stop = match tour.next(call.deadline).await {
                Ok(stop) => stop,
                // It may be one of those that nobody could ask.
                Err(failure) if tour.failure.is_some() => return Err(failure),
                Err(failure) => return unknown.ok_or(failure),
            };
            match stop.send(call.clone(), permit).await {
                Ok(answer @ (Answer::Done(Reply::Error(_)), _)) => {
                    unknown.get_or_insert(Sent::by(answer, stop.at));
                }
                Err(failure) if failure.is_before_send() => tour.go_on(&stop, failure),
                outcome => return stop.sent(outcome),
            }
        }
    }

    /// The one to ask for what may be waited for.
    pub(crate) fn to_ask(&self, wish: Wish) -> &Arc<Upstream> {
        self.tour().next_to_ask(wish)
    }

    /// Their plan is live: what it says of them holds from now on.
    pub(crate) fn take_effect(&self) {
        let breaker = self.rules.breaker.as_ref();
        let percent = breaker.and_then(|rule| rule.replicas_percent_max);
        let quota = percent.map(|percent| Quota::of(percent, 1 + self.others.len()));
        for upstream in self.upstreams() {
            upstream.obey(&self.rules, quota.as_ref());
        }
        if let Some((private, rule)) = &self.private {
            private.obey(rule, &self.rules);
        }
    }

    /// All of them, as in the plan.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Replica> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The one at a position.
    pub(crate) fn upstream(&self, at: usize) -> Option<&Arc<Upstream>> {
        self.get(at).map(|replica| &replica.upstream)
    }

    /// Whether all of them are known not to run calls as tasks of 2025-11-25.
    pub(crate) fn run_no_tasks(&self) -> bool {
        self.upstreams().all(|upstream| upstream.runs_no_tasks())
    }

    pub(super) fn get(&self, at: usize) -> Option<&Replica> {
        match at.checked_sub(1) {
            None => Some(&self.first),
            Some(at) => self.others.get(at),
        }
    }

    /// Those that calls go to now; the only one, whatever it does.
    pub(crate) fn in_use(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let is_sole = self.sole().is_some();
        self.upstreams()
            .filter(move |upstream| is_sole || upstream.is_ready())
    }

    /// Their upstreams.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.all().map(|replica| &replica.upstream)
    }

    /// Their upstreams, and those that sessions have to themselves.
    pub(crate) fn everybody(&self) -> Vec<Arc<Upstream>> {
        let own = self.private.as_ref();
        let own = own.map(|(private, _)| private.upstreams());
        let own = own.into_iter().flatten();
        self.upstreams().cloned().chain(own).collect()
    }

    /// Whether lists of this kind may have entries of it, as far as is known now.
    pub(crate) fn may_list(&self, kind: Kind) -> bool {
        self.upstreams().any(|upstream| {
            let session = upstream.presence.ready();
            session.is_none_or(|session| session.profile.has(kind.capability()))
        })
    }

    /// What tells this server from all that are reached in another way.
    pub(crate) fn key(&self) -> &str {
        self.key.as_str()
    }

    /// The era that they speak, as far as one was reached.
    pub(crate) fn era(&self) -> Option<Era> {
        self.upstreams().find_map(|upstream| upstream.era())
    }

    /// What tells one of several from the others, also in another plan.
    pub(crate) fn mark(&self, replica: usize) -> Option<ReplicaMark> {
        let replica = self.get(replica).filter(|_| self.sole().is_none());
        replica.map(|replica| replica.mark)
    }

    /// The one with a mark, if it is there.
    pub(crate) fn marked(&self, mark: ReplicaMark) -> Option<usize> {
        self.all().position(|replica| replica.mark == mark)
    }

    /// The same number as long as one of them goes on.
    pub(crate) fn life(&self) -> u64 {
        self.upstreams()
            .map(|upstream| upstream.life())
            .min()
            .unwrap_or_default()
    }

    /// Whether the live plan has started any of them.
    pub(crate) fn origin(&self) -> Origin {
        let is_new = |upstream: &Arc<Upstream>| upstream.origin() == Origin::New;
        if self.upstreams().any(is_new) {
            Origin::New
        } else {
            Origin::TakenOver
        }
    }

    /// What operators see of the server as a whole: that of the replica that is best off.
    pub(crate) fn state(&self) -> State {
        let mut whole = self.first.upstream.state();
        for replica in &self.others {
            let state = replica.upstream.state();
            let in_flight = whole.in_flight + state.in_flight;
            if rank(state.condition) < rank(whole.condition) {
                whole = state;
            }
            whole.in_flight = in_flight;
        }
        whole
    }

    /// How many calls are under way, those at what sessions have to themselves included.
    pub(crate) fn in_flight(&self) -> u64 {
        let shared = self.upstreams().map(|it| it.health.in_flight());
        let private = self.private.as_ref();
        let private = private.map_or(0, |(private, _)| private.in_flight());
        shared.sum::<u64>() + private
    }

    /// The breaker of the only one; several have one each.
    pub(crate) fn breaker(&self) -> Option<Reading> {
        self.sole()?.breaker()
    }

    /// What came of the questions to the only one.
    pub(crate) fn checked(&self) -> Option<Checked> {
        self.sole()?.checked()
    }

    /// The next one of those that have a session: of the healthy ones, or if there is none, of all.
    pub(super) fn choose_ready(
        &self,
        party: Party,
        may_be: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let is_ready = |at, replica: &Replica| may_be(at) && replica.upstream.is_ready();
        let is_well = |at, replica: &Replica| is_ready(at, replica) && replica.upstream.is_well();
        self.choose(party, is_well)
            .or_else(|| self.choose(party, is_ready))
    }

    /// The next one to use of those that can be, by weight; backups only if there is no other.
    pub(super) fn choose(
        &self,
        party: Party,
        may_be: impl Fn(usize, &Replica) -> bool,
    ) -> Option<usize> {
        [false, true].into_iter().find_map(|backups| {
            let weigh = |(at, replica): (usize, &Replica)| {
                if replica.is_backup == backups && may_be(at, replica) {
                    replica.weight
                } else {
                    0
                }
            };
            let weights: Vec<u32> = self.all().enumerate().map(weigh).collect();
            match (self.balance, party) {
                (Balance::LeastRequests, _) => self.less_busy(weights),
                (Balance::Sticky, Party::Session(session)) => self.own(session, &weights),
                (Balance::RoundRobin, _) | (Balance::Sticky, Party::Unknown) => {
                    self.turns.next(&weights)
                }
            }
        })
    }

    /// The less busy of two picked at random. To look for the least busy one of all would send whoever
    /// looks at the same moment to the same.
    fn less_busy(&self, mut weights: Vec<u32>) -> Option<usize> {
        let load = |at: usize| self.get(at).map(|it| it.upstream.health.in_flight());
        let one = self.turns.any(&weights)?;
        let of_one = std::mem::take(weights.get_mut(one)?);
        let Some(other) = self.turns.any(&weights) else {
            return Some(one);
        };
        let of_other = *weights.get(other)?;
        let (busy, less) = (load(one)?, load(other)?);
        let is_less = less.saturating_mul(of_one.into()) < busy.saturating_mul(of_other.into());
        Some(if is_less { other } else { one })
    }

    /// The one that is a session's own among these, by rendezvous hashing: no other session moves when one
    /// of them comes or goes, and nothing has to be remembered.
    fn own(&self, session: u128, weights: &[u32]) -> Option<usize> {
        let candidates = self.all().zip(weights).enumerate();
        let candidates = candidates.filter(|(_, (_, weight))| **weight > 0);
        let distance = |(at, (replica, weight)): (usize, (&Replica, &u32))| {
            let mut hasher = DefaultHasher::new();
            (session, replica.mark).hash(&mut hasher);
            let hash = u32::try_from(hasher.finish() >> 32).unwrap_or(u32::MAX);
            let share = (f64::from(hash) + 0.5) / (f64::from(u32::MAX) + 1.0);
            (at, -share.ln() / f64::from(*weight))
        };
        let nearest = candidates.map(distance);
        let nearest = nearest.min_by(|(_, one), (_, other)| one.total_cmp(other));
        nearest.map(|(at, _)| at)
    }
}

fn mark(key: &ContentKey) -> ReplicaMark {
    let mut mark = ReplicaMark::default();
    for (place, byte) in mark.iter_mut().zip(key.short().bytes()) {
        *place = byte;
    }
    mark
}

/// The order from well to gone.
fn rank(condition: UpstreamState) -> u8 {
    match condition {
        UpstreamState::Ready => 0,
        UpstreamState::Idle => 1,
        UpstreamState::Starting => 2,
        UpstreamState::Failing => 3,
        UpstreamState::Down => 4,
        UpstreamState::Draining => 5,
    }
}
