//! What putting one plan in place of another does to the servers behind them, and to what is offered.
//!
//! Owns the comparison of servers by content key (that of names is `exposure`'s): what has the same key keeps its process, its session and its
//! connections, whatever its name. A server with replicas goes on as long as one of them does. Values of secrets are not in a plan, so a new one is not seen here;
//! the data plane starts such a server anew as well.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ContentKey, Exposure, Plan};

/// What becomes of each server, by name and in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Impact<'p> {
    /// It goes on as it is.
    pub stays: Vec<&'p str>,
    /// It is new.
    pub starts: Vec<&'p str>,
    /// It is reached or started in another way, so it is stopped and started.
    pub restarts: Vec<&'p str>,
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
        let (before, after) = (Servers::of(old), Servers::of(new));
        let mut impact = Self {
            needs_restart: old.listener.address != new.listener.address
                || old.admin.address != new.admin.address,
            exposures: Exposure::between(old, new),
            ..Self::default()
        };
        for (&name, keys) in &after.by_name {
            let list = if keys.iter().any(|key| before.keys.contains(key)) {
                &mut impact.stays
            } else if before.by_name.contains_key(name) {
                &mut impact.restarts
            } else {
                &mut impact.starts
            };
            list.push(name);
        }
        let is_gone = |name: &str, keys: &[&ContentKey]| {
            let goes_on = keys.iter().any(|key| after.keys.contains(key));
            !after.by_name.contains_key(name) && !goes_on
        };
        let gone = before
            .by_name
            .iter()
            .filter(|(name, keys)| is_gone(name, keys));
        impact.stops = gone.map(|(name, _)| *name).collect();
        impact
    }
}

/// The servers of one plan.
struct Servers<'p> {
    by_name: BTreeMap<&'p str, Vec<&'p ContentKey>>,
    keys: BTreeSet<&'p ContentKey>,
}

impl<'p> Servers<'p> {
    fn of(plan: &'p Plan) -> Self {
        let pairs = plan.upstreams.iter();
        let by_name: BTreeMap<&str, Vec<&ContentKey>> = pairs
            .map(|upstream| (upstream.name.as_ref(), upstream.keys()))
            .collect();
        let keys = by_name.values().flatten().copied().collect();
        Self { by_name, keys }
    }
}
