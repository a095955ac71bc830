//! A plan with everything that a request needs to be served by it: one pointer, taken once.
//!
//! Owns the form in which a plan is looked up. Immutable, but for what lists teach: who owns a resource,
//! and which arguments of a tool are headers, whether it may be called twice or runs as a task, and what
//! clients were shown. Made by `prepare`; dropped when the last request that holds it has ended.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use mcpc_plan::{Access, AdminListener, Digest, Endpoint, Limits, Listener, MemberId, Timeouts};
use tokio::sync::watch;

use crate::call::Party;
use crate::directory::Directory;
use crate::hub::Hubs;
use crate::known::Known;
use crate::list_kind::Kind;
use crate::mirror::Mirrors;
use crate::shown::Shown;
use crate::status::UpstreamState;
use crate::tool_set::ToolSet;
use crate::trail::Trail;
use crate::upstream::Replicas;

/// The live plan.
pub(crate) struct Snapshot {
    pub(crate) digest: Digest,
    pub(crate) listener: Listener,
    pub(crate) admin: AdminListener,
    pub(crate) limits: Limits,
    /// Sorted by path, as in the plan.
    pub(crate) endpoints: Box<[Arc<Served>]>,
    /// By name, as in the plan; two names may share what is behind them.
    pub(crate) servers: Box<[(Box<str>, Arc<Replicas>)]>,
    pub(crate) in_use: Arc<InUse>,
}

/// Ends when no request can choose a server of a snapshot any more: with the snapshot and whatever else holds
/// this. Until then, within the grace, its servers can be reached, whether they have calls or not.
pub(crate) struct InUse(pub(crate) watch::Sender<()>);

/// One endpoint of a plan, ready to serve.
pub(crate) struct Served {
    pub(crate) endpoint: Endpoint,
    /// Where it was written, for logs: `mcpc.yaml:12`; its first server, if it is a default.
    pub(crate) place: Box<str>,
    pub(crate) digest: Digest,
    pub(crate) limits: Limits,
    pub(crate) access: Access,
    pub(crate) members: Box<[ServedMember]>,
    /// Tell listening clients that a list has changed; live as long as the path does.
    pub(crate) hubs: Hubs,
    /// Which member owns which resource.
    pub(crate) directory: Directory,
    /// Which arguments of its tools are headers as well.
    pub(crate) mirrors: Mirrors,
    /// Which of its tools may be called twice.
    pub(crate) repeats: ToolSet,
    /// Which of its tools are called as tasks.
    pub(crate) task_tools: ToolSet,
    /// Does not hold it itself, as streams of changes hold the endpoint for as long as they last.
    pub(crate) in_use: Weak<InUse>,
}

/// One member of an endpoint.
pub(crate) struct ServedMember {
    /// Where it stands among those of its endpoint.
    pub(crate) id: MemberId,
    /// The server's name, for logs.
    pub(crate) name: Box<str>,
    /// What the log says of its calls.
    pub(crate) trail: Arc<Trail>,
    pub(crate) plan: mcpc_plan::Member,
    pub(crate) timeouts: Timeouts,
    /// What is behind the name.
    pub(crate) replicas: Arc<Replicas>,
    /// Whether the tools were listed, so that it is known which of their arguments are headers.
    pub(crate) tools_known: Known,
    /// What clients were shown last of its lists, also under the plans before if these have them made alike.
    pub(crate) shown: Shown,
}

impl Snapshot {
    /// It is live: what it says of upstreams that may have been alive before holds from now on.
    pub(crate) fn take_effect(&self) {
        for (_, replicas) in &self.servers {
            replicas.take_effect();
        }
    }

    /// The endpoint at a path.
    pub(crate) fn endpoint(&self, path: &str) -> Option<&Arc<Served>> {
        let at = self
            .endpoints
            .binary_search_by(|served| served.endpoint.path.as_ref().cmp(path))
            .ok()?;
        self.endpoints.get(at)
    }
}

