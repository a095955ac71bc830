//! Whether a plan that has just gone live breaks what worked before.
//!
//! Owns the rules and the figures that they compare, as a machine without clock and gateway: figures and
//! the time go in, a verdict comes out. What follows from it is `operation`'s.
//!
//! * A server that answered under the plan before, was started anew by this one, and has not answered
//!   since it first failed, for a sixth of the window: broken. Servers that both plans share are not looked
//!   at, since going back would not change them.
//! * At least 20 calls, and a share of failed ones that is 25 points above the one before the swap: broken. It needs
//!   20 calls in the time before (between one and two windows) as well, or there is nothing to compare with.

use std::collections::BTreeMap;
use std::time::Duration;

use mcpc_dataplane::{Calls, Condition, Figures};
use mcpc_plan::Digest;
use tokio::time::Instant;

/// So many calls say something about how many fail.
const CALLS_MIN: u64 = 20;

/// So many more of a hundred calls may fail than before.
const JUMP_PERCENT: u64 = 25;

/// How long a server may fail, as a part of the window.
const PATIENCE_PART: u32 = 6;

/// How often a plan on probation is looked at, as a part of the window.
const LOOKS: u32 = 60;

/// So many names are in a reason.
const NAMES_MAX: usize = 5;

/// What the plan that is live does, when another one is about to replace it.
#[derive(Clone, Debug)]
pub(crate) struct Before {
    /// The plan that is known to work.
    pub(crate) digest: Digest,
    /// Servers that answer, and which upstreams they are.
    well: BTreeMap<Box<str>, u64>,
    /// The calls of the time before.
    recent: Calls,
    /// The calls that were counted by then.
    counted: Calls,
}

/// A plan on probation.
#[derive(Clone, Debug)]
pub(crate) struct Probation {
    before: Before,
    began: Instant,
    window: Duration,
    /// The calls that were counted until it went live.
    base: Calls,
    /// Since when each server fails.
    failing: BTreeMap<Box<str>, Instant>,
}

/// What is known of a plan on probation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Open,
    /// Its time is over, and nothing was found.
    Passed,
    /// It breaks what worked before.
    Broken(String),
}

/// The calls of the last one to two windows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recent {
    window: Duration,
    older: Calls,
    newer: (Instant, Calls),
}

impl Recent {
    pub(crate) fn new(window: Duration, calls: Calls, now: Instant) -> Self {
        Self {
            window,
            older: calls,
            newer: (now, calls),
        }
    }

    /// When the next look is due.
    pub(crate) fn due(&self) -> Instant {
        self.newer.0 + self.window
    }

    /// Takes the figures of this moment, if it is time.
    pub(crate) fn look(&mut self, calls: Calls, now: Instant) {
        if now >= self.due() {
            self.older = self.newer.1;
            self.newer = (now, calls);
        }
    }

    /// A plan was given up: what came of calls since it or one that it has replaced on probation went live says
    /// nothing of how things are when all is well.
    pub(crate) fn forget(&mut self, given_up: &Probation, now: Calls) {
        let under_it = since(now, given_up.before.counted);
        for known in [&mut self.older, &mut self.newer.1] {
            let of_that = each(under_it, since(now, *known), u64::min);
            *known = each(*known, of_that, u64::saturating_add);
        }
    }

    fn until(&self, now: Calls) -> Calls {
        since(now, self.older)
    }
}

impl Before {
    pub(crate) fn of(digest: Digest, figures: &Figures, recent: &Recent) -> Self {
        let well = figures.servers.iter();
        let well = well.filter(|server| server.condition == Condition::Well);
        Self {
            digest,
            well: well
                .map(|server| (server.name.clone(), server.life))
                .collect(),
            recent: recent.until(figures.calls),
            counted: figures.calls,
        }
    }
}

impl Probation {
    /// Begins when a plan has gone live.
    pub(crate) fn begin(before: Before, base: Calls, window: Duration, now: Instant) -> Self {
        Self {
            before,
            began: now,
            window,
            base,
            failing: BTreeMap::new(),
        }
    }

    /// What it is held against. A plan that replaces one on probation is held against the same.
    pub(crate) fn before(&self) -> &Before {
        &self.before
    }

    /// When it ends.
    pub(crate) fn ends(&self) -> Instant {
        self.began + self.window
    }

    /// How long to wait until the next look.
    pub(crate) fn pause(&self) -> Duration {
        self.window / LOOKS
    }

