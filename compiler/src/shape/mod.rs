//! Holds the tree against the schema of `mcpc.yaml`, in one walk over both.
//!
//! Owns what is said where the two differ: our code, the right label, the near name, the repair.
//! Does not judge what is inside a text with a kind, such as a URL: `decode` does. Never repeats a
//! secret or an expanded value. What a node stands for is known from `meaning`.
//!
//! `keys` speaks about keys, `values` about values, `servers` about the three shapes of a server.

mod keys;
mod servers;
mod values;

use std::collections::BTreeSet;

use crate::check::unsupported;
use crate::codes;
use crate::diagnostic::{Code, Diagnostic, Sink};
use crate::expand::Unknown;
use crate::meaning::Meaning;
use crate::path::Path;
use crate::schema::{self, Kind, MapForm, Schema};
use crate::source::{Source, Span};
use crate::tree::{Content, Entry, Map, NodeId, Style, Tree};

/// More findings than this are not told; the text is something else than a configuration.
const FINDINGS_MAX: usize = 1000;

/// What came of the comparison.
#[derive(Debug)]
pub(crate) struct Shaped {
    /// Values that cannot be used, or that are not known. The rest of what holds them is sound.
    pub(crate) broken: BTreeSet<NodeId>,
    /// Keys that maps lack, or whose name is misspelt there: what they say is not known.
    pub(crate) missing: Vec<(NodeId, &'static str)>,
    /// Sections that are refused as a whole.
    pub(crate) refused: Vec<Refused>,
}

/// A section that is refused as a whole.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) path: Path,
    pub(crate) key: Span,
    /// What is wrong within helps nobody: it would be repaired in vain.
    pub(crate) found: Vec<Diagnostic>,
}

/// Compares the tree with the schema.
pub(crate) fn shape(
    source: &Source,
    tree: &Tree,
    meaning: &Meaning,
    unknown: &Unknown,
    sink: &mut Sink,
) -> Option<Shaped> {
    let root = tree.root()?;
    let leaves = meaning.leaves.iter();
    let refused = leaves.clone().map(|leaf| leaf.node);
    let refused = refused.filter(|node| tree.style(*node) == Style::Refused);
    let mut pass = Pass {
        source,
        tree,
        meaning,
        untold: leaves
            .filter(|leaf| leaf.is_secret() || leaf.is_guess)
            .map(|leaf| leaf.node)
            .collect(),
        unknown,
        sink,
        broken: refused.chain(unknown.iter().copied()).collect(),
        missing: Vec::new(),
        refused: Vec::new(),
        told: BTreeSet::new(),
    };
    if let Some(diagnostic) = keys::plan_given(tree, root) {
        pass.report(root, diagnostic);
        return None;
    }
    pass.judge(root, schema::root());
    for leaf in &meaning.leaves {
        values::look_alike(&mut pass, leaf);
    }
    Some(Shaped {
        broken: pass.broken,
        missing: pass.missing,
        refused: pass.refused,
    })
}

/// The pass on its way through the tree.
struct Pass<'a> {
    source: &'a Source,
    tree: &'a Tree,
    meaning: &'a Meaning,
    /// Scalars whose value is not told, whatever is wrong with them.
    untold: BTreeSet<NodeId>,
    unknown: &'a Unknown,
    sink: &'a mut Sink,
    broken: BTreeSet<NodeId>,
    missing: Vec<(NodeId, &'static str)>,
    refused: Vec<Refused>,
    told: BTreeSet<(Code, Span)>,
}

impl<'a> Pass<'a> {
    /// Judges a node and what is below it. A value that is found broken is not looked into.
    fn judge(&mut self, node: NodeId, schema: &'static Schema) {
        if self.broken.contains(&node) {
            return;
        }
        let tree: &'a Tree = self.tree;
        match (tree.content(node), schema) {
            (_, Schema::Anything) => {}
            (Content::Map(map), Schema::Server(servers)) => {
                servers::judge(self, node, map);
                self.judge_map(node, map, servers.form(map));
            }
            (Content::Map(map), Schema::Map(form)) => self.judge_map(node, map, form),
            (Content::List(items), Schema::List(form)) => {
                for item in items {
                    self.judge(*item, &form.items);
                }
                values::judge_count(self, node, items.len(), (form.items_min, form.items_max));
            }
            _ => values::judge(self, node, schema),
        }
    }

