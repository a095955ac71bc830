//! Seconds, counted by thread, for whatever is quiet for long.
//!
//! Owns when a stream that says nothing is to be kept alive, and when a reply is so late that its
//! stream is opened before it is there. There is no timer for either: the sweep of a thread's
//! connections beats once a second, and every few beats it wakes those connections that owe
//! something, whose futures then look here. A thread without connections never beats.
//!
//! Also that the gateway has stopped and its grace is over, which is told to the futures in the same way.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::task::Poll;

/// How long there may be nothing before something is sent.
pub(crate) const QUIET_SECONDS: u32 = 15;

/// How often a connection that owes something is woken.
pub(crate) const WAKE_SECONDS: u32 = 5;

/// What is sent on a quiet stream, so that nothing in between takes it for dead.
pub(crate) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

thread_local! {
    static SECONDS: Cell<u32> = const { Cell::new(0) };
    static HAS_STOPPED: Cell<bool> = const { Cell::new(false) };
}

/// One more second has gone by on this thread.
pub(crate) fn beat() {
    SECONDS.set(SECONDS.get().wrapping_add(1));
}

/// The grace of this thread's calls is over. Whoever says so wakes its connections.
pub(crate) fn stop() {
    HAS_STOPPED.set(true);
}

/// Whether the grace of this thread's calls is over.
pub(crate) fn has_stopped() -> bool {
    HAS_STOPPED.get()
}

/// Resolves when the grace of this thread's calls is over. Wakes nobody: whoever says so does.
pub(crate) fn stopped() -> impl Future<Output = ()> {
    poll_fn(|_| {
        if has_stopped() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
}

/// A moment on this thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(u32);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(SECONDS.get())
    }

    /// Whether it has been quiet for long, if nothing has happened since.
    pub(crate) fn is_long_ago(self) -> bool {
        SECONDS.get().wrapping_sub(self.0) >= QUIET_SECONDS
    }
}

/// Resolves when it has been quiet for long. Wakes nobody: the sweep does.
pub(crate) fn quiet() -> impl Future<Output = ()> {
    let since = Moment::now();
    poll_fn(move |_| {
        if since.is_long_ago() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
}
