//! What `mcpc explain --tool` tells of a name against what the plan does with it.
//!
//! Owns the proof that the two are the same, over every plan of the compile corpus. How it is told is
//! tested where the command is.

use mcpc_compiler::{Input, Overrides, Tier, derive};
use mcpc_golden_tests::{Case, Compiled, Finding, assert_none};
use mcpc_plan::{Endpoint, Plan};

/// Names that the endpoint exposes or that are near those, and some that are not.
fn names(endpoint: &Endpoint) -> Vec<String> {
    let mut names = vec![String::new(), "x".to_owned(), "__".to_owned()];
    for route in &endpoint.tools.exact {
        let (exposed, own) = (&route.exposed, &route.name);
        names.extend([exposed.to_string(), own.to_string(), format!("{exposed}x")]);
    }
    for member in &endpoint.members {
        let prefix = &member.prefix;
        names.extend([prefix.to_string(), format!("{prefix}x")]);
        for rename in &member.tools.rename {
            names.push(format!("{prefix}{}", rename.from));
        }
        for pattern in &member.tools.deny {
            names.push(format!("{prefix}{}", pattern.as_str().replace('*', "y")));
        }
    }
    names
}

/// The server and its own name, as the plan has it.
fn in_plan(plan: &Plan, endpoint: &Endpoint, name: &str) -> Option<(String, String)> {
    let found = endpoint.find_tool(name)?;
    let member = endpoint.member(found.member)?;
    let server = plan.upstream(member.upstream)?;
    Some((server.name.to_string(), found.name.to_owned()))
}

#[test]
fn a_name_is_explained_as_the_plan_routes_it() {
    let (mut routed, mut refused, mut findings) = (0, 0, Vec::new());
    for case in Case::all() {
        let values = case.values().unwrap_or_default();
        let Compiled {
            plan: Some(plan),
            source,
            ..
        } = Compiled::of("mcpc.yaml", case.bytes(), Some(&values))
        else {
            continue;
        };
        let input = Input {
            source: &source,
            variables: &values,
            tier: Tier::Plan,
            overrides: Overrides::default(),
        };
        for endpoint in &plan.endpoints {
            for name in names(endpoint) {
                let (derived, _) = derive(&input, &name, Some(&endpoint.path));
                let told = derived.first().and_then(|derived| derived.route.clone());
                let told = told.map(|route| (route.server, route.name));
                let wanted = in_plan(&plan, endpoint, &name);
                match &wanted {
                    Some(_) => routed += 1,
                    None => refused += 1,
                }
                if told != wanted {
                    let fact = format!("`{name}`: {told:?} is told, the plan has {wanted:?}");
                    findings.push(Finding::new(&case.name, fact));
                }
            }
        }
    }
    assert_none(&findings);
    assert!(routed > 50 && refused > 50, "{routed} {refused}");
}