impl ServedMember {
    /// How long a call may take.
    pub(crate) fn total(&self) -> Duration {
        Duration::from_millis(self.timeouts.total_ms)
    }

    /// The same in place of one with the same name under the plan before.
    pub(crate) fn after(mut self, before: &Self) -> Self {
        let carried = |kind| self.has_same_rules(before, kind);
        self.shown = before.shown.carried(carried);
        self
    }

    /// Whether its part of a list is made by the same rules as another one's.
    pub(crate) fn has_same_rules(&self, other: &Self, kind: Kind) -> bool {
        let (plan, others) = (&self.plan, &other.plan);
        match kind {
            Kind::Tools => (&plan.prefix, &plan.tools) == (&others.prefix, &others.tools),
            Kind::Prompts => (&plan.prefix, &plan.prompts) == (&others.prefix, &others.prompts),
            Kind::Resources | Kind::Templates => plan.resources == others.resources,
        }
    }

    /// Whether the same upstreams are behind both.
    pub(crate) fn has_same_upstreams(&self, other: &Self) -> bool {
        let lives = |member: &'_ Self| member.replicas.upstreams().map(|it| it.life()).collect();
        let (own, theirs): (Vec<_>, Vec<_>) = (lives(self), lives(other));
        own == theirs
    }

    /// How long a list or a greeting waits for this member: as long as it may take, or a shorter
    /// time if the last thing it did was to fail. What was waited for in vain is not waited for again:
    /// see `Upstream::owes`.
    pub(crate) fn patience(&self, usual: Duration, after_failure: Duration) -> Duration {
        let state = self.replicas.state();
        let has_failed = match state.condition {
            UpstreamState::Failing | UpstreamState::Down => true,
            UpstreamState::Starting => state.last_failure.is_some(),
            _ => false,
        };
        if has_failed {
            usual.min(after_failure)
        } else {
            usual
        }
    }
}

impl Served {
    /// For what outlives the request that it began with, and may choose a server again. None once that can
    /// find none.
    pub(crate) fn in_use(&self) -> Option<Arc<InUse>> {
        self.in_use.upgrade()
    }

    /// The members that a list can have entries of: those that are known to have none of a kind count for nothing.
    pub(crate) fn parts(&self, kind: Kind) -> impl Iterator<Item = &ServedMember> {
        let members = self.members.iter();
        members.filter(move |member| member.replicas.may_list(kind))
    }

    /// The members by their servers' names.
    pub(crate) fn by_name(&self) -> HashMap<&str, &ServedMember> {
        let members = self.members.iter();
        members.map(|member| (&*member.name, member)).collect()
    }

    /// The member with this id.
    pub(crate) fn member(&self, id: MemberId) -> Option<&ServedMember> {
        self.members.get(id.index())
    }

    /// Where an exposed tool name goes: the member, and the upstream's own name.
    pub(crate) fn tool<'s: 'n, 'n>(
        &'s self,
        exposed: &'n str,
    ) -> Option<(&'s ServedMember, &'n str)> {
        let found = self.endpoint.find_tool(exposed)?;
        Some((self.member(found.member)?, found.name))
    }

    /// Where an exposed prompt name goes.
    pub(crate) fn prompt<'s: 'n, 'n>(
        &'s self,
        exposed: &'n str,
    ) -> Option<(&'s ServedMember, &'n str)> {
        let found = self.endpoint.find_prompt(exposed)?;
        Some((self.member(found.member)?, found.name))
    }

    /// Whether a client has to itself all of those that sessions may have to themselves.
    pub(crate) fn is_apart(&self, party: Party) -> bool {
        let members = self.members.iter();
        let mut private = members.filter(|member| member.replicas.is_private());
        let has_own = |member: &ServedMember| member.replicas.own_now(party).is_some();
        private.next().is_some_and(has_own) && private.all(has_own)
    }

    /// The only member, if there is one only.
    pub(crate) fn sole(&self) -> Option<&ServedMember> {
        match self.members.as_ref() {
            [member] => Some(member),
            _ => None,
        }
    }
}
