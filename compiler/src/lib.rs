//! The compiler: texts in, (plan, diagnostics) out. Pure: no files, clock, environment or network.
//!
//! ```text
//! Source ─parse─► Tree ─expand─► Tree ─shape─► (fits the schema) ─decode─► Config
//!        Config ─resolve─► Resolved ─check/*─► ─lower─► Plan ─emit─► canonical bytes
//!                     every pass reports into one Sink and goes on past errors
//! ```
//!
//! [`compile`] runs all of it; [`Outcome`] holds the plan, if there was no error, and the
//! [`Findings`]. [`check`] gives the same findings without sealing a plan that nobody asked for.
//! What a pass needs from outside (variables, overrides) comes in as [`Input`].

mod check;
mod codes;
mod decode;
mod derive;
mod diagnostic;
mod emit;
mod expand;
mod exposure;
mod fallback;
mod lower;
mod meaning;
mod online;
#[cfg(feature = "oracle")]
mod oracle;
mod parse;
mod path;
mod placeholder;
mod references;
mod render;
mod resolve;
mod scalar;
mod schema;
mod secrets;
mod shape;
mod source;
mod suggest;
mod surface;
mod syntax;
mod tree;
mod unite;
mod url;

use std::net::SocketAddr;

use mcpc_plan::Plan;

use meaning::Meaning;
use secrets::Fields;
use tree::Tree;

pub use codes::{CODES, CodeEntry, code_entry};
pub use derive::{Derivation, Routed, Rule};
pub use diagnostic::{Code, Diagnostic, Fix, Label, Severity, Sink};
pub use fallback::said_fallback;
pub use online::{Answer, Listed, Offer, Silence};
#[cfg(feature = "oracle")]
pub use oracle::shape_verdict;
pub use path::{Path, Step};
pub use render::{Color, FINDINGS_MAX, Format, Report, Tally, render, tally};
pub use source::{Place, Rejected, Source, Span};
pub use suggest::near_codes;

/// Where the values of `$<NAME>` come from.
pub trait Variables {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;

    /// Whether a secret can be read from a file. Asked in [`Tier::Environment`] only.
    fn has_file(&self, _path: &str) -> bool {
        false
    }
}

/// No variable is set.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// How much of the environment is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// None of it: a variable that is not set is a warning, and what depends on it is not judged.
    Check,
    /// All of it: a variable that is not set and has no default is an error.
    Plan,
    /// All of it where the gateway will run: a secret that has no value there is an error as well.
    Environment,
}

/// Settings from outside the configuration that win over it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of `listen.address`.
    pub listen: Option<SocketAddr>,
    /// In place of `admin.address`.
    pub admin: Option<SocketAddr>,
}

/// Everything that the compiler needs from outside.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The text.
    pub source: &'a Source,
    /// The values of placeholders.
    pub variables: &'a dyn Variables,
    /// How much of the environment is at hand.
    pub tier: Tier,
    /// What wins over the text.
    pub overrides: Overrides,
}

/// What comes out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan, if there was no error.
    pub plan: Option<Plan>,
    /// What was found.
    pub findings: Findings,
}

/// What was found in one text.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The findings in source order, each once.
    pub diagnostics: Vec<Diagnostic>,
    /// Where the text may hold a secret, in source order: renderers mask what stands there. Complete for
    /// the lines that these findings point at.
    pub secrets: Vec<Span>,
}

/// Compiles one configuration.
pub fn compile(input: &Input<'_>) -> Outcome {
    let mut sink = Sink::default();
    let Judged { fields, value } = run(input, &mut sink);
    let plan = value.and_then(|plan| emit::seal(plan, &mut sink));
    Outcome {
        plan,
        findings: Findings::of(input.source, fields.as_ref(), sink),
    }
}

/// Finds in one configuration what [`compile`] finds. Its plan is made and verified as well, so that
/// whatever passes here compiles, but not sealed: hashing costs more than all other passes.
pub fn check(input: &Input<'_>) -> Findings {
    let mut sink = Sink::default();
    let judged = run(input, &mut sink);
    Findings::of(input.source, judged.fields.as_ref(), sink)
}

