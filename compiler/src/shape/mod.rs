//! Holds the tree against the JSON Schema of `mcpc.yaml`.
//!
//! Owns the way from an error of the schema validator to a finding of ours: our code, our words,
//! the right label, the near name, the repair. Does not judge what is inside a text with a kind,
//! such as a URL: `decode` does. Never repeats a secret or an expanded value.
//!
//! `keys` speaks about keys, `values` about values, `servers` about the three shapes of a server.

mod keys;
mod servers;
mod values;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::Location;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};

use crate::codes;
use crate::diagnostic::{Code, Diagnostic, Sink};
use crate::expand::Unknown;
use crate::leaves::{Leaf, document};
use crate::source::{Source, Span};
use crate::tree::{Content, NodeId, Style, Tree};

/// More errors than this are not looked at; the text is something else than a configuration.
const ERRORS_MAX: usize = 1000;

/// What came of the comparison.
#[derive(Debug)]
pub(crate) struct Shaped {
    /// The tree as JSON, without what schema and types do not speak about.
    pub(crate) json: Value,
    /// Nodes with an error that is reported, or whose value is not known.
    pub(crate) broken: BTreeSet<NodeId>,
    /// Values of keys that do not exist. The keys are reported; the rest of their map is sound.
    pub(crate) dropped: BTreeSet<NodeId>,
}

/// Compares the tree with the schema.
pub(crate) fn shape(
    source: &Source,
    tree: &Tree,
    leaves: &[Leaf],
    unknown: &Unknown,
    sink: &mut Sink,
) -> Option<Shaped> {
    let root = tree.root()?;
    let anchors = tree.map(root).map(keys::anchor_keys).unwrap_or_default();
    let mut pass = Pass {
        source,
        tree,
        secrets: leaves
            .iter()
            .filter(|leaf| leaf.is_secret())
            .map(|leaf| leaf.node)
            .collect(),
        unknown,
        sink,
        broken: unknown.clone(),
        dropped: BTreeSet::new(),
        told: BTreeSet::new(),
    };
    let refused = leaves.iter().map(|leaf| leaf.node);
    pass.broken
        .extend(refused.filter(|node| tree.style(*node) == Style::Refused));
    servers::check(&mut pass);
    let json = tree.json(root, &|node| !anchors.contains(&node));
    let mut keys = keys::Keys::default();
    for error in validator()?.iter_errors(&json).take(ERRORS_MAX) {
        pass.take(&error, &mut keys);
    }
    keys.report(&mut pass);
    for leaf in leaves {
        values::look_alike(&mut pass, leaf);
    }
    Some(Shaped {
        broken: pass.broken,
        dropped: pass.dropped,
        json,
    })
}

/// The validator, built once. The schema is our own, so it always builds.
fn validator() -> Option<&'static Validator> {
    static VALIDATOR: OnceLock<Option<Validator>> = OnceLock::new();
    VALIDATOR
        .get_or_init(|| jsonschema::options().build(document()).ok())
        .as_ref()
}

/// The pass on its way through the errors.
struct Pass<'a> {
    source: &'a Source,
    tree: &'a Tree,
    secrets: BTreeSet<NodeId>,
    unknown: &'a Unknown,
    sink: &'a mut Sink,
    broken: BTreeSet<NodeId>,
    dropped: BTreeSet<NodeId>,
    told: BTreeSet<(Code, Span)>,
}

impl Pass<'_> {
    fn take(&mut self, error: &ValidationError<'_>, keys: &mut keys::Keys) {
        let Some(node) = locate(self.tree, error.instance_path()) else {
            return;
        };
        if self.is_silent(node) {
            return;
        }
        let schema = schema_of(error);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                keys.unknown(node, unexpected, schema);
            }
            ValidationErrorKind::Required { property } => {
                keys.missing(node, property.as_str().unwrap_or_default());
            }
            ValidationErrorKind::PropertyNames { error } => {
                let name = error.instance().as_str().unwrap_or_default();
                keys::bad_name(self, node, name);
            }
            // A kind has words of its own for this.
            ValidationErrorKind::Pattern { .. } if has_kind(schema) => {}
            // The wrong type is told by an error of its own.
            ValidationErrorKind::Enum { .. }
                if !matches!(self.tree.content(node), Content::Text(_)) => {}
            kind => values::explain(self, node, kind, schema),
        }
    }

    /// Whether something about the node, or about what holds it, is known to be wrong already.
    fn is_silent(&self, node: NodeId) -> bool {
        let mut at = Some(node);
        while let Some(node) = at {
            if self.broken.contains(&node) {
                return true;
            }
            at = self.tree.parent(node);
        }
        false
    }

    /// Takes a map that lacks a key as broken. The whole configuration never is: `decode` puts in
    /// what it needs to go on.
    fn break_map(&mut self, node: NodeId) {
        if self.tree.parent(node).is_some() {
            self.broken.insert(node);
        }
    }

    /// Whether the value of a node may be told.
    fn may_tell(&self, node: NodeId) -> bool {
        !self.secrets.contains(&node)
            && self.tree.origin(node).is_none()
            && !self.unknown.contains(&node)
    }

    /// Reports a finding about a node, with the alias or the placeholder that brought it in. One
    /// mistake under an anchor is one finding, however often the anchor is used.
    fn report(&mut self, node: NodeId, diagnostic: Diagnostic) {
        let site = self.tree.node_site(node);
        let place = (diagnostic.code, diagnostic.primary.span);
        let is_new = self.told.insert(place);
        if site.is_some() && !is_new {
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

/// The node at the place that the validator names.
fn locate(tree: &Tree, location: &Location) -> Option<NodeId> {
    let mut node = tree.root()?;
    for segment in location.segments() {
        let segment = segment.to_string();
        node = match tree.content(node) {
            Content::Map(map) => map.get(&segment)?.value,
            Content::List(items) => *items.get(segment.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(node)
}

/// The schema whose keyword failed.
fn schema_of(error: &ValidationError<'_>) -> Option<&'static Map<String, Value>> {
    let (above, _) = error.schema_path().as_str().rsplit_once('/')?;
    document().pointer(above)?.as_object()
}

fn has_kind(schema: Option<&Map<String, Value>>) -> bool {
    schema.is_some_and(|schema| schema.contains_key(mcpc_config::KIND_KEYWORD))
}

/// The codes of typed scalars by their kind.
pub(crate) fn kind_code(kind: &str) -> Option<Code> {
    Some(match kind {
        "duration" => codes::DURATION,
        "size" => codes::SIZE,
        "rate" => codes::RATE,
        "percent" => codes::PERCENT,
        "address" => codes::ADDRESS,
        "url" => codes::URL,
        "glob" => codes::GLOB,
        "host" => codes::HOST,
        _ => return None,
    })
}
