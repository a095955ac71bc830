//! A server has exactly one of the keys `command`, `url` and `replicas`.
//!
//! Owns the findings about a server with none or several of them. The schema would call the second
//! one an unknown key, or ask for `command`; both miss what is wrong.

use mcpc_config::Server;

use super::Pass;
use crate::codes;
use crate::diagnostic::{Diagnostic, plain_text};
use crate::suggest::{nearest, synonym};
use crate::tree::{Entry, Map, NodeId};

/// Looks at the shape of every server; one without a clear shape is broken.
pub(super) fn check(pass: &mut Pass<'_>) {
    let tree = pass.tree;
    let servers = tree
        .root()
        .and_then(|root| tree.map(root)?.get("servers"))
        .and_then(|entry| tree.map(entry.value));
    let mut told = 0;
    for server in servers.into_iter().flat_map(Map::entries) {
        let Some(map) = tree.map(server.value) else {
            continue;
        };
        let shapes: Vec<&Entry> = map
            .entries()
            .iter()
            .filter(|entry| Server::SHAPES.contains(&&*entry.key))
            .collect();
        match shapes.as_slice() {
            [_] => continue,
            _ if told >= super::ERRORS_MAX => {}
            [] => none(pass, server.value, server, map),
            [first, second, ..] => several(pass, server.value, first, second),
        }
        told += 1;
        pass.broken.insert(server.value);
    }
}

fn none(pass: &mut Pass<'_>, node: NodeId, server: &Entry, map: &Map) {
    let meant = map.entries().iter().find_map(|entry| {
        let meant = nearest(&entry.key, Server::SHAPES).or_else(|| synonym(&entry.key))?;
        Server::SHAPES.contains(&meant).then_some((entry, meant))
    });
    let name = plain_text(&server.key);
    let diagnostic = match meant {
        Some((entry, meant)) => Diagnostic::error(
            codes::UNKNOWN_KEY,
            format!(
                "unknown key `{}` in `servers.{name}`",
                plain_text(&entry.key)
            ),
            entry.key_span.wide(),
            format!("did you mean `{meant}`?"),
        )
        .help(format!("write `{meant}`"))
        .fix(entry.key_span.wide(), meant),
        None => Diagnostic::error(
            codes::SHAPELESS_SERVER,
            format!("`servers.{name}` does not say how the server is reached"),
            server.key_span.wide(),
            "needs `command`, `url` or `replicas`",
        )
        .help("give a `command` for a child process, or a `url` for a server reached over HTTP"),
    };
    pass.report(node, diagnostic);
}

fn several(pass: &mut Pass<'_>, node: NodeId, first: &Entry, second: &Entry) {
    let diagnostic = Diagnostic::error(
        codes::SERVER_OF_TWO_SHAPES,
        format!("a server has both `{}` and `{}`", first.key, second.key),
        second.key_span.wide(),
        "a second way to reach the server",
    )
    .and(first.key_span.wide(), "the first one")
    .help("keep one of them, or make two servers");
    pass.report(node, diagnostic);
}