/// Tells how each endpoint treats an exposed tool name, or only the endpoint of this name or path, and
/// what [`check`] finds. With errors nothing is derived: what is in error could matter.
pub fn derive(
    input: &Input<'_>,
    tool: &str,
    endpoint: Option<&str>,
) -> (Vec<Derivation>, Findings) {
    let mut sink = Sink::default();
    let Judged { fields, value } = judge(input, &mut sink, |resolved, sink| {
        let is_sound = !sink.has_errors();
        is_sound.then(|| derive::derive(resolved, tool, endpoint))
    });
    let derived = value.flatten().unwrap_or_default();
    (derived, Findings::of(input.source, fields.as_ref(), sink))
}

/// Finds what [`check`] finds, and what the servers' own answers say beyond that. With errors in the text
/// the answers are not looked at: they may be those of other servers than the ones that are meant.
pub fn check_answers(input: &Input<'_>, answers: &[Answer]) -> Findings {
    let mut sink = Sink::default();
    let judged = judge(input, &mut sink, |resolved, sink| {
        if !sink.has_errors() {
            online::check(resolved, answers, sink);
        }
    });
    Findings::of(input.source, judged.fields.as_ref(), sink)
}

impl Findings {
    /// The one finding in a text that is none, such as bytes that are not UTF-8.
    #[must_use]
    pub fn of_rejected(rejected: &Rejected) -> Self {
        let mut sink = Sink::default();
        sink.report(rejected.diagnostic.clone());
        Self::of(&rejected.source, None, sink)
    }

    fn of(source: &Source, fields: Option<&Fields>, sink: Sink) -> Self {
        let mut diagnostics = sink.into_sorted();
        let secrets = secrets::places(source, fields, &diagnostics);
        secrets::keep_silent(source, &secrets, fields, &mut diagnostics);
        Self {
            diagnostics,
            secrets,
        }
    }
}

/// What the passes make of one text.
struct Judged<T> {
    /// What stands in its fields, if it could be parsed: findings are silent about secrets by this.
    fields: Option<Fields>,
    /// What was wanted of it, if the passes came that far.
    value: Option<T>,
}

/// The passes in their order, up to a plan that is whole but for its seal.
fn run(input: &Input<'_>, sink: &mut Sink) -> Judged<Plan> {
    let Judged { fields, value } = judge(input, sink, |resolved, sink| {
        let is_whole = !sink.has_errors() && resolved.decoded.is_complete;
        is_whole.then(|| lower::lower(resolved, input.source))
    });
    let plan = value.flatten();
    let value = plan.and_then(|plan| emit::verify(plan, sink));
    Judged { fields, value }
}

/// The passes that look for mistakes, and then what is wanted of a configuration that they have seen.
fn judge<T>(
    input: &Input<'_>,
    sink: &mut Sink,
    then: impl FnOnce(&resolve::Resolved<'_>, &mut Sink) -> T,
) -> Judged<T> {
    let Some(tree) = parse::parse(input.source, sink) else {
        return Judged {
            fields: None,
            value: None,
        };
    };
    let meaning = Meaning::of(&tree);
    let fields = Some(Fields::of(input.source, &tree, &meaning.leaves));
    let value = judge_meaning(input, tree, &meaning, sink, then);
    Judged { fields, value }
}

/// The passes after the parse. Each goes on past errors, or gives nothing to the next one.
fn judge_meaning<T>(
    input: &Input<'_>,
    mut tree: Tree,
    meaning: &Meaning,
    sink: &mut Sink,
    then: impl FnOnce(&resolve::Resolved<'_>, &mut Sink) -> T,
) -> Option<T> {
    let misplaced = check::misplaced_secrets(&tree, &meaning.leaves, sink);
    let leaves = meaning.leaves.iter().copied();
    let expandable: Vec<_> = leaves
        .filter(|leaf| !misplaced.contains(&leaf.node))
        .collect();
    let mut unknown = expand::expand(input, &mut tree, &expandable, sink);
    unknown.extend(misplaced);
    let shaped = shape::shape(input.source, &tree, meaning, &unknown, sink)?;
    check::unsupported::refuse_sections(&shaped.refused, sink);
    let decoded = decode::decode(tree, meaning, &unknown, shaped, sink)?;
    let resolved = resolve::resolve(&decoded, input.overrides, sink)?;
    check::check(&resolved, sink);
    Some(then(&resolved, sink))
}
