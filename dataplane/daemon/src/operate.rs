//! The life of a gateway: start, reload on change and SIGHUP, stop on SIGTERM and SIGINT.
//!
//! Owns the order of things. Where plans come from is [`Plans`]; what a swap does is the gateway's
//! business. The gateway is called outside of the asynchronous part, since it may block.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcpc_dataplane::{Door, Gateway, Options, Reach, Refusal, Stdio, Swapped};
use mcpc_plan::{Digest, Plan};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::signals::{Signals, Wish};
use crate::state_dir::session_keys;
use crate::watch::Watch;
use crate::{GatewayFlags, LogFormat};

/// Where plans come from, again and again.
pub trait Plans {
    /// Makes or reads a plan from what is there now.
    ///
    /// # Errors
    /// Why there is none; shown by the caller.
    fn load(&mut self) -> Result<Plan, Rejected>;

    /// What the source is called, for status and logs: `mcpc.yaml`.
    fn name(&self) -> String;

    /// The file whose changes are worth a new load, if there is one.
    fn file(&self) -> Option<&Path>;

    /// The content that the last load has read; nothing if it could not be read.
    fn loaded(&self) -> Option<Digest>;

    /// The content that a load would read now; nothing if it could not be read.
    fn present(&self) -> Option<Digest>;
}

/// What there was instead of a plan.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// How far it got.
    pub stage: Stage,
    /// Which plan it was, if it claims to be one.
    pub digest: Option<Digest>,
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
    plans: &mut dyn Plans,
    flags: &GatewayFlags,
    reach: Arc<dyn Reach>,
    started: impl FnOnce(&Gateway, &Plan),
) -> Ended {
    let (runtime, mut inputs) = match Inputs::open(plans.file(), flags) {
        Ok(opened) => opened,
        Err(error) => {
            error!(reason = %error, "the gateway cannot listen for signals");
            return Ended::NotStarted;
        }
    };
    let plan = match plans.load() {
        Ok(plan) => plan,
        Err(rejected) => {
            tell(&rejected, flags.log_format);
            return match rejected.stage {
                Stage::Unread => Ended::NotStarted,
                Stage::Read => Ended::NoPlan,
            };
        }
    };
    let started_gateway = options(flags, reach, plans.name())
        .and_then(|options| Gateway::start(plan.clone(), options));
    let mut gateway = match started_gateway {
        Ok(gateway) => gateway,
        Err(refusal) => {
            error!(
                code = refusal.code,
                reason = refusal.reason,
                "the gateway does not start"
            );
            return Ended::NotStarted;
        }
    };
    info!(
        address = gateway.address().map(tracing::field::display),
        admin = gateway.admin_address().map(tracing::field::display),
        stdio = flags.stdio.then_some(true),
        plan = plan.digest.short(),
        "serving"
    );
    started(&gateway, &plan);
    inputs.left = gateway.client_left();
    let mut live = plan;
    while runtime.block_on(inputs.next(plans)) == Wish::Reload {
        reload(plans, flags, &mut gateway, &mut live);
    }
    stop(gateway, &live, &runtime, &mut inputs)
}

/// How the flags want a gateway to run.
fn options(
    flags: &GatewayFlags,
    reach: Arc<dyn Reach>,
    source: String,
) -> Result<Options, Refusal> {
    let session_keys = session_keys(flags)?;
    // A client that starts the gateway for itself has no use for a port, and several such gateways
    // would fight for it.
    let door = |is_asked_for: bool| {
        if is_asked_for || !flags.stdio {
            Door::Open
        } else {
            Door::Shut
        }
    };
    let stdio = flags.stdio.then(|| Stdio {
        input: Box::new(tokio::io::stdin()),
        output: Box::new(tokio::io::stdout()),
        endpoint: flags.endpoint.clone(),
    });
    Ok(Options {
        reach,
        workers: flags.workers,
        source,
        clients: door(flags.listen.is_some()),
        operators: door(flags.admin.is_some()),
        stdio,
        session_keys,
    })
}

