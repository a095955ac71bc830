//! Decides whether a call may go to its upstream, and makes the proof of it.
//!
//! Owns [`Permit`]: only this file can make one, and the upstream refuses a call without one. So
//! there is one decision in front of every transport, method and era.

use mcpc_plan::Access;

/// The proof that policy let a call through. Cannot be made outside this file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Permit(());

/// Decides. With open access the route table is the whole policy: what it does not expose has no route.
pub(crate) fn permit(access: Access) -> Permit {
    match access {
        Access::Open => Permit(()),
    }
}
