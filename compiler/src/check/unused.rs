//! What is written and reaches nobody: servers in no endpoint, servers that expose nothing,
//! endpoints without a server.

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::references::broken_count;
use crate::resolve::{Resolved, ResolvedServer};

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    let mut endpoints_are_whole = !resolved.decoded.is_broken(&Path::of(["endpoints"]))
        && broken_count(resolved.decoded, "endpoints") == 0;
    let mut used = vec![false; resolved.servers.len()];
    for endpoint in &resolved.endpoints {
        for member in &endpoint.members {
            if let Some(used) = used.get_mut(member.server.index()) {
                *used = true;
            }
        }
        let listed = endpoint
            .written
            .and_then(|written| written.servers.as_deref());
        // A name that refers to nothing may have been meant for a server that now seems unused.
        let servers = endpoint.site().key("servers");
        let is_whole = !resolved.decoded.is_partial(&servers);
        endpoints_are_whole &=
            is_whole && listed.is_none_or(|listed| listed.len() == endpoint.members.len());
        if is_whole && listed.is_some_and(<[String]>::is_empty) {
            empty_endpoint(resolved, &servers, endpoint.name, sink);
        }
    }
    for (server, used) in resolved.servers.iter().zip(used) {
        if !used && endpoints_are_whole {
            unused_server(resolved, server, sink);
        } else if exposes_nothing(resolved, server) {
            useless_server(resolved, server, sink);
        }
    }
}

fn empty_endpoint(resolved: &Resolved<'_>, place: &Path, name: &str, sink: &mut Sink) {
    let message = format!("endpoint `{name}` has no server");
    let diagnostic = Diagnostic::error(
        codes::EMPTY_ENDPOINT,
        message,
        resolved.span(place),
        "an empty list means none",
    );
    sink.report(diagnostic.help("list the servers, or leave `servers` out to expose all of them"));
}

fn unused_server(resolved: &Resolved<'_>, server: &ResolvedServer<'_>, sink: &mut Sink) {
    let diagnostic = Diagnostic::warning(
        codes::UNUSED_SERVER,
        format!("server `{}` is in no endpoint", server.name),
        resolved.key_span(&server.site()),
        "no client can reach it",
    );
    sink.report(diagnostic.help("add it to the `servers` of an endpoint, or remove it"));
}

fn exposes_nothing(resolved: &Resolved<'_>, server: &ResolvedServer<'_>) -> bool {
    let no_resources = server.server.resources().is_some_and(|filter| {
        let denied = filter.deny.iter().any(|pattern| pattern.as_str() == "*");
        denied || filter.allow.as_ref().is_some_and(Vec::is_empty)
    });
    let is_whole = || !resolved.decoded.is_partial(&server.site().key("resources"));
    no_resources && is_whole() && server.tools.is_empty() && server.prompts.is_empty()
}

fn useless_server(resolved: &Resolved<'_>, server: &ResolvedServer<'_>, sink: &mut Sink) {
    let diagnostic = Diagnostic::warning(
        codes::SERVER_EXPOSES_NOTHING,
        format!("server `{}` exposes nothing", server.name),
        resolved.key_span(&server.site()),
        "its tools, prompts and resources are all hidden",
    );
    sink.report(diagnostic.help("allow what clients should use, or remove the server"));
}