/// Puts a new plan in place of the live one, or leaves everything as it is and says why.
fn reload(plans: &mut dyn Plans, flags: &GatewayFlags, gateway: &mut Gateway, live: &mut Plan) {
    let plan = match plans.load() {
        Ok(plan) => plan,
        Err(rejected) => {
            tell(&rejected, flags.log_format);
            gateway.note_refused(rejected.digest, &rejected.refusal);
            return;
        }
    };
    match gateway.swap(plan.clone()) {
        Ok(Swapped::Unchanged) => info!(plan = live.digest.short(), "the plan is live already"),
        Ok(Swapped::Live {
            kept,
            started,
            stopped,
        }) if plan.digest == live.digest => info!(
            plan = plan.digest.short(),
            kept, started, stopped, "new values of secrets are live"
        ),
        Ok(Swapped::Live {
            kept,
            started,
            stopped,
        }) => {
            info!(
                old = live.digest.short(),
                new = plan.digest.short(),
                kept,
                started,
                stopped,
                "the new plan is live"
            );
            *live = plan;
        }
        Err(refusal) => warn!(
            code = refusal.code,
            reason = refusal.reason,
            live = live.digest.short(),
            refused = plan.digest.short(),
            "the new plan is refused; the live one goes on"
        ),
    }
}

/// Logs why there is no plan. For people the details follow as they are; in JSON they are a field.
fn tell(rejected: &Rejected, format: LogFormat) {
    let Rejected {
        refusal: Refusal { code, reason },
        details,
        ..
    } = rejected;
    if details.is_empty() {
        error!(code, reason, "there is no plan to go live");
        return;
    }
    match format {
        LogFormat::Json => error!(code, reason, details, "there is no plan to go live"),
        LogFormat::Human => {
            error!(code, "there is no plan to go live");
            let _unheard = io::stderr().lock().write_all(details.as_bytes());
        }
    }
}

/// Shuts down within the grace of the live plan. A second signal ends everything at once.
fn stop(gateway: Gateway, live: &Plan, runtime: &Runtime, inputs: &mut Inputs) -> Ended {
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
    runtime.block_on(async {
        tokio::select! {
            _ = stopped => {
                info!("stopped");
                Ended::Stopped
            }
            () = inputs.asked_to_stop() => {
                warn!("stopped at once: a second signal came");
                Ended::Interrupted
            }
        }
    })
}

/// Signals, the watched file, and the departure of the one client that there is.
struct Inputs {
    signals: Signals,
    watch: Option<Watch>,
    left: Option<oneshot::Receiver<()>>,
}

impl Inputs {
    /// Opened before the first plan is loaded, so that no signal and no change is lost in between.
    fn open(file: Option<&Path>, flags: &GatewayFlags) -> io::Result<(Runtime, Self)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let guard = runtime.enter();
        let signals = Signals::open()?;
        let watched = file.filter(|_| !flags.no_watch);
        let watch = watched.and_then(watch_or_warn);
        drop(guard);
        let inputs = Self {
            signals,
            watch,
            left: None,
        };
        Ok((runtime, inputs))
    }

    async fn next(&mut self, plans: &dyn Plans) -> Wish {
        let changed = async {
            match &mut self.watch {
                Some(watch) => changed(watch, plans).await,
                None => std::future::pending().await,
            }
        };
        let left = async {
            match &mut self.left {
                // An end without a word is an end as well.
                Some(left) => drop(left.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            wish = self.signals.next() => wish,
            () = changed => Wish::Reload,
            () = left => Wish::Stop,
        }
    }

    async fn asked_to_stop(&mut self) {
        while self.signals.next().await != Wish::Stop {}
    }
}

/// Ends when there is something else than what was loaded. Not something else than the last time: a
/// load in between, after SIGHUP or of a file that changed and changed back, may have read a content
/// that no event was looked at for.
async fn changed(watch: &mut Watch, plans: &dyn Plans) {
    loop {
        watch.stirred().await;
        let mut present = plans.present();
        if present.is_none() {
            // Deleted to be written anew, as some editors do. Once more, then it is gone.
            watch.settled().await;
            present = plans.present();
        }
        if present != plans.loaded() {
            return;
        }
    }
}

fn watch_or_warn(file: &Path) -> Option<Watch> {
    match Watch::start(file) {
        Ok(watch) => Some(watch),
        Err(error) => {
            warn!(reason = %error, "the file cannot be watched; SIGHUP loads it again");
            None
        }
    }
}
