//! New names that nobody will see, or that two of a server's names share.

use std::collections::BTreeMap;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::path::Path;
use crate::resolve::{Kind, Resolved, ResolvedServer};
use crate::surface::{Known, Origin, Surface};

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        for kind in Kind::ALL {
            let surface = server.surface(kind);
            if surface
                .filter
                .is_some_and(|filter| !filter.rename.is_empty())
            {
                let site = server.site().key(kind.key());
                hidden(resolved, surface, &site, kind, sink);
                shared(resolved, (server, surface), &site, kind, sink);
                chained(resolved, surface, &site, kind, sink);
            }
        }
    }
}

/// A new name for something that is not exposed.
fn hidden(
    resolved: &Resolved<'_>,
    surface: &Surface<'_>,
    site: &Path,
    kind: Kind,
    sink: &mut Sink,
) {
    for from in surface
        .filter
        .iter()
        .flat_map(|filter| filter.rename.keys())
    {
        // What is missing in a list that is in error may have been this name.
        if surface.allows(from) || surface.is_partial {
            continue;
        }
        let name = plain_text(from);
        let one = kind.one();
        let message = format!("{one} `{name}` has a new name and is not exposed");
        let span = resolved.key_span(&site.key("rename").key(from));
        let diagnostic = Diagnostic::error(codes::RENAME_OF_HIDDEN, message, span, "renamed here");
        let denied = surface.deny.matching(from);
        let diagnostic = if let Some(index) = denied {
            let deny = resolved.span(&site.key("deny").index(index));
            diagnostic
                .and(deny, "denied here")
                .help("remove the new name, or the deny")
        } else {
            let allow = resolved.key_span(&site.key("allow"));
            diagnostic
                .and(allow, "this list does not allow it")
                .help(format!("add `{name}` to `allow`, or remove the new name"))
                .note("`allow` takes the server's own names, not the new ones")
        };
        sink.report(diagnostic);
    }
}

/// Two names of one server that clients would see as one.
fn shared(
    resolved: &Resolved<'_>,
    (server, surface): (&ResolvedServer<'_>, &Surface<'_>),
    site: &Path,
    kind: Kind,
    sink: &mut Sink,
) {
    let mut first: BTreeMap<&str, Known<'_>> = BTreeMap::new();
    for known in &surface.known {
        let Some(before) = first.get(known.local) else {
            first.insert(known.local, *known);
            continue;
        };
        // The renamed one is what somebody chose, so that is where the finding stands.
        let (new, old) = if known.origin == Origin::Rename {
            (known, before)
        } else {
            (before, known)
        };
        let span = |known: &Known<'_>| match known.origin {
            Origin::Allow(index) => resolved.span(&site.key("allow").index(index)),
            Origin::Rename => resolved.span(&site.key("rename").key(known.name)),
        };
        let local = plain_text(known.local);
        let one = kind.one();
        let message = format!(
            "two {one}s of server `{}` get the name `{local}`",
            server.name
        );
        let label =
            |known: &Known<'_>| format!("{one} `{}` becomes `{local}`", plain_text(known.name));
        let diagnostic = Diagnostic::error(codes::NEW_NAME_TWICE, message, span(new), label(new))
            .and(span(old), label(old))
            .help("give each its own name");
        sink.report(diagnostic);
    }
}

/// A new name that is the own name of something else that is renamed in turn.
fn chained(
    resolved: &Resolved<'_>,
    surface: &Surface<'_>,
    site: &Path,
    kind: Kind,
    sink: &mut Sink,
) {
    let Some(filter) = surface.filter else { return };
    for (from, to) in &filter.rename {
        if from == to || !filter.rename.contains_key(to) {
            continue;
        }
        let (from_text, to_text) = (plain_text(from), plain_text(to));
        let message = format!(
            "new name `{to_text}` is the own name of another {}",
            kind.one()
        );
        let span = resolved.span(&site.key("rename").key(from));
        let label = format!("clients that call `{to_text}` reach `{from_text}`");
        let other = resolved.key_span(&site.key("rename").key(to));
        let diagnostic = Diagnostic::warning(codes::RENAME_CHAIN, message, span, label)
            .and(
                other,
                format!("and this is the `{to_text}` that the server knows"),
            )
            .help("choose a new name that the server does not use itself")
            .note("names are replaced once; a new name is never renamed again");
        sink.report(diagnostic);
    }
}
