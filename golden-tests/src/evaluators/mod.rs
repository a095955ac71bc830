//! Two evaluators of what a name on an endpoint reaches, held against each other.
//!
//! Owns the draw of configurations and names, and what counts as a disagreement. The second evaluator is
//! `naive`: a few lines straight from the reference of the configuration, which look at every server for
//! every name. The first one is the product: the tables that the compiler makes, and a gateway that is
//! called.

mod gateway;
mod naive;
mod opened;
mod written;

use mcpc_plan::{Endpoint, Plan};

use crate::compiled::{Compiled, Values};
use crate::exchange::Dice;
use gateway::Gateway;
use opened::server;
use written::{Shown, Written};

pub use opened::{Openings, openings};

/// Of how many configurations one is also put to work.
const PUT_TO_WORK: usize = 4;

/// What it came to.
#[derive(Debug, Default)]
pub struct Agreement {
    /// Names on endpoints for which both evaluators were asked.
    pub cases: usize,
    /// How many of them reach something.
    pub reached: usize,
    /// How many were called at a gateway as well.
    pub called: usize,
    /// Configurations that compile.
    pub configurations: usize,
    /// Configurations that the compiler refuses.
    pub refused: usize,
    /// What the evaluators do not agree on.
    pub disagreements: Vec<String>,
}

/// Asks both evaluators for so many names, and ends at the first configuration after that.
pub fn agreement(cases: usize, seed: u64) -> Agreement {
    let mut dice = Dice(seed);
    let mut agreement = Agreement::default();
    while agreement.cases < cases && agreement.disagreements.is_empty() {
        let written = Written::draw(&mut dice);
        let text = written.text();
        let compiled = Compiled::of("mcpc.yaml", text.into_bytes(), Some(&Values::default()));
        match compiled.plan {
            Some(plan) => agreement.hold(&written, &plan, &mut dice),
            None => agreement.refused += 1,
        }
    }
    agreement
}

impl Agreement {
    fn hold(&mut self, written: &Written, plan: &Plan, dice: &mut Dice) {
        let mut calls = Vec::new();
        for shown in &written.endpoints {
            let endpoint = plan.endpoints.iter().find(|it| *it.path == *shown.path);
            let Some(endpoint) = endpoint else {
                self.disagree(written, &format!("no endpoint at {}", shown.path));
                continue;
            };
            self.hold_lists(written, plan, (shown, endpoint));
            for name in written.names(shown, dice) {
                let naive = naive::reach(written, shown, &name, |server| &server.tools);
                let found = endpoint.find_tool(&name);
                let found = found
                    .and_then(|it| Some((server(plan, endpoint, it.member)?, it.name.to_owned())));
                self.compare(written, shown, &name, &naive, found.as_ref());
                let prompts = naive::reach(written, shown, &name, |server| &server.prompts);
                let found = endpoint.find_prompt(&name);
                let found = found
                    .and_then(|it| Some((server(plan, endpoint, it.member)?, it.name.to_owned())));
                self.compare(written, shown, &name, &prompts, found.as_ref());
                calls.push((shown, name, naive));
            }
        }
        if self.configurations.is_multiple_of(PUT_TO_WORK) {
            let gateway = Gateway::start(plan.clone());
            for (shown, name, naive) in calls.iter().filter(|(_, name, _)| !name.is_empty()) {
                let found = gateway.call(&shown.path, name);
                self.compare(written, shown, name, naive, found.as_ref());
                self.called += 1;
            }
        }
        self.configurations += 1;
    }

    /// What is listed is what can be called.
    fn hold_lists(
        &mut self,
        written: &Written,
        plan: &Plan,
        (shown, endpoint): (&Shown, &Endpoint),
    ) {
        for member in &endpoint.members {
            let Some(upstream) = plan.upstream(member.upstream) else {
                continue;
            };
            let server = written.servers.iter().find(|it| *it.name == *upstream.name);
            let Some(server) = server else { continue };
            for own in written::OWN_NAMES {
                let prefix = naive::prefix(written, shown, server);
                let naive = naive::exposed(&server.tools, &prefix, own);
                let listed = member.tools.expose(&member.prefix, own);
                if naive.as_deref() != listed.as_deref() {
                    let fact = format!(
                        "{}: `{own}` of `{}` is listed as {listed:?}, and should be as {naive:?}",
                        shown.path, server.name
                    );
                    self.disagree(written, &fact);
                }
            }
        }
    }

    fn compare(
        &mut self,
        written: &Written,
        shown: &Shown,
        name: &str,
        naive: &[(String, String)],
        found: Option<&(String, String)>,
    ) {
        self.cases += 1;
        self.reached += usize::from(found.is_some());
        let agrees = match naive {
            [] => found.is_none(),
            [one] => found == Some(one),
            // The compiler promises that a name has one owner.
            _ => false,
        };
        if !agrees {
            let path = &shown.path;
            self.disagree(
                written,
                &format!("{path}: `{name}` reaches {found:?}, and should reach {naive:?}"),
            );
        }
    }

    fn disagree(&mut self, written: &Written, fact: &str) {
        self.disagreements
            .push(format!("{fact}\n{}", written.text()));
    }
}

#[cfg(test)]
mod tests {
    use super::written::Filter;
    use super::*;

    /// An evaluator that can be wrong is worth something only if that is noticed.
    #[test]
    fn a_disagreement_is_noticed() {
        let mut dice = Dice(1);
        let mut agreement = Agreement::default();
        while agreement.configurations < 20 {
            let written = Written::draw(&mut dice);
            let text = written.text().into_bytes();
            let compiled = Compiled::of("mcpc.yaml", text, Some(&Values::default()));
            let Some(plan) = compiled.plan else { continue };
            // The second evaluator reads another text than the one that was compiled.
            let mut other = written.clone();
            for server in &mut other.servers {
                server.tools = Filter {
                    allow: Some(vec!["get_*".to_owned()]),
                    ..Filter::default()
                };
            }
            agreement.hold(&other, &plan, &mut dice);
        }
        assert!(!agreement.disagreements.is_empty());
    }
}
