//! Idle upstream connections of one worker thread.
//!
//! Owns which connection is used again and when one is closed. Does not connect or speak HTTP:
//! `wire` does. Each thread has its own pool, so nothing is shared and nothing is locked.
//!
//! A connection is usable again when its last answer was read to the end. A chunked answer tells
//! its end only behind its last event, so a connection may be put back with the rest of its answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::body::Body;
use super::lease::Lease;

/// The most idle connections per upstream and thread.
const IDLE_MAX: usize = 256;

/// How long a connection may be idle. Servers commonly close after 60 s or more.
const IDLE_AGE_MAX: Duration = Duration::from_secs(50);

/// How long the end of an answer may be missing after its last event.
const TAIL_AGE_MAX: Duration = Duration::from_secs(1);

/// How often connections are looked at that nobody asks for.
const SWEEP: Duration = Duration::from_secs(10);

/// A connection that nobody uses, with what is left of its last answer.
struct Idle {
    body: Body,
    since: Instant,
}

/// The idle connections of one thread, by site.
#[derive(Default)]
struct Pool {
    shelves: HashMap<u64, Vec<Idle>>,
    /// Closes what upstreams have closed or nobody uses any more, as long as there is anything.
    sweeping: Option<JoinHandle<()>>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

/// Puts a connection back after its last answer, whose end may still be on its way.
pub(super) fn give_back(mut body: Body) {
    if body.poll_end(&mut Context::from_waker(Waker::noop())) == Poll::Ready(false) {
        return;
    }
    body.lease().rest();
    let now = Instant::now();
    POOL.with_borrow_mut(|pool| {
        let shelf = pool.shelves.entry(body.lease().site()).or_default();
        if shelf.first().is_some_and(|idle| idle.is_stale(now)) {
            shelf.retain(|idle| !idle.is_stale(now));
        }
        if shelf.len() < IDLE_MAX {
            shelf.push(Idle { body, since: now });
        }
        pool.keep_swept();
    });
}

/// An idle connection to a site, ready for a request.
pub(super) async fn checkout(site: u64) -> Option<Lease> {
    let found = take(site);
    if found.is_some() || !has_tails(site) {
        return found;
    }
    // The end of an answer may be about to come: let whoever writes or polls for it have a turn.
    tokio::task::yield_now().await;
    take(site)
}

/// Closes connections that cannot be used any more. Gives whether others are left.
pub(super) fn sweep() -> bool {
    let now = Instant::now();
    POOL.with_borrow_mut(|pool| {
        pool.shelves.retain(|_, shelf| {
            shelf.retain_mut(|idle| idle.settle(now) != Settled::Closed);
            !shelf.is_empty()
        });
        !pool.shelves.is_empty()
    })
}

impl Pool {
    fn keep_swept(&mut self) {
        let is_swept = self.sweeping.as_ref().is_some_and(|it| !it.is_finished());
        if !is_swept {
            self.sweeping = Some(tokio::spawn(async {
                sleep(SWEEP).await;
                while sweep() {
                    sleep(SWEEP).await;
                }
            }));
        }
    }
}

fn has_tails(site: u64) -> bool {
    POOL.with_borrow(|pool| {
        let shelf = pool.shelves.get(&site);
        shelf.is_some_and(|shelf| !shelf.is_empty())
    })
}

/// The most recently used connection whose answer has ended. Closed ones are dropped on the way.
fn take(site: u64) -> Option<Lease> {
    let now = Instant::now();
    POOL.with_borrow_mut(|pool| {
        let shelf = pool.shelves.get_mut(&site)?;
        let mut at = shelf.len();
        while at > 0 {
            at -= 1;
            match shelf.get_mut(at)?.settle(now) {
                Settled::Ready => return shelf.remove(at).body.into_lease(),
                Settled::Closed => drop(shelf.remove(at)),
                Settled::Unfinished => {}
            }
        }
        None
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Settled {
    Ready,
    Closed,
    Unfinished,
}

impl Idle {
    fn is_stale(&self, now: Instant) -> bool {
        now.duration_since(self.since) > IDLE_AGE_MAX
    }

    fn settle(&mut self, now: Instant) -> Settled {
        if self.is_stale(now) {
            return Settled::Closed;
        }
        let mut context = Context::from_waker(Waker::noop());
        match self.body.poll_end(&mut context) {
            Poll::Ready(true) if self.body.lease().is_quiet() => Settled::Ready,
            Poll::Ready(_) => Settled::Closed,
            Poll::Pending if now.duration_since(self.since) > TAIL_AGE_MAX => Settled::Closed,
            Poll::Pending => Settled::Unfinished,
        }
    }
}
