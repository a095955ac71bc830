//! A gateway in operation: what happens to its plan when something is asked of it.
//!
//! Owns the order of steps of a reload and of a rollback, and what is logged of them: after it can be seen in
//! the status, so that whoever waits for a line finds there what it says. Where plans come from is
//! `loader`'s; what a swap does is the gateway's business; what can be gone back to is known to `history`.
//! When something is asked is `inputs`'s.

use std::time::Duration;

use mcpc_dataplane::{Outcome, Refusal, Refused, ResolvedPlan, Swapped, Taken, Timestamp, Verdict};
use mcpc_plan::{Digest, Exposure, Impact, Plan};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::begin::warn_without_state;
use crate::history::{By, History, SetAside};
use crate::operate::Rejected;
use crate::outlet::ERR;
use crate::probation::Before;
use crate::served::Served;
use crate::state_dir::Keys;
use crate::trials::Trials;
use crate::{GatewayFlags, LogFormat};

/// What could not be written is tried again after this long.
const RETRY: Duration = Duration::from_secs(5);

/// So many names of servers are logged at a reload.
const NAMES_MAX: usize = 10;

/// See the file's header.
pub(crate) struct Operation<'a, G> {
    pub(crate) flags: &'a GatewayFlags,
    pub(crate) gateway: G,
    pub(crate) live: Plan,
    pub(crate) history: History,
    pub(crate) keys: Keys,
    pub(crate) trials: Trials,
    /// When what could not be written is tried again.
    pub(crate) retries_at: Instant,
    /// Why what the source holds is not live, if it is not.
    pub(crate) refused: Option<NotTaken>,
    /// When the last rollback was, if there was one.
    pub(crate) went_back_at: Option<Instant>,
}

/// Who wants a plan to be loaded. What somebody asked for counts more than what nobody did, and the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// Nobody: what the source holds has changed.
    ByChange,
    /// Somebody, in so many words, at this time.
    ByOperator(Instant),
}

/// What a source holds, as far as that is known, and why it is not live.
#[derive(Clone, Debug)]
pub(crate) struct NotTaken {
    pub(crate) digest: Option<Digest>,
    pub(crate) why: Refusal,
}

