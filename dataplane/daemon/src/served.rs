//! What an operation needs of the gateway that it operates.
//!
//! A seam for tests: the same operation runs on a gateway with threads and sockets, and on one without either,
//! on virtual time (`rehearsal`).

use mcpc_dataplane::{Figures, Gateway, Kept, Refusal, ResolvedPlan, Swapped, Taken, Timestamp};
use mcpc_plan::{Digest, Plan};

/// A gateway that serves. Each method is the gateway's of the same name.
pub(crate) trait Served {
    fn resolve(&self, plan: Plan) -> ResolvedPlan;
    fn swap(&mut self, plan: ResolvedPlan) -> Result<Swapped, Refusal>;
    fn try_again(&self) -> Vec<Box<str>>;
    fn figures(&self) -> Figures;
    fn note_refused(&self, digest: Option<Digest>, refusal: &Refusal);
    fn note_set_aside(&self, taken: Taken, digest: Option<Digest>, refusal: &Refusal);
    fn note_probation(&self, until: Option<Timestamp>);
    fn note_kept(&self, kept: Option<Kept>);
}

/// Each method is the one of the same name that the type has itself.
macro_rules! served {
    ($gateway:ty) => {
        impl Served for $gateway {
            fn resolve(&self, plan: Plan) -> ResolvedPlan {
                <$gateway>::resolve(self, plan)
            }

            fn swap(&mut self, plan: ResolvedPlan) -> Result<Swapped, Refusal> {
                <$gateway>::swap(self, plan)
            }

            fn try_again(&self) -> Vec<Box<str>> {
                <$gateway>::try_again(self)
            }

            fn figures(&self) -> Figures {
                <$gateway>::figures(self)
            }

            fn note_refused(&self, digest: Option<Digest>, refusal: &Refusal) {
                <$gateway>::note_refused(self, digest, refusal);
            }

            fn note_set_aside(&self, taken: Taken, digest: Option<Digest>, refusal: &Refusal) {
                <$gateway>::note_set_aside(self, taken, digest, refusal);
            }

            fn note_probation(&self, until: Option<Timestamp>) {
                <$gateway>::note_probation(self, until);
            }

            fn note_kept(&self, kept: Option<Kept>) {
                <$gateway>::note_kept(self, kept);
            }
        }
    };
}

served!(Gateway);

#[cfg(feature = "rehearsal")]
served!(mcpc_dataplane::Rehearsal);
