//! A way from one replica of a server to the next, until one is found that does.
//!
//! Owns which replicas were tried, and that it goes on only as long as nothing of a call has left. Which of
//! those that are left is next is `replicas`' to choose. A call has one tour, or one for each time that
//! it is sent.

use std::sync::Arc;

use tokio::time::Instant;

use super::health::InFlight;
use super::replicas::{Replica, Replicas, Sent};
use super::{Session, Upstream, Wish};
use crate::call::{Answer, Call, Era, Party};
use crate::failure::Failure;
use crate::join;
use crate::policy::Permit;
use crate::profile::Profile;

/// A way from replica to replica until one is found that does. It comes to none twice.
pub(crate) struct Tour<'r> {
    replicas: &'r Replicas,
    party: Party,
    has_been_at: Vec<bool>,
    /// Where it was last.
    pub(super) last: usize,
    pub(super) failure: Option<Failure>,
}

/// A replica that can be used, with the session that it has now.
pub(super) struct Stop<'r> {
    pub(super) at: usize,
    pub(super) upstream: &'r Arc<Upstream>,
    session: Arc<Session>,
}

impl Replicas {
    /// A way through them, for nobody in particular.
    pub(crate) fn tour(&self) -> Tour<'_> {
        self.tour_of(Party::Unknown)
    }

    /// A way through them for a call.
    pub(super) fn tour_of(&self, party: Party) -> Tour<'_> {
        Tour {
            replicas: self,
            party,
            has_been_at: vec![false; self.all().count()],
            last: 0,
            failure: None,
        }
    }
}

impl<'r> Tour<'r> {
    /// The next replica to try: one that is ready, or else the first one that becomes so.
    ///
    /// # Errors
    /// There is none any more: why the last one did not do.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Stop<'r>, Failure> {
        let stop = match self.ready() {
            Some(stop) => stop,
            None => self.first_ready(deadline).await?,
        };
        if let Some(been) = self.has_been_at.get_mut(stop.at) {
            *been = true;
        }
        self.last = stop.at;
        Ok(stop)
    }

    /// Sends a call to the next replica, and on to others as long as nothing of it has left.
    pub(super) async fn send(&mut self, call: &Call, permit: Permit) -> Result<Sent, Failure> {
        if let Some(upstream) = self.replicas.sole() {
            let answer = upstream
                .send_telling(Box::new(call.clone()), permit)
                .await?;
            return Ok(Sent::by(answer, 0));
        }
        loop {
            let stop = self.next(call.deadline).await?;
            match stop.send(Box::new(call.clone()), permit).await {
                Err(failure) if failure.is_before_send() => self.go_on(&stop, failure),
                outcome => return stop.sent(outcome),
            }
        }
    }

    /// Whether a replica is ready that was not tried.
    pub(super) fn has_ready(&self) -> bool {
        let mut all = self.replicas.all().enumerate();
        self.replicas.sole().is_none()
            && all.any(|(at, replica)| self.is_left(at) && replica.upstream.is_ready())
    }

    /// The next upstream to ask for what may be waited for: one that is ready and owes nothing of the kind
    /// if there is one left, else one that is ready, else any. Comes round when none is left.
    pub(crate) fn next_to_ask(&mut self, wish: Wish) -> &'r Arc<Upstream> {
        let replicas = self.replicas;
        if let Some(only) = replicas.sole() {
            self.has_been_at.fill(true);
            return only;
        }
        let likely: [&dyn Fn(&Upstream) -> bool; 4] = [
            &|upstream| upstream.is_ready() && !upstream.owes(wish) && upstream.is_well(),
            &|upstream| upstream.is_ready() && !upstream.owes(wish),
            &|upstream| upstream.is_ready(),
            &|_| true,
        ];
        let at = likely.into_iter().find_map(|is_likely| {
            let may_be = |at, replica: &Replica| self.is_left(at) && is_likely(&replica.upstream);
            replicas.choose(self.party, may_be)
        });
        let at = at.unwrap_or(0);
        if let Some(been) = self.has_been_at.get_mut(at) {
            *been = true;
        }
        self.last = at;
        &replicas.get(at).unwrap_or(&replicas.first).upstream
    }

    /// A replica did not do. One that cannot be connected to is out of use from now on.
    pub(super) fn go_on(&mut self, stop: &Stop<'_>, failure: Failure) {
        if matches!(failure, Failure::Unreachable | Failure::ConnectTimeout) {
            stop.upstream.lose(&stop.session);
        }
        tracing::debug!(server = %stop.upstream.name, ?failure, "another replica is tried");
        self.failure = Some(failure);
    }

    /// Whether there are replicas that were not tried.
    pub(crate) fn has_more(&self) -> bool {
        self.has_been_at.contains(&false)
    }

    fn is_left(&self, at: usize) -> bool {
        self.has_been_at.get(at) == Some(&false)
    }

    fn ready(&self) -> Option<Stop<'r>> {
        let replicas = self.replicas;
        let at = replicas.choose_ready(self.party, |at| self.is_left(at))?;
        let upstream = &replicas.get(at)?.upstream;
        let session = upstream.presence.ready()?;
        Some(Stop {
            at,
            upstream,
            session,
        })
    }

    /// Asks all that are left, since which of them comes back first is not known.
    async fn first_ready(&self, deadline: Instant) -> Result<Stop<'r>, Failure> {
        let replicas = self.replicas.all().enumerate();
        let waits = replicas.filter(|(at, _)| self.is_left(*at)).map(
            |(at, replica)| -> join::Boxed<'r, _> {
                Box::pin(async move {
                    let upstream = &replica.upstream;
                    let session = upstream.session(deadline, Instant::now()).await?;
                    Ok(Stop {
                        at,
                        upstream,
                        session,
                    })
                })
            },
        );
        let first = join::first(waits.collect()).await;
        first.map_err(|failure| failure.or(self.failure).unwrap_or(Failure::Unreachable))
    }
}

impl Stop<'_> {
    /// Sends a call to this replica.
    pub(super) async fn send(
        &self,
        call: Box<Call>,
        permit: Permit,
    ) -> Result<(Answer, Era), Failure> {
        let session = Arc::clone(&self.session);
        let flight = InFlight::begin(self.upstream);
        self.upstream.send_over(session, call, flight, permit).await
    }

    /// What it says about itself.
    pub(super) fn profile(&self) -> Arc<Profile> {
        Arc::clone(&self.session.profile)
    }

    pub(super) fn sent(&self, outcome: Result<(Answer, Era), Failure>) -> Result<Sent, Failure> {
        outcome.map(|answer| Sent::by(answer, self.at))
    }
}
