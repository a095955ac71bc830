//! What putting one plan in place of another does to the servers behind them, and to what is offered.
//!
//! Owns the comparison of servers by identity (that of names is `exposure`'s): what has the same content key keeps its
//! process, its session and its connections, whatever its name, unless two servers that shared them part. Of two that
//! come to share them, one keeps its own and the other joins it. A server with replicas goes on as long as one of
//! them does. Values of secrets are not in a plan, so a new one is not seen here; the data plane starts such a server
//! anew as well.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Exposure, Identities, Identity, Plan, Rules, Upstream};

/// What becomes of each server, by name and in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact<'p> {
    /// It goes on as it is.
    pub stays: Vec<&'p str>,
    /// It is new.
    pub starts: Vec<&'p str>,
    /// It is reached or started in another way, so it is stopped and started.
    pub restarts: Vec<&'p str>,
    /// It leaves what it had for what is there under another name: it shares that from now on, or takes it over.
    pub joins: Vec<&'p str>,
    /// It is gone.
    pub stops: Vec<&'p str>,
    /// The addresses differ, which takes a restart of the gateway: the new plan would be refused.
    pub needs_restart: bool,
    /// The endpoints that offer other names.
    pub exposures: Vec<Exposure>,
}

impl<'p> Impact<'p> {
    /// What becomes of the servers of an old plan and of those of a new one.
    pub fn between(old: &'p Plan, new: &'p Plan) -> Self {
        let identities = Identities::of(old);
        let before = Servers::of(old, &identities);
        let after = Servers::of(new, &identities.followed_by(new));
        let mut impact = Self {
            needs_restart: old.listener.address != new.listener.address
                || old.admin.address != new.admin.address,
            exposures: Exposure::between(old, new),
            ..Self::default()
        };
        for (&name, own) in &after.by_name {
            let had = before.by_name.get(name);
            // A name that is new may be another one for what was there.
            let goes_on = had.is_none_or(|had| own.iter().any(|it| had.contains(it)));
            let was_there = own.iter().any(|it| before.all.contains(it));
            let list = match (was_there, goes_on, had) {
                (true, true, _) => &mut impact.stays,
                (true, false, _) => &mut impact.joins,
                (false, _, Some(_)) => &mut impact.restarts,
                (false, _, None) => &mut impact.starts,
            };
            list.push(name);
        }
        let is_gone = |name: &str, own: &[Identity]| {
            let goes_on = own.iter().any(|it| after.all.contains(it));
            !after.by_name.contains_key(name) && !goes_on
        };
        let gone = before
            .by_name
            .iter()
            .filter(|(name, own)| is_gone(name, own));
        impact.stops = gone.map(|(name, _)| *name).collect();
        impact
    }
}

/// The servers of one plan, and what each is reached by.
struct Servers<'p> {
    by_name: BTreeMap<&'p str, Vec<Identity>>,
    all: BTreeSet<Identity>,
}

impl<'p> Servers<'p> {
    fn of(plan: &'p Plan, identities: &Identities) -> Self {
        let own = |upstream: &'p Upstream| {
            let rules = Rules::of(upstream);
            let keys = upstream.keys().into_iter();
            let own = keys.map(|key| identities.get(key, &rules)).collect();
            (upstream.name.as_ref(), own)
        };
        let by_name: BTreeMap<&str, Vec<Identity>> = plan.upstreams.iter().map(own).collect();
        let all = by_name.values().flatten().cloned().collect();
        Self { by_name, all }
    }
}
