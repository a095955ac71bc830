//! Makes a plan ready to serve, beside the live one: everything that can fail, and nothing visible.
//!
//! Owns the first of the three steps of a swap. Secrets were looked up before anything is started (`resolved_plan`), so
//! a plan that cannot be used starts no process. What has the same content key as before, and the same
//! values of its secrets, is kept, and so is what clients were shown of lists that are made alike.

use std::collections::HashMap;
use std::sync::Arc;

use mcpc_plan::{ContentKey, Identities, Identity, MemberId, Plan, Rules};
use tokio::sync::watch;

use crate::Reach;
use crate::directory::Directory;
use crate::hub::Hubs;
use crate::keeper::Keeper;
use crate::known::Known;
use crate::mirror::Mirrors;
use crate::refusal::Refusal;
use crate::resolved_plan::{ResolvedPlan, refusal};
use crate::shown::Shown;
use crate::snapshot::{InUse, Served, ServedMember, Snapshot};
use crate::tool_set::ToolSet;
use crate::trail::Trail;
use crate::upstream::{Premises, Private, Replicas, Upstream};

/// What is alive behind the live plan and may outlive it.
#[derive(Default)]
pub(crate) struct Standing {
    identities: Identities,
    upstreams: HashMap<Identity, Arc<Upstream>>,
    /// What the plan calls each of them, in its order.
    names: HashMap<Identity, Vec<Box<str>>>,
    /// What sessions have to themselves, beside the upstream with the same identity.
    privates: HashMap<Identity, Arc<Private>>,
    hubs: HashMap<Box<str>, Hubs>,
}

/// A plan that is ready to become live.
pub(crate) struct Prepared {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) standing: Standing,
    /// Upstreams that the plan keeps.
    pub(crate) kept: usize,
    /// Upstreams that are new with it.
    pub(crate) started: usize,
}

impl Standing {
    /// Prepares a plan beside the live one, if there is one. On failure nothing has changed.
    pub(crate) fn prepare(
        &self,
        resolved: ResolvedPlan,
        live: Option<&Snapshot>,
        keeper: &Keeper,
        reach: &Arc<dyn Reach>,
        premises: &Arc<Premises>,
    ) -> Result<Prepared, Refusal> {
        let ResolvedPlan { plan, secrets } = resolved;
        let secrets = secrets?;
        let mut standing = Self::default();
        let mut new = Vec::new();
        let identities = self.identities.followed_by(&plan);
        let instances = plan.upstreams.iter();
        let instances = instances.flat_map(mcpc_plan::Upstream::instances);
        for (upstream, secrets) in instances.zip(secrets) {
            let identity = identities.get(&upstream.key, &Rules::of(&upstream));
            let names = standing.names.entry(identity.clone()).or_default();
            names.push(upstream.name.clone());
            match self.upstreams.get(&identity) {
                Some(alive) if alive.was_started_with(&secrets) => {
                    standing.upstreams.insert(identity, Arc::clone(alive));
                }
                _ => new.push((identity, upstream, secrets)),
            }
        }
        let kept = standing.upstreams.len();
        for (identity, upstream, secrets) in new {
            // Two servers with the same definition share one upstream.
            if standing.upstreams.contains_key(&identity) {
                continue;
            }
            match Upstream::start(&upstream, secrets, keeper, reach, &plan.limits) {
                Ok(alive) => standing.upstreams.insert(identity, alive),
                Err(why) => {
                    self.retreat(standing, keeper, plan.limits.grace_ms);
                    return Err(refusal(&upstream.name, &why));
                }
            };
        }
        let started = standing.upstreams.len() - kept;
        self.set_apart(&mut standing, (&plan, &identities), reach, premises);
        for endpoint in &plan.endpoints {
            let hubs = self.hubs.get(&endpoint.path).cloned();
            let hubs = hubs.unwrap_or_else(Hubs::new);
            standing.hubs.insert(endpoint.path.clone(), hubs);
        }
        let snapshot = Arc::new(standing.snapshot(plan, live, &identities));
        standing.identities = identities;
        Ok(Prepared {
            snapshot,
            standing,
            kept,
            started,
        })
    }

    /// What sessions have to themselves. It stays as long as what they would share.
    fn set_apart(
        &self,
        standing: &mut Self,
        (plan, identities): (&Plan, &Identities),
        reach: &Arc<dyn Reach>,
        premises: &Arc<Premises>,
    ) {
        for definition in &plan.upstreams {
            let identity = identities.get(&definition.key, &Rules::of(definition));
            let (Some(rule), Some(shared)) =
                (&definition.private, standing.upstreams.get(&identity))
            else {
                continue;
            };
            let kept = self.privates.get(&identity);
            let kept = kept.filter(|it| it.is_beside(shared));
            standing.privates.entry(identity).or_insert_with(|| {
                let begin = || {
                    Private::new(
                        definition.clone(),
                        rule,
                        shared,
                        premises,
                        reach,
                        &plan.limits,
                    )
                };
                kept.map_or_else(begin, Arc::clone)
            });
        }
    }

    /// Stops what was started for a plan that is not to be.
    fn retreat(&self, begun: Self, keeper: &Keeper, grace_ms: u64) {
        for (identity, upstream) in begun.upstreams {
            if !self.has(&identity, &upstream) {
                keeper.spawn(async move {
                    upstream
                        .stop(std::time::Duration::from_millis(grace_ms))
                        .await;
                });
            }
        }
    }

    /// The upstreams that another standing has not.
    pub(crate) fn without(&self, next: &Self) -> Vec<Arc<Upstream>> {
        let gone = self
            .upstreams
            .iter()
            .filter(|(identity, upstream)| !next.has(identity, upstream));
        gone.map(|(_, upstream)| Arc::clone(upstream)).collect()
    }

