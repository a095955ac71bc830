//! Which servers of a plan are one upstream: those that are reached in the same way and watched by the same
//! rules; and which of them an upstream of the plan before goes on as.
//!
//! Owns what an upstream is found by when plans change. Rules are not in the content key, since an edit of
//! them starts nothing; but two servers of one plan that differ in nothing else are two upstreams, because
//! one upstream has one breaker. The data plane asks when it prepares a plan, and `impact` to foretell that.

use std::collections::HashMap;

use crate::{Breaker, ContentKey, Health, Plan, Upstream};

/// How a plan has an upstream watched: when it gets no calls any more, and when it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// When it gets no calls any more.
    pub breaker: Option<Breaker>,
    /// When it is asked whether it is there.
    pub health: Option<Health>,
}

impl Rules {
    /// Those of a server of a plan.
    pub fn of(definition: &Upstream) -> Self {
        Self {
            breaker: definition.breaker.clone(),
            health: definition.health.clone(),
        }
    }
}

/// What an upstream is found by: how it is reached, and the number of the rules that it is watched by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    key: ContentKey,
    number: usize,
}

/// The identities of what a plan reaches one by one.
#[derive(Clone, Debug, Default)]
pub struct Identities(HashMap<ContentKey, Vec<(usize, Rules)>>);

impl Identities {
    /// Those of a plan by itself.
    pub fn of(plan: &Plan) -> Self {
        Self::default().followed_by(plan)
    }

    /// Those of a plan that takes the place of the one with these. Whoever is watched as before is who it was; then
    /// edited rules are those of an upstream that would end otherwise, so that an edit of them starts nothing.
    #[must_use]
    pub fn followed_by(&self, plan: &Plan) -> Self {
        let mut all: HashMap<ContentKey, Vec<Rules>> = HashMap::new();
        for instance in plan.upstreams.iter().flat_map(Upstream::instances) {
            let rules = Rules::of(&instance);
            let known = all.entry(instance.key).or_default();
            if !known.contains(&rules) {
                known.push(rules);
            }
        }
        let numbered = all.into_iter().map(|(key, rules)| {
            let before = self.0.get(&key).map_or(&[][..], Vec::as_slice);
            (key, numbered(rules, before))
        });
        Self(numbered.collect())
    }

    /// The one of what is reached in this way and watched by these rules.
    pub fn get(&self, key: &ContentKey, rules: &Rules) -> Identity {
        let known = self.0.get(key).map_or(&[][..], Vec::as_slice);
        Identity {
            key: key.clone(),
            number: number_of(rules, known).unwrap_or_default(),
        }
    }
}

/// Gives each of these rules the number that the same rules had before, else one that is free now, else a new one.
fn numbered(rules: Vec<Rules>, before: &[(usize, Rules)]) -> Vec<(usize, Rules)> {
    let kept: Vec<_> = rules.iter().map(|it| number_of(it, before)).collect();
    let taken = |number: &usize| kept.contains(&Some(*number));
    let known = |number: &usize| before.iter().any(|(it, _)| it == number);
    let left = before.iter().map(|(number, _)| *number);
    let new = (0..).filter(|number| !known(number));
    let mut free = left.filter(|number| !taken(number)).chain(new);
    let numbers = kept.iter().map(|number| number.or_else(|| free.next()));
    numbers.map(Option::unwrap_or_default).zip(rules).collect()
}

fn number_of(rules: &Rules, known: &[(usize, Rules)]) -> Option<usize> {
    let found = known.iter().find(|(_, it)| it == rules);
    found.map(|(number, _)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(failures: u32) -> Rules {
        let breaker = Breaker {
            failures,
            within_ms: 1,
            open_for_ms: 1,
            open_for_ms_max: None,
            replicas_percent_max: None,
        };
        Rules {
            breaker: Some(breaker),
            health: None,
        }
    }

    fn numbers(now: &[u32], before: &[(usize, Rules)]) -> Vec<usize> {
        let now = now.iter().map(|failures| rules(*failures)).collect();
        let numbered = numbered(now, before);
        numbered.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn edited_rules_stay_with_their_upstream_and_take_nobody_elses() {
        assert_eq!(numbers(&[1, 2], &[]), [0, 1]);
        let one = [(0, rules(1))];
        assert_eq!(numbers(&[9], &one), [0], "an edit starts nothing");
        assert_eq!(
            numbers(&[9, 1], &one),
            [1, 0],
            "who parts from another is new"
        );
        let two = [(3, rules(1)), (0, rules(2))];
        assert_eq!(numbers(&[2, 9], &two), [0, 3]);
        assert_eq!(numbers(&[9, 8, 1], &two), [0, 1, 3]);
        assert_eq!(numbers(&[2], &two), [0], "another one ends");
    }
}
