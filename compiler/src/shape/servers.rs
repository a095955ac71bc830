//! A server has exactly one of the keys `command`, `url` and `replicas`.
//!
//! Owns the findings about a server with none or several of them. What else is in such a server is
//! judged by what its shapes know, see `schema`.

use mcpc_config::Server;

use super::Pass;
use crate::codes;
use crate::diagnostic::{Diagnostic, plain_text};
use crate::schema::{MapForm, Schema};
use crate::tree::{Content, Entry, Map, NodeId};

/// Looks at the shape of a server.
pub(super) fn judge(pass: &mut Pass<'_>, node: NodeId, map: &Map) {
    let is_shape = |entry: &&Entry| Server::SHAPES.contains(&&*entry.key);
    let mut shapes = map.entries().iter().filter(is_shape);
    match (shapes.next(), shapes.next()) {
        (Some(_), None) => {}
        (Some(first), Some(second)) => several(pass, node, first, second),
        (None, _) => none(pass, node, map),
    }
}

/// Finds servers whose keys stand beside them instead of below them, and tells that once.
pub(super) fn judge_indents(pass: &mut Pass<'_>, map: &Map, form: &MapForm) {
    let Some(Schema::Server(servers)) = form.property("a") else {
        return;
    };
    let mut empty: Option<(&Entry, Vec<&Entry>)> = None;
    let mut outdented = Vec::new();
    for entry in map.entries() {
        let content = pass.tree.content(entry.value);
        let is_server = matches!(content, Content::Map(map)
            if Server::SHAPES.iter().any(|key| map.get(key).is_some()));
        match &mut empty {
            _ if *content == Content::Null => outdented.extend(empty.replace((entry, Vec::new()))),
            Some((_, keys)) if !is_server && servers.shape_with(&entry.key).is_some() => {
                keys.push(entry);
            }
            _ => outdented.extend(empty.take()),
        }
    }
    outdented.extend(empty);
    for (server, keys) in outdented {
        let Some(first) = keys.first() else {
            continue;
        };
        let broken = keys.iter().chain([&server]).map(|entry| entry.value);
        pass.broken.extend(broken);
        let name = plain_text(&server.key);
        let diagnostic = Diagnostic::error(
            codes::WRONG_TYPE,
            format!("`servers.{name}` has no value"),
            server.key_span.wide(),
            "needs a map",
        )
        .and(first.key_span.wide(), "this stands beside it, not below it")
        .help(format!(
            "indent what belongs to `{name}` by two more blanks"
        ));
        pass.report(server.value, diagnostic);
    }
}

/// What is not known is which of the keys is missing, so all of them are.
fn none(pass: &mut Pass<'_>, node: NodeId, map: &Map) {
    let is_misspelt = map.entries().iter().any(|entry| {
        let meant = pass.meaning.meant(entry);
        meant.is_some_and(|meant| Server::SHAPES.contains(&meant))
    });
    if is_misspelt {
        return;
    }
    pass.missing
        .extend(Server::SHAPES.map(|shape| (node, shape)));
    let name = pass.tree.entry_of(node).map_or("", |entry| &*entry.key);
    let diagnostic = Diagnostic::error(
        codes::SHAPELESS_SERVER,
        format!(
            "`servers.{}` does not say how the server is reached",
            plain_text(name)
        ),
        pass.tree.label_span(Some(node)),
        "needs `command`, `url` or `replicas`",
    )
    .help("give a `command` for a child process, or a `url` for a server reached over HTTP");
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
