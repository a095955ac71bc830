//! Idle upstream connections of one worker thread.
//!
//! Owns which connection is used again and when one is closed. Does not connect or speak HTTP:
//! `wire` does. Each thread has its own pool, so nothing is shared and nothing is locked.
//!
//! A connection is usable again when its last answer was read to the end. A chunked answer tells
//! its end only by a further poll, so a connection may be put back with the tail of its answer.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The most idle connections per upstream and thread.
const IDLE_MAX: usize = 256;

/// How long a connection may be idle. Servers commonly close after 60 s or more.
const IDLE_AGE_MAX: Duration = Duration::from_secs(50);

/// How long the end of an answer may be missing after its last event.
const TAIL_AGE_MAX: Duration = Duration::from_secs(1);

/// A connection in use. Dropping it closes the connection, which is how a call is cancelled
/// (2026-07-28 §Cancellation); [`Lease::give_back`] keeps it.
pub(super) struct Lease {
    pub(super) sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
    site: u64,
    alive: Weak<()>,
}

/// A connection that nobody uses.
struct Idle {
    lease: Lease,
    tail: Option<Incoming>,
    since: Instant,
}

thread_local! {
    static POOL: RefCell<HashMap<u64, Vec<Idle>>> = RefCell::new(HashMap::new());
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lease {
    /// A new connection to a site; `alive` ends with the site.
    pub(super) fn new(
        sender: SendRequest<Full<Bytes>>,
        task: AbortHandle,
        site: u64,
        alive: &Arc<()>,
    ) -> Self {
        Self {
            sender,
            task,
            site,
            alive: Arc::downgrade(alive),
        }
    }

    /// Puts the connection back; `tail` is the rest of its last answer, if its end was not seen.
    pub(super) fn give_back(self, tail: Option<Incoming>) {
        let now = Instant::now();
        POOL.with_borrow_mut(|pool| {
            if !pool.contains_key(&self.site) {
                // A new site is rare: the moment to forget those that are gone.
                pool.retain(|_, shelf| {
                    shelf.iter().any(|idle| idle.lease.alive.strong_count() > 0)
                });
            }
            let idle = pool.entry(self.site).or_default();
            if idle.first().is_some_and(|idle| idle.is_stale(now)) {
                idle.retain(|idle| !idle.is_stale(now));
            }
            if idle.len() < IDLE_MAX {
                idle.push(Idle {
                    lease: self,
                    tail,
                    since: now,
                });
            }
        });
    }
}

/// An idle connection to a site, ready for a request.
pub(super) async fn checkout(site: u64) -> Option<Lease> {
    let mut has_yielded = false;
    loop {
        let now = Instant::now();
        match POOL.with_borrow_mut(|pool| take(pool.get_mut(&site)?, now)) {
            Some(mut lease) => {
                if lease.sender.ready().await.is_ok() {
                    return Some(lease);
                }
            }
            None if has_yielded || !has_tails(site) => return None,
            None => {
                // The end of an answer may lie in the socket already: let its task read it.
                has_yielded = true;
                tokio::task::yield_now().await;
            }
        }
    }
}

fn has_tails(site: u64) -> bool {
    POOL.with_borrow(|pool| pool.get(&site).is_some_and(|shelf| !shelf.is_empty()))
}

/// The most recently used connection whose answer has ended. Closed ones are dropped on the way.
fn take(shelf: &mut Vec<Idle>, now: Instant) -> Option<Lease> {
    let mut at = shelf.len();
    while at > 0 {
        at -= 1;
        let idle = shelf.get_mut(at)?;
        match idle.settle(now) {
            Settled::Ready => return Some(shelf.remove(at).lease),
            Settled::Closed => drop(shelf.remove(at)),
            Settled::Unfinished => {}
        }
    }
    None
}

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
        if self.lease.sender.is_closed() || self.is_stale(now) {
            return Settled::Closed;
        }
        let Some(tail) = &mut self.tail else {
            return Settled::Ready;
        };
        match poll_end(tail, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(true) => {
                self.tail = None;
                Settled::Ready
            }
            Poll::Ready(false) => Settled::Closed,
            Poll::Pending if now.duration_since(self.since) > TAIL_AGE_MAX => Settled::Closed,
            Poll::Pending => Settled::Unfinished,
        }
    }
}

/// Whether a body ends here. Bytes after the answer, beyond blank lines of an event stream, say no.
fn poll_end(body: &mut Incoming, context: &mut Context<'_>) -> Poll<bool> {
    loop {
        match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(None) => return Poll::Ready(true),
            Poll::Ready(Some(Ok(frame))) => {
                let is_blank = frame
                    .data_ref()
                    .is_none_or(|data| data.iter().all(u8::is_ascii_whitespace));
                if !is_blank {
                    return Poll::Ready(false);
                }
            }
            Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Puts a connection back after its last answer, whose end may still be on its way.
pub(super) fn settle(lease: Lease, mut body: Incoming) {
    match poll_end(&mut body, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(true) => lease.give_back(None),
        Poll::Ready(false) => drop(lease),
        Poll::Pending => lease.give_back(Some(body)),
    }
}
