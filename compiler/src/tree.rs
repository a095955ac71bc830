//! The configuration as it was written: a tree of nodes that know their places.
//!
//! Owns nodes, keys, the places of both, the places where an alias or a merge brought a node in,
//! and look-up by [`Path`]. Does not read YAML (`parse` builds it) and does not know what a node
//! means (`meaning` does). A node that came through an alias is a copy with a `site`, so every
//! node has exactly one parent and one path.

use crate::path::{Path, Step};
use crate::source::Span;

/// A node of one [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

/// What stands at a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of at most 63 bits.
    Integer(i64),
    /// Any other number; finite.
    Float(f64),
    /// Text.
    Text(Box<str>),
    /// A list.
    List(Box<[NodeId]>),
    /// A map.
    Map(Box<Map>),
}

/// Keys and values in source order. Invariant: no key twice; `order` sorts the entries by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Map {
    entries: Vec<Entry>,
    order: Vec<u32>,
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: Box<str>,
    /// Where the key stands.
    pub(crate) key_span: Span32,
    /// The value.
    pub(crate) value: NodeId,
}

/// How a scalar is written; only plain scalars have a type other than text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes.
    Plain,
    /// In quotes, or as a block.
    Quoted,
    /// Not a scalar.
    Collection,
    /// A scalar that is refused already; nothing more is said about it.
    Refused,
}

/// A [`Span`] in a text of at most 16 MiB, at half the size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span32 {
    start: u32,
    end: u32,
}

#[derive(Clone, Debug)]
struct Node {
    content: Content,
    span: Span32,
    site: Option<Span32>,
    parent: Option<NodeId>,
    /// Which child of its parent the node is, from 0.
    position: u32,
    style: Style,
}

/// A configuration with the place of everything in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    root: Option<NodeId>,
    expanded: std::collections::BTreeMap<NodeId, Box<str>>,
    /// Values of one key of one map: the one that counts, and one that was given again.
    twins: Vec<(NodeId, NodeId)>,
}

impl Tree {
    /// Values that were given again: the one that counts, and the other one, to which no path leads.
    pub(crate) fn twins(&self) -> &[(NodeId, NodeId)] {
        &self.twins
    }

    /// The place of the value at a path; of its nearest ancestor if there is no such value, and of
    /// the key if the value is empty.
    pub(crate) fn value_span(&self, path: &Path) -> Span {
        self.span(self.nearest(path))
    }

    /// The place of the key at a path; of the value for list items; of the nearest ancestor if
    /// there is no such node.
    pub(crate) fn key_span(&self, path: &Path) -> Span {
        self.label_span(self.nearest(path))
    }

    /// Where the value at a path came from if a placeholder gave it: `$<NAME>`. Such a value is
    /// never repeated in a diagnostic.
    pub(crate) fn placeholder(&self, path: &Path) -> Option<&str> {
        self.find(path).and_then(|id| self.origin(id))
    }

