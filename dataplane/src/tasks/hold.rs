//! The end of a task whose call has ended in another way than by its result.
//!
//! Owns the one request that says so. Held by whoever waits for the task: it follows the same rule as the
//! call itself when nobody waits any more (`Leave`). Best effort, from the keeper, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::call::{Call, Leave};
use crate::policy::Permit;
use crate::upstream::Upstream;

/// How long the telling may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cancels its task when it is dropped, unless the task has ended or its caller's departure means nothing.
pub(crate) struct Hold {
    upstream: Arc<Upstream>,
    /// Nothing once there is nothing to be cancelled.
    cancel: Option<Box<Call>>,
    permit: Permit,
    leave: Leave,
}

impl Hold {
    pub(super) fn new(
        upstream: &Arc<Upstream>,
        cancel: Box<Call>,
        permit: Permit,
        leave: Leave,
    ) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            cancel: Some(cancel),
            permit,
            leave,
        }
    }

    /// The task has ended, or somebody else cares for it.
    pub(crate) fn release(mut self) {
        self.cancel = None;
    }

    /// Ends the task, whatever the caller's departure means.
    pub(crate) fn cancel(mut self) {
        self.tell();
    }

    fn tell(&mut self) {
        if let Some(mut cancel) = self.cancel.take() {
            cancel.deadline = Instant::now() + PATIENCE;
            self.upstream.send_and_forget(cancel, self.permit);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.leave.cancels() {
            self.tell();
        }
    }
}
