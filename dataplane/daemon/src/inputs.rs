//! What a gateway waits for: signals, another content, operators, its one client, and the clock.
//!
//! Owns the order of precedence among them. What is done about each is `operation`'s.

use std::io;
use std::time::Duration;

use mcpc_dataplane::{Gateway, Order};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tracing::warn;

use crate::GatewayFlags;
use crate::content::{self, Content, Found, Present};
use crate::loader::Loaded;
use crate::signals::{Signals, Wish};
use crate::watch::Watch;

/// What has happened.
pub(crate) enum Event {
    /// The file or the URL holds something else.
    Changed,
    /// The system asks for a reload.
    HungUp,
    /// An operator asks for something.
    Ordered(Order),
    /// A load is over.
    Loaded(Box<Loaded>),
    /// It is time to look after something.
    Due,
    /// The system asks for the end.
    Stop,
    /// The one client has left, which is the end as well.
    Left,
}

/// See the file's header.
pub(crate) struct Inputs {
    signals: Signals,
    lookout: Option<Lookout>,
    orders: Option<mpsc::Receiver<Order>>,
    loads: Option<mpsc::Receiver<Loaded>>,
    left: Option<oneshot::Receiver<()>>,
    /// The system has asked for the end before anybody could wait for it here.
    is_stop_due: bool,
}

impl Inputs {
    /// Opened before the first plan is loaded, so that no signal and no change is lost in between.
    pub(crate) fn open(content: &Content, flags: &GatewayFlags) -> io::Result<(Runtime, Self)> {
        Signals::have_room()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let guard = runtime.enter();
        let signals = Signals::open()?;
        let lookout = if flags.no_watch {
            None
        } else {
            Lookout::open(content, flags.poll)
        };
        drop(guard);
        let inputs = Self {
            signals,
            lookout,
            orders: None,
            loads: None,
            left: None,
            is_stop_due: false,
        };
        Ok((runtime, inputs))
    }

    /// Listens to the operators and to the one client of a gateway that serves, and to whoever loads for it.
    pub(crate) fn attend(&mut self, gateway: &mut Gateway, loads: mpsc::Receiver<Loaded>) {
        self.loads = Some(loads);
        self.orders = gateway.orders();
        self.left = gateway.client_left();
    }

    /// Waits for the next event; for nothing longer than until something is due. Without a content, nothing is
    /// compared with it: what happens to it meanwhile is looked at when there is one again.
    pub(crate) async fn next(&mut self, content: Option<&Content>, due: Option<Instant>) -> Event {
        let changed = async {
            match (&mut self.lookout, content) {
                (Some(lookout), Some(content)) => return lookout.changed(content).await,
                (Some(lookout), None) => lookout.forget(),
                (None, _) => {}
            }
            std::future::pending::<()>().await;
        };
        let left = async {
            match &mut self.left {
                // An end without a word is an end as well.
                Some(left) => drop(left.await),
                None => std::future::pending().await,
            }
        };
        let ordered = next_of(&mut self.orders);
        let loaded = next_of(&mut self.loads);
        let is_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        if self.is_stop_due {
            return Event::Stop;
        }
        tokio::select! {
            biased;
            wish = self.signals.next() => match wish {
                Wish::Reload => Event::HungUp,
                Wish::Stop => Event::Stop,
            },
            () = left => Event::Left,
            order = ordered => Event::Ordered(order),
            loaded = loaded => Event::Loaded(Box::new(loaded)),
            () = changed => Event::Changed,
            () = is_due => Event::Due,
        }
    }

    /// The next event is the wish to stop.
    pub(crate) fn stop_soon(&mut self) {
        self.is_stop_due = true;
    }

    /// No order is taken any more: operators are told so instead of waiting for what never comes.
    pub(crate) fn take_no_orders(&mut self) {
        self.orders = None;
    }

    /// Waits for the next signal to stop.
    pub(crate) async fn asked_to_stop(&mut self) {
        while self.signals.next().await != Wish::Stop {}
    }
}

/// What arrives next, if anything ever does.
async fn next_of<T>(arriving: &mut Option<mpsc::Receiver<T>>) -> T {
    let next = match arriving {
        Some(arriving) => arriving.recv().await,
        None => None,
    };
    match next {
        Some(next) => next,
        None => std::future::pending().await,
    }
}

/// Who notices that there is something else. Goes on where it was after something else has happened.
enum Lookout {
    File(Watch),
    Url {
        next: Interval,
        /// The question that was asked and is not answered yet.
        asked: Option<Present>,
    },
}

impl Lookout {
    fn open(content: &Content, poll: Duration) -> Option<Self> {
        match content.lookout() {
            content::Lookout::Nothing => None,
            content::Lookout::File(file) => match Watch::start(file) {
                Ok(watch) => Some(Self::File(watch)),
                Err(error) => {
                    warn!(reason = %error, "the file cannot be watched; SIGHUP loads it again");
                    None
                }
            },
            content::Lookout::Url => {
                let mut next = interval_at(Instant::now() + poll, poll);
                next.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Some(Self::Url { next, asked: None })
            }
        }
    }

    /// Ends when there is something else than what was loaded. Not something else than the last time: a
    /// load in between, after SIGHUP or of a file that changed and changed back, may have read a content
    /// that no event was looked at for.
    async fn changed(&mut self, content: &Content) {
        loop {
            let present = match self {
                Self::File(watch) => settled(watch, content).await,
                Self::Url { next, asked } => {
                    if asked.is_none() {
                        next.tick().await;
                    }
                    let present = asked.get_or_insert_with(|| content.present()).await;
                    *asked = None;
                    present
                }
            };
            if present.as_ref() != content.loaded() {
                return;
            }
        }
    }

    /// Drops a question whose answer would be of a time before the next load.
    fn forget(&mut self) {
        if let Self::Url { asked, .. } = self {
            *asked = None;
        }
    }
}

/// What a file holds after something has happened to it.
async fn settled(watch: &mut Watch, content: &Content) -> Option<Found> {
    watch.stirred().await;
    let mut present = content.present().await;
    if !matches!(present, Some(Found::Bytes(_))) {
        // Deleted to be written anew, as some editors do. Once more, then it is gone.
        watch.settled().await;
        present = content.present().await;
    }
    watch.seen();
    present
}