    /// Judges by the figures of this moment.
    pub(crate) fn look(&mut self, figures: &Figures, now: Instant) -> Verdict {
        let broken = self.broken_servers(figures, now);
        if let Some(reason) = broken.or_else(|| self.failing_calls(figures.calls)) {
            return Verdict::Broken(reason);
        }
        if now >= self.ends() {
            Verdict::Passed
        } else {
            Verdict::Open
        }
    }

    fn broken_servers(&mut self, figures: &Figures, now: Instant) -> Option<String> {
        let mut broken: Vec<&str> = Vec::new();
        for server in &figures.servers {
            let was_well = self.before.well.get(&server.name);
            if was_well.is_none_or(|life| *life == server.life) {
                continue;
            }
            match server.condition {
                Condition::Well => drop(self.failing.remove(&server.name)),
                Condition::Unknown => {}
                Condition::Failing => {
                    let name = server.name.clone();
                    let since = *self.failing.entry(name).or_insert(now);
                    if now.duration_since(since) >= self.window / PATIENCE_PART {
                        broken.push(&server.name);
                    }
                }
            }
        }
        let more = match broken.len().saturating_sub(NAMES_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names: Vec<String> = broken
            .iter()
            .take(NAMES_MAX)
            .map(|it| format!("`{it}`"))
            .collect();
        let verb = if broken.len() == 1 { "fails" } else { "fail" };
        (!broken.is_empty()).then(|| {
            let names = names.join(", ");
            format!("{names}{more} worked before and {verb} since the new plan is live")
        })
    }

    fn failing_calls(&self, calls: Calls) -> Option<String> {
        let (before, after) = (self.before.recent, since(calls, self.base));
        if before.all < CALLS_MIN || after.all < CALLS_MIN {
            return None;
        }
        let blamed = after.failed.saturating_sub(after.excused);
        let (was, is) = (
            percent(before.failed, before.all),
            percent(blamed, after.all),
        );
        (is >= was + JUMP_PERCENT).then(|| {
            let all = after.all;
            format!("{is} of 100 calls fail since the new plan is live ({blamed} of {all}), {was} did before")
        })
    }
}

fn percent(part: u64, all: u64) -> u64 {
    part.saturating_mul(100).checked_div(all).unwrap_or(0)
}

fn since(now: Calls, base: Calls) -> Calls {
    each(now, base, u64::saturating_sub)
}

fn each(one: Calls, other: Calls, of: impl Fn(u64, u64) -> u64) -> Calls {
    Calls {
        all: of(one.all, other.all),
        failed: of(one.failed, other.failed),
        excused: of(one.excused, other.excused),
    }
}

#[cfg(test)]
mod tests {
    use mcpc_dataplane::ServerFigures;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    fn calls(all: u64, failed: u64, excused: u64) -> Calls {
        Calls {
            all,
            failed,
            excused,
        }
    }

    fn figures(servers: &[(&str, u64, Condition)], calls: Calls) -> Figures {
        let servers = servers.iter().map(|(name, life, condition)| ServerFigures {
            name: (*name).into(),
            life: *life,
            condition: *condition,
        });
        Figures {
            servers: servers.collect(),
            calls,
        }
    }

    /// A plan on probation, after so many calls under the one before.
    fn probation(servers: &[(&str, u64, Condition)], recent: Calls) -> (Probation, Instant) {
        let now = Instant::now();
        let figures = figures(servers, recent);
        let known = Recent::new(WINDOW, Calls::default(), now);
        let before = Before::of(Digest::of(b"before"), &figures, &known);
        (Probation::begin(before, recent, WINDOW, now), now)
    }

    #[test]
    fn a_server_that_worked_and_fails_anew_breaks_the_plan_after_a_while() {
        let (mut plan, began) = probation(&[("a", 1, Condition::Well)], Calls::default());
        let failing = figures(&[("a", 2, Condition::Failing)], Calls::default());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert_eq!(plan.look(&failing, at(1)), Verdict::Open);
        assert_eq!(plan.look(&failing, at(5)), Verdict::Open);
        let Verdict::Broken(reason) = plan.look(&failing, at(6)) else {
            unreachable!("five seconds of failing are enough");
        };
        assert_eq!(
            reason,
            "`a` worked before and fails since the new plan is live"
        );
    }

