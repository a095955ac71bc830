//! Where a text may hold a secret, so that no shown line repeats it.
//!
//! Owns the judgement: the values of secret fields, URLs with a password in them, and texts under
//! unknown keys whose names sound like secrets, such as a misspelt `headers`. Of a text that cannot
//! be read, whatever follows a telling word. Does not mask anything: the renderers do.

use std::collections::BTreeSet;

use crate::diagnostic::Diagnostic;
use crate::meaning::Leaf;
use crate::schema::Kind;
use crate::source::{Source, Span};
use crate::suggest::nearest;
use crate::tree::{Content, NodeId, Tree};

/// Parts of keys that announce a secret.
const TELLING: [&str; 9] = [
    "auth", "token", "secret", "passw", "key", "cred", "cookie", "header", "env",
];

/// The places of a text that was read, in source order and without overlaps.
pub(crate) fn of_tree(tree: &Tree, leaves: &[Leaf]) -> Vec<Span> {
    let mut hidden: Vec<Span> = Vec::new();
    let mut known: Vec<Span> = Vec::with_capacity(leaves.len());
    for leaf in leaves {
        let span = tree.node_span(leaf.node);
        let has_password = leaf.kind() == Kind::Url
            && matches!(tree.content(leaf.node), Content::Text(text) if text.contains('@'));
        if leaf.is_secret() || has_password {
            hidden.push(span);
        }
        if leaf.is_secret() || !leaf.is_guess {
            known.push(span);
        }
    }
    known.sort_unstable();
    let strangers = tree.texts();
    let strangers = strangers.filter(|span| known.binary_search(span).is_err());
    let strangers: Vec<Span> = strangers.collect();
    // A sound text has none, and no key of it needs a look.
    if let Some(root) = tree.root().filter(|_| !strangers.is_empty()) {
        let mut visible = Vec::new();
        show(tree, root, &mut visible);
        visible.sort_unstable();
        let strangers = strangers.into_iter();
        hidden.extend(strangers.filter(|span| visible.binary_search(span).is_err()));
    }
    if let Some(root) = tree.root() {
        hide_keys(tree, root, Depth::Outside, &mut hidden);
    }
    hidden.sort_unstable();
    hidden.dedup();
    hidden
}

/// Takes every scalar as visible that is not below a key that announces a secret. The depth is
/// bounded by `parse`.
fn show(tree: &Tree, node: NodeId, visible: &mut Vec<Span>) {
    match tree.content(node) {
        Content::Map(map) => {
            let entries = map.entries().iter();
            for entry in entries.filter(|entry| !is_telling(&entry.key)) {
                show(tree, entry.value, visible);
            }
        }
        Content::List(items) => items.iter().for_each(|item| show(tree, *item, visible)),
        _ => {
            visible.push(tree.node_span(node));
        }
    }
}

/// Where a node stands to the maps whose values are secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Outside,
    /// It is such a map.
    Carrier,
    /// It is one of the values, or below one.
    Value,
}

/// Takes keys as hidden where a secret was expected and a map was written, as in `Authorization: Bearer
/// x: y` or `TOKEN: { x }`: the secret, or a part of it, is the key.
fn hide_keys(tree: &Tree, node: NodeId, depth: Depth, hidden: &mut Vec<Span>) {
    match tree.content(node) {
        Content::Map(map) => {
            for entry in map.entries() {
                if depth == Depth::Value {
                    hidden.push(entry.key_span.wide());
                }
                // Scalars have no keys below them, and are most of a text.
                if !matches!(
                    tree.content(entry.value),
                    Content::Map(_) | Content::List(_)
                ) {
                    continue;
                }
                let below = match depth {
                    Depth::Outside if is_carrier(&entry.key) => Depth::Carrier,
                    Depth::Outside => Depth::Outside,
                    Depth::Carrier | Depth::Value => Depth::Value,
                };
                hide_keys(tree, entry.value, below, hidden);
            }
        }
        Content::List(items) => {
            for item in items {
                hide_keys(tree, *item, depth, hidden);
            }
        }
        _ => {}
    }
}

fn is_telling(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    TELLING.iter().any(|word| lower.contains(word)) || is_carrier(key)
}

/// Whether a key is, or was meant to be, that of a map whose values are secrets.
fn is_carrier(key: &str) -> bool {
    nearest(key, ["headers", "env"]).is_some()
}

/// The places on the labelled lines of a text that could not be read.
pub(crate) fn of_lines(source: &Source, found: &[Diagnostic]) -> Vec<Span> {
    let labels = found
        .iter()
        .flat_map(|diagnostic| std::iter::once(&diagnostic.primary).chain(&diagnostic.secondary));
    let lines: BTreeSet<usize> = labels
        .map(|label| source.place(label.span.start).line)
        .collect();
    let mut hidden: Vec<Span> = lines
        .into_iter()
        .filter_map(|line| after_telling_word(source, source.line(line)))
        .collect();
    hidden.sort_unstable();
    hidden
}

/// What follows the `:` or `=` after a word that announces a secret, to the end of the line.
fn after_telling_word(source: &Source, line: Span) -> Option<Span> {
    let text = source.slice(line);
    let lower = text.to_ascii_lowercase();
    let word = TELLING.iter().filter_map(|word| lower.find(word)).min()?;
    let after = lower.get(word..)?.find([':', '='])? + word + 1;
    let blank = text.get(after..)?;
    let start = after + blank.len() - blank.trim_start().len();
    Some(Span::new(line.start + start, line.end))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::{Color, Format, Input, NoVariables, Overrides, Report, Tier, check, render};

    #[test]
    fn no_finding_shows_a_secret_whatever_is_wrong() {
        for text in [
            "version: 1\nservers: { a: { url: http://h, headers: { A: hunter2 }, x: 1 } }\n",
            "version: 1\nservers: { a: { url: http://h, headrs: { A: hunter2 } } }\n",
            "version: 1\nservers: { a: { url: http://h, headers: [hunter2, { b: hunter2 }] } }\n",
            "version: 1\nservers: { a: { url: http://h, headers: { A: { hunter2: 1 } } } }\n",
            "version: 1\nservers: { a: { command: x, env: { A: { b: [{ hunter2: }] } } } }\n",
            "version: 1\nservers: { a: { command: x, url: y, headers: { A: hunter2 } } }\n",
            "version: 1\nservers: { a: { url: \"http://u:hunter2@h/\" } }\n",
            "version: 1\nx-h: &h { A: hunter2, B: 1 }\nservers: { a: { url: http://h, headers: *h } }\n",
            "version: 1\nservers: { a: { url: http://h, headers: { Authorization: \"Bearer hunter2 } } }\n",
            "version: 1\nservers: { a: { command: x, env: { API_TOKEN: hunter2 }, , } }\n",
            "identity: { api_keys: [{ name: ci, sha256: hunter2, key: hunter2 }] }\n",
        ] {
            let source = Source::from_bytes("t", text.into()).unwrap();
            let input = Input {
                source: &source,
                variables: &NoVariables,
                tier: Tier::Check,
                overrides: Overrides::default(),
            };
            let findings = check(&input);
            assert!(!findings.diagnostics.is_empty(), "{text}");
            let report = Report {
                source: &source,
                diagnostics: &findings.diagnostics,
                secrets: &findings.secrets,
            };
            for format in [Format::Human, Format::Json, Format::Sarif] {
                let shown = render(&[report], format, Color::Off);
                assert!(!shown.contains("hunter"), "{shown}");
            }
        }
    }
}
