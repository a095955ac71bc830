//! Reloads, rollbacks and probation on a course: which plan is live, and which one may be.
//!
//! Owns what the source holds, what operators ask for, and a model of what must come of it. A plan on probation
//! stays or goes back and never both; what was rolled back is not taken again by itself; whatever is live
//! is what somebody wanted or what worked before it. That a plan goes back is the gateway's own decision:
//! the model says only when and where to it may.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use mcpc_daemon::{
    Content, GatewayFlags, LogFormat, LogLevel, Operated, Plans, Rejected, Stage, Window,
};
use mcpc_dataplane::{Condition, Outcome, Reach, Refusal, Rehearsal, Verdict, Wish};
use mcpc_plan::Plan;
use tokio::time::Instant;

use super::plans;

/// How long a plan is on probation, and what the looks at it may add.
const WINDOW: Duration = Duration::from_secs(6);
const SLACK: Duration = Duration::from_millis(500);

/// As many as the gateway keeps.
const KEPT: usize = 8;

/// What the source holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Plan(usize),
    /// A plan that only a restart can make live.
    Elsewhere,
    /// Nothing that is a plan.
    Nothing,
    /// A plan without the servers of the others. The last of a course.
    Empty,
}

/// See the file's header.
pub(super) struct Trial<'a> {
    operated: Operated<'a>,
    held: Rc<RefCell<Held>>,
    plans: Rc<Vec<Plan>>,
    /// Which plan became live, in order.
    pub(super) history: Rc<RefCell<Vec<usize>>>,
    model: Model,
    pub(super) faults: Vec<String>,
    pub(super) count: Count,
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) swapped: usize,
    pub(super) refused: usize,
    pub(super) rolled_back: usize,
    pub(super) went_back: usize,
    pub(super) passed: usize,
    pub(super) left_aside: usize,
}

/// What must hold of the plans.
struct Model {
    /// The plans that can be gone back to, the live one first.
    kept: Vec<usize>,
    /// Those of them that need no disk.
    in_memory: Vec<usize>,
    is_on_disk: bool,
    /// All that were gone back over.
    aside: Vec<usize>,
    probation: Option<Probation>,
}

#[derive(Clone, Copy)]
struct Probation {
    /// The plan that is known to work.
    base: usize,
    /// Whether the server that one plan does not reach answered then.
    was_well: bool,
    began: Instant,
    /// Since when it has failed.
    fails_since: Option<Instant>,
}

struct Source {
    held: Rc<RefCell<Held>>,
    plans: Rc<Vec<Plan>>,
    content: Content,
}

/// How a gateway of a course is operated.
pub(super) fn flags(state: Option<&Path>) -> GatewayFlags {
    GatewayFlags {
        listen: None,
        admin: None,
        stdio: false,
        endpoint: None,
        log_level: LogLevel::Off,
        log_format: LogFormat::Human,
        workers: 0,
        state_dir: state.map(Path::to_owned),
        session_key_file: None,
        fallback: None,
        leave_for: Window::Off,
        probation: Window::On(WINDOW),
        poll: Duration::from_secs(30),
        no_watch: true,
    }
}

impl<'a> Trial<'a> {
    /// Operates a gateway that serves the first of the plans.
    pub(super) fn begin(
        gateway: Rehearsal,
        plans: Vec<Plan>,
        flags: &'a GatewayFlags,
        reach: &Arc<dyn Reach>,
    ) -> Self {
        let held = Rc::new(RefCell::new(Held::Plan(0)));
        let plans = Rc::new(plans);
        let content = Content::of(Path::new("-"), 0, reach).expect("standard input is a source");
        let source = Source {
            held: Rc::clone(&held),
            plans: Rc::clone(&plans),
            content,
        };
        let first = plans.first().expect("there is a plan").clone();
        Self {
            operated: Operated::begin(gateway, first, Box::new(source), flags),
            held,
            plans,
            history: Rc::new(RefCell::new(vec![0])),
            model: Model {
                kept: vec![0],
                in_memory: Vec::new(),
                is_on_disk: flags.state_dir.is_some(),
                aside: Vec::new(),
                probation: None,
            },
            faults: Vec::new(),
            count: Count::default(),
        }
    }

