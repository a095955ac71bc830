//! A plan with its secrets, looked up before it is put in place.
//!
//! Owns which of them a plan needs and what is said if one is not to be had. A step of its own because a source may
//! keep whoever reads it waiting: a pipe, or a file on a disk that is far away. Whoever serves or hears signals has
//! others do it.

use mcpc_plan::{Plan, Source};

use crate::Reach;
use crate::refusal::Refusal;
use crate::upstream::{Resolved, Unusable};

/// A plan, and what came of looking up its secrets.
pub struct ResolvedPlan {
    pub(crate) plan: Plan,
    /// For each of its upstreams and their replicas, in order.
    pub(crate) secrets: Result<Vec<Resolved>, Refusal>,
}

impl ResolvedPlan {
    /// Looks at the credentials file, the variables and the files of secrets as they are now. A pipe among them has 5
    /// seconds.
    pub fn of(plan: Plan, reach: &dyn Reach) -> Self {
        let secrets = reach.renew().and_then(|()| resolve(&plan, reach));
        Self { plan, secrets }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

fn resolve(plan: &Plan, reach: &dyn Reach) -> Result<Vec<Resolved>, Refusal> {
    let instances = plan.upstreams.iter();
    let instances = instances.flat_map(mcpc_plan::Upstream::instances);
    let resolved = instances.map(|upstream| {
        Resolved::of(&upstream, reach).map_err(|why| refusal(&upstream.name, &why))
    });
    resolved.collect()
}

/// Why a plan with this server cannot be used.
pub(crate) fn refusal(server: &str, why: &Unusable) -> Refusal {
    match why {
        Unusable::Missing { field, missing } => {
            let source = match &missing.source {
                Source::Variable(name) => format!("the variable `{name}` is not set"),
                Source::File(path) => format!("the file `{path}` cannot be read"),
            };
            let message = missing
                .message
                .as_deref()
                .map(|text| format!(": {text}"))
                .unwrap_or_default();
            Refusal::new(
                "MCPC9601",
                format!("server `{server}` needs a secret for `{field}`, but {source}{message}"),
            )
        }
        Unusable::BadValue { field } => Refusal::new(
            "MCPC9602",
            format!("the value of `{field}` of server `{server}` cannot be used where it stands"),
        ),
    }
}
