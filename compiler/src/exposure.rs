//! How much all endpoints together expose, before any of it is written out.
//!
//! Owns the bound on it. Every endpoint has a table of its own in the plan, with an entry for each of its
//! servers and each name in their filters: a short text with many servers and many endpoints stands for
//! the product of the two. `resolve` asks here before it makes the first entry. Does not look at what the
//! names are.

use std::collections::BTreeMap;

use mcpc_config::{NameFilter, Server};

use crate::codes;
use crate::decode::Decoded;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;

/// Room for 5,000 servers behind each of twenty endpoints.
const ENTRIES_MAX: usize = 100_000;

/// Whether there is room for what the endpoints expose; reports the first one for which there is none.
pub(crate) fn is_bounded(decoded: &Decoded, sink: &mut Sink) -> bool {
    let config = &decoded.config;
    let entries = config.servers.iter();
    let entries: BTreeMap<&str, usize> = entries
        .map(|(name, server)| (name.as_str(), entries_of(server)))
        .collect();
    let all: usize = entries.values().sum();
    let Some(endpoints) = &config.endpoints else {
        return all <= ENTRIES_MAX || refuse(decoded, &Path::of(["servers"]), sink);
    };
    let mut sum: usize = 0;
    for (name, endpoint) in endpoints {
        let exposed = match &endpoint.servers {
            None => all,
            Some(listed) => listed
                .iter()
                .filter_map(|server| entries.get(server.as_str()))
                .sum(),
        };
        // Each exposed name begins with the prefix, which may repeat the server's name many times.
        let prefix = endpoint.prefix.as_deref().unwrap_or_default();
        let repeated = prefix.matches("{server}").count().max(1);
        sum = sum.saturating_add(exposed.saturating_mul(repeated));
        if sum > ENTRIES_MAX {
            return refuse(decoded, &Path::of(["endpoints", name]), sink);
        }
    }
    true
}

/// The server itself, and each name and pattern about it.
fn entries_of(server: &Server) -> usize {
    let names = |filter: Option<&NameFilter>| {
        filter.map_or(0, |filter| {
            let allow = filter.allow.as_ref().map_or(0, Vec::len);
            allow + filter.deny.len() + filter.rename.len()
        })
    };
    let uris = server.resources().map_or(0, |filter| {
        let allow = filter.allow.as_ref().map_or(0, Vec::len);
        allow + filter.deny.len()
    });
    1 + names(server.tools()) + names(server.prompts()) + uris
}

fn refuse(decoded: &Decoded, site: &Path, sink: &mut Sink) -> bool {
    let diagnostic = Diagnostic::error(
        codes::TOO_MANY_EXPOSED,
        "the endpoints expose more than 100000 servers and names in all",
        decoded.tree.key_span(site),
        "the limit is passed here",
    )
    .help("name fewer `servers` in each endpoint, or split the configuration over several gateways")
    .note("a server and the names in its filters count once for each endpoint that exposes it");
    sink.report(diagnostic);
    false
}