    pub(super) fn gateway(&self) -> &Rehearsal {
        self.operated.gateway()
    }

    /// Which plan is live.
    fn live(&self) -> usize {
        let digest = &self.operated.live().digest;
        let at = self.plans.iter().position(|plan| plan.digest == *digest);
        at.unwrap_or(plans::PLANS)
    }

    /// The source holds something else.
    pub(super) fn edit(&mut self, held: Held) {
        *self.held.borrow_mut() = held;
        let is_well = self.first_server() == Some(Condition::Well);
        let outcome = self.operated.changed();
        let is_aside = matches!(held, Held::Plan(number) if self.model.aside.contains(&number));
        if is_aside {
            self.count.left_aside += 1;
            return self.hold(&outcome, Verdict::Refused, "the plan was rolled back");
        }
        self.loaded(held, &outcome, is_well);
    }

    /// An operator wants what the source holds.
    pub(super) fn reload(&mut self) {
        let held = *self.held.borrow();
        let is_well = self.first_server() == Some(Condition::Well);
        let outcome = self.operated.carry_out(Wish::Reload);
        self.loaded(held, &outcome, is_well);
    }

    /// How the server does that one plan does not reach.
    fn first_server(&self) -> Option<Condition> {
        let figures = self.gateway().figures();
        let mut servers = figures.servers.iter();
        let first = servers.find(|server| Some(&*server.name) == plans::SERVERS.first().copied());
        first.map(|server| server.condition)
    }

    fn loaded(&mut self, held: Held, outcome: &Outcome, was_well: bool) {
        let live = self.model.live();
        match held {
            Held::Plan(number) if number == live => {
                self.hold(outcome, Verdict::Unchanged, "it is live already");
            }
            Held::Plan(number) => {
                self.count.swapped += 1;
                self.model.went_live(number, was_well);
                self.hold(outcome, Verdict::Live, "it is another plan");
            }
            Held::Elsewhere | Held::Nothing => {
                self.count.refused += 1;
                self.hold(outcome, Verdict::Refused, "it cannot be used");
            }
            Held::Empty => {}
        }
    }

    /// An operator wants the plan before the live one.
    pub(super) fn roll_back(&mut self) {
        let outcome = self.operated.carry_out(Wish::RollBack);
        match self.model.earlier() {
            Some(number) => {
                self.count.rolled_back += 1;
                self.model.went_back(number);
                self.hold(&outcome, Verdict::Live, "there is an earlier plan");
            }
            None => self.hold(&outcome, Verdict::Refused, "there is no earlier plan"),
        }
    }

    /// Lets the gateway look at its plan, and holds it to what it may do.
    pub(super) fn look_after(&mut self) {
        let before = self.live();
        self.operated.look_after();
        let (live, now) = (self.live(), Instant::now());
        let probation = self.model.probation;
        if live == before {
            self.hold_probation(live, now);
            return self.hold_status();
        }
        self.count.went_back += 1;
        match probation {
            Some(it) if it.base == live && now <= it.began + WINDOW + SLACK => {}
            Some(it) => self.fault(format!(
                "plan {before} went back to {live} after {:?}, and {} worked before",
                now - it.began,
                it.base
            )),
            None => self.fault(format!("plan {before} went back to {live}, and had passed")),
        }
        self.model.went_back(live);
        self.hold_status();
    }

    /// The live plan stays. It must not if it breaks what worked for long enough.
    fn hold_probation(&mut self, live: usize, now: Instant) {
        let Some(mut probation) = self.model.probation else {
            return;
        };
        let fails = live == plans::BROKEN && self.first_server() == Some(Condition::Failing);
        probation.fails_since = fails.then(|| probation.fails_since.unwrap_or(now));
        self.model.probation = Some(probation);
        let ends = probation.began + WINDOW;
        if now < ends || self.gateway().status().probation.is_some() {
            return;
        }
        self.count.passed += 1;
        self.model.probation = None;
        let is_broken = |since: Instant| since + WINDOW / 6 + SLACK < ends;
        if probation.was_well && probation.fails_since.is_some_and(is_broken) {
            self.fault(format!("plan {live} breaks what worked, and stays"));
        }
    }

