//! The end of a gateway that was told to stop: first it is not ready, then it accepts nothing, then it is gone.
//!
//! Owns the order, and that a second signal ends everything at once. What happens within the grace is
//! [`Gateway::shutdown`]'s. The admin pages answer until the end, so that probes see each step.

use std::time::Duration;

use mcpc_dataplane::Gateway;
use mcpc_plan::Plan;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::Window;
use crate::inputs::Inputs;
use crate::operate::Ended;

/// Ends a gateway within the time to leave and the grace of the live plan.
pub(crate) fn end(
    gateway: Gateway,
    live: &Plan,
    leave_for: Window,
    runtime: &Runtime,
    inputs: &mut Inputs,
) -> Ended {
    gateway.leave();
    if let Window::On(time) = leave_for {
        info!(leave_for_s = time.as_secs(), "leaving: not ready any more");
        // The time begins within the runtime, which has the clock.
        let left = runtime.block_on(until(async { sleep(time).await }, inputs));
        if left.is_none() {
            return Ended::Interrupted;
        }
    }
    let grace = Duration::from_millis(live.limits.grace_ms);
    info!(grace_ms = live.limits.grace_ms, "stopping");
    let (done, stopped) = oneshot::channel();
    let spawned = std::thread::Builder::new()
        .name("shutdown".to_owned())
        .spawn(move || {
            gateway.shutdown(grace);
            let _nobody_waits = done.send(());
        });
    if spawned.is_err() {
        return Ended::Interrupted;
    }
    match runtime.block_on(until(stopped, inputs)) {
        Some(_) => {
            info!("stopped");
            Ended::Stopped
        }
        None => Ended::Interrupted,
    }
}

/// Waits for something; nothing if a second signal comes before.
async fn until<T>(what: impl Future<Output = T>, inputs: &mut Inputs) -> Option<T> {
    tokio::select! {
        came = what => Some(came),
        () = inputs.asked_to_stop() => {
            warn!("stopped at once: a second signal came");
            None
        }
    }
}
