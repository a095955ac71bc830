//! How often one request is tried, where the plan says how often that may be.
//!
//! Owns the count and that each try but the first is paid for. What is worth another try, and what it costs, is
//! `retries`'; the way from one replica to the next is `tour`'s.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::replicas::Replicas;
use super::retries;
use super::tour::Tour;
use super::{Upstream, Wish};
use crate::call::Party;
use crate::failure::Failure;

/// The tries of one request.
pub(crate) struct Tries<'r> {
    replicas: &'r Replicas,
    party: Party,
    pub(super) tour: Tour<'r>,
    /// How many have failed.
    failed: u32,
    has_paid: bool,
    /// Whether the last upstream is not asked, because it owes what is wished for.
    is_owed: bool,
}

impl Replicas {
    /// The tries of a list.
    pub(crate) fn tries(&self) -> Tries<'_> {
        Tries::of(self, Party::Unknown)
    }
}

impl<'r> Tries<'r> {
    pub(super) fn of(replicas: &'r Replicas, party: Party) -> Self {
        Self {
            replicas,
            party,
            tour: replicas.tour_of(party),
            failed: 0,
            has_paid: false,
            is_owed: false,
        }
    }

    /// The upstream to ask for a list.
    pub(crate) fn next_to_ask(&mut self, wish: Wish) -> &'r Arc<Upstream> {
        let upstream = self.tour.next_to_ask(wish);
        self.is_owed = upstream.owes(wish);
        self.pay();
        upstream
    }

    /// Whether a list that has failed is asked for once more. It goes on at another replica after any failure, since
    /// it changes nothing; at the same one only if the plan says so, and not if that cannot be reached: who lists
    /// is told when it can. Time and tries are bounded, but nothing is counted where nothing was sent.
    pub(crate) async fn lists_on(&mut self, failure: Failure, until: Instant) -> bool {
        let has_more = self.tour.has_more() && Instant::now() < until;
        if self.is_owed || failure.is_before_send() || !self.replicas.retries() {
            return has_more;
        }
        if has_more {
            return self.elsewhere();
        }
        retries::was_sent(failure) && self.later(until).await
    }

    /// The first time that it is sent, it pays for what may be sent again.
    pub(super) fn pay(&mut self) {
        if !std::mem::replace(&mut self.has_paid, true) {
            self.replicas.note_call(self.tour.last);
        }
    }

    /// Whether it may be sent again: to a replica that was not tried at once, else to any after a pause.
    pub(super) async fn again(&mut self, deadline: Instant) -> bool {
        if self.tour.has_ready() {
            self.elsewhere()
        } else {
            self.later(deadline).await
        }
    }

    fn elsewhere(&mut self) -> bool {
        self.is_left() && self.take()
    }

    async fn later(&mut self, deadline: Instant) -> bool {
        if !self.is_left() {
            return false;
        }
        let pause = retries::pause(self.failed);
        if Instant::now() + pause >= deadline || !self.take() {
            return false;
        }
        sleep(pause).await;
        self.tour = self.replicas.tour_of(self.party);
        true
    }

    fn is_left(&mut self) -> bool {
        self.failed += 1;
        self.failed < self.replicas.attempts()
    }

    fn take(&self) -> bool {
        let last = self.replicas.upstream(self.tour.last);
        last.is_some_and(|upstream| upstream.retries.take())
    }
}
