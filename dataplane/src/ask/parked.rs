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

    /// How many calls are parked, and what their questions take up in bytes.
    pub(crate) fn held(&self) -> (u64, u64) {
        let wide = |count: &AtomicUsize| count.load(Ordering::Relaxed) as u64;
        (wide(&self.count), wide(&self.bytes))
    }

    /// Parks a call; its number, or nothing if there is no room. Then the call is dropped.
    pub(crate) fn park(self: &Arc<Self>, call: ParkedCall) -> Option<u64> {
        let bytes = call.questions.iter().map(|(_, asked)| asked.bytes()).sum();
        let place = self.room(bytes)?;
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

    /// Room for a call whose questions take up so many bytes, if there is any.
    fn room(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let place = Place {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            bytes,
            table: Arc::clone(self),
        };
        // Taken first and given back by the drop, so that the bounds hold at every moment.
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (count <= CALLS_MAX && total <= BYTES_MAX).then_some(place)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_calls_are_parked_and_no_more_until_one_has_ended() {
        let parked = ParkedCalls::new(0);
        let mut places: Vec<_> = (0..CALLS_MAX).filter_map(|_| parked.room(1)).collect();
        assert_eq!(places.len(), CALLS_MAX);
        assert!(parked.room(1).is_none());
        assert_eq!(parked.held(), (CALLS_MAX as u64, CALLS_MAX as u64));
        places.pop();
        assert!(parked.room(1).is_some(), "there is room again");
        drop(places);
        assert_eq!(parked.held(), (0, 0));
    }

    #[test]
    fn their_questions_have_so_much_room_together() {
        let parked = ParkedCalls::new(0);
        let large = parked.room(BYTES_MAX);
        assert!(large.is_some());
        assert!(parked.room(1).is_none());
        drop(large);
        assert!(parked.room(BYTES_MAX + 1).is_none());
        assert!(parked.room(1).is_some());
    }
}
