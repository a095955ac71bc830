//! Which upstream of a server a client is served by: one that its session has to itself, or one of the
//! replicas.
//!
//! Owns the choice for what is no call, such as a subscription or a list. Calls are sent by `replicas`, and
//! `private` knows who has what.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Counts, Private, Replicas, Upstream};
use crate::call::Party;
use crate::failure::Failure;
use crate::profile::Profile;

impl Replicas {
    /// Whether sessions have it to themselves.
    pub(crate) fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// What sessions have to themselves.
    pub(crate) fn counts(&self) -> Option<Counts> {
        let (private, _) = self.private.as_ref()?;
        Some(private.counts())
    }

    /// One that can be used for a client, and what it says about itself.
    pub(crate) async fn one(
        &self,
        party: Party,
        deadline: Instant,
    ) -> Result<(Arc<Upstream>, Arc<Profile>), Failure> {
        let sole = match self.private(party) {
            Some((private, session)) => Some(private.of(session)?),
            None => self.sole().cloned(),
        };
        if let Some(upstream) = sole {
            let profile = upstream.profile(deadline).await?;
            return Ok((upstream, profile));
        }
        let stop = self.tour().next(deadline).await?;
        Ok((Arc::clone(stop.upstream), stop.profile()))
    }

    /// One that can be used for a client if there is one now, else any: for what can wait for it.
    pub(crate) fn at_hand(&self, party: Party) -> Option<Arc<Upstream>> {
        if let Some((private, session)) = self.private(party) {
            return private.of(session).ok();
        }
        let ready = self.choose_ready(Party::Unknown, |_| true);
        let replica = ready.and_then(|at| self.get(at)).unwrap_or(&self.first);
        Some(Arc::clone(&replica.upstream))
    }

    /// Whether one of those that a client's calls go to is one of these.
    pub(crate) fn serve(&self, party: Party, is_it: impl Fn(&Upstream) -> bool) -> bool {
        match self.private(party) {
            Some((private, session)) => private.of_now(session).is_some_and(|it| is_it(&it)),
            None => self.upstreams().any(|upstream| is_it(upstream)),
        }
    }

    /// The upstream that a client has to itself, if it has one by now.
    pub(crate) fn own_now(&self, party: Party) -> Option<Arc<Upstream>> {
        let (private, session) = self.private(party)?;
        private.of_now(session)
    }

    /// What a client has to itself, with the number of its session; nothing if it shares.
    pub(super) fn private(&self, party: Party) -> Option<(&Arc<Private>, u128)> {
        let (private, _) = self.private.as_ref()?;
        match party {
            Party::Session(session) => Some((private, session)),
            Party::Unknown => None,
        }
    }
}