    fn judge_map(&mut self, node: NodeId, map: &Map, form: &'static MapForm) {
        let required = form.required.iter().map(|key| &**key);
        let mut lacks: Vec<&str> = required.filter(|key| map.get(key).is_none()).collect();
        servers::judge_indents(self, map, form);
        for entry in map.entries() {
            if let Some(below) = form.property(&entry.key) {
                self.judge_entry(entry, below);
                if let Some(names) = form.names.filter(|names| !names.fits(&entry.key)) {
                    keys::bad_name(self, node, entry, names);
                }
            } else if !form.is_anchor(&entry.key) {
                keys::unknown_key(self, node, (map, entry), form);
                if let Some(meant) = self
                    .meaning
                    .meant(entry)
                    .filter(|key| map.get(key).is_none())
                {
                    lacks.retain(|key| *key != meant);
                    self.missing.push((node, meant));
                }
                if let Some(below) = self.meaning.guess(self.tree, form, map, entry) {
                    self.judge(entry.value, below);
                }
            }
        }
        for key in lacks {
            keys::missing_key(self, node, key);
            self.missing.push((node, key));
        }
        values::judge_count(
            self,
            node,
            map.entries().len(),
            (form.entries_min, usize::MAX),
        );
    }

    /// Judges the value of a key. What is wrong within a section that is refused as a whole is put aside.
    fn judge_entry(&mut self, entry: &Entry, schema: &'static Schema) {
        let Some(path) = unsupported::section(self.tree, entry) else {
            return self.judge(entry.value, schema);
        };
        let mut within = Sink::default();
        std::mem::swap(self.sink, &mut within);
        self.judge(entry.value, schema);
        std::mem::swap(self.sink, &mut within);
        let found = within.into_sorted();
        let key = entry.key_span.wide();
        self.refused.push(Refused { path, key, found });
    }

    /// Whether the value of a node may be told.
    fn may_tell(&self, node: NodeId) -> bool {
        !self.untold.contains(&node)
            && self.tree.origin(node).is_none()
            && !self.unknown.contains(&node)
    }

    /// Reports a finding about a node, with the alias or the placeholder that brought it in. One
    /// mistake under an anchor is one finding, however often the anchor is used.
    fn report(&mut self, node: NodeId, diagnostic: Diagnostic) {
        let site = self.tree.node_site(node);
        let place = (diagnostic.code, diagnostic.primary.span);
        let is_new = self.told.insert(place);
        if self.told.len() > FINDINGS_MAX || (site.is_some() && !is_new) {
            return;
        }
        self.sink.report(situate(self.tree, node, diagnostic));
    }
}

/// Adds where the value of a node came from, if not from its own place.
pub(crate) fn situate(tree: &Tree, node: NodeId, diagnostic: Diagnostic) -> Diagnostic {
    let mut diagnostic = diagnostic;
    if let Some(site) = tree.node_site(node)
        && site != diagnostic.primary.span
    {
        diagnostic = diagnostic.and(site, "comes in here");
        // A repair of the anchor changes every place that uses it.
        diagnostic.fix = None;
    }
    if let Some(origin) = tree.origin(node) {
        diagnostic = diagnostic.note(format!("the value comes from `{origin}`"));
        diagnostic.fix = None;
    }
    diagnostic
}

/// The codes of typed scalars by their kind.
pub(crate) const fn kind_code(kind: Kind) -> Option<Code> {
    Some(match kind {
        Kind::Duration => codes::DURATION,
        Kind::Size => codes::SIZE,
        Kind::Rate => codes::RATE,
        Kind::Percent => codes::PERCENT,
        Kind::Address => codes::ADDRESS,
        Kind::Url => codes::URL,
        Kind::Glob => codes::GLOB,
        Kind::Host => codes::HOST,
        Kind::Plain | Kind::Secret => return None,
    })
}
