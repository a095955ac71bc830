//! The process before: what is known of it, and whether anything of it is left.
//!
//! Owns that two processes of one upstream are never there at the same time: the next one would find the
//! ports and lock files taken that the one before, or what that has started, still holds. Does not end
//! anything: `child` does, and how long that may take is its ladder's. `keep` passes it from one process to
//! the next. See `docs/decisions/0050-one-process-after-the-other.md`.

use std::convert::Infallible;

use tokio::sync::oneshot;

use super::Upstream;
use super::ends::Last;

/// See the file's header.
#[derive(Default)]
pub(super) struct Former {
    /// What is known of it, for the record of ends.
    pub(super) last: Last,
    /// Closes when nothing of it is left.
    ending: Option<oneshot::Receiver<Infallible>>,
}

impl Former {
    /// Lets this bring the process to its end, whatever becomes of the upstream meanwhile.
    pub(super) fn end(
        &mut self,
        upstream: &Upstream,
        stopping: impl Future<Output = ()> + Send + 'static,
    ) {
        let (held, ending) = oneshot::channel();
        self.ending = Some(ending);
        upstream.keeper.spawn(async move {
            stopping.await;
            drop(held);
        });
    }

    /// Waits until nothing of it is left.
    pub(super) async fn gone(&mut self) {
        if let Some(ending) = &mut self.ending {
            // Nothing is ever sent: the sender is dropped.
            let _gone = ending.await;
            self.ending = None;
        }
    }
}
