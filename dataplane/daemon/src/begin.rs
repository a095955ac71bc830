//! The first plan of a gateway: what its source holds or, if that cannot be used, the newest good one that can.
//!
//! Owns who decides that. The flag does; else what the source says as far as it can be read; else the
//! plan that was live last, which is as it was when somebody wanted it to be live. What may be gone back
//! to is `history`'s, what happens afterwards `operate`'s.

use std::sync::Arc;

use mcpc_dataplane::{Door, Gateway, Options, Reach, Refusal, Stdio, Taken};
use mcpc_plan::{Digest, Fallback, Plan};
use tracing::{error, warn};

use crate::GatewayFlags;
use crate::history::History;
use crate::loader::load;
use crate::operate::{Ended, Plans, Stage};
use crate::operation::{NotTaken, tell};
use crate::state_dir::Keys;

/// What a gateway starts with besides a plan.
pub(crate) struct Means<'a> {
    pub(crate) flags: &'a GatewayFlags,
    pub(crate) reach: &'a Arc<dyn Reach>,
    pub(crate) keys: &'a Keys,
}

/// Why a gateway cannot start with what its source holds.
struct Unusable {
    ended: Ended,
    digest: Option<Digest>,
    refusal: Refusal,
    /// What the source says of the last good plan in spite of that.
    fallback: Option<Fallback>,
}

/// A gateway that has started.
pub(crate) struct Begun {
    pub(crate) gateway: Gateway,
    pub(crate) plan: Plan,
    /// Why the plan is not what the source holds, if it is not.
    pub(crate) refused: Option<NotTaken>,
}

/// Starts with what the source holds. If that cannot be used, and it is wanted, with the plan that was
/// live last.
pub(crate) fn begin(
    plans: &mut dyn Plans,
    means: &Means<'_>,
    history: &mut History,
) -> Result<Begun, Ended> {
    let unusable = match begin_with_source(plans, means, history) {
        Ok((gateway, plan)) => {
            history.went_live(&plan, None, &plan.digest);
            return Ok(Begun {
                gateway,
                plan,
                refused: None,
            });
        }
        Err(unusable) => unusable,
    };
    let Some((gateway, plan)) = begin_with_kept(&unusable, &plans.content().name(), means, history)
    else {
        return Err(unusable.ended);
    };
    let refused = NotTaken {
        digest: unusable.digest,
        why: unusable.refusal,
    };
    gateway.note_set_aside(Taken::LastGood, refused.digest.clone(), &refused.why);
    let Refusal { code, reason } = &refused.why;
    let plan_name = plan.digest.short();
    warn!(
        code,
        reason,
        plan = plan_name,
        "this is the last good plan, not what the file holds: that cannot be used"
    );
    Ok(Begun {
        gateway,
        plan,
        refused: Some(refused),
    })
}

/// Starts with the newest plan from before that can be used, if that is wanted.
fn begin_with_kept(
    unusable: &Unusable,
    source: &str,
    means: &Means<'_>,
    history: &mut History,
) -> Option<(Gateway, Plan)> {
    let said = means.flags.fallback.map(Fallback::from);
    if !is_wanted(said.or(unusable.fallback), history) {
        return None;
    }
    let (mut at, mut tried) = (0, 0);
    while let Some(plan) = history.kept_at(at) {
        // What the source holds was tried, and why it cannot be used was said.
        if unusable.digest.as_ref() != Some(&plan.digest) {
            match start(&plan, source.to_owned(), means) {
                Ok(gateway) => {
                    history.resumed(&plan, at);
                    return Some((gateway, plan));
                }
                Err(refusal) => tell_not_started_with(&plan, &refusal),
            }
            tried += 1;
        }
        at += 1;
    }
    if history.is_on_disk() {
        error!(
            code = "MCPC9612",
            tried, "there is no plan from before to start with"
        );
    } else {
        tell_nowhere();
    }
    None
}

/// Whether a plan from before is wanted: whoever has said so decides, else the one that was live last.
fn is_wanted(said: Option<Fallback>, history: &mut History) -> bool {
    let wanted = said.or_else(|| history.kept_at(0).map(|plan| plan.fallback));
    wanted == Some(Fallback::LastGood)
}

/// Warns while all is well that there will be nothing to start from when it is not.
pub(crate) fn warn_without_state(live: &Plan, flags: &GatewayFlags, history: &History) {
    let wanted = flags.fallback.map_or(live.fallback, Fallback::from);
    if wanted == Fallback::LastGood && !history.is_on_disk() {
        tell_nowhere();
    }
}

fn tell_nowhere() {
    warn!(
        code = "MCPC9618",
        "the last good plan is wanted when nothing else can be used, and there is no state directory to \
         keep it in; name one with --state-dir"
    );
}

fn begin_with_source(
    plans: &mut dyn Plans,
    means: &Means<'_>,
    history: &History,
) -> Result<(Gateway, Plan), Unusable> {
    let flags = means.flags;
    let plan = load(plans).map_err(|rejected| {
        tell(&rejected, flags.log_format);
        Unusable {
            ended: match rejected.stage {
                Stage::Unread => Ended::NotStarted,
                Stage::Read => Ended::NoPlan,
            },
            digest: rejected.digest,
            refusal: rejected.refusal,
            fallback: rejected.fallback,
        }
    })?;
    let unusable = |refusal| Unusable {
        ended: Ended::NotStarted,
        digest: Some(plan.digest.clone()),
        refusal,
        fallback: Some(plan.fallback),
    };
    let wanted = flags.fallback.map_or(plan.fallback, Fallback::from);
    if wanted == Fallback::LastGood
        && let Some(aside) = history.set_aside(&plan.digest)
    {
        return Err(unusable(aside.refusal()));
    }
    let started = start(&plan, plans.content().name(), means);
    let gateway = started.inspect_err(tell_not_started).map_err(unusable)?;
    Ok((gateway, plan))
}

/// Starts a gateway, or says why not.
fn start(plan: &Plan, source: String, means: &Means<'_>) -> Result<Gateway, Refusal> {
    Gateway::start(plan.clone(), options(means, source))
}

/// Says why a plan from before is not the one to start with.
fn tell_not_started_with(plan: &Plan, Refusal { code, reason }: &Refusal) {
    let plan = plan.digest.short();
    warn!(
        code,
        reason, plan, "the gateway does not start with this plan from before"
    );
}

/// Says why there is no gateway.
pub(crate) fn tell_not_started(Refusal { code, reason }: &Refusal) {
    error!(code, reason, "the gateway does not start");
}

/// How the flags want a gateway to run.
fn options(means: &Means<'_>, source: String) -> Options {
    let flags = means.flags;
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
    Options {
        reach: Arc::clone(means.reach),
        workers: flags.workers,
        source,
        clients: door(flags.listen.is_some()),
        operators: door(flags.admin.is_some()),
        stdio,
        session_keys: means.keys.session(),
    }
}
