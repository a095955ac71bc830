//! The check that a plan is whole: run on emit, and again on load, so that neither side trusts the other.
//!
//! Owns the rules that the data plane relies on; upstreams are checked in `verify/upstreams.rs`,
//! route tables in `verify/routes.rs`. Every rule costs about one look-up for each entry it checks.

mod routes;
mod upstreams;

use crate::{Limits, Listener, Plan, PlanError, SecretUse};

impl Plan {
    /// Checks everything that the data plane relies on.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn verify(&self) -> Result<(), PlanError> {
        if self.format != crate::FORMAT {
            return Err(PlanError::Format { found: self.format });
        }
        if self.computed_digest()? != self.digest {
            return Err(PlanError::Digest);
        }
        upstreams::verify_keys(&self.upstreams)?;
        self.verify_contents()
    }

    /// Checks everything but what is computed from the rest, the digest and the keys of upstreams:
    /// for whoever is going to [`seal`](Plan::seal) the plan, because hashing costs more than all
    /// other rules together.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn verify_contents(&self) -> Result<(), PlanError> {
        verify_listener(&self.listener)?;
        hold(
            self.admin.address.ip().is_loopback() || self.admin.allow_anonymous,
            "the admin listener is open to other machines without `allow_anonymous`",
        )?;
        verify_limits(&self.limits)?;
        upstreams::verify(&self.upstreams)?;
        hold(
            self.secrets == SecretUse::of(&self.upstreams),
            "the secrets are not those that the upstreams use",
        )?;
        hold(!self.endpoints.is_empty(), "there is no endpoint")?;
        hold(
            is_sorted(self.endpoints.iter().map(|endpoint| endpoint.path.as_ref())),
            "endpoints are not sorted by path",
        )?;
        self.endpoints
            .iter()
            .try_for_each(|endpoint| routes::verify(endpoint, &self.upstreams))
    }
}

fn verify_listener(listener: &Listener) -> Result<(), PlanError> {
    hold(
        listener.address.ip().is_loopback() || listener.allow_anonymous,
        "the listener is open to other machines without `allow_anonymous`",
    )?;
    hold(
        is_sorted(listener.hosts.iter().map(AsRef::as_ref)),
        "hosts are not sorted",
    )
}

fn verify_limits(limits: &Limits) -> Result<(), PlanError> {
    let counts = [
        limits.head_bytes,
        limits.headers,
        limits.nesting,
        limits.connections,
        limits.streams,
        limits.sessions,
        limits.private_upstreams,
        limits.starts,
        limits.list_pages,
        limits.list_items,
        limits.calls,
    ];
    let sizes = [
        limits.body_bytes,
        limits.reply_bytes,
        limits.session_idle_ms,
        limits.unacknowledged_ms,
        limits.grace_ms,
    ];
    hold(
        counts.iter().all(|count| *count > 0)
            && sizes.iter().all(|size| *size > 0)
            && limits.memory_bytes != Some(0),
        "a limit is zero",
    )?;
    hold(
        limits.body_bytes <= Limits::BODY_BYTES_MAX
            && limits.reply_bytes <= Limits::REPLY_BYTES_MAX,
        "a limit is larger than any plan may ask for",
    )
}

/// Whether the names ascend and none is there twice.
fn is_sorted<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    let Some(mut last) = names.next() else {
        return true;
    };
    names.all(|name| std::mem::replace(&mut last, name) < name)
}

fn hold(holds: bool, rule: &'static str) -> Result<(), PlanError> {
    if holds {
        Ok(())
    } else {
        Err(PlanError::Inconsistent { rule })
    }
}
