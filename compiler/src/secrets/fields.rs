//! Secrets by what a text says as a tree: its fields, its keys and its lists.
//!
//! Owns the values that the schema calls secret, and the guesses where it says nothing. What is known by
//! words within a value is `words`' and is not looked for here, as it is needed on a few lines only.

use std::collections::BTreeSet;

use super::words::{announces_next, is_carrier, is_telling};
use crate::meaning::Leaf;
use crate::schema::{Kind, Schema};
use crate::source::{Source, Span};
use crate::tree::{Content, Entry, NodeId, Tree};

/// What a tree tells of secrets in its text.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    /// The places to hide.
    pub(super) places: Vec<Span>,
    /// All values that are texts, where others may stand.
    pub(super) texts: Vec<Span>,
    /// Hidden keys as they are read, for paths lead through them.
    pub(super) keys: BTreeSet<Box<str>>,
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

impl Fields {
    /// The fields of a tree that was made of the source.
    pub(crate) fn of(source: &Source, tree: &Tree, leaves: &[Leaf]) -> Self {
        let mut fields = Self {
            texts: tree.texts().collect(),
            ..Self::default()
        };
        fields.hide_leaves(tree, leaves);
        if let Some(root) = tree.root() {
            fields.hide_below(source, tree, root, Depth::Outside);
        }
        fields
    }

    /// Secret fields, URLs with a password, and texts that no schema speaks about under a telling key.
    fn hide_leaves(&mut self, tree: &Tree, leaves: &[Leaf]) {
        let mut known: Vec<Span> = Vec::with_capacity(leaves.len());
        for leaf in leaves {
            let span = tree.node_span(leaf.node);
            let has_password = leaf.kind() == Kind::Url
                && matches!(tree.content(leaf.node), Content::Text(text) if text.contains('@'));
            if leaf.is_secret() || has_password || stands_for_secrets(tree, leaf) {
                self.places.push(span);
            }
            if leaf.is_secret() || !leaf.is_guess {
                known.push(span);
            }
        }
        known.sort_unstable();
        let strangers = self.texts.iter().copied();
        let strangers = strangers.filter(|span| known.binary_search(span).is_err());
        let strangers: Vec<Span> = strangers.collect();
        // A sound text has none, and no key of it needs a look.
        if let Some(root) = tree.root().filter(|_| !strangers.is_empty()) {
            let mut visible = Vec::new();
            show(tree, root, &mut visible);
            visible.sort_unstable();
            let strangers = strangers.into_iter();
            let strangers = strangers.filter(|span| visible.binary_search(span).is_err());
            let strangers: Vec<Span> = strangers.collect();
            let sisters = self.sisters(tree, &strangers);
            let strangers = strangers.into_iter();
            self.places
                .extend(strangers.filter(|span| !sisters.contains(span)));
        }
    }

    /// Of values that no path leads to, those that were given for a key which has one already, and that one is
    /// a scalar which anybody may see.
    fn sisters(&self, tree: &Tree, strangers: &[Span]) -> BTreeSet<Span> {
        if tree.twins().is_empty() {
            return BTreeSet::new();
        }
        let hidden: BTreeSet<&Span> = strangers.iter().chain(&self.places).collect();
        let twins = tree.twins().iter();
        let twins = twins.filter(|(first, _)| {
            let is_scalar = !matches!(tree.content(*first), Content::Map(_) | Content::List(_));
            is_scalar && !hidden.contains(&tree.node_span(*first))
        });
        twins.map(|(_, second)| tree.node_span(*second)).collect()
    }

    /// Keys that are a secret or hold one, and what follows a flag in a list. The depth is bounded by
    /// `parse`.
    fn hide_below(&mut self, source: &Source, tree: &Tree, node: NodeId, depth: Depth) {
        match tree.content(node) {
            Content::Map(map) => {
                for entry in map.entries() {
                    self.hide_key(source, entry, depth);
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
                    self.hide_below(source, tree, entry.value, below);
                }
            }
            Content::List(items) => {
                let mut is_announced = false;
                for item in items {
                    let announces =
                        matches!(tree.content(*item), Content::Text(text) if announces_next(text));
                    if std::mem::replace(&mut is_announced, announces) {
                        self.places.push(tree.node_span(*item));
                    }
                    self.hide_below(source, tree, *item, depth);
                }
            }
            _ => {}
        }
    }

    /// Where a secret was expected and a map was written, as in `Authorization: Bearer x: y` or `TOKEN:
    /// { x }`, the key is the secret or a part of it. Where a colon was left out, as in `TOKEN x`, the
    /// rest of the key is.
    fn hide_key(&mut self, source: &Source, entry: &Entry, depth: Depth) {
        let span = entry.key_span.wide();
        let start = if depth == Depth::Value {
            span.start
        } else {
            let is_part = |it: u8| it.is_ascii_alphanumeric() || b"-_.$<>\"'".contains(&it);
            let written = source.slice(span);
            let Some(gap) = written.bytes().position(|it| !is_part(it)) else {
                return;
            };
            // A name in quotes may have blanks.
            let is_plain = !written.starts_with(['"', '\'']);
            let holds_secret = (depth == Depth::Carrier && is_plain) || is_telling(&entry.key);
            if !holds_secret {
                return;
            }
            span.start + gap
        };
        self.places.push(Span::new(start, span.end));
        self.keys.insert(entry.key.clone());
    }
}

/// Whether a scalar stands where a map or a list of secrets was expected.
fn stands_for_secrets(tree: &Tree, leaf: &Leaf) -> bool {
    let is_other = matches!(leaf.schema, Schema::Map(_) | Schema::List(_));
    let entry = tree.entry_of(leaf.node).filter(|_| is_other);
    entry.is_some_and(|entry| is_telling(&entry.key))
}

/// Takes every scalar as visible that is not below a key that announces a secret. The depth is
/// bounded by `parse`.
fn show(tree: &Tree, node: NodeId, visible: &mut Vec<Span>) {
    match tree.content(node) {
        Content::Map(map) => {
            for entry in map.entries() {
                let is_empty = matches!(tree.content(entry.value), Content::Null);
                if is_empty && is_carrier(&entry.key) {
                    // Its entries are not indented, or by blanks that are none to YAML.
                    return;
                }
                if !is_telling(&entry.key) && !entry.key.starts_with(char::is_whitespace) {
                    show(tree, entry.value, visible);
                }
            }
        }
        Content::List(items) => items.iter().for_each(|item| show(tree, *item, visible)),
        _ => {
            visible.push(tree.node_span(node));
        }
    }
}
