//! What each node of a configuration stands for, by the schema.
//!
//! Owns one walk over the tree along the schema of `mcpc.yaml`, which yields every scalar with the
//! schema that speaks about it, and for every unknown key the known one that was probably meant:
//! what lies below it is then read as that. `expand`, `shape` and `decode` share it, so that none
//! of them needs a walk over the configuration types. Does not judge anything.

use std::collections::BTreeMap;

use crate::schema::{self, Kind, MapForm, Schema};
use crate::suggest::{nearest, synonym};
use crate::tree::{Content, Entry, Map, NodeId, Tree};

/// More unknown keys than this are not guessed at; the text is something else than a configuration.
const GUESSES_MAX: usize = 1000;

/// A scalar and what the schema says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    /// The node.
    pub(crate) node: NodeId,
    /// Its schema.
    pub(crate) schema: &'static Schema,
    /// Whether it lies below a misspelt key, so that the schema is a guess.
    pub(crate) is_guess: bool,
}

impl Leaf {
    /// What kind of text it is.
    pub(crate) const fn kind(&self) -> Kind {
        self.schema.kind()
    }

    /// Whether the value is a secret, which is never expanded and never shown.
    pub(crate) fn is_secret(&self) -> bool {
        self.kind() == Kind::Secret
    }
}

/// What the nodes of one tree stand for.
#[derive(Debug, Default)]
pub(crate) struct Meaning {
    /// Every scalar that the schema speaks about, in source order.
    pub(crate) leaves: Vec<Leaf>,
    /// The known key that was probably meant, by the value of the unknown one.
    meant: BTreeMap<NodeId, &'static str>,
    guesses: usize,
}

impl Meaning {
    /// Looks through a tree. What lies under a key that resembles none is left out.
    pub(crate) fn of(tree: &Tree) -> Self {
        let mut meaning = Self {
            leaves: Vec::with_capacity(tree.len()),
            ..Self::default()
        };
        if let Some(root) = tree.root() {
            meaning.walk(tree, root, schema::root(), false);
        }
        meaning
    }

    /// The known key that an unknown one was probably meant to be.
    pub(crate) fn meant(&self, entry: &Entry) -> Option<&'static str> {
        self.meant.get(&entry.value).copied()
    }

    /// What the value of an unknown key is read as: the value of the key that was meant, unless
    /// that is given as well or is of another type altogether.
    pub(crate) fn guess(
        &self,
        tree: &Tree,
        form: &'static MapForm,
        map: &Map,
        entry: &Entry,
    ) -> Option<&'static Schema> {
        let meant = self.meant(entry)?;
        let schema = form.property(meant)?;
        let is_same_type = match (schema, tree.content(entry.value)) {
            (Schema::Map(_) | Schema::Server(_), content) => matches!(content, Content::Map(_)),
            (Schema::List(_), content) => matches!(content, Content::List(_)),
            (_, content) => !matches!(content, Content::Map(_) | Content::List(_) | Content::Null),
        };
        (map.get(meant).is_none() && is_same_type).then_some(schema)
    }

    /// The recursion is as deep as the tree, which `parse` bounds.
    fn walk(&mut self, tree: &Tree, node: NodeId, schema: &'static Schema, is_guess: bool) {
        match (tree.content(node), schema) {
            (Content::Map(map), _) => {
                if let Some(form) = schema.map_form(map) {
                    self.walk_map(tree, map, form, is_guess);
                }
            }
            (Content::List(items), Schema::List(form)) => {
                for item in items {
                    self.walk(tree, *item, &form.items, is_guess);
                }
            }
            (Content::List(_), _) | (_, Schema::Anything) => {}
            _ => self.leaves.push(Leaf {
                node,
                schema,
                is_guess,
            }),
        }
    }

    fn walk_map(&mut self, tree: &Tree, map: &Map, form: &'static MapForm, is_guess: bool) {
        for entry in map.entries() {
            if let Some(below) = form.property(&entry.key) {
                self.walk(tree, entry.value, below, is_guess);
                continue;
            }
            if form.is_anchor(&entry.key) || self.guesses >= GUESSES_MAX {
                continue;
            }
            self.guesses += 1;
            if let Some(meant) = known_key(form, map, &entry.key) {
                self.meant.insert(entry.value, meant);
                if let Some(below) = self.guess(tree, form, map, entry) {
                    self.walk(tree, entry.value, below, true);
                }
            }
        }
    }
}

/// The known key for an unknown one: what another tool's name for it means, or else the nearest,
/// first of those that are missing.
fn known_key(form: &'static MapForm, map: &Map, key: &str) -> Option<&'static str> {
    let required = form.required.iter().map(|key| &**key);
    let lacks = required.filter(|key| map.get(key).is_none());
    synonym(key)
        .filter(|synonym| form.keys().any(|known| known == *synonym))
        .or_else(|| nearest(key, lacks))
        .or_else(|| nearest(key, form.keys()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::diagnostic::Sink;
    use crate::source::Source;

    fn kinds(text: &str) -> Vec<(String, Kind, bool)> {
        let tree = crate::parse::parse(&Source::new("t", text), &mut Sink::default()).unwrap();
        let leaves = Meaning::of(&tree).leaves;
        let leaves = leaves.iter();
        leaves
            .map(|leaf| (tree.path(leaf.node).to_string(), leaf.kind(), leaf.is_guess))
            .collect()
    }

    fn expected(list: &[(&str, Kind, bool)]) -> Vec<(String, Kind, bool)> {
        let list = list.iter();
        list.map(|(path, kind, is_guess)| ((*path).to_owned(), *kind, *is_guess))
            .collect()
    }

    #[test]
    fn leaves_know_their_kind_through_references_and_server_shapes() {
        let text = "version: 1\nservers:\n  a: { command: x, env: { K: v } }\n  b: { url: http://h, timeouts: { total: 5m }, tools: { allow: [g] } }\n";
        let found = [
            ("version", Kind::Plain, false),
            ("servers.a.command", Kind::Plain, false),
            ("servers.a.env.K", Kind::Secret, false),
            ("servers.b.url", Kind::Url, false),
            ("servers.b.timeouts.total", Kind::Duration, false),
            ("servers.b.tools.allow[0]", Kind::Glob, false),
        ];
        assert_eq!(kinds(text), expected(&found));
    }

    #[test]
    fn what_lies_below_a_misspelt_key_is_read_as_what_was_meant() {
        let text = "servers:\n  a: { ulr: http://h, headrs: { A: s }, timeout: 5s, colour: red }\n  b: { comand: x, env: { K: v } }\n  c: { headers: { A: s }, args: [x] }\n";
        let found = [
            ("servers.a.ulr", Kind::Url, true),
            ("servers.a.headrs.A", Kind::Secret, true),
            ("servers.b.comand", Kind::Plain, true),
            ("servers.b.env.K", Kind::Secret, false),
            ("servers.c.headers.A", Kind::Secret, false),
            ("servers.c.args[0]", Kind::Plain, false),
        ];
        assert_eq!(kinds(text), expected(&found));
    }
}
