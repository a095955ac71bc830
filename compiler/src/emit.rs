//! The last pass: gives the plan its digest and checks it as the data plane will.
//!
//! Does not write files or bytes: [`Plan::to_bytes`] does, for whoever wants them.

use mcpc_plan::{Plan, PlanError};

/// Seals a plan and verifies it. An error here is a defect of the compiler, never of the
/// configuration: everything that `verify` asks for was checked before `lower`.
pub(crate) fn emit(plan: Plan) -> Result<Plan, PlanError> {
    let plan = plan.seal()?;
    plan.verify()?;
    Ok(plan)
}
