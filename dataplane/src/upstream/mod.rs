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

/// How often each kind of list of an upstream has changed, for watchers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) tools: u64,
    pub(crate) prompts: u64,
    pub(crate) resources: u64,
}

impl Upstream {
    /// What the upstream said about itself; waits for the handshake until the deadline.
    pub(crate) async fn profile(
        self: &Arc<Self>,
        _deadline: tokio::time::Instant,
    ) -> Result<Arc<crate::profile::Profile>, Failure> {
        Err(Failure::Stopped)
    }

    /// Counts the changes of the upstream's lists.
    pub(crate) fn changes(&self) -> tokio::sync::watch::Receiver<Changes> {
        tokio::sync::watch::channel(Changes::default()).1
    }

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
