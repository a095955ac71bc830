//! Whether the tools of a server were listed, so that it is known which of their arguments are headers.
//!
//! Owns who lists them for the sake of a call, and when: one call at a time, and after a vain attempt
//! none for a while, so that a server that does not list costs its callers next to nothing. What was
//! listed is `mirror`'s.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// How long after a vain attempt there is no other one.
const RESPITE: Duration = Duration::from_secs(10);

/// What is known of one server's tools behind one endpoint.
pub(crate) struct Known {
    is_listed: AtomicBool,
    /// Until when nobody looks: milliseconds on its own clock.
    rests_until: AtomicU64,
    began: Instant,
    entrance: Semaphore,
}

impl Known {
    /// Nobody has looked yet.
    pub(crate) fn new() -> Self {
        Self {
            is_listed: AtomicBool::new(false),
            rests_until: AtomicU64::new(0),
            began: Instant::now(),
            entrance: Semaphore::new(1),
        }
    }

    /// Whether a call has to look first.
    pub(crate) fn is_to_be_looked_for(&self) -> bool {
        !self.is_listed.load(Ordering::Acquire)
            && self.now() >= self.rests_until.load(Ordering::Relaxed)
    }

    /// Looks, unless somebody else has by the time that it is this one's turn. Answers by `until`.
    pub(crate) async fn look(&self, until: Instant, looking: impl Future<Output = bool>) {
        let turn = timeout_at(until, self.entrance.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return;
        };
        if !self.is_to_be_looked_for() {
            return;
        }
        if timeout_at(until, looking).await == Ok(true) {
            self.note_listed();
        } else {
            let respite = u64::try_from(RESPITE.as_millis()).unwrap_or(0);
            self.rests_until
                .store(self.now() + respite, Ordering::Relaxed);
        }
    }

    /// The tools were listed, and what their list says is known.
    pub(crate) fn note_listed(&self) {
        self.is_listed.store(true, Ordering::Release);
    }

    /// The server says that it has other tools now.
    pub(crate) fn note_changed(&self) {
        self.is_listed.store(false, Ordering::Release);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::join;
    use tokio::time::{advance, sleep};

    const WAIT: Duration = Duration::from_secs(1);

    /// Fifty calls at once look, each of which takes as long, and as many as this really did.
    async fn crowd(known: &Arc<Known>, takes: Duration, finds: bool) -> usize {
        let looks = AtomicUsize::new(0);
        let calls = (0..50).map(|_| -> join::Boxed<'_, ()> {
            Box::pin(async {
                if known.is_to_be_looked_for() {
                    let looking = async {
                        looks.fetch_add(1, Ordering::SeqCst);
                        sleep(takes).await;
                        finds
                    };
                    known.look(Instant::now() + WAIT, looking).await;
                }
            })
        });
        join::all(calls.collect()).await;
        looks.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_come_at_once_wait_for_one_list() {
        let known = Arc::new(Known::new());
        let began = Instant::now();
        assert_eq!(crowd(&known, WAIT / 2, true).await, 1);
        assert_eq!(began.elapsed(), WAIT / 2);
        assert!(!known.is_to_be_looked_for());
        known.note_changed();
        assert_eq!(crowd(&known, WAIT / 2, true).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_list_is_asked_once_in_a_while() {
        for takes in [Duration::ZERO, WAIT * 60] {
            let known = Arc::new(Known::new());
            let began = Instant::now();
            assert_eq!(crowd(&known, takes, false).await, 1);
            assert!(began.elapsed() <= WAIT, "nobody waits longer than once");
            assert_eq!(crowd(&known, takes, false).await, 0);
            advance(RESPITE).await;
            assert_eq!(crowd(&known, takes, false).await, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_while_looking_leaves_it_to_the_next() {
        let known = Known::new();
        let until = Instant::now() + WAIT;
        let left = known.look(until, std::future::pending());
        assert!(timeout_at(Instant::now() + WAIT / 2, left).await.is_err());
        known.look(until, async { true }).await;
        assert!(!known.is_to_be_looked_for());
    }
}
