//! Work that a signal ends although it may wait for what never comes: reading the first plan.
//!
//! Owns what SIGTERM and SIGINT do before a gateway serves. Standard input that stays open, a pipe that nobody writes
//! into and a URL that hangs block the thread that reads them; nothing can be taken back from it, so the process ends
//! under it. Nothing is served by then, and what was started ends with the process.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::inputs::Inputs;
use crate::outlet::settle;

/// A start that is nearly done has so long after the first signal. Then the gateway ends as it always does.
const PATIENCE: Duration = Duration::from_secs(2);

/// Does some work on this thread, while another one listens for signals. Those that the work outlives end the process;
/// one that it does not is kept for the [`Inputs`].
pub(crate) fn interruptible<T>(
    runtime: &Runtime,
    inputs: &mut Inputs,
    work: impl FnOnce() -> T,
) -> T {
    std::thread::scope(|scope| {
        let (done, is_done) = oneshot::channel::<()>();
        let listener = std::thread::Builder::new().name("signals".to_owned());
        let listening = listener.spawn_scoped(scope, move || {
            runtime.block_on(async {
                tokio::select! {
                    // An end without a word is an end as well.
                    _ = is_done => {}
                    status = asked_in_vain(inputs) => end(status),
                }
            });
        });
        if let Err(error) = listening {
            warn!(%error, "signals are heard when the start is over");
        }
        let outcome = work();
        // The listener may be gone, which is the end of the process.
        let _heard = done.send(());
        outcome
    })
}

/// Waits for signals to stop, and gives the exit status for them.
async fn asked_in_vain(inputs: &mut Inputs) -> i32 {
    inputs.asked_to_stop().await;
    inputs.stop_soon();
    info!("stopping: told so before anything is served");
    tokio::select! {
        () = sleep(PATIENCE) => 0,
        () = inputs.asked_to_stop() => {
            warn!("stopped at once: a second signal came");
            1
        }
    }
}

fn end(status: i32) {
    settle();
    std::process::exit(status);
}
