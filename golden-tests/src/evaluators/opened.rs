//! What a reload opens, name by name, held against what is told of it.
//!
//! Owns the draw of two configurations, and the names that are offered under one of them only. What is told
//! may be more than that and must not be less.

use mcpc_plan::{Endpoint, Exposure, Impact, Pattern, Plan};

use super::written::Written;
use crate::compiled::{Compiled, Values};
use crate::exchange::Dice;

/// What it came to.
#[derive(Debug, Default)]
pub struct Openings {
    /// Names that one plan offers and the other does not, or for something else.
    pub opened: usize,
    /// Those of them that nobody was told of.
    pub untold: Vec<String>,
    /// Pairs of plans between which nothing is told.
    pub silent: usize,
}

/// Puts random plans in place of others, until so many names have been looked at that differ.
pub fn openings(names: usize, seed: u64) -> Openings {
    let mut dice = Dice(seed);
    let mut openings = Openings::default();
    let mut old = draw(&mut dice);
    while openings.opened < names && openings.untold.is_empty() {
        let new = draw(&mut dice);
        openings.hold(&old, &new, &mut dice);
        old = new;
    }
    openings
}

fn draw(dice: &mut Dice) -> (Written, Plan) {
    loop {
        let written = Written::draw(dice);
        let text = written.text().into_bytes();
        let compiled = Compiled::of("mcpc.yaml", text, Some(&Values::default()));
        if let Some(plan) = compiled.plan {
            return (written, plan);
        }
    }
}

impl Openings {
    fn hold(&mut self, old: &(Written, Plan), new: &(Written, Plan), dice: &mut Dice) {
        let impact = Impact::between(&old.1, &new.1);
        self.silent += usize::from(impact.exposures.is_empty());
        let none = Exposure::default();
        for (side, other) in [(old, new), (new, old)] {
            for shown in &side.0.endpoints {
                let mut exposures = impact.exposures.iter();
                let told = exposures.find(|it| it.path == shown.path).unwrap_or(&none);
                let mut names = side.0.names(shown, dice);
                names.extend(other.0.names(shown, dice));
                for name in names {
                    for (kind, find) in KINDS {
                        let (was, is) = (
                            find(&old.1, &shown.path, &name),
                            find(&new.1, &shown.path, &name),
                        );
                        if was == is {
                            continue;
                        }
                        self.opened += 1;
                        let list = match (&was, &is) {
                            (None, _) => &told.newly,
                            (_, None) => &told.no_longer,
                            // What takes the place of something else may be told as that as well.
                            _ => &told.elsewhere,
                        };
                        let is_told = list.iter().any(|item| speaks_of(item, kind, &name));
                        let is_new = was.is_some()
                            && is.is_some()
                            && told.newly.iter().any(|item| speaks_of(item, kind, &name));
                        if !is_told && !is_new {
                            self.untold.push(format!(
                                "{}: {kind} `{name}` was {was:?} and is {is:?}, told is {told:?}\n{}{}",
                                shown.path,
                                old.0.text(),
                                new.0.text()
                            ));
                        }
                    }
                }
            }
        }
    }
}

type Find = fn(&Plan, &str, &str) -> Option<(String, String)>;

const KINDS: [(&str, Find); 2] = [
    ("tool", |plan, path, name| {
        let endpoint = endpoint(plan, path)?;
        let found = endpoint.find_tool(name)?;
        Some((server(plan, endpoint, found.member)?, found.name.to_owned()))
    }),
    ("prompt", |plan, path, name| {
        let endpoint = endpoint(plan, path)?;
        let found = endpoint.find_prompt(name)?;
        Some((server(plan, endpoint, found.member)?, found.name.to_owned()))
    }),
];

fn endpoint<'p>(plan: &'p Plan, path: &str) -> Option<&'p Endpoint> {
    plan.endpoints
        .iter()
        .find(|endpoint| *endpoint.path == *path)
}

pub(super) fn server(plan: &Plan, endpoint: &Endpoint, id: mcpc_plan::MemberId) -> Option<String> {
    let upstream = plan.upstream(endpoint.member(id)?.upstream)?;
    Some(upstream.name.to_string())
}

/// Whether an item of what is told is about a name: "tool `x`", or "tools `x*` of server `s`".
fn speaks_of(item: &str, kind: &str, name: &str) -> bool {
    let pattern = item.split('`').nth(1).unwrap_or_default();
    item.starts_with(kind) && Pattern::new(pattern).matches(name)
}
