//! Upstreams that have left the plan and are not gone yet.
//!
//! Owns who they are, for operators to see. Does not end them, and keeps none of them alive: `engine` has them end.

use std::sync::{Arc, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::{End, Upstream};
use crate::status::{DrainingReason, DrainingStatus};
use crate::timestamp::Timestamp;

/// So many are shown, those that have left first.
const SHOWN_MAX: usize = 64;

/// See the file's header. Those that are gone are forgotten when the next ones leave.
#[derive(Default)]
pub(crate) struct Leavers(ArcSwap<Vec<Leaver>>);

/// What can leave a plan.
pub(crate) trait Leaves: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> String;

    /// Its calls under way.
    fn in_flight(&self) -> u64;

    /// Whether it was told to end.
    fn is_ending(&self) -> bool;

    /// Whether nothing is left of it.
    fn is_gone(&self) -> bool;
}

#[derive(Clone)]
pub(crate) struct Leaver {
    who: Weak<dyn Leaves>,
    since: Timestamp,
    end: End,
}

impl Leavers {
    /// These have left the plan, and are to end by these moments.
    pub(crate) fn add(&self, left: impl Iterator<Item = Arc<dyn Leaves>>, end: End) {
        let since = Timestamp::now();
        let before = self.0.load();
        let before = before.iter().filter(|it| it.there().is_some()).cloned();
        let left = left.map(|who| Leaver {
            who: Arc::downgrade(&who),
            since,
            end,
        });
        // Plans are swapped one after the other.
        self.0.store(Arc::new(before.chain(left).collect()));
    }

    /// What operators see.
    pub(crate) fn status(&self) -> Vec<DrainingStatus> {
        let leavers = self.0.load();
        let seen = leavers.iter().filter_map(Leaver::status);
        seen.take(SHOWN_MAX).collect()
    }
}

impl Leaver {
    fn there(&self) -> Option<Arc<dyn Leaves>> {
        self.who.upgrade().filter(|who| !who.is_gone())
    }

    fn status(&self) -> Option<DrainingStatus> {
        let who = self.there()?;
        let in_flight = who.in_flight();
        let now = Instant::now();
        let reason = match in_flight {
            _ if now >= self.end.calls => DrainingReason::Ending,
            0 if who.is_ending() => DrainingReason::Ending,
            0 => DrainingReason::Requests,
            _ => DrainingReason::Calls,
        };
        let left = self.end.all.saturating_duration_since(now);
        Some(DrainingStatus {
            name: who.name(),
            since: self.since,
            reason,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
            until: Timestamp::from(SystemTime::now() + left),
        })
    }
}

impl Leaves for Upstream {
    fn name(&self) -> String {
        self.name.to_string()
    }

    fn in_flight(&self) -> u64 {
        self.health.in_flight()
    }

    fn is_ending(&self) -> bool {
        self.stopping.borrow().is_some()
    }

    fn is_gone(&self) -> bool {
        self.presence.is_stopped()
    }
}
