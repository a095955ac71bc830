//! The rules of route tables: every name that a member exposes is found again, as exactly that.

use crate::{Endpoint, Member, MemberId, Names, Pattern, PlanError, Routes, Upstream};

use super::{hold, is_sorted};

pub(super) fn verify(endpoint: &Endpoint, upstreams: &[Upstream]) -> Result<(), PlanError> {
    hold(
        endpoint.path.starts_with('/'),
        "an endpoint's path does not start with `/`",
    )?;
    hold(!endpoint.members.is_empty(), "an endpoint has no member")?;
    for member in &endpoint.members {
        hold(
            upstreams.get(member.upstream.index()).is_some(),
            "a member names an upstream that is not there",
        )?;
        verify_names(&member.tools)?;
        verify_names(&member.prompts)?;
        verify_patterns(member.resources.allow.as_deref(), &member.resources.deny)?;
    }
    verify_routes(endpoint, &endpoint.tools, |member| &member.tools)?;
    verify_routes(endpoint, &endpoint.prompts, |member| &member.prompts)
}

fn verify_names(names: &Names) -> Result<(), PlanError> {
    verify_patterns(names.allow.as_deref(), &names.deny)?;
    hold(
        is_sorted(names.rename.iter().map(|rename| rename.from.as_ref()))
            && names.rename.iter().all(|rename| !rename.to.is_empty()),
        "new names are not sorted or one is empty",
    )
}

fn verify_patterns(allow: Option<&[Pattern]>, deny: &[Pattern]) -> Result<(), PlanError> {
    let is_sorted = |patterns: &[Pattern]| patterns.is_sorted_by(|a, b| a.rank() < b.rank());
    hold(
        allow.is_none_or(is_sorted) && is_sorted(deny),
        "patterns are not sorted",
    )
}

fn verify_routes<'a>(
    endpoint: &'a Endpoint,
    routes: &Routes,
    names: impl Fn(&'a Member) -> &'a Names,
) -> Result<(), PlanError> {
    verify_order(routes)?;
    for route in &routes.open {
        let member = endpoint.member(route.member);
        hold(
            member.is_some_and(|member| member.prefix == route.prefix),
            "a prefix names a member that is not there or has another prefix",
        )?;
    }
    for route in &routes.exact {
        let member = endpoint.member(route.member);
        hold(
            member
                .is_some_and(|member| exposes(member, names(member), &route.name, &route.exposed)),
            "a route names a member that is not there or does not expose the name",
        )?;
        let claimed = routes
            .by_prefix(&route.exposed)
            .is_some_and(|(open, local)| {
                let member = endpoint
                    .member(open.member)
                    .filter(|_| open.member != route.member);
                member.is_some_and(|member| names(member).takes(local))
            });
        hold(!claimed, "a known name could belong to two members")?;
    }
    for (index, member) in endpoint.members.iter().enumerate() {
        let id = MemberId::new(index);
        let mut known = known_names(names(member));
        let mut exposed = String::new();
        let all_found = known.all(|(name, local)| {
            exposed.clear();
            exposed.push_str(&member.prefix);
            exposed.push_str(local);
            let route = routes.known(&exposed);
            route.is_some_and(|route| Some(route.member) == id && *route.name == *name)
        });
        hold(all_found, "a known name has no route")?;
    }
    Ok(())
}

fn verify_order(routes: &Routes) -> Result<(), PlanError> {
    hold(
        is_sorted(routes.exact.iter().map(|route| route.exposed.as_ref())),
        "routes are not sorted",
    )?;
    hold(
        is_sorted(routes.open.iter().map(|route| route.prefix.as_ref())),
        "prefixes are not sorted",
    )?;
    // Sorted, so a prefix of another one stands directly or transitively before it.
    let overlap = routes.open.windows(2).any(|pair| match pair {
        [first, second] => second.prefix.starts_with(first.prefix.as_ref()),
        _ => false,
    });
    hold(!overlap, "one prefix starts another one")
}

fn exposes(member: &Member, names: &Names, name: &str, exposed: &str) -> bool {
    let local = names.renamed(name).unwrap_or(name);
    names.allows(name) && exposed.strip_prefix(member.prefix.as_ref()) == Some(local)
}

/// The own names that are known to be exposed, with what follows the prefix.
fn known_names(names: &Names) -> impl Iterator<Item = (&str, &str)> {
    let exact = names.allow.iter().flatten();
    let listed = exact
        .filter(|pattern| pattern.is_exact())
        .map(Pattern::as_str);
    let listed = listed.map(|name| (name, names.renamed(name).unwrap_or(name)));
    let renamed = names
        .rename
        .iter()
        .map(|rename| (&*rename.from, &*rename.to));
    let known = listed.chain(renamed);
    known.filter(|(name, _)| names.allows(name))
}