    /// Whether a key or item was written at a path.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.find(path).is_some()
    }

    /// The node at a path.
    pub(crate) fn find(&self, path: &Path) -> Option<NodeId> {
        path.steps()
            .iter()
            .try_fold(self.root?, |id, step| self.child(id, step))
    }

    fn nearest(&self, path: &Path) -> Option<NodeId> {
        let mut id = self.root?;
        for step in path.steps() {
            match self.child(id, step) {
                Some(child) => id = child,
                None => break,
            }
        }
        Some(id)
    }

    fn child(&self, id: NodeId, step: &Step) -> Option<NodeId> {
        match (self.content(id), step) {
            (Content::Map(map), Step::Key(key)) => map.get(key).map(|entry| entry.value),
            (Content::List(items), Step::Index(index)) => items.get(*index).copied(),
            _ => None,
        }
    }

    /// The root node.
    pub(crate) const fn root(&self) -> Option<NodeId> {
        self.root
    }

    /// What stands at a node.
    pub(crate) fn content(&self, id: NodeId) -> &Content {
        self.node(id).map_or(&Content::Null, |node| &node.content)
    }

    /// The map at a node.
    pub(crate) fn map(&self, id: NodeId) -> Option<&Map> {
        match self.content(id) {
            Content::Map(map) => Some(map),
            _ => None,
        }
    }

    /// How the node is written.
    pub(crate) fn style(&self, id: NodeId) -> Style {
        self.node(id).map_or(Style::Plain, |node| node.style)
    }

    /// Where the node is written; for an alias, where the anchor is.
    pub(crate) fn node_span(&self, id: NodeId) -> Span {
        self.node(id)
            .map_or(Span::default(), |node| node.span.wide())
    }

    /// The alias or merge that brought the node in.
    pub(crate) fn node_site(&self, id: NodeId) -> Option<Span> {
        self.node(id)?.site.map(Span32::wide)
    }

    /// The placeholder that gave the node its value.
    pub(crate) fn origin(&self, id: NodeId) -> Option<&str> {
        self.expanded.get(&id).map(|name| &**name)
    }

    /// Where to point at for the node itself: its key if it has one, otherwise its value.
    pub(crate) fn label_span(&self, id: Option<NodeId>) -> Span {
        let Some(id) = id else {
            return Span::default();
        };
        self.entry_of(id)
            .map_or_else(|| self.node_span(id), |entry| entry.key_span.wide())
    }

    /// Where to point at for the value of the node; its key if the value is empty.
    pub(crate) fn span(&self, id: Option<NodeId>) -> Span {
        let span = id.map_or(Span::default(), |id| self.node_span(id));
        if span.start == span.end {
            self.label_span(id)
        } else {
            span
        }
    }

    /// The node that holds this one.
    pub(crate) fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.node(id)?.parent
    }

    /// The path of a node.
    pub(crate) fn path(&self, id: NodeId) -> Path {
        let mut steps = Vec::new();
        let mut below = id;
        while let Some(parent) = self.parent(below) {
            let position = self.node(below).map_or(0, |node| node.position);
            match self.entry_of(below) {
                Some(entry) => steps.push(Step::Key(entry.key.to_string())),
                None => steps.push(Step::Index(position as usize)),
            }
            below = parent;
        }
        steps.reverse();
        Path::from_steps(steps)
    }

    /// The entry whose value the node is.
    pub(crate) fn entry_of(&self, id: NodeId) -> Option<&Entry> {
        let node = self.node(id)?;
        let entry = self.map(node.parent?)?.entries.get(node.position as usize);
        // A value whose key was given before is in no map.
        entry.filter(|entry| entry.value == id)
    }

    /// The node as JSON, for tests. Depth is bounded by `parse`.
    #[cfg(any(test, feature = "oracle"))]
    pub(crate) fn json(&self, id: NodeId) -> serde_json::Value {
        use serde_json::Value;
        match self.content(id) {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Integer(value) => Value::from(*value),
            Content::Float(value) => Value::from(*value),
            Content::Text(text) => Value::String(text.to_string()),
            Content::List(items) => items.iter().map(|item| self.json(*item)).collect(),
            Content::Map(map) => {
                let entries = map.entries().iter();
                let entries = entries.map(|entry| (entry.key.to_string(), self.json(entry.value)));
                entries.collect()
            }
        }
    }

    /// The place of every text that is a value.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Span> {
        let texts = self.nodes.iter();
        let texts = texts.filter(|node| matches!(node.content, Content::Text(_)));
        texts.map(|node| node.span.wide())
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }
}

