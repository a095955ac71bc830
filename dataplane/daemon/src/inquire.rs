//! Asking the servers of a plan what they have, until all have answered or somebody wants it to end.
//!
//! Owns the signals around it: whatever ends it, what was started is ended first. The asking itself is
//! `mcpc-dataplane`'s.

use std::sync::Arc;

use mcpc_dataplane::{Heard, Inquiry, Reach, Refusal, raise_descriptor_limit};
use mcpc_plan::Plan;

use crate::signals::{Signals, Wish};

/// Why not all servers were asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAsked {
    /// It was ended by a signal, and so was everything that was started.
    Interrupted,
    /// Nothing could be started.
    Refused(Refusal),
}

/// Asks them all. `tell` hears of each as it answers.
///
/// # Errors
/// Not all were asked.
pub fn inquire(
    plan: &Plan,
    reach: Arc<dyn Reach>,
    mut tell: impl FnMut(Heard),
) -> Result<(), NotAsked> {
    let failed = |_| {
        NotAsked::Refused(Refusal {
            code: "MCPC9605",
            reason: "the system gives no event queue, or takes over no signals".to_owned(),
        })
    };
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(failed)?.block_on(async {
        let mut signals = Signals::open().map_err(failed)?;
        let mut inquiry = Inquiry::begin(plan, reach).map_err(NotAsked::Refused)?;
        let ended = loop {
            tokio::select! {
                heard = inquiry.next() => match heard {
                    Some(heard) => tell(heard),
                    None => break Ok(()),
                },
                wish = signals.next() => match wish {
                    // The terminal has gone away.
                    Wish::Stop | Wish::Reload => break Err(NotAsked::Interrupted),
                },
            }
        };
        inquiry.end().await;
        ended
    })
}
