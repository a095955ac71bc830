//! The check that a plan is whole: run on emit, and again on load, so that neither side trusts the other.

use crate::{ContentKey, Endpoint, Listener, MemberId, Plan, PlanError, Routes, Timeouts};

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
        verify_listener(&self.listener)?;
        hold(
            self.admin.address.ip().is_loopback() || self.admin.allow_anonymous,
            "the admin listener is open to other machines without `allow_anonymous`",
        )?;
        self.verify_limits()?;
        self.verify_upstreams()?;
        hold(!self.endpoints.is_empty(), "there is no endpoint")?;
        hold(
            is_sorted(self.endpoints.iter().map(|endpoint| endpoint.path.as_ref())),
            "endpoints are not sorted by path",
        )?;
        self.endpoints
            .iter()
            .try_for_each(|endpoint| self.verify_endpoint(endpoint))
    }

    fn verify_limits(&self) -> Result<(), PlanError> {
        let limits = &self.limits;
        let counts = [
            limits.head_bytes,
            limits.headers,
            limits.nesting,
            limits.connections,
            limits.streams,
        ];
        let lists = [limits.sessions, limits.list_pages, limits.list_items];
        let sizes = [
            limits.body_bytes,
            limits.reply_bytes,
            limits.session_idle_ms,
            limits.grace_ms,
        ];
        hold(
            counts.iter().chain(&lists).all(|count| *count > 0),
            "a limit is zero",
        )?;
        hold(sizes.iter().all(|size| *size > 0), "a limit is zero")
    }

    fn verify_upstreams(&self) -> Result<(), PlanError> {
        hold(!self.upstreams.is_empty(), "there is no upstream")?;
        hold(
            is_sorted(self.upstreams.iter().map(|upstream| upstream.name.as_ref())),
            "upstreams are not sorted by name",
        )?;
        for upstream in &self.upstreams {
            let key = ContentKey::of(&upstream.transport, upstream.era);
            hold(
                key == upstream.key && !key.as_str().is_empty(),
                "an upstream's key does not match its definition",
            )?;
            let Timeouts {
                connect_ms,
                first_byte_ms,
                idle_ms,
                total_ms,
            } = upstream.timeouts;
            let parts = [connect_ms, first_byte_ms, idle_ms];
            hold(
                parts.iter().all(|part| *part > 0 && *part <= total_ms),
                "a timeout is zero or longer than the whole call",
            )?;
        }
        Ok(())
    }

    fn verify_endpoint(&self, endpoint: &Endpoint) -> Result<(), PlanError> {
        hold(
            endpoint.path.starts_with('/'),
            "an endpoint's path does not start with `/`",
        )?;
        hold(!endpoint.members.is_empty(), "an endpoint has no member")?;
        for member in &endpoint.members {
            hold(
                self.upstream(member.upstream).is_some(),
                "a member names an upstream that is not there",
            )?;
            for names in [&member.tools, &member.prompts] {
                hold(
                    is_sorted(names.rename.iter().map(|rename| rename.from.as_ref())),
                    "new names are not sorted",
                )?;
            }
        }
        verify_routes(&endpoint.tools, endpoint)?;
        verify_routes(&endpoint.prompts, endpoint)
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

fn verify_routes(routes: &Routes, endpoint: &Endpoint) -> Result<(), PlanError> {
    let in_range = |id: MemberId| endpoint.member(id).is_some();
    hold(
        is_sorted(routes.exact.iter().map(|route| route.exposed.as_ref())),
        "routes are not sorted",
    )?;
    hold(
        is_sorted(routes.open.iter().map(|route| route.prefix.as_ref())),
        "prefixes are not sorted",
    )?;
    hold(
        routes.exact.iter().all(|route| in_range(route.member)),
        "a route names a member that is not there",
    )?;
    hold(
        routes.open.iter().all(|route| in_range(route.member)),
        "a prefix names a member that is not there",
    )?;
    // Sorted, so a prefix of another one stands directly or transitively before it.
    let overlap = routes.open.windows(2).any(|pair| match pair {
        [first, second] => second.prefix.starts_with(first.prefix.as_ref()),
        _ => false,
    });
    hold(!overlap, "one prefix starts another one")
}

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