impl<G: Served> Operation<'_, G> {
    /// Puts a plan that was loaded in place of the live one, or leaves everything as it is and says why.
    pub(crate) fn loaded(
        &mut self,
        asked: Asked,
        found: Result<ResolvedPlan, Rejected>,
    ) -> Outcome {
        self.retry();
        let plan = match found {
            Ok(plan) => plan,
            Err(rejected) => {
                let digest = rejected.digest.clone();
                self.gateway.note_refused(digest.clone(), &rejected.refusal);
                tell(&rejected, self.flags.log_format);
                return self.not_taken(digest, rejected.refusal);
            }
        };
        if !self.is_insisted_on(asked)
            && let Some(outcome) = self.leave_aside(&plan.plan().digest)
        {
            return outcome;
        }
        let mut outcome = self.put_in_place(plan);
        if outcome.verdict != Verdict::Refused && matches!(asked, Asked::ByOperator(_)) {
            outcome.tried_again = self.try_again();
        }
        outcome
    }

    /// Whoever asks for a reload may have put right what kept a server down.
    fn try_again(&self) -> Vec<Box<str>> {
        let servers = self.gateway.try_again();
        if let Some(servers) = names(&servers) {
            info!(servers, "servers that were down are tried again");
        }
        servers
    }

    fn put_in_place(&mut self, resolved: ResolvedPlan) -> Outcome {
        let plan = resolved.plan().clone();
        self.refused = None;
        let is_insisted_on = self.history.judged(&plan.digest).is_some();
        let before = self.trials.before(&self.live.digest, &self.gateway);
        match self.gateway.swap(resolved) {
            Ok(Swapped::Unchanged) => {
                info!(plan = self.live.digest.short(), "the plan is live already");
                self.outcome(Verdict::Unchanged)
            }
            Ok(Swapped::Live {
                kept,
                started,
                stopped,
            }) if plan.digest == self.live.digest => {
                let plan = plan.digest.short();
                info!(
                    plan,
                    kept, started, stopped, "new values of secrets are live"
                );
                self.outcome(Verdict::Live)
            }
            Ok(swapped) => {
                let before_it = std::mem::replace(&mut self.live, plan);
                let good = before.as_ref().map_or(&before_it.digest, |it| &it.digest);
                let was_live = Some(before_it.clone());
                self.history.went_live(&self.live, was_live, good);
                self.gateway.note_kept(self.history.kept());
                // Whoever asks for a plan again that was rolled back knows what it does, and the plan that is
                // known to work needs no probation: it could only go back to itself.
                let is_known = |it: &Before| is_insisted_on || it.digest == self.live.digest;
                let before = before.filter(|it| !is_known(it));
                self.trials.put_on_probation(before, &self.gateway);
                tell_live(&before_it, &self.live, &swapped, "the new plan is live");
                self.history.tell(&self.live);
                if before_it.fallback != self.live.fallback {
                    warn_without_state(&self.live, self.flags, &self.history);
                }
                self.outcome(Verdict::Live)
            }
            Err(refusal) => {
                warn!(
                    code = refusal.code,
                    reason = refusal.reason,
                    live = self.live.digest.short(),
                    refused = plan.digest.short(),
                    "the new plan is refused; the live one goes on"
                );
                self.not_taken(Some(plan.digest), refusal)
            }
        }
    }

    /// Goes one plan back.
    pub(crate) fn roll_back(&mut self) -> Outcome {
        self.retry();
        let Some(plan) = self.history.earlier() else {
            let refusal = refusal("MCPC9612", "there is no earlier plan to go back to");
            warn!(code = refusal.code, "{}", refusal.reason);
            return self.refused(None, &refusal);
        };
        self.go_back(plan, By::Operator, "an operator rolled it back".to_owned())
    }

    /// Puts an earlier plan in place of the live one, which is set aside for this reason.
    pub(crate) fn go_back(&mut self, plan: Plan, by: By, reason: String) -> Outcome {
        let aside = SetAside {
            digest: self.live.digest.clone(),
            by,
            reason,
        };
        let (digest, why) = (aside.digest.clone(), aside.refusal());
        let resolved = self.gateway.resolve(plan.clone());
        match self.gateway.swap(resolved) {
            Ok(swapped) => {
                let left = std::mem::replace(&mut self.live, plan);
                self.trials.end(&self.gateway);
                self.went_back_at = Some(Instant::now());
                self.history.went_back(&self.live, aside);
                // The source holds what was live, or what it held when that one was gone back to.
                let held = self.refused.get_or_insert_with(|| NotTaken {
                    digest: Some(digest.clone()),
                    why: why.clone(),
                });
                let taken = Taken::RolledBack;
                self.gateway
                    .note_set_aside(taken, held.digest.clone(), &held.why);
                self.gateway.note_kept(self.history.kept());
                warn!(
                    code = why.code,
                    reason = why.reason,
                    "the live plan is rolled back"
                );
                let event = "the plan before it is live again";
                tell_live(&left, &self.live, &swapped, event);
                self.history.tell(&self.live);
                Outcome {
                    refused: Some(refused(Some(digest), &why)),
                    ..self.outcome(Verdict::Live)
                }
            }
            Err(refusal) => {
                error!(
                    code = refusal.code,
                    reason = refusal.reason,
                    live = self.live.digest.short(),
                    refused = plan.digest.short(),
                    "the plan cannot be rolled back; the live one goes on"
                );
                self.refused(Some(plan.digest), &refusal)
            }
        }
    }

    /// Whether somebody wants a plan in spite of a rollback. Who asked before it did not know of it.
    fn is_insisted_on(&self, asked: Asked) -> bool {
        match asked {
            Asked::ByChange => false,
            Asked::ByOperator(at) => self.went_back_at.is_none_or(|back| back <= at),
        }
    }

    /// Writes what could not be written before, if there is any such thing.
    fn retry(&mut self) {
        self.keys.retry();
        if self.history.is_troubled() {
            self.history.retry(&self.live);
            self.gateway.note_kept(self.history.kept());
            self.history.tell(&self.live);
        }
        self.retries_at = Instant::now() + RETRY;
    }

    /// When something has to be looked after, if at all.
    pub(crate) fn due(&self) -> Option<Instant> {
        let is_troubled = self.history.is_troubled() || self.keys.are_troubled();
        let retry = is_troubled.then_some(self.retries_at);
        retry.into_iter().chain(self.trials.due()).min()
    }

    /// Looks after what is due.
    pub(crate) fn look_after(&mut self) {
        if Instant::now() >= self.retries_at {
            self.retry();
        }
        let Some((good, reason)) = self.trials.look(&self.gateway, &self.live) else {
            return;
        };
        let known = self.history.plan(&good);
        match known.or_else(|| self.history.earlier()) {
            Some(plan) => drop(self.go_back(plan, By::Probation, reason)),
            None => self.tell_kept(&good, reason),
        }
    }

    /// The live plan goes on although it breaks what worked: there is none to go back to.
    fn tell_kept(&self, good: &Digest, reason: String) {
        let why = Refusal {
            code: "MCPC9611",
            reason,
        };
        self.gateway
            .note_refused(Some(self.live.digest.clone()), &why);
        error!(
            code = why.code,
            reason = why.reason,
            live = self.live.digest.short(),
            good = good.short(),
            "the live plan breaks what worked, and no plan before it is at hand; it goes on"
        );
    }

    /// A plan that was rolled back is not taken again because somebody has touched its source.
    fn leave_aside(&mut self, digest: &Digest) -> Option<Outcome> {
        let why = self.history.judged(digest)?.refusal();
        // What the source held in between, and was refused, is gone.
        self.gateway.note_refused(Some(digest.clone()), &why);
        info!(
            plan = digest.short(),
            code = why.code,
            "the plan was rolled back, and is taken again only when that is asked for"
        );
        Some(self.not_taken(Some(digest.clone()), why))
    }

    /// What the source holds is refused.
    fn not_taken(&mut self, digest: Option<Digest>, why: Refusal) -> Outcome {
        let outcome = self.refused(digest.clone(), &why);
        self.refused = Some(NotTaken { digest, why });
        outcome
    }

    fn outcome(&self, verdict: Verdict) -> Outcome {
        Outcome {
            verdict,
            live: self.live.digest.clone(),
            refused: None,
            tried_again: Vec::new(),
        }
    }

    fn refused(&self, digest: Option<Digest>, refusal: &Refusal) -> Outcome {
        Outcome {
            refused: Some(refused(digest, refusal)),
            ..self.outcome(Verdict::Refused)
        }
    }
}

