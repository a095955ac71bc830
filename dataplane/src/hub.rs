//! Tells listening clients of one endpoint that a list has changed.
//!
//! A counter for each kind of list, watched: changes that come faster than a client reads them
//! become one notification by construction, and a slow client costs nobody anything.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use crate::upstream::Changes;

/// The counters of one endpoint path. It lives across swaps, so listening clients stay connected.
pub(crate) struct Hub {
    changes: watch::Sender<Changes>,
}

impl Hub {
    /// A hub that nobody watches yet.
    pub(crate) fn new() -> Self {
        Self {
            changes: watch::Sender::new(Changes::default()),
        }
    }

    /// Watches from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// The endpoint was given another plan, whether or not it is another one for its clients.
    pub(crate) fn replaced(&self) {
        self.changes.send_modify(|changes| changes.plans += 1);
    }

    /// Every list may have changed: the endpoint has other members or names now.
    pub(crate) fn touch(&self) {
        self.changes.send_modify(|changes| {
            changes.tools += 1;
            changes.prompts += 1;
            changes.resources += 1;
        });
    }

    /// Relays the changes of one upstream until the plan is replaced or the upstream is gone. Watches
    /// from the call on, not from the first poll, so that between two plans no change is missed.
    pub(crate) fn relay(
        self: Arc<Self>,
        mut source: watch::Receiver<Changes>,
        mut replaced: watch::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut last = *source.borrow_and_update();
        async move {
            loop {
                tokio::select! {
                    // What was said before the plan was replaced is still passed on.
                    biased;
                    changed = source.changed() => if changed.is_err() { return },
                    // Nothing is ever sent: the sender is dropped.
                    _ = replaced.changed() => return,
                }
                let now = *source.borrow_and_update();
                self.changes.send_modify(|changes| {
                    changes.tools += u64::from(now.tools != last.tools);
                    changes.prompts += u64::from(now.prompts != last.prompts);
                    changes.resources += u64::from(now.resources != last.resources);
                });
                last = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arc, Changes, Hub, watch};

    #[tokio::test]
    async fn a_relay_ends_with_its_plan_though_nothing_changes() {
        let hub = Arc::new(Hub::new());
        let upstream = watch::Sender::new(Changes::default());
        let plan = watch::Sender::new(());
        let relay = Arc::clone(&hub).relay(upstream.subscribe(), plan.subscribe());
        drop(plan);
        relay.await;
        assert_eq!(upstream.receiver_count(), 0);
        assert_eq!(Arc::strong_count(&hub), 1);
    }

    #[tokio::test]
    async fn a_change_before_the_first_poll_and_the_end_of_the_plan_is_relayed() {
        let hub = Arc::new(Hub::new());
        let watching = hub.watch();
        let upstream = watch::Sender::new(Changes::default());
        let plan = watch::Sender::new(());
        let relay = Arc::clone(&hub).relay(upstream.subscribe(), plan.subscribe());
        upstream.send_modify(|changes| changes.tools += 1);
        drop(plan);
        relay.await;
        assert_eq!(watching.borrow().tools, 1);
        assert_eq!(watching.borrow().prompts, 0);
    }
}
