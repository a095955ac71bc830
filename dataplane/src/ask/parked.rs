//! Calls that wait for a modern client to come back with answers.
//!
//! Owns the bound on them, in number and in bytes, and their end: at the call's deadline a parked
//! call is dropped, which tells its upstream to stop. Each is held by a task of its own, so whoever
//! resumes it takes it from there, once, from any thread and without a lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::upstream::{EventStream, Question};

/// The most calls that are parked.
const CALLS_MAX: usize = 4096;

/// The most bytes that the questions of parked calls take up.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// All parked calls.
pub(crate) struct ParkedCalls {
    numbers: AtomicU64,
    count: AtomicUsize,
    bytes: AtomicUsize,
    calls: papaya::HashMap<u64, mpsc::Sender<oneshot::Sender<ParkedCall>>>,
}

/// A call of a legacy upstream, stopped where it asks.
pub(crate) struct ParkedCall {
    pub(crate) events: Box<EventStream>,
    /// What is asked, under the keys of `inputRequests`.
    pub(crate) questions: Vec<(String, Question)>,
}

/// The room that a parked call takes up.
struct Place {
    number: u64,
    bytes: usize,
    table: Arc<ParkedCalls>,
}

impl ParkedCalls {
    /// None is parked. The numbers begin where the process does by chance: what an earlier one has
    /// handed out names no call of this one.
    pub(crate) fn new(instance: u64) -> Arc<Self> {
        Arc::new(Self {
            numbers: AtomicU64::new(instance),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            calls: papaya::HashMap::new(),
        })
    }

    /// Parks a call; its number, or nothing if there is no room. Then the call is dropped.
    pub(crate) fn park(self: &Arc<Self>, call: ParkedCall) -> Option<u64> {
        let bytes = call.questions.iter().map(|(_, asked)| asked.bytes()).sum();
        let place = Place {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            bytes,
            table: Arc::clone(self),
        };
        // Taken first and given back by the drop, so that the bounds hold at every moment.
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if count > CALLS_MAX || total > BYTES_MAX {
            return None;
        }
        let number = place.number;
        let (sender, mut resumed) = mpsc::channel::<oneshot::Sender<ParkedCall>>(1);
        self.calls.pin().insert(number, sender);
        let deadline: Instant = call.events.deadline();
        tokio::spawn(async move {
            let _place = place;
            tokio::select! {
                biased;
                claim = resumed.recv() => if let Some(claim) = claim {
                    // Whoever has left in the meantime has left the call as well.
                    let _taken = claim.send(call);
                },
                () = sleep_until(deadline) => {}
            }
        });
        Some(number)
    }

    /// Takes a parked call; nothing if it has ended or was taken before.
    pub(crate) async fn resume(&self, number: u64) -> Option<ParkedCall> {
        let sender = self.calls.pin().remove(&number).cloned()?;
        let (claim, taken) = oneshot::channel();
        sender.try_send(claim).ok()?;
        drop(sender);
        taken.await.ok()
    }

    /// Ends a parked call.
    pub(crate) fn end(&self, number: u64) {
        // It is handed to somebody who is gone already.
        let (claim, _) = oneshot::channel();
        if let Some(sender) = self.calls.pin().remove(&number) {
            let _ended = sender.try_send(claim);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.table.calls.pin().remove(&self.number);
        self.table.count.fetch_sub(1, Ordering::Relaxed);
        self.table.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
