//! What a gateway waits for: signals, its watched file, operators, its one client, and the clock.
//!
//! Owns the order of precedence among them. What is done about each is `operation`'s.

use std::io;
use std::path::Path;
use std::time::Instant;

use mcpc_dataplane::{Gateway, Order};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::GatewayFlags;
use crate::operate::Plans;
use crate::signals::{Signals, Wish};
use crate::watch::Watch;

/// What has happened.
pub(crate) enum Event {
    /// The watched file holds something else.
    Changed,
    /// The system asks for a reload.
    HungUp,
    /// An operator asks for something.
    Ordered(Order),
    /// It is time to look after something.
    Due,
    /// The system asks for the end, or the one client has left.
    Stop,
}

/// See the file's header.
pub(crate) struct Inputs {
    signals: Signals,
    watch: Option<Watch>,
    orders: Option<mpsc::Receiver<Order>>,
    left: Option<oneshot::Receiver<()>>,
}

impl Inputs {
    /// Opened before the first plan is loaded, so that no signal and no change is lost in between.
    pub(crate) fn open(file: Option<&Path>, flags: &GatewayFlags) -> io::Result<(Runtime, Self)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let guard = runtime.enter();
        let signals = Signals::open()?;
        let watched = file.filter(|_| !flags.no_watch);
        let watch = watched.and_then(watch_or_warn);
        drop(guard);
        let inputs = Self {
            signals,
            watch,
            orders: None,
            left: None,
        };
        Ok((runtime, inputs))
    }

    /// Listens to the operators and to the one client of a gateway that serves.
    pub(crate) fn attend(&mut self, gateway: &mut Gateway) {
        self.orders = gateway.orders();
        self.left = gateway.client_left();
    }

    /// Waits for the next event; for nothing longer than until something is due.
    pub(crate) async fn next(&mut self, plans: &dyn Plans, due: Option<Instant>) -> Event {
        let changed = async {
            match &mut self.watch {
                Some(watch) => changed(watch, plans).await,
                None => std::future::pending().await,
            }
        };
        let left = async {
            match &mut self.left {
                // An end without a word is an end as well.
                Some(left) => drop(left.await),
                None => std::future::pending().await,
            }
        };
        let ordered = async {
            let next = match &mut self.orders {
                Some(orders) => orders.recv().await,
                None => None,
            };
            match next {
                Some(order) => order,
                None => std::future::pending().await,
            }
        };
        let is_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            wish = self.signals.next() => match wish {
                Wish::Reload => Event::HungUp,
                Wish::Stop => Event::Stop,
            },
            () = left => Event::Stop,
            order = ordered => Event::Ordered(order),
            () = changed => Event::Changed,
            () = is_due => Event::Due,
        }
    }

    pub(crate) async fn asked_to_stop(&mut self) {
        while self.signals.next().await != Wish::Stop {}
    }
}

/// Ends when there is something else than what was loaded. Not something else than the last time: a
/// load in between, after SIGHUP or of a file that changed and changed back, may have read a content
/// that no event was looked at for.
async fn changed(watch: &mut Watch, plans: &dyn Plans) {
    loop {
        watch.stirred().await;
        let mut present = plans.present();
        if present.is_none() {
            // Deleted to be written anew, as some editors do. Once more, then it is gone.
            watch.settled().await;
            present = plans.present();
        }
        watch.seen();
        if present != plans.loaded() {
            return;
        }
    }
}

fn watch_or_warn(file: &Path) -> Option<Watch> {
    match Watch::start(file) {
        Ok(watch) => Some(watch),
        Err(error) => {
            warn!(reason = %error, "the file cannot be watched; SIGHUP loads it again");
            None
        }
    }
}
