//! Things of a server that clients cannot reach, since another one has the name that they see.

use std::collections::BTreeSet;

use super::{Answers, offers};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::resolve::{Kind, Resolved, ResolvedServer};

pub(super) fn check(resolved: &Resolved<'_>, answers: &Answers<'_>, sink: &mut Sink) {
    for (server, said) in answers.all(resolved) {
        for kind in Kind::ALL {
            let mut all = BTreeSet::new();
            for list in offers(said).map(|offer| offer.of(kind)) {
                twice(resolved, server, kind, &list.names, sink);
                all.extend(list.names.iter().map(String::as_str));
            }
            behind_new_names(resolved, server, kind, &all, sink);
        }
    }
}

/// A new name wins over an own name.
fn behind_new_names(
    resolved: &Resolved<'_>,
    server: &ResolvedServer<'_>,
    kind: Kind,
    names: &BTreeSet<&str>,
    sink: &mut Sink,
) {
    let surface = server.surface(kind);
    let Some(filter) = surface.filter else { return };
    for (from, to) in &filter.rename {
        let is_there = names.contains(from.as_str()) && names.contains(to.as_str());
        let is_exposed = surface.allows(from) && surface.allows(to);
        if from == to || !is_there || !is_exposed || filter.rename.contains_key(to) {
            continue;
        }
        let (from_text, to_text, one) = (plain_text(from), plain_text(to), kind.one());
        let message = format!(
            "the {one} that server `{}` itself calls `{to_text}` is hidden",
            server.name
        );
        let site = server.site().key(kind.key()).key("rename").key(from);
        let label = format!("clients that call `{to_text}` reach `{from_text}`");
        let diagnostic =
            Diagnostic::warning(codes::HIDDEN_NAME, message, resolved.span(&site), label);
        sink.report(diagnostic.help(format!(
            "choose a new name that the server does not use itself, or deny `{to_text}`"
        )));
    }
}

/// Of two entries with one name clients are shown the first.
fn twice(
    resolved: &Resolved<'_>,
    server: &ResolvedServer<'_>,
    kind: Kind,
    names: &[String],
    sink: &mut Sink,
) {
    let mut seen = BTreeSet::new();
    let surface = server.surface(kind);
    let again = names
        .iter()
        .find(|name| !seen.insert(name.as_str()) && surface.allows(name));
    let Some(again) = again else { return };
    let (name, one) = (plain_text(again), kind.one());
    let message = format!("server `{}` lists two {one}s `{name}`", server.name);
    let span = resolved.key_span(&server.site());
    let label = "clients are shown the first one only";
    let diagnostic = Diagnostic::warning(codes::HIDDEN_NAME, message, span, label);
    sink.report(diagnostic.help("give each its own name in the server"));
}
