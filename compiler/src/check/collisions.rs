//! Two servers on one endpoint must not expose the same name: a call could not be told apart.
//!
//! Looks at names that are known at compile time; `undecidable` looks at those that are not.

use std::collections::BTreeMap;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::path::Path;
use crate::resolve::{Kind, Resolved, ResolvedEndpoint, ServerId};
use crate::surface::{Known, Origin};

/// A known name as an endpoint exposes it.
pub(super) struct Exposed<'a> {
    pub(super) name: String,
    pub(super) server: ServerId,
    pub(super) known: Known<'a>,
}

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for endpoint in &resolved.endpoints {
        for kind in Kind::ALL {
            check_endpoint(resolved, endpoint, kind, sink);
        }
    }
}

fn check_endpoint(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    kind: Kind,
    sink: &mut Sink,
) {
    let exposed = exposed_names(resolved, endpoint, kind);
    // Two servers that share a hundred names lack one prefix: that is one mistake.
    let mut pairs: BTreeMap<(ServerId, ServerId), (&Exposed<'_>, &Exposed<'_>, usize)> =
        BTreeMap::new();
    for group in exposed.chunk_by(|a, b| a.name == b.name) {
        let Some(first) = group.first() else { continue };
        let Some(other) = group.iter().find(|other| other.server != first.server) else {
            continue;
        };
        let pair = pairs.entry((first.server, other.server));
        pair.or_insert((first, other, 0)).2 += 1;
    }
    for (first, other, names) in pairs.into_values() {
        report(resolved, endpoint, (first, other, names), kind, sink);
    }
}

fn report(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    (first, other, names): (&Exposed<'_>, &Exposed<'_>, usize),
    kind: Kind,
    sink: &mut Sink,
) {
    let (Some(one), Some(two)) = (resolved.server(first.server), resolved.server(other.server))
    else {
        return;
    };
    let shown = plain_text(&other.name);
    let message = format!(
        "{} name `{shown}` belongs to two servers: `{}` and `{}`",
        kind.one(),
        one.name,
        two.name
    );
    let place = |exposed: &Exposed<'_>| resolved.span(&origin(resolved, exposed, kind));
    let label = format!("also exposed by server `{}`", two.name);
    let mut diagnostic =
        Diagnostic::error(codes::NAME_OF_TWO_SERVERS, message, place(other), label).and(
            place(first),
            format!("first exposed by server `{}`", one.name),
        );
    let rename = format!(
        "rename it in one of them: `rename: {{ {}: {}_{} }}`",
        plain_text(other.known.name),
        two.name,
        plain_text(other.known.local)
    );
    let written = endpoint.written.and_then(|written| written.prefix.as_ref());
    let is_shared = written.is_some_and(|prefix| !prefix.contains("{server}"));
    diagnostic = if is_shared {
        diagnostic
            .and(
                resolved.span(&endpoint.site().key("prefix")),
                "this prefix does not tell them apart",
            )
            .help(format!(
                "use `prefix: \"{{server}}__\"` on endpoint `{}`, or {rename}",
                endpoint.name
            ))
    } else {
        diagnostic.help(rename)
    };
    if names > 1 {
        diagnostic = diagnostic.note(format!("the two share {} more names", names - 1));
    }
    sink.report(diagnostic);
}

/// Every known name that an endpoint exposes, sorted by what clients see, then by server.
pub(super) fn exposed_names<'a>(
    resolved: &'a Resolved<'a>,
    endpoint: &ResolvedEndpoint<'_>,
    kind: Kind,
) -> Vec<Exposed<'a>> {
    let mut exposed = Vec::new();
    for member in &endpoint.members {
        let Some(server) = resolved.server(member.server) else {
            continue;
        };
        exposed.extend(server.surface(kind).known.iter().map(|known| Exposed {
            name: format!("{}{}", member.prefix, known.local),
            server: member.server,
            known: *known,
        }));
    }
    exposed
        .sort_by(|a, b| (&a.name, a.server, a.known.name).cmp(&(&b.name, b.server, b.known.name)));
    exposed
}

/// Where the name was written.
pub(super) fn origin(resolved: &Resolved<'_>, exposed: &Exposed<'_>, kind: Kind) -> Path {
    let server = resolved.server(exposed.server);
    let filter = server.map_or_else(Path::root, |server| server.site().key(kind.key()));
    match exposed.known.origin {
        Origin::Allow(index) => filter.key("allow").index(index),
        Origin::Rename => filter.key("rename").key(exposed.known.name),
    }
}
