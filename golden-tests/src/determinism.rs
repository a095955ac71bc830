//! What must not change a plan: another run, another directory, another order of keys, another
//! value of a secret. And what must bring it back: reading its own bytes.

use std::collections::BTreeMap;

use mcpc_plan::{Plan, Source};

use crate::compile::Case;
use crate::compiled::Compiled;
use crate::finding::Finding;
use crate::reorder::reordered;

/// What was compared, so that a comparison that never happens cannot pass.
#[derive(Clone, Debug, Default)]
pub struct Compared {
    /// Plans compared with themselves under other circumstances.
    pub plans: usize,
    /// Plans compared after their text was put into another order.
    pub orders: usize,
    /// Plans compared under two values for each of their secrets.
    pub secrets: usize,
    /// What differs.
    pub findings: Vec<Finding>,
}

impl Compared {
    /// Compares all plans of the corpus.
    pub fn of(cases: &[Case]) -> Self {
        let mut compared = Self::default();
        for case in cases {
            let compiled = case.compiled();
            if let Some(plan) = &compiled.plan {
                compared.plans += 1;
                compared.again(case, plan);
                compared.round_trip(case, plan);
                compared.another_order(case, plan);
                compared.other_secrets(case, plan);
            }
        }
        compared
    }

    fn again(&mut self, case: &Case, plan: &Plan) {
        let compile = |name: &str| Compiled::of(name, case.bytes(), case.values().as_ref());
        self.hold(
            case,
            compile("mcpc.yaml").plan.as_ref() == Some(plan),
            "a second run differs",
        );
        let elsewhere = compile("another/directory/mcpc.yaml").plan;
        self.hold(
            case,
            elsewhere.as_ref().map(Plan::to_bytes) == Some(plan.to_bytes()),
            "the same file from another directory differs",
        );
    }

    fn round_trip(&mut self, case: &Case, plan: &Plan) {
        let bytes = plan.to_bytes().expect("a plan has canonical bytes");
        let read = Plan::from_bytes(&bytes);
        self.hold(
            case,
            read.as_ref() == Ok(plan),
            "reading its own bytes gives another plan",
        );
        let again = read.and_then(|plan| plan.to_bytes());
        self.hold(
            case,
            again == Ok(bytes),
            "its bytes change when read and written",
        );
    }

    /// Line numbers move with the text, so provenance is left out of this comparison.
    fn another_order(&mut self, case: &Case, plan: &Plan) {
        let text = String::from_utf8_lossy(&case.bytes()).into_owned();
        let Some(other) = reordered(&text).filter(|other| *other != text) else {
            return;
        };
        let compiled = Compiled::of("mcpc.yaml", other.into_bytes(), case.values().as_ref());
        let Some(other) = compiled.plan else {
            self.hold(case, false, "in another order it does not compile");
            return;
        };
        self.orders += 1;
        let same = without_places(&other) == without_places(plan);
        self.hold(case, same, "the order of keys changes the plan");
    }

    fn other_secrets(&mut self, case: &Case, plan: &Plan) {
        let given = case.values();
        let names: Vec<&str> = plan
            .secrets
            .iter()
            .filter_map(|secret| match &secret.source {
                Source::Variable(name) => Some(name.as_ref()),
                Source::File(_) => None,
            })
            .filter(|name| !given.as_ref().is_some_and(|values| values.has(name)))
            .collect();
        if names.is_empty() {
            return;
        }
        self.secrets += 1;
        for value in ["first-secret-value", "second: {secret} # 'value'\n- $<X>"] {
            let mut values = given.clone().unwrap_or_default();
            for name in &names {
                values.set(name, value);
            }
            let compiled = Compiled::of("mcpc.yaml", case.bytes(), Some(&values));
            let bytes = compiled.plan_bytes().unwrap_or_default();
            let expected = plan.to_bytes().unwrap_or_default();
            self.hold(
                case,
                bytes == expected,
                "the value of a secret changes the plan",
            );
            let shown = String::from_utf8_lossy(&bytes).into_owned() + &compiled.rendered();
            self.hold(case, !shown.contains("secret-value"), "a secret is shown");
        }
    }

    fn hold(&mut self, case: &Case, holds: bool, fact: &str) {
        if !holds {
            let place = format!("golden-tests/compile/{}", case.name);
            self.findings.push(Finding::new(place, fact));
        }
    }
}

fn without_places(plan: &Plan) -> Option<Vec<u8>> {
    let mut plan = plan.clone();
    plan.provenance = BTreeMap::new();
    plan.seal().ok()?.to_bytes().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compiled::Values;

    const TEXT: &str = "version: 1\nservers:\n  time:\n    command: mcp-server-time\n";

    #[test]
    fn plans_that_differ_are_told_apart() {
        let plan = |text: &str| {
            let compiled = Compiled::of(
                "mcpc.yaml",
                text.as_bytes().to_vec(),
                Some(&Values::default()),
            );
            compiled.plan.expect("the text is valid")
        };
        let moved = plan(&format!("\n\n{TEXT}"));
        assert_ne!(
            moved.digest,
            plan(TEXT).digest,
            "places are part of the plan"
        );
        assert_eq!(without_places(&moved), without_places(&plan(TEXT)));
        let other = plan(&TEXT.replace("mcp-server-time", "other"));
        assert_ne!(without_places(&other), without_places(&plan(TEXT)));
    }
}
