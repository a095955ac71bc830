//! When a call that failed is sent again, if the plan says that calls may be.
//!
//! Owns which failures are worth it, the budget, and the pauses. A call is sent again only if nothing of it
//! can have reached the server, or if it changes nothing however often it is sent. Does not send: `replicas`
//! does.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::call::Call;
use crate::failure::Failure;

/// What one retry costs. A call puts as much in as the plan's share of it, in percent.
const COST: u32 = 100;

/// The most that is kept, and what there is at the beginning: servers with few calls have retries too.
const FULL: u32 = 10 * COST;

/// The first and the longest pause before the same server is tried again.
const PAUSE_FROM: Duration = Duration::from_millis(50);
const PAUSE_TO: Duration = Duration::from_secs(2);

/// The budget of one upstream. It outlives plans, so that reloads fill nothing up.
pub(super) struct Retries {
    balance: AtomicU32,
    sent: AtomicU64,
    refused: AtomicU64,
}

/// What operators see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// Calls that were sent again.
    pub(crate) sent: u64,
    /// Calls that would have been, had there been any budget left.
    pub(crate) refused: u64,
}

impl Retries {
    pub(super) fn new() -> Self {
        Self {
            balance: AtomicU32::new(FULL),
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// A call was sent, for the first time.
    pub(super) fn note_call(&self, budget_percent: u32) {
        let add = |balance: u32| (balance < FULL).then(|| (balance + budget_percent).min(FULL));
        // It is full already.
        let _full = self
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Pays for a retry, if there is enough left.
    pub(super) fn take(&self) -> bool {
        let pay = |balance: u32| balance.checked_sub(COST);
        let paid = self
            .balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay)
            .is_ok();
        let count = if paid { &self.sent } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        paid
    }

    pub(super) fn spent(&self) -> Spent {
        Spent {
            sent: self.sent.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

/// What there is to hope for of another try.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hope {
    /// Nothing of it was sent.
    Unsent,
    /// It may fare better, if it does no harm to send it twice.
    IfHarmless,
    /// It would be the same again, or its time is over, or the server is to be left alone.
    None,
}

/// Whether a call may be sent again after a failure, and may fare better.
pub(super) fn is_worth(failure: Failure, call: &Call) -> bool {
    match hope_of(failure) {
        Hope::Unsent => true,
        Hope::IfHarmless => changes_nothing(call),
        Hope::None => false,
    }
}

fn hope_of(failure: Failure) -> Hope {
    match failure {
        Failure::Unreachable
        | Failure::ConnectTimeout
        | Failure::Handshake
        | Failure::Overloaded => Hope::Unsent,
        Failure::FirstByteTimeout
        | Failure::IdleTimeout
        | Failure::Closed
        | Failure::SessionLost
        // Another replica may still be in use.
        | Failure::CutOff => Hope::IfHarmless,
        Failure::Status(status) if status >= 500 || status == 429 => Hope::IfHarmless,
        Failure::Status(_)
        | Failure::ListTimeout
        | Failure::TotalTimeout
        | Failure::Garbage
        | Failure::WrongId
        | Failure::TooLarge
        | Failure::Unauthorized
        // No replica is ready, and when one starts is known.
        | Failure::Between(_)
        | Failure::Degraded(_)
        | Failure::CircuitOpen(_)
        | Failure::AskRefused
        | Failure::AsksTooOften
        | Failure::Refused
        | Failure::NoDescriptor
        | Failure::NoProcess
        | Failure::SessionServersFull
        | Failure::NotConfined
        | Failure::Stopped => Hope::None,
    }
}

/// Whether something of a request that changes nothing was sent, and it may fare better.
pub(super) fn was_sent(failure: Failure) -> bool {
    hope_of(failure) == Hope::IfHarmless
}

fn changes_nothing(call: &Call) -> bool {
    call.is_repeatable || is_safe(&call.method)
}

/// Whether a request changes nothing, so that sending it twice is harmless.
pub(super) fn is_safe(method: &[u8]) -> bool {
    matches!(
        method,
        b"tools/list"
            | b"prompts/list"
            | b"prompts/get"
            | b"resources/list"
            | b"resources/templates/list"
            | b"resources/read"
            | b"completion/complete"
            | b"tasks/get"
            | b"server/discover"
            | b"ping"
    )
}

/// The pause before a try at a server that has just failed: random up to twice as much each time, so that
/// callers who failed together do not come back together.
pub(super) fn pause(tries: u32) -> Duration {
    let doubled = PAUSE_FROM * 2u32.saturating_pow(tries.saturating_sub(1).min(16));
    let most = doubled.min(PAUSE_TO);
    // A fresh hasher is keyed at random; no more is asked of this number.
    let random = RandomState::new().hash_one(0);
    let half = u64::try_from(most.as_micros() / 2)
        .unwrap_or(u64::MAX)
        .max(1);
    most.saturating_sub(Duration::from_micros(random % half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_share_of_calls_is_sent_again() {
        let retries = Retries::new();
        let mut sent = 0;
        for _ in 0..1000 {
            retries.note_call(20);
            sent += u32::from(retries.take());
        }
        assert_eq!(sent, 10 + 199, "a reserve of ten, and a fifth of the calls");
        let counts = retries.spent();
        assert_eq!((counts.sent, counts.refused), (209, 1000 - 209));
    }

    #[test]
    fn what_nobody_uses_is_kept_up_to_ten() {
        let retries = Retries::new();
        for _ in 0..1000 {
            retries.note_call(100);
        }
        assert_eq!((0..50).filter(|_| retries.take()).count(), 10);
    }

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        for (tries, most) in [(1, 50), (2, 100), (3, 200), (30, 2000)] {
            let most = Duration::from_millis(most);
            let pauses: Vec<_> = (0..20).map(|_| pause(tries)).collect();
            assert!(
                pauses
                    .iter()
                    .all(|pause| *pause <= most && *pause >= most / 2)
            );
            assert!(pauses.iter().any(|pause| Some(pause) != pauses.first()));
        }
    }
}
