//! Secrets in fields that are not secret. Such a field is expanded at compile time, so that the
//! value would stand in the plan, in logs and on the status page.
//!
//! Looks at the tree as it was written, before `expand`: afterwards the name is gone. What is
//! reported here is not expanded at all.

use std::collections::BTreeSet;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::meaning::Leaf;
use crate::placeholder::{Kind, Origin, pieces};
use crate::tree::{Content, NodeId, Tree};

use super::credentials::looks_secret;

/// The scalars that would take a secret where none may be.
pub(crate) fn misplaced_secrets(tree: &Tree, leaves: &[Leaf], sink: &mut Sink) -> BTreeSet<NodeId> {
    let mut misplaced = BTreeSet::new();
    for leaf in leaves.iter().filter(|leaf| !leaf.is_secret()) {
        let Content::Text(text) = tree.content(leaf.node) else {
            continue;
        };
        let name = text.contains('$').then(|| secret_name(text)).flatten();
        if let Some(name) = name {
            report(tree, leaf.node, name, sink);
            misplaced.insert(leaf.node);
        }
    }
    misplaced
}

fn secret_name(text: &str) -> Option<&str> {
    pieces(text).find_map(|piece| match piece.kind {
        Kind::Placeholder(placeholder) => match placeholder.origin {
            Origin::Variable(name) if looks_secret(name) => Some(name),
            Origin::Variable(_) | Origin::File(_) => None,
        },
        Kind::Text(_) | Kind::Stray | Kind::Fault(_) => None,
    })
}

fn report(tree: &Tree, node: NodeId, name: &str, sink: &mut Sink) {
    let path = tree.path(node);
    let message = format!("`{path}` would put the secret `{name}` into the plan");
    let span = tree.node_span(node);
    let label =
        "this field is not secret: its value is part of the plan, of logs and of status pages";
    let diagnostic = Diagnostic::error(codes::MISPLACED_SECRET, message, span, label)
        .help("pass the secret in `headers` or `env`, which keep only the name of the variable")
        .note(format!(
            "`{name}` looks like a secret by its name; if it is none, give it another one"
        ));
    sink.report(diagnostic);
}