    #[test]
    fn a_server_that_recovers_in_time_breaks_nothing() {
        let (mut plan, began) = probation(&[("a", 1, Condition::Well)], Calls::default());
        for (second, condition) in [
            (1, Condition::Failing),
            (5, Condition::Well),
            (6, Condition::Failing),
            (9, Condition::Unknown),
            (10, Condition::Well),
            (29, Condition::Well),
        ] {
            let now = figures(&[("a", 2, condition)], Calls::default());
            let verdict = plan.look(&now, began + Duration::from_secs(second));
            assert_eq!(verdict, Verdict::Open, "second {second}");
        }
        let now = figures(&[("a", 2, Condition::Well)], Calls::default());
        assert_eq!(plan.look(&now, plan.ends()), Verdict::Passed);
    }

    #[test]
    fn what_no_plan_can_mend_is_not_held_against_one() {
        let before = [
            ("shared", 1, Condition::Well),
            ("sick", 2, Condition::Failing),
            ("unused", 3, Condition::Unknown),
            ("removed", 4, Condition::Well),
        ];
        let after = [
            ("shared", 1, Condition::Failing),
            ("sick", 12, Condition::Failing),
            ("unused", 13, Condition::Failing),
            ("new", 14, Condition::Failing),
        ];
        let (mut plan, began) = probation(&before, Calls::default());
        let after = figures(&after, Calls::default());
        assert_eq!(plan.look(&after, began), Verdict::Open);
        assert_eq!(plan.look(&after, plan.ends()), Verdict::Passed);
    }

    #[test]
    fn a_jump_of_failing_calls_breaks_the_plan() {
        for (before, after, is_broken) in [
            // (all, failed, excused) before the swap and since.
            ((100, 0, 0), (20, 5, 0), true),
            ((100, 0, 0), (20, 4, 0), false),
            ((100, 0, 0), (19, 19, 0), false),
            ((19, 0, 0), (100, 100, 0), false),
            ((100, 50, 0), (100, 74, 0), false),
            ((100, 50, 50), (100, 75, 0), true),
            ((100, 0, 0), (100, 60, 40), false),
            ((100, 90, 0), (100, 100, 0), false),
        ] {
            let before = calls(before.0, before.1, before.2);
            let (mut plan, began) = probation(&[], before);
            let since = calls(
                before.all + after.0,
                before.failed + after.1,
                before.excused + after.2,
            );
            let verdict = plan.look(&figures(&[], since), began + Duration::from_secs(1));
            assert_eq!(
                matches!(verdict, Verdict::Broken(_)),
                is_broken,
                "{before:?} {after:?}: {verdict:?}"
            );
        }
    }

    #[test]
    fn only_recent_calls_count_as_before() {
        let began = Instant::now();
        let mut recent = Recent::new(WINDOW, calls(0, 0, 0), began);
        recent.look(calls(10, 9, 0), began + WINDOW / 2);
        assert_eq!(recent.until(calls(20, 9, 0)), calls(20, 9, 0));
        recent.look(calls(1000, 900, 0), began + WINDOW);
        assert_eq!(recent.until(calls(1001, 900, 0)), calls(1001, 900, 0));
        recent.look(calls(1100, 900, 0), began + WINDOW * 2);
        // The bad time is over for more than a window.
        assert_eq!(recent.until(calls(1150, 901, 0)), calls(150, 1, 0));
    }

    #[test]
    fn calls_under_a_plan_that_was_given_up_do_not_count_as_before() {
        let began = Instant::now();
        for looks_in_between in [false, true] {
            let mut recent = Recent::new(WINDOW, calls(0, 0, 0), began);
            let good = figures(&[], calls(100, 2, 0));
            let before = Before::of(Digest::of(b"before"), &good, &recent);
            let bad = Probation::begin(before, good.calls, WINDOW, began);
            if looks_in_between {
                recent.look(calls(110, 9, 0), began + WINDOW);
            }
            recent.forget(&bad, calls(160, 52, 0));
            assert_eq!(recent.until(calls(160, 52, 0)), calls(100, 2, 0));
            assert_eq!(recent.until(calls(170, 53, 0)), calls(110, 3, 0));
            // The next look finds none of them either.
            recent.look(calls(180, 53, 0), began + WINDOW * 2);
            recent.look(calls(200, 54, 0), began + WINDOW * 3);
            assert_eq!(recent.until(calls(210, 55, 0)), calls(30, 2, 0));
        }
    }
}
