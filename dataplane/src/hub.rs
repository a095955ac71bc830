//! Tells listening clients of one endpoint that a list has changed.
//!
//! A counter for each kind of list, watched: changes that come faster than a client reads them
//! become one notification by construction, and a slow client costs nobody anything.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

use crate::snapshot::Served;
use crate::upstream::{Changes, Upstream};

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

    /// Every list may have changed: the endpoint has other members or names now.
    pub(crate) fn touch(&self) {
        self.changes.send_modify(|changes| {
            changes.tools += 1;
            changes.prompts += 1;
            changes.resources += 1;
        });
    }

    /// Relays the changes of one upstream until the endpoint has left the plan or the upstream is gone.
    pub(crate) async fn relay(self: Arc<Self>, upstream: Arc<Upstream>, served: Weak<Served>) {
        let mut source = upstream.changes();
        drop(upstream);
        let mut last = *source.borrow_and_update();
        // The endpoint is looked at when something changes: a relay that outlives its plan by a
        // change is harmless, and costs no second thing to wait for.
        while source.changed().await.is_ok() && served.strong_count() > 0 {
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
