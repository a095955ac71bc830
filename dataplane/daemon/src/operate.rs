//! The life of a gateway: start, wait for what happens, stop on SIGTERM and SIGINT.
//!
//! Owns the order of things. Where plans come from is [`Plans`]; what happens to them is `operation`'s,
//! what is waited for `inputs`'s. The gateway is called outside of the asynchronous part, since it may
//! block.

use std::sync::Arc;

use mcpc_dataplane::{Gateway, Reach, Refusal, Wish, raise_descriptor_limit};
use mcpc_plan::{Digest, Fallback, Plan};
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tracing::{debug, error, info};

use crate::begin::{Begun, Means, begin, tell_not_started, warn_without_state};
use crate::content::Content;
use crate::history::History;
use crate::inputs::{Event, Inputs};
use crate::interruptible::interruptible;
use crate::loader::Loader;
use crate::operation::{Asked, Operation};
use crate::outlet::settle;
use crate::outset;
use crate::plan_file::Addresses;
use crate::state_dir::{Keys, state_dir};
use crate::trials::Trials;
use crate::{GatewayFlags, Window, ending};

/// Where plans come from, again and again.
pub trait Plans {
    /// Makes or reads a plan from what is there now.
    ///
    /// # Errors
    /// Why there is none; shown by the caller.
    fn load(&mut self) -> Result<Plan, Rejected>;

    /// What they are made of. Another content is worth a new load.
    fn content(&self) -> &Content;
}

/// What there was instead of a plan.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// How far it got.
    pub stage: Stage,
    /// Which plan it was, if it claims to be one; else what was read, as `sha256sum` tells it of a file.
    pub digest: Option<Digest>,
    /// What it says of the last good plan, as far as that could be read.
    pub fallback: Option<Fallback>,
    /// The code and the reason in one line.
    pub refusal: Refusal,
    /// All that was found, for people; several lines. Empty if the reason is all there is.
    pub details: String,
}

/// How far something got on its way to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It could not be read.
    Unread,
    /// It was read, and is no plan.
    Read,
}

impl Rejected {
    /// A rejection without details.
    pub fn new(stage: Stage, refusal: Refusal) -> Self {
        Self {
            stage,
            digest: None,
            fallback: None,
            refusal,
            details: String::new(),
        }
    }
}

/// How a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to stop, and in-flight calls were finished or ran out of grace.
    Stopped,
    /// It was asked twice.
    Interrupted,
    /// It never started: what was read is no plan.
    NoPlan,
    /// It never started: nothing could be read, or the plan could not be put to work here.
    NotStarted,
}

/// Runs a gateway until it is told to stop. `started` hears of it once, when it serves.
pub fn operate(
    plans: Box<dyn Plans + Send>,
    flags: &GatewayFlags,
    reach: &Arc<dyn Reach>,
    started: impl FnOnce(&Gateway, &Plan),
) -> Ended {
    let ended = live(plans, flags, reach, started);
    settle();
    ended
}

fn live(
    mut plans: Box<dyn Plans + Send>,
    flags: &GatewayFlags,
    reach: &Arc<dyn Reach>,
    started: impl FnOnce(&Gateway, &Plan),
) -> Ended {
    let descriptors = raise_descriptor_limit();
    debug!(descriptors, "the limit of descriptors");
    let (runtime, mut inputs) = match Inputs::open(plans.content(), flags) {
        Ok(opened) => opened,
        Err(error) => {
            error!(reason = %error, "the gateway cannot listen for signals");
            return Ended::NotStarted;
        }
    };
    let state = state_dir(flags);
    let mut history = History::open(state.as_deref(), Addresses::of(flags));
    let keys = match Keys::of(flags) {
        Ok(keys) => keys,
        Err(refusal) => {
            tell_not_started(&refusal);
            return Ended::NotStarted;
        }
    };
    let means = Means {
        flags,
        reach,
        keys: &keys,
    };
    let begun = interruptible(&runtime, &mut inputs, || {
        begin(plans.as_mut(), &means, &mut history)
    });
    let Begun {
        mut gateway,
        plan,
        refused,
    } = match begun {
        Ok(begun) => begun,
        Err(ended) => return ended,
    };
    let (loader, loads) = match Loader::start(plans, Arc::clone(reach)) {
        Ok(started) => started,
        Err(error) => {
            tell_not_started(&Refusal::system("start a thread", &error));
            return Ended::NotStarted;
        }
    };
    gateway.note_kept(history.kept());
    history.tell(&plan);
    tell_serving(&gateway, &plan, flags, &history);
    started(&gateway, &plan);
    inputs.attend(&mut gateway, loads);
    let mut operation = Operation {
        flags,
        trials: Trials::begin(flags.probation, &gateway),
        retries_at: Instant::now(),
        refused,
        went_back_at: None,
        gateway,
        live: plan,
        history,
        keys,
    };
    let leave_for = attend(&mut operation, loader, &runtime, &mut inputs);
    let Operation { gateway, live, .. } = operation;
    inputs.take_no_orders();
    ending::end(gateway, &live, leave_for, &runtime, &mut inputs)
}

fn tell_serving(gateway: &Gateway, plan: &Plan, flags: &GatewayFlags, history: &History) {
    info!(
        address = gateway.address().map(tracing::field::display),
        admin = gateway.admin_address().map(tracing::field::display),
        stdio = flags.stdio.then_some(true),
        memory_limit = gateway.memory_limit(),
        plan = plan.digest.short(),
        "serving"
    );
    outset::tell(plan);
    warn_without_state(plan, flags, history);
}

/// Does what is asked of a gateway until it is to end, and says for how long it is to leave first. Nothing here waits
/// for a source.
fn attend(
    operation: &mut Operation<'_, Gateway>,
    mut loader: Loader,
    runtime: &Runtime,
    inputs: &mut Inputs,
) -> Window {
    loop {
        let next = inputs.next(loader.content(), operation.due());
        match runtime.block_on(next) {
            Event::Changed => loader.ask(Asked::ByChange, None),
            Event::HungUp => loader.ask(Asked::ByOperator(Instant::now()), None),
            Event::Ordered(order) => match order.wish() {
                Wish::Reload => loader.ask(Asked::ByOperator(Instant::now()), Some(order)),
                Wish::RollBack => order.answer(operation.roll_back()),
            },
            Event::Loaded(done) => {
                if let Some((request, found)) = loader.take_back(*done) {
                    let outcome = operation.loaded(request.asked(), found);
                    request.answer(&outcome);
                }
            }
            Event::Due => operation.look_after(),
            Event::Stop => return operation.flags.leave_for,
            // Nobody is left who could be sent elsewhere.
            Event::Left => return Window::Off,
        }
    }
}