/// How `parse` and `expand` build the tree.
impl Tree {
    /// Adds a node; the caller keeps the count within bounds.
    pub(crate) fn push(
        &mut self,
        content: Content,
        style: Style,
        span: Span,
        parent: Option<NodeId>,
    ) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node {
            content,
            span: Span32::narrow(span),
            site: None,
            parent,
            position: 0,
            style,
        });
        id
    }

    /// Closes a list or a map.
    pub(crate) fn close(&mut self, id: NodeId, content: Content, span: Span) {
        let children: Vec<NodeId> = match &content {
            Content::List(items) => items.to_vec(),
            Content::Map(map) => map.entries.iter().map(|entry| entry.value).collect(),
            _ => Vec::new(),
        };
        for (position, child) in (0..).zip(children) {
            if let Some(node) = self.nodes.get_mut(child.0 as usize) {
                node.position = position;
            }
        }
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.content = content;
            node.span = Span32::narrow(span);
        }
    }

    /// Keeps in mind that a value was given twice.
    pub(crate) fn note_twin(&mut self, first: NodeId, second: NodeId) {
        self.twins.push((first, second));
    }

    /// Takes the items out of a list for which `keep` is false.
    pub(crate) fn retain(&mut self, id: NodeId, keep: impl Fn(NodeId) -> bool) {
        if let Content::List(items) = self.content(id) {
            let kept = items.iter().copied().filter(|item| keep(*item));
            let kept = Content::List(kept.collect());
            self.close(id, kept, self.node_span(id));
        }
    }

    /// Copies one node without what is below it.
    pub(crate) fn copy_shallow(
        &mut self,
        id: NodeId,
        parent: Option<NodeId>,
        site: Span,
    ) -> NodeId {
        let style = self.style(id);
        let copy = self.push(Content::Null, style, self.node_span(id), parent);
        if let Some(node) = self.nodes.get_mut(copy.0 as usize) {
            node.site = Some(Span32::narrow(site));
        }
        copy
    }

    /// Gives a node another parent.
    pub(crate) fn adopt(&mut self, id: NodeId, parent: NodeId) {
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.parent = Some(parent);
        }
    }

    /// Replaces the content of a scalar by what a placeholder gave; `origin` names the placeholder.
    pub(crate) fn expand(&mut self, id: NodeId, content: Content, origin: Box<str>) {
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.content = content;
        }
        self.expanded.insert(id, origin);
    }

    /// Replaces the text of a scalar that names no source: `$$` became `$`.
    pub(crate) fn rewrite(&mut self, id: NodeId, text: &str) {
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.content = Content::Text(text.into());
        }
    }

    /// Names the root.
    pub(crate) const fn set_root(&mut self, id: NodeId) {
        self.root = Some(id);
    }

    /// The number of nodes.
    pub(crate) const fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl Map {
    /// A map of these entries; hands back pairs of entries with one key, the second of which is
    /// left out.
    pub(crate) fn new(entries: Vec<Entry>) -> (Self, Vec<(Entry, Entry)>) {
        let mut order: Vec<u32> = (0..u32::try_from(entries.len()).unwrap_or(u32::MAX)).collect();
        let key = |index: &u32| entries.get(*index as usize).map(|entry| &*entry.key);
        order.sort_by(|a, b| key(a).cmp(&key(b)).then(a.cmp(b)));
        let mut first = None;
        let mut twice: Vec<(u32, u32)> = Vec::new();
        for index in &order {
            match first {
                Some(other) if key(&other) == key(index) => twice.push((other, *index)),
                _ => first = Some(*index),
            }
        }
        if twice.is_empty() {
            return (Self { entries, order }, Vec::new());
        }
        let pairs = twice
            .iter()
            .filter_map(|(a, b)| {
                let entry = |index: u32| entries.get(index as usize).cloned();
                Some((entry(*a)?, entry(*b)?))
            })
            .collect();
        let dropped: std::collections::BTreeSet<u32> = twice.iter().map(|pair| pair.1).collect();
        let mut index = 0;
        let kept = entries
            .into_iter()
            .filter(|_| {
                index += 1;
                !dropped.contains(&(index - 1))
            })
            .collect();
        (Self::new(kept).0, pairs)
    }

    /// The entry of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        let at = self
            .order
            .binary_search_by(|index| {
                let entry = self.entries.get(*index as usize);
                entry.map(|entry| &*entry.key).cmp(&Some(key))
            })
            .ok()?;
        self.entries.get(*self.order.get(at)? as usize)
    }

    /// The entries in source order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

impl Span32 {
    pub(crate) fn narrow(span: Span) -> Self {
        let narrow = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
        Self {
            start: narrow(span.start),
            end: narrow(span.end),
        }
    }

    pub(crate) const fn wide(self) -> Span {
        Span::new(self.start as usize, self.end as usize)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use super::*;
    use crate::diagnostic::Sink;
    use crate::source::Source;

    const TEXT: &str = "\
# first
servers:
  a: &a { command: x, args: [b, \"c d\"] } # second
  e:
    <<: *a
    command: y
  f: *a
  g:
";

    fn tree() -> (Source, Tree) {
        let source = Source::new("t", TEXT);
        let mut sink = Sink::default();
        let tree = crate::parse::parse(&source, &mut sink).unwrap();
        assert!(!sink.has_errors());
        (source, tree)
    }

    fn site(tree: &Tree, path: &Path) -> Option<Span> {
        tree.node_site(tree.find(path)?)
    }

    #[test]
    fn keys_values_and_items_know_their_places() {
        let (source, tree) = tree();
        let a = Path::of(["servers", "a"]);
        assert_eq!(source.slice(tree.key_span(&a)), "a");
        assert_eq!(source.slice(tree.value_span(&a.key("command"))), "x");
        let item = a.key("args").index(1);
        assert_eq!(source.slice(tree.value_span(&item)), "\"c d\"");
        assert_eq!(tree.path(tree.find(&item).unwrap()), item);
        let nothing = Path::of(["servers", "g"]);
        assert_eq!(source.slice(tree.value_span(&nothing)), "g");
        let absent = a.key("url").key("x");
        assert_eq!(source.slice(tree.key_span(&absent)), "a");
        assert!(!tree.contains(&absent));
    }

    #[test]
    fn aliases_and_merges_know_both_places() {
        let (source, tree) = tree();
        let merged = Path::of(["servers", "e", "args"]).index(0);
        assert_eq!(source.slice(tree.value_span(&merged)), "b");
        assert_eq!(source.slice(site(&tree, &merged).unwrap()), "*a");
        let own = Path::of(["servers", "e", "command"]);
        assert_eq!(source.slice(tree.value_span(&own)), "y");
        assert_eq!(site(&tree, &own), None);
        let alias = Path::of(["servers", "f", "command"]);
        assert_eq!(source.slice(tree.value_span(&alias)), "x");
        let site = site(&tree, &alias).unwrap();
        assert_eq!(source.place(site.start).line, 7);
        assert_eq!(tree.path(tree.find(&alias).unwrap()), alias);
    }
}
