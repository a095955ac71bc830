//! What is said of servers that sessions have to themselves: it needs such a server, and spares need room.

use mcpc_config::{Server, SessionServers, Sharing, StdioServer};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::Resolved;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        let Server::Stdio(stdio) = server.server else {
            continue;
        };
        let site = server.site();
        // What it was to be is not known.
        if resolved.decoded.is_broken(&site.key("sharing")) {
            continue;
        }
        match stdio.sharing {
            Sharing::Shared => without_sessions(resolved, stdio, &site, sink),
            Sharing::Session => spares(resolved, stdio, &site, sink),
        }
    }
}

fn without_sessions(resolved: &Resolved<'_>, stdio: &StdioServer, site: &Path, sink: &mut Sink) {
    let start = site.key("start");
    let said = [
        (stdio.sessions.is_some(), site.key("sessions")),
        (stdio.start.spares > 0, start.key("spares")),
        (
            stdio.start.spares_at_most.is_some(),
            start.key("spares_at_most"),
        ),
    ];
    for (_, place) in said.iter().filter(|(is_said, _)| *is_said) {
        let message = format!("`{place}` has no effect");
        let span = resolved.key_span(place);
        let label = "all clients share one process of this server";
        let diagnostic = Diagnostic::error(codes::NO_EFFECT, message, span, label);
        sink.report(diagnostic.help("add `sharing: session` to the server, or remove this"));
    }
}

fn spares(resolved: &Resolved<'_>, stdio: &StdioServer, site: &Path, sink: &mut Sink) {
    let written = stdio.sessions.clone();
    let SessionServers { at_most, .. } = written.unwrap_or_default();
    let start = site.key("start");
    let (least, most) = (stdio.start.spares, stdio.start.spares_at_most);
    let all = [
        (Some(least), start.key("spares")),
        (most, start.key("spares_at_most")),
    ];
    let told = all.iter().filter_map(|(spares, place)| {
        let spares = spares.filter(|spares| *spares > at_most)?;
        let message = format!("{spares} spares are more than `sessions.at_most` allows");
        let label = format!("{at_most} may run at once, spares included");
        let diagnostic =
            Diagnostic::error(codes::OUT_OF_BOUNDS, message, resolved.span(place), label);
        Some(diagnostic.help("raise `sessions.at_most`, or keep fewer spares"))
    });
    if !resolved.decoded.is_partial(&site.key("sessions")) {
        told.for_each(|diagnostic| sink.report(diagnostic));
    }
    if let Some(most) = most.filter(|most| *most < least) {
        let message = format!("at most {most} spares are fewer than are always kept");
        let span = resolved.span(&start.key("spares_at_most"));
        let label = format!("`spares` keeps {least}");
        let diagnostic = Diagnostic::error(codes::OUT_OF_BOUNDS, message, span, label);
        sink.report(diagnostic.help("raise it, or leave it out"));
    }
}
