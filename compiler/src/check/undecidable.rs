//! Every call must have one answer to where it goes. A server whose names are not all known is
//! *open*: its names are told by its prefix alone, so that no other server may come near it.
//!
//! Two findings: open servers whose prefixes are equal or start one another, and a known name of
//! one server that an open server could have as well.

use std::collections::BTreeSet;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::resolve::{Kind, Resolved, ResolvedEndpoint, ResolvedMember, ServerId};

use super::collisions::{Exposed, exposed_names, origin};

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for endpoint in &resolved.endpoints {
        let mut reported = BTreeSet::new();
        for kind in Kind::ALL {
            let open = open_members(resolved, endpoint, kind);
            let overlaps = overlapping_groups(&open);
            if overlaps.is_empty() {
                claimed_names(resolved, endpoint, kind, &open, sink);
            }
            for group in overlaps {
                // What holds for the tools of two servers mostly holds for their prompts too.
                if reported.insert(group.iter().map(|member| member.server).collect::<Vec<_>>()) {
                    report_overlap(resolved, endpoint, kind, group, sink);
                }
            }
        }
    }
}

/// Open members, sorted by prefix.
fn open_members<'a>(
    resolved: &Resolved<'_>,
    endpoint: &'a ResolvedEndpoint<'_>,
    kind: Kind,
) -> Vec<&'a ResolvedMember> {
    let is_open = |member: &&ResolvedMember| {
        let server = resolved.server(member.server);
        server.is_some_and(|server| server.surface(kind).open)
    };
    let mut open: Vec<_> = endpoint.members.iter().filter(is_open).collect();
    open.sort_by_key(|member| (&member.prefix, member.listed, member.server));
    open
}

/// Runs of members whose prefixes all start with that of the first: since they are sorted,
/// whatever starts with a prefix follows it directly.
fn overlapping_groups<'a, 'b>(open: &'a [&'b ResolvedMember]) -> Vec<&'a [&'b ResolvedMember]> {
    let mut groups = Vec::new();
    let mut rest = open;
    while let Some((first, others)) = rest.split_first() {
        let run = others
            .iter()
            .take_while(|other| other.prefix.starts_with(&first.prefix));
        let (group, after) = rest.split_at(1 + run.count());
        if group.len() > 1 {
            groups.push(group);
        }
        rest = after;
    }
    groups
}

fn report_overlap(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    kind: Kind,
    group: &[&ResolvedMember],
    sink: &mut Sink,
) {
    let [first, second, others @ ..] = group else {
        return;
    };
    let name = |member: &ResolvedMember| {
        resolved
            .server(member.server)
            .map_or("", |server| server.name)
    };
    let (one, two) = (name(first), name(second));
    let message = format!(
        "a {} name on endpoint `{}` could belong to server `{one}` or to server `{two}`",
        kind.one(),
        endpoint.name
    );
    let label = |member: &ResolvedMember| match member.prefix.as_str() {
        "" => "may expose any name".to_owned(),
        prefix => format!("may expose any name that starts with `{prefix}`"),
    };
    let span = |member: &ResolvedMember| resolved.member_span(endpoint, member);
    let mut diagnostic = Diagnostic::error(
        codes::UNDECIDABLE_SERVERS,
        message,
        span(second),
        label(second),
    )
    .and(span(first), label(first));
    let written = endpoint
        .written
        .and_then(|written| written.prefix.as_deref());
    let in_allow = format!("list the names of one of them under `{}.allow`", kind.key());
    diagnostic = match written {
        Some(prefix) if !prefix.contains("{server}") => diagnostic
            .and(
                resolved.span(&endpoint.site().key("prefix")),
                "the same prefix for every server",
            )
            .help(format!("use `prefix: \"{{server}}__\"`, or {in_allow}")),
        _ => diagnostic.help(format!(
            "rename one of the servers so that `{}` does not start `{}`, or {in_allow}",
            first.prefix, second.prefix
        )),
    };
    if !others.is_empty() {
        let names: Vec<_> = others
            .iter()
            .take(5)
            .map(|member| format!("`{}`", name(member)))
            .collect();
        let more = others.len().saturating_sub(names.len());
        let tail = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        diagnostic = diagnostic.note(format!("the same holds for {}{tail}", names.join(", ")));
    }
    sink.report(diagnostic);
}

fn claimed_names(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    kind: Kind,
    open: &[&ResolvedMember],
    sink: &mut Sink,
) {
    let mut reported: BTreeSet<(ServerId, ServerId)> = BTreeSet::new();
    for exposed in exposed_names(resolved, endpoint, kind) {
        let before = open.partition_point(|member| member.prefix <= exposed.name);
        let Some(claimant) = before.checked_sub(1).and_then(|last| open.get(last)) else {
            continue;
        };
        let Some(local) = exposed.name.strip_prefix(&claimant.prefix) else {
            continue;
        };
        let surface = resolved
            .server(claimant.server)
            .map(|server| server.surface(kind));
        let claims = claimant.server != exposed.server
            && surface.is_some_and(|surface| surface.could_expose(local));
        if claims && reported.insert((claimant.server, exposed.server)) {
            report_claim(resolved, endpoint, kind, (&exposed, claimant), sink);
        }
    }
}

fn report_claim(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    kind: Kind,
    (exposed, claimant): (&Exposed<'_>, &ResolvedMember),
    sink: &mut Sink,
) {
    let (Some(owner), Some(other)) = (
        resolved.server(exposed.server),
        resolved.server(claimant.server),
    ) else {
        return;
    };
    let shown = plain_text(&exposed.name);
    let message = format!(
        "{} name `{shown}` of server `{}` could also come from server `{}`",
        kind.one(),
        owner.name,
        other.name
    );
    let label = match claimant.prefix.as_str() {
        "" => format!("server `{}` may expose any name", other.name),
        prefix => format!(
            "server `{}` may expose any name that starts with `{prefix}`",
            other.name
        ),
    };
    let place = resolved.span(&origin(resolved, exposed, kind));
    let diagnostic = Diagnostic::error(
        codes::UNDECIDABLE_NAME,
        message,
        place,
        format!("server `{}` exposes `{shown}`", owner.name),
    )
    .and(resolved.member_span(endpoint, claimant), label)
    .help(format!(
        "use `prefix: \"{{server}}__\"` on endpoint `{}`, deny `{}` in server `{}`, or list the names of `{}` under `{}.allow`",
        endpoint.name,
        plain_text(exposed.name.strip_prefix(&claimant.prefix).unwrap_or_default()),
        other.name,
        other.name,
        kind.key(),
    ));
    sink.report(diagnostic);
}
