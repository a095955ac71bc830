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

use super::announced::{Announced, PLACEHOLDER, announced, opened};
use super::credentials::looks_secret;

/// The scalars that would take a secret where none may be.
pub(crate) fn misplaced_secrets(tree: &Tree, leaves: &[Leaf], sink: &mut Sink) -> BTreeSet<NodeId> {
    let mut misplaced = BTreeSet::new();
    let mut last: Option<NodeId> = None;
    for leaf in leaves.iter().filter(|leaf| !leaf.is_secret()) {
        let before = last.replace(leaf.node);
        let Content::Text(text) = tree.content(leaf.node) else {
            continue;
        };
        if !text.contains('$') {
            continue;
        }
        if let Some(name) = secret_name(text) {
            report(tree, leaf.node, name, None, sink);
            misplaced.insert(leaf.node);
            continue;
        }
        let before = before.filter(|before| is_next(tree, *before, leaf.node));
        let before = before.map(|before| tree.content(before));
        let before = before.and_then(|before| match before {
            Content::Text(text) => Some(&**text),
            _ => None,
        });
        let opened = opened(text, false);
        let found = announced(&opened, before).into_iter().find(|found| {
            opened
                .get(found.range.clone())
                .is_some_and(|it| it.contains(PLACEHOLDER))
        });
        if let (Some(found), Some(name)) = (found, first_name(text)) {
            report(tree, leaf.node, name, Some(&found), sink);
            misplaced.insert(leaf.node);
        }
    }
    misplaced
}

/// Whether two scalars that follow each other are items of one list.
fn is_next(tree: &Tree, before: NodeId, node: NodeId) -> bool {
    let list = tree.parent(node);
    let is_list = list.is_some_and(|list| matches!(tree.content(list), Content::List(_)));
    is_list && tree.parent(before) == list
}

fn secret_name(text: &str) -> Option<&str> {
    names(text).find(|name| looks_secret(name))
}

fn first_name(text: &str) -> Option<&str> {
    names(text).next()
}

fn names(text: &str) -> impl Iterator<Item = &str> {
    pieces(text).filter_map(|piece| match piece.kind {
        Kind::Placeholder(placeholder) => match placeholder.origin {
            Origin::Variable(name) => Some(name),
            Origin::File(_) => None,
        },
        Kind::Text(_) | Kind::Stray | Kind::Fault(_) => None,
    })
}

/// `found` tells the place of a variable whose own name tells nothing.
fn report(tree: &Tree, node: NodeId, name: &str, found: Option<&Announced<'_>>, sink: &mut Sink) {
    let path = tree.path(node);
    let message = format!("`{path}` would put the secret `{name}` into the plan");
    let span = tree.node_span(node);
    let label =
        "this field is not secret: its value is part of the plan, of logs and of status pages";
    let reason = match found.map(|found| found.name) {
        Some(Some(announced)) => {
            format!("what `{announced}` takes is a secret, whatever the variable is called")
        }
        Some(None) => "the password of a user is a secret, whatever the variable is called".into(),
        None => {
            format!("`{name}` looks like a secret by its name; if it is none, give it another one")
        }
    };
    let diagnostic = Diagnostic::error(codes::MISPLACED_SECRET, message, span, label)
        .help("pass the secret in `headers` or `env`, which keep only the name of the variable")
        .note(reason);
    sink.report(diagnostic);
}
