//! How a plan has an upstream watched: when it gets no calls any more, and when it is asked.
//!
//! Owns what tells two such ways apart. They are no part of what an upstream is reached by, so that an edit
//! of them starts nothing; but one upstream has one breaker and one health, and obeys one plan's rules.

use mcpc_plan::{Breaker, Health, Upstream};

/// The rules of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) breaker: Option<Breaker>,
    pub(crate) health: Option<Health>,
}

impl Rules {
    /// Those of a server of a plan.
    pub(crate) fn of(definition: &Upstream) -> Self {
        Self {
            breaker: definition.breaker.clone(),
            health: definition.health.clone(),
        }
    }
}