    /// What sessions have to themselves here, and no more in another standing.
    pub(crate) fn privates_without(&self, next: &Self) -> Vec<Arc<Private>> {
        let stays = |identity: &Identity, private: &Arc<Private>| {
            let kept = next.privates.get(identity);
            kept.is_some_and(|kept| Arc::ptr_eq(kept, private))
        };
        let all = self.privates.iter();
        let gone = all.filter(|(identity, private)| !stays(identity, private));
        gone.map(|(_, private)| Arc::clone(private)).collect()
    }

    /// Whether it holds this very upstream, not another one with the same definition.
    fn has(&self, identity: &Identity, upstream: &Arc<Upstream>) -> bool {
        let held = self.upstreams.get(identity);
        held.is_some_and(|held| Arc::ptr_eq(held, upstream))
    }

    /// Tells those upstreams that another standing has as well that this one is live now, and what it calls them.
    pub(crate) fn take_over(&self, before: &Self) {
        for (identity, upstream) in &self.upstreams {
            if before.has(identity, upstream) {
                let names = self.names.get(identity);
                upstream.take_over(names.map_or(&[], Vec::as_slice));
            }
        }
    }

    /// What sessions have to themselves.
    pub(crate) fn privates(&self) -> impl Iterator<Item = &Arc<Private>> {
        self.privates.values()
    }

    /// All upstreams.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.values()
    }

    /// What sessions have to themselves of a server. Servers with the same definition share that as well, and
    /// the widest bounds hold.
    fn private(
        &self,
        plan: &Plan,
        server: &mcpc_plan::Upstream,
        identities: &Identities,
    ) -> Option<(Arc<Private>, mcpc_plan::Private)> {
        let rule = server.private.clone()?;
        let identity_of = |it: &mcpc_plan::Upstream| identities.get(&it.key, &Rules::of(it));
        let identity = identity_of(server);
        let private = self.privates.get(&identity)?;
        let same = plan.upstreams.iter();
        let same = same.filter(|it| it.key == server.key && identity_of(it) == identity);
        let rules = same.filter_map(|it| it.private.as_ref());
        let widest = rules.fold(rule, |wide, next| mcpc_plan::Private {
            at_most: wide.at_most.max(next.at_most),
            idle_ms: wide.idle_ms.zip(next.idle_ms).map(|(a, b)| a.max(b)),
            spares: wide.spares.max(next.spares),
            spares_at_most: wide.spares_at_most.max(next.spares_at_most),
        });
        Some((Arc::clone(private), widest))
    }

    fn snapshot(&self, plan: Plan, live: Option<&Snapshot>, identities: &Identities) -> Snapshot {
        // Nothing is left out here or among the members: all that a verified plan names was started.
        let servers = plan.upstreams.iter().filter_map(|upstream| {
            let alive = |key: &ContentKey, rules: &Rules| {
                self.upstreams.get(&identities.get(key, rules)).cloned()
            };
            let replicas = Replicas::of(upstream, alive)?;
            let replicas = replicas.beside(self.private(&plan, upstream, identities));
            Some((upstream.name.clone(), Arc::new(replicas)))
        });
        let servers: Box<[_]> = servers.collect();
        let in_use = Arc::new(InUse(watch::Sender::new(())));
        let endpoints = plan.endpoints.iter().map(|endpoint| {
            let before = live.and_then(|live| live.endpoint(&endpoint.path));
            let before = before.map(|before| before.by_name()).unwrap_or_default();
            let members = endpoint.members.iter().enumerate();
            let members: Box<[_]> = members
                .filter_map(|(at, member)| served_member(&plan, (at, member), &servers))
                .map(|member| match before.get(&*member.name) {
                    Some(before) => member.after(before),
                    None => member,
                })
                .collect();
            // What a default endpoint holds is written where its servers are.
            let place = plan
                .place(&format!("endpoints.{}", endpoint.name))
                .map(Into::into)
                .or_else(|| members.first().map(|first| first.trail.place.clone()));
            Arc::new(Served {
                digest: plan.digest.clone(),
                limits: plan.limits.clone(),
                access: plan.access,
                members,
                hubs: self
                    .hubs
                    .get(&endpoint.path)
                    .cloned()
                    .unwrap_or_else(Hubs::new),
                directory: Directory::new(),
                mirrors: Mirrors::new(),
                repeats: ToolSet::new(),
                task_tools: ToolSet::new(),
                in_use: Arc::downgrade(&in_use),
                place: place.unwrap_or_default(),
                endpoint: endpoint.clone(),
            })
        });
        Snapshot {
            endpoints: endpoints.collect(),
            servers,
            digest: plan.digest,
            listener: plan.listener,
            admin: plan.admin,
            limits: plan.limits,
            in_use,
        }
    }
}

fn served_member(
    plan: &Plan,
    (at, member): (usize, &mcpc_plan::Member),
    servers: &[(Box<str>, Arc<Replicas>)],
) -> Option<ServedMember> {
    let upstream = plan.upstream(member.upstream)?;
    let place = plan
        .place(&format!("servers.{}", upstream.name))
        .unwrap_or_default();
    let (_, replicas) = servers.get(member.upstream.index())?;
    let trail = Trail {
        plan: plan.digest.clone(),
        server: upstream.name.clone(),
        place: place.into(),
    };
    Some(ServedMember {
        id: MemberId::new(at)?,
        name: upstream.name.clone(),
        trail: Arc::new(trail),
        plan: member.clone(),
        timeouts: upstream.timeouts.clone(),
        replicas: Arc::clone(replicas),
        tools_known: Known::new(),
        shown: Shown::default(),
    })
}
