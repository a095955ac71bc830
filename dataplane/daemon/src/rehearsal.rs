//! An operation without files, signals and threads, on the caller's runtime and clock: for tests.
//!
//! Owns nothing of its own: reloads, rollbacks and probation are those of every gateway. Compiled only with the
//! feature `rehearsal`, which no binary has.

use mcpc_dataplane::{Outcome, Rehearsal, Wish};
use mcpc_plan::Plan;
use tokio::time::Instant;

use crate::history::History;
use crate::loader::load;
use crate::operation::{Asked, Operation};
use crate::plan_file::Addresses;
use crate::state_dir::Keys;
use crate::trials::Trials;
use crate::{GatewayFlags, Plans};

/// See the file's header.
pub struct Operated<'a> {
    operation: Operation<'a, Rehearsal>,
    plans: Box<dyn Plans>,
}

impl<'a> Operated<'a> {
    /// Operates a gateway that serves this plan.
    pub fn begin(
        gateway: Rehearsal,
        live: Plan,
        plans: Box<dyn Plans>,
        flags: &'a GatewayFlags,
    ) -> Self {
        let mut history = History::open(flags.state_dir.as_deref(), Addresses::of(flags));
        history.went_live(&live, None, &live.digest);
        let operation = Operation {
            flags,
            trials: Trials::begin(flags.probation, &gateway),
            retries_at: Instant::now(),
            refused: None,
            went_back_at: None,
            gateway,
            live,
            history,
            keys: Keys::default(),
        };
        Self { operation, plans }
    }

    /// The source holds something else.
    pub fn changed(&mut self) -> Outcome {
        self.load(Asked::ByChange)
    }

    /// An operator asks for something.
    pub fn carry_out(&mut self, wish: Wish) -> Outcome {
        match wish {
            Wish::Reload => self.load(Asked::ByOperator(Instant::now())),
            Wish::RollBack => self.operation.roll_back(),
        }
    }

    fn load(&mut self, asked: Asked) -> Outcome {
        let loaded = load(self.plans.as_mut());
        let found = loaded.map(|plan| self.operation.gateway.resolve(plan));
        self.operation.loaded(asked, found)
    }

    /// Does what is due, if anything is.
    pub fn look_after(&mut self) {
        if self
            .operation
            .due()
            .is_some_and(|due| due <= Instant::now())
        {
            self.operation.look_after();
        }
    }

    /// The plan that is live.
    pub fn live(&self) -> &Plan {
        &self.operation.live
    }

    /// The gateway that is operated.
    pub fn gateway(&self) -> &Rehearsal {
        &self.operation.gateway
    }
}