    /// Makes a plan live without any of the servers.
    pub(super) fn end(&mut self) {
        *self.held.borrow_mut() = Held::Empty;
        let outcome = self.operated.carry_out(Wish::Reload);
        assert_eq!(outcome.verdict, Verdict::Live, "{outcome:?}");
    }

    /// Makes the first plan live, whatever is.
    pub(super) fn settle(&mut self) {
        *self.held.borrow_mut() = Held::Plan(0);
        self.reload();
    }

    #[track_caller]
    fn hold(&mut self, outcome: &Outcome, verdict: Verdict, why: &str) {
        let (live, expected) = (self.live(), self.model.live());
        if outcome.verdict != verdict {
            self.fault(format!("{why}: {:?} and not {verdict:?}", outcome.verdict));
        }
        if live != expected {
            self.fault(format!("{why}: {live} is live and not {expected}"));
        }
        self.hold_status();
    }

    /// What operators see is what is.
    fn hold_status(&mut self) {
        let live = self.live();
        if self.history.borrow().last() != Some(&live) {
            self.history.borrow_mut().push(live);
        }
        let status = self.gateway().status();
        if status.live.map(|live| live.digest).as_ref() != Some(&self.operated.live().digest) {
            self.fault("the status shows another plan than the live one".to_owned());
        }
        let now = Instant::now();
        let is_late = |it: &Probation| now > it.began + WINDOW + SLACK;
        if self.model.probation.as_ref().is_some_and(is_late) {
            self.fault(format!("the probation of {live} does not end"));
        }
        if status.probation.is_some() != self.model.probation.is_some() {
            let seen = status.probation.is_some();
            self.fault(format!("the status shows a probation of {live}: {seen}"));
        }
        let held = match *self.held.borrow() {
            Held::Plan(number) => self.plans.get(number).map(|plan| plan.digest.clone()),
            Held::Elsewhere | Held::Nothing | Held::Empty => None,
        };
        let refused = status.refused.and_then(|refused| refused.digest);
        if held.is_some() && refused.is_some() && refused != held {
            self.fault("the status shows another plan as refused than the source holds".to_owned());
        }
    }

    fn fault(&mut self, fault: String) {
        self.faults.push(fault);
    }
}

impl Model {
    fn live(&self) -> usize {
        self.kept.first().copied().unwrap_or(plans::PLANS)
    }

    fn went_live(&mut self, number: usize, is_well: bool) {
        let before = self.live();
        let known = self.probation.map(|it| (it.base, it.was_well));
        let (base, was_well) = known.unwrap_or((before, is_well));
        let is_insisted_on = std::mem::take(&mut self.aside).contains(&number);
        self.kept.retain(|kept| *kept != number);
        self.kept.insert(0, number);
        self.kept.truncate(KEPT);
        self.in_memory = vec![before, base];
        // What is known to work needs no probation, and who insists knows what it does.
        self.probation = (!is_insisted_on && base != number).then(|| Probation {
            base,
            was_well,
            began: Instant::now(),
            fails_since: None,
        });
    }

    /// The plan that a rollback leads to. Those that nobody can read any more are forgotten.
    fn earlier(&mut self) -> Option<usize> {
        while let Some(number) = self.kept.get(1).copied() {
            if self.is_on_disk || self.in_memory.contains(&number) {
                return Some(number);
            }
            self.kept.remove(1);
        }
        None
    }

    fn went_back(&mut self, number: usize) {
        self.aside.push(self.live());
        if let Some(at) = self.kept.iter().position(|kept| *kept == number) {
            self.kept.drain(..at);
        }
        self.in_memory.clear();
        self.probation = None;
    }
}

impl Plans for Source {
    fn load(&mut self) -> Result<Plan, Rejected> {
        let plan = match *self.held.borrow() {
            Held::Plan(number) => self.plans.get(number).cloned(),
            Held::Elsewhere => Some(plans::elsewhere()),
            Held::Empty => Some(plans::empty()),
            Held::Nothing => None,
        };
        plan.ok_or_else(|| {
            let refusal = Refusal {
                code: "MCPC1001",
                reason: "it is no plan".to_owned(),
            };
            Rejected::new(Stage::Read, refusal)
        })
    }

    fn content(&self) -> &Content {
        &self.content
    }
}
