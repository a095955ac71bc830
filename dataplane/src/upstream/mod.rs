//! placeholder: filled by the upstream area. The contract is in the signatures below.
use std::sync::Arc;

use crate::call::{Answer, Call, NextEvent};
use crate::failure::Failure;
use crate::policy::Permit;

/// One upstream, alive across plans as long as its content key is in use.
pub(crate) struct Upstream {}

/// The events of one call. Dropping it before `Done` ends the call as `Call::leave` says.
pub(crate) struct EventStream {}

impl EventStream {
    /// The next event, within the call's idle and total deadlines.
    pub(crate) async fn next(&mut self) -> NextEvent {
        Err(Failure::Stopped)
    }

    /// Tells the upstream to stop, whatever `leave` says (a legacy client sent `notifications/cancelled`).
    pub(crate) fn cancel(self) {}
}

impl Upstream {
    /// The era that the upstream was found to speak; nothing before it was first reached.
    pub(crate) fn era(&self) -> Option<crate::call::Era> {
        None
    }

    /// Sends a call and waits for the first event.
    pub(crate) async fn send(
        self: &Arc<Self>,
        _call: Call,
        _permit: Permit,
    ) -> Result<Answer, Failure> {
        Err(Failure::Stopped)
    }
}
