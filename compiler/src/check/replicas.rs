//! Replicas that are the same one, and replicas of which none is to be used.

use std::collections::BTreeMap;

use mcpc_config::{ReplicatedServer, Server};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::Resolved;
use crate::url::UrlParts;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        if let Server::Replicated(replicated) = server.server {
            let site = server.site().key("replicas");
            // A replica with a mistake in it could be any.
            if resolved.decoded.is_partial(&site) {
                continue;
            }
            same(resolved, replicated, &site, sink);
            only_backups(resolved, replicated, &site, sink);
        }
    }
}

/// Two replicas at one place would be one server that is believed to be two.
fn same(resolved: &Resolved<'_>, replicated: &ReplicatedServer, site: &Path, sink: &mut Sink) {
    let mut first = BTreeMap::new();
    for (index, replica) in replicated.replicas.iter().enumerate() {
        let site = |index| site.index(index).key("url");
        let place = UrlParts::of(replica.url.as_str()).place();
        let Some(before) = first.insert(place, index) else {
            continue;
        };
        let message = format!("replicas {} and {} are the same", before + 1, index + 1);
        let span = resolved.span(&site(index));
        let diagnostic = Diagnostic::error(codes::REPLICA_TWICE, message, span, "given again here")
            .and(resolved.span(&site(before)), "first given here")
            .help("keep one of the two; `weight` gives a replica a larger share of the calls");
        sink.report(diagnostic);
    }
}

fn only_backups(
    resolved: &Resolved<'_>,
    replicated: &ReplicatedServer,
    site: &Path,
    sink: &mut Sink,
) {
    let mut replicas = replicated.replicas.iter();
    if !replicas.all(|replica| replica.backup == Some(true)) {
        return;
    }
    let message = "every replica is a backup";
    let span = resolved.span(&site.index(0).key("backup"));
    let label = "no other replica is there that this one could stand in for";
    let diagnostic = Diagnostic::error(codes::ONLY_BACKUPS, message, span, label)
        .help("remove `backup` from the replicas that calls go to");
    sink.report(diagnostic);
}
