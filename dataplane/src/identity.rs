//! Which servers of a plan are one upstream: those that are reached in the same way and watched by the same
//! rules.
//!
//! Owns what an upstream is found by when plans change. Rules are not in the content key, since an edit of
//! them starts nothing; but two servers of one plan that differ in nothing else are two upstreams, because
//! one upstream has one breaker. `prepare` asks.

use std::collections::HashMap;

use mcpc_plan::{ContentKey, Plan};

use crate::upstream::Rules;

/// What an upstream is found by. Ways of being watched are numbered in the order of the plan, so that as long
/// as there is one of them, its rules can be any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    key: ContentKey,
    number: usize,
}

/// The identities of a plan.
pub(crate) struct Identities(HashMap<ContentKey, Vec<Rules>>);

impl Identities {
    /// Those of all that is reached one by one.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut all: HashMap<ContentKey, Vec<Rules>> = HashMap::new();
        for instance in plan
            .upstreams
            .iter()
            .flat_map(mcpc_plan::Upstream::instances)
        {
            let rules = Rules::of(&instance);
            let known = all.entry(instance.key).or_default();
            if !known.contains(&rules) {
                known.push(rules);
            }
        }
        Self(all)
    }

    /// The one of what is reached in this way and watched by these rules.
    pub(crate) fn get(&self, key: &ContentKey, rules: &Rules) -> Identity {
        let known = self.0.get(key);
        let number = known.and_then(|known| known.iter().position(|it| it == rules));
        Identity {
            key: key.clone(),
            number: number.unwrap_or_default(),
        }
    }
}