/// Logs that a plan is live in place of another one, and what that does to the servers.
fn tell_live(before: &Plan, live: &Plan, swapped: &Swapped, event: &str) {
    let Swapped::Live {
        kept,
        started,
        stopped,
    } = swapped
    else {
        info!(plan = live.digest.short(), "{event}");
        return;
    };
    let impact = Impact::between(before, live);
    info!(
        old = before.digest.short(),
        new = live.digest.short(),
        kept,
        started,
        stopped,
        starts = names(&impact.starts),
        restarts = names(&impact.restarts),
        joins = names(&impact.joins),
        stops = names(&impact.stops),
        "{event}"
    );
    for exposure in &impact.exposures {
        tell_exposure(exposure);
    }
}

/// Logs why there is no plan. For people the details follow as they are; in JSON they are a field.
pub(crate) fn tell(rejected: &Rejected, format: LogFormat) {
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
            ERR.put(details.as_bytes());
        }
    }
}

/// What opens is a warning: whoever may use the endpoint may use that as well from now on, also in sessions
/// that began before.
fn tell_exposure(exposure: &Exposure) {
    let endpoint = &exposure.path;
    let newly = names(&exposure.newly);
    let no_longer = names(&exposure.no_longer);
    let elsewhere = names(&exposure.elsewhere);
    if newly.is_some() || elsewhere.is_some() {
        warn!(
            endpoint,
            newly, no_longer, elsewhere, "the endpoint offers more or other names"
        );
    } else {
        info!(endpoint, no_longer, "the endpoint offers fewer names");
    }
}

/// Names for a line of the log, or nothing if there are none.
fn names(names: &[impl AsRef<str>]) -> Option<String> {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(AsRef::as_ref).collect();
    let shown = shown.join(", ");
    match names.len() {
        0 => None,
        many if many > NAMES_MAX => Some(format!("{shown} and {} more", many - NAMES_MAX)),
        _ => Some(shown),
    }
}

fn refusal(code: &'static str, reason: &str) -> Refusal {
    Refusal {
        code,
        reason: reason.to_owned(),
    }
}

fn refused(digest: Option<Digest>, refusal: &Refusal) -> Refused {
    Refused {
        digest,
        code: refusal.code.to_owned(),
        reason: refusal.reason.clone(),
        at: Timestamp::now(),
    }
}
