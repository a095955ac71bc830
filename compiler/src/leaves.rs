//! What each scalar of a configuration stands for, by the JSON Schema.
//!
//! Owns one walk over the tree along the schema of `mcpc.yaml`, which yields every scalar with the
//! part of the schema that speaks about it. `expand`, `shape` and `decode` share it, so that none
//! of them needs a walk over the configuration types. Does not judge anything.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::tree::{Content, NodeId, Tree};

/// A scalar and what the schema says about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaf {
    /// The node.
    pub(crate) node: NodeId,
    /// Its schema, with references followed.
    pub(crate) schema: &'static Map<String, Value>,
}

impl Leaf {
    /// What kind of text it is: `duration`, `secret` and so on; empty for plain text and numbers.
    pub(crate) fn kind(&self) -> &'static str {
        self.text_of(mcpc_config::KIND_KEYWORD)
    }

    /// The JSON type that is wanted.
    pub(crate) fn json_type(&self) -> &'static str {
        self.text_of("type")
    }

    /// Whether the value is a secret, which is never expanded and never shown.
    pub(crate) fn is_secret(&self) -> bool {
        self.kind() == "secret"
    }

    fn text_of(&self, keyword: &str) -> &'static str {
        self.schema
            .get(keyword)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// The schema of `mcpc.yaml`, generated once.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(mcpc_config::schema)
}

/// Every scalar that the schema speaks about, in source order. What lies under a key that the
/// schema does not know is left out.
pub(crate) fn leaves(tree: &Tree) -> Vec<Leaf> {
    let mut found = Vec::with_capacity(tree.len());
    if let (Some(root), Some(schema)) = (tree.root(), document().as_object()) {
        walk(tree, root, schema, &mut found);
    }
    found
}

/// The recursion is as deep as the tree, which `parse` bounds.
fn walk(tree: &Tree, node: NodeId, schema: &'static Map<String, Value>, found: &mut Vec<Leaf>) {
    let schema = applicable(tree, node, schema);
    match tree.content(node) {
        Content::Map(map) => {
            for entry in map.entries() {
                if let Some(below) = property(schema, &entry.key) {
                    walk(tree, entry.value, below, found);
                }
            }
        }
        Content::List(items) => {
            if let Some(below) = schema.get("items").and_then(Value::as_object) {
                for item in items {
                    walk(tree, *item, below, found);
                }
            }
        }
        _ => found.push(Leaf { node, schema }),
    }
}

/// The schema of a key's value.
fn property(schema: &'static Map<String, Value>, key: &str) -> Option<&'static Map<String, Value>> {
    schema
        .get("properties")
        .and_then(|properties| properties.get(key))
        .or_else(|| schema.get("additionalProperties"))
        .and_then(Value::as_object)
}

/// Follows references, and takes the branch of each condition that the keys of the node choose.
pub(crate) fn applicable(
    tree: &Tree,
    node: NodeId,
    schema: &'static Map<String, Value>,
) -> &'static Map<String, Value> {
    let mut schema = schema;
    // The schema is our own and has no reference cycle without a key in between.
    for _ in 0..8 {
        let next = if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            definition(name)
        } else if let Some(condition) = schema.get("if") {
            let branch = if holds(tree, node, condition) {
                "then"
            } else {
                "else"
            };
            schema.get(branch)
        } else {
            return schema;
        };
        match next.and_then(Value::as_object) {
            Some(next) => schema = next,
            None => return schema,
        }
    }
    schema
}

fn definition(reference: &str) -> Option<&'static Value> {
    let name = reference.strip_prefix("#/$defs/")?;
    document().get("$defs")?.get(name)
}

/// Our conditions ask for the presence of keys and nothing else.
fn holds(tree: &Tree, node: NodeId, condition: &Value) -> bool {
    let Some(map) = tree.map(node) else {
        return false;
    };
    let required = condition.get("required").and_then(Value::as_array);
    required
        .into_iter()
        .flatten()
        .all(|key| key.as_str().is_some_and(|key| map.get(key).is_some()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::diagnostic::Sink;
    use crate::source::Source;

    #[test]
    fn leaves_know_their_kind_through_references_and_server_shapes() {
        let text = "version: 1\nservers:\n  a: { command: x, env: { K: v } }\n  b: { url: http://h, timeouts: { total: 5m }, tools: { allow: [g] } }\n";
        let tree = crate::parse::parse(&Source::new("t", text), &mut Sink::default()).unwrap();
        let kinds: Vec<(String, &str)> = leaves(&tree)
            .iter()
            .map(|leaf| (tree.path(leaf.node).to_string(), leaf.kind()))
            .collect();
        let expected = [
            ("version", ""),
            ("servers.a.command", ""),
            ("servers.a.env.K", "secret"),
            ("servers.b.url", "url"),
            ("servers.b.timeouts.total", "duration"),
            ("servers.b.tools.allow[0]", "glob"),
        ];
        let expected: Vec<(String, &str)> = expected
            .iter()
            .map(|(path, kind)| ((*path).to_owned(), *kind))
            .collect();
        assert_eq!(kinds, expected);
    }
}
