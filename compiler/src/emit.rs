//! The last pass: checks the plan as the data plane will, and seals it.
//!
//! Does not write files or bytes: [`Plan::to_bytes`] does, for whoever wants them.

use mcpc_plan::{Plan, PlanError};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::source::Span;

/// Verifies a plan that has no seal yet. Everything that is asked for was checked before `lower`, so
/// that a plan which fails here is a mistake of the compiler. It is told like any other finding.
pub(crate) fn verify(plan: Plan, sink: &mut Sink) -> Option<Plan> {
    let verified = plan.verify_contents();
    or_tell(verified.map(|()| plan), sink)
}

/// Gives a verified plan its keys and its digest.
pub(crate) fn seal(plan: Plan, sink: &mut Sink) -> Option<Plan> {
    or_tell(plan.seal(), sink)
}

fn or_tell(made: Result<Plan, PlanError>, sink: &mut Sink) -> Option<Plan> {
    let error = match made {
        Ok(plan) => return Some(plan),
        Err(error) => error,
    };
    let message = format!("the compiler made a plan that is not whole: {error}");
    let diagnostic = Diagnostic::error(
        codes::NOT_WHOLE,
        message,
        Span::default(),
        "in this configuration",
    );
    let help = "this is a mistake in mcpc; please report it, with the configuration and without its secrets";
    sink.report(diagnostic.help(help));
    None
}
