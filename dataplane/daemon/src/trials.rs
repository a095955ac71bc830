//! The plan that is on probation in this gateway, if one is, and what is known from the time before.
//!
//! Owns when the figures are looked at, and what operators see of it. The rules are `probation`'s; what
//! follows from a verdict is `operation`'s.

use std::time::Duration;

use mcpc_dataplane::Timestamp;
use mcpc_plan::{Digest, Plan};
use tokio::time::Instant;
use tracing::info;

use crate::Window;
use crate::probation::{Before, Probation, Recent, Verdict};
use crate::served::Served;

/// Looks are no closer than this.
const PAUSE_LEAST: Duration = Duration::from_millis(50);

/// See the file's header. Without probation nothing is ever looked at.
pub(crate) struct Trials(Option<Watched>);

struct Watched {
    window: Duration,
    recent: Recent,
    probation: Option<Probation>,
    /// The last one, if its plan was found to be broken and is to give way.
    broken: Option<Probation>,
    looks_at: Instant,
}

impl Trials {
    /// For a gateway that has just started: its first plan has none before it.
    pub(crate) fn begin(window: Window, gateway: &impl Served) -> Self {
        let Window::On(window) = window else {
            return Self(None);
        };
        let now = Instant::now();
        Self(Some(Watched {
            window,
            recent: Recent::new(window, gateway.figures().calls, now),
            probation: None,
            broken: None,
            looks_at: now,
        }))
    }

    /// What another plan will be held against. One that replaces a plan on probation is held against the
    /// same as that, since nobody knows yet whether that one works.
    pub(crate) fn before(&self, live: &Digest, gateway: &impl Served) -> Option<Before> {
        let watched = self.0.as_ref()?;
        Some(match &watched.probation {
            Some(probation) => probation.before().clone(),
            None => Before::of(live.clone(), &gateway.figures(), &watched.recent),
        })
    }

    /// The plan that has just gone live is on probation, or goes without.
    pub(crate) fn put_on_probation(&mut self, before: Option<Before>, gateway: &impl Served) {
        let Some(watched) = &mut self.0 else {
            return;
        };
        let now = Instant::now();
        let calls = gateway.figures().calls;
        let probation = before.map(|before| Probation::begin(before, calls, watched.window, now));
        watched.probation = probation;
        watched.broken = None;
        watched.looks_at = now;
        watched.show(gateway);
    }

    /// The live plan is one that is known to work, again.
    pub(crate) fn end(&mut self, gateway: &impl Served) {
        if let Some(watched) = &mut self.0
            && let Some(given_up) = watched.broken.take().or(watched.probation.take())
        {
            watched.recent.forget(&given_up, gateway.figures().calls);
        }
        self.put_on_probation(None, gateway);
    }

    /// When the figures are looked at next.
    pub(crate) fn due(&self) -> Option<Instant> {
        let watched = self.0.as_ref()?;
        Some(match watched.probation {
            Some(_) => watched.looks_at,
            None => watched.recent.due(),
        })
    }

    /// Looks at the figures if it is time. If the live plan breaks what worked: which plan did not, and
    /// the reason.
    pub(crate) fn look(&mut self, gateway: &impl Served, live: &Plan) -> Option<(Digest, String)> {
        let now = Instant::now();
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        let watched = self.0.as_mut()?;
        let figures = gateway.figures();
        watched.recent.look(figures.calls, now);
        let probation = watched.probation.as_mut()?;
        watched.looks_at = now + probation.pause().max(PAUSE_LEAST);
        let verdict = probation.look(&figures, now);
        let good = probation.before().digest.clone();
        match verdict {
            Verdict::Open => None,
            Verdict::Passed => {
                watched.probation = None;
                watched.show(gateway);
                info!(
                    plan = live.digest.short(),
                    "the new plan has passed its probation"
                );
                None
            }
            Verdict::Broken(reason) => {
                watched.broken = watched.probation.take();
                watched.show(gateway);
                Some((good, reason))
            }
        }
    }
}

impl Watched {
    fn show(&self, gateway: &impl Served) {
        let left = self.probation.as_ref().map(|probation| {
            let left = probation.ends().saturating_duration_since(Instant::now());
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_unix_ms(Timestamp::now().unix_ms().saturating_add(left))
        });
        gateway.note_probation(left);
    }
}
