//! The last pass: gives the plan its digest and checks it as the data plane will.
//!
//! Does not write files or bytes: [`Plan::to_bytes`] does, for whoever wants them.

use mcpc_plan::{Plan, PlanError};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::source::Span;

/// Seals a plan and verifies it. Everything that `verify` asks for was checked before `lower`, so
/// that a plan which fails here is a mistake of the compiler. It is told like any other finding.
pub(crate) fn emit(plan: Plan, sink: &mut Sink) -> Option<Plan> {
    match seal(plan) {
        Ok(plan) => Some(plan),
        Err(error) => {
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
    }
}

fn seal(plan: Plan) -> Result<Plan, PlanError> {
    let plan = plan.seal()?;
    plan.verify_contents()?;
    Ok(plan)
}
