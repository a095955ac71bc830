//! Loads plans beside everything else, so that whoever hears signals and operators waits for no source.
//!
//! ```text
//! attend ─ask─► Loader ─Box<dyn Plans>─► its thread: load, resolve ─Loaded─► inputs ─Event::Loaded─► attend
//! ```
//!
//! The secrets of a plan are looked up here as well, since their files may keep whoever reads them waiting. Owns that one load is under way at most, and who asked for it: what is asked for meanwhile is one more load that
//! begins afterwards. Whoever loads has the [`Plans`] for that time, so nobody looks for changes of what is being read.
//! Dropped, it waits for nothing: a load that is under way comes to its end unheard, and those who asked hear that
//! nobody takes their orders.

use std::io;
use std::sync::Arc;

use mcpc_dataplane::{Order, Outcome, Reach, ResolvedPlan};
use mcpc_plan::Plan;
use tokio::sync::mpsc;

use crate::content::Content;
use crate::operate::{Plans, Rejected};
use crate::operation::Asked;

/// So many orders wait for a load to begin, as many as wait to be taken.
const ORDERS_MAX: usize = 8;

type Source = Box<dyn Plans + Send>;

/// See the file's header.
pub(crate) struct Loader {
    /// Nothing while its thread has them.
    plans: Option<Source>,
    begin: std::sync::mpsc::Sender<Source>,
    under_way: Option<Request>,
    next: Option<Request>,
}

/// What came of a load, and the source that it came from.
pub(crate) struct Loaded {
    plans: Source,
    found: Result<ResolvedPlan, Rejected>,
}

/// Who wants a load, and who waits to hear what comes of it.
pub(crate) struct Request {
    asked: Asked,
    orders: Vec<Order>,
}

impl Loader {
    /// Starts the thread that loads, and gives where its results arrive. A thread that is there needs no room for
    /// another one when a reload is what makes room.
    ///
    /// # Errors
    /// Whatever the system says.
    pub(crate) fn start(
        plans: Source,
        reach: Arc<dyn Reach>,
    ) -> io::Result<(Self, mpsc::Receiver<Loaded>)> {
        let (begin, asked) = std::sync::mpsc::channel::<Source>();
        let (done, loads) = mpsc::channel(1);
        std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || {
                for mut plans in asked {
                    let plan = load(plans.as_mut());
                    let found = plan.map(|plan| ResolvedPlan::of(plan, reach.as_ref()));
                    if done.blocking_send(Loaded { plans, found }).is_err() {
                        return;
                    }
                }
            })?;
        let loader = Self {
            plans: Some(plans),
            begin,
            under_way: None,
            next: None,
        };
        Ok((loader, loads))
    }

    /// What was loaded last; nothing while it is being read.
    pub(crate) fn content(&self) -> Option<&Content> {
        self.plans.as_deref().map(Plans::content)
    }

    /// Begins a load, or has one begin when the one under way is over: that one may have read what was there before.
    pub(crate) fn ask(&mut self, asked: Asked, order: Option<Order>) {
        let next = self.next.get_or_insert_with(|| Request {
            asked,
            orders: Vec::new(),
        });
        next.asked = next.asked.max(asked);
        match order {
            Some(order) if next.orders.len() < ORDERS_MAX => next.orders.push(order),
            Some(order) => order.turn_away(),
            None => {}
        }
        self.begin_next();
    }

    /// Takes the source back. Gives what came of the load, and who asked for it.
    pub(crate) fn take_back(
        &mut self,
        loaded: Loaded,
    ) -> Option<(Request, Result<ResolvedPlan, Rejected>)> {
        self.plans = Some(loaded.plans);
        let request = self.under_way.take()?;
        self.begin_next();
        Some((request, loaded.found))
    }

    fn begin_next(&mut self) {
        if self.next.is_none() {
            return;
        }
        if let Some(plans) = self.plans.take() {
            self.under_way = self.next.take();
            // The thread lives as long as this does.
            let _taken = self.begin.send(plans);
        }
    }
}

impl Request {
    /// How it was asked for.
    pub(crate) fn asked(&self) -> Asked {
        self.asked
    }

    /// Tells all who wait.
    pub(crate) fn answer(self, outcome: &Outcome) {
        for order in self.orders {
            order.answer(outcome.clone());
        }
    }
}

/// Loads a plan. A rejection says which plan it was, or what was read if that became none.
pub(crate) fn load(plans: &mut (impl Plans + ?Sized)) -> Result<Plan, Rejected> {
    plans.load().map_err(|rejected| {
        let digest = rejected.digest.clone();
        Rejected {
            digest: digest.or_else(|| plans.content().digest()),
            ..rejected
        }
    })
}
