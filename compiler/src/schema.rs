//! The JSON Schema of `mcpc.yaml` in the form that the passes walk.
//!
//! Owns the reading of the schema document, once, into forms that say at each node which keys,
//! items and texts may be there. A keyword that has no place in a form is refused, so that the
//! document and the walk cannot drift apart. Does not judge anything: `shape` does. Which form
//! speaks about which node is decided in `meaning`.

mod patterns;
mod read;
mod servers;

use std::sync::{Arc, OnceLock};

use crate::tree::Map;

pub(crate) use patterns::Pattern;
pub(crate) use servers::Servers;

/// What may stand at a node.
#[derive(Debug)]
pub(crate) enum Schema {
    /// Whatever it is, nobody reads it.
    Anything,
    /// A map.
    Map(MapForm),
    /// A server, whose keys depend on how it is reached.
    Server(Servers),
    /// A list.
    List(ListForm),
    /// A text.
    Text(TextForm),
    /// A whole number.
    Integer(IntegerForm),
    /// `true` or `false`.
    Boolean,
}

/// What a map may hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapForm {
    /// The known keys, in the order of the documentation.
    pub(crate) properties: Vec<(Box<str>, Arc<Schema>)>,
    /// The keys that must be there.
    pub(crate) required: Vec<Box<str>>,
    /// What any other key holds; nothing if there can be no other key.
    pub(crate) others: Option<Arc<Schema>>,
    /// What every key has to look like.
    pub(crate) names: Option<&'static Pattern>,
    /// The smallest number of entries.
    pub(crate) entries_min: usize,
    /// Whether keys that start with `x-` hold anchors.
    pub(crate) has_anchors: bool,
}

/// What a list may hold.
#[derive(Debug)]
pub(crate) struct ListForm {
    /// What each item is.
    pub(crate) items: Arc<Schema>,
    /// The smallest number of items.
    pub(crate) items_min: usize,
    /// The largest number of items.
    pub(crate) items_max: usize,
}

/// What a text may be.
#[derive(Debug)]
pub(crate) struct TextForm {
    /// What it stands for.
    pub(crate) kind: Kind,
    /// What it has to look like; a text with a kind is read by `decode` instead.
    pub(crate) pattern: Option<&'static Pattern>,
    /// The smallest number of characters.
    pub(crate) chars_min: usize,
    /// The largest number of characters.
    pub(crate) chars_max: usize,
    /// The only texts there are, if they are few.
    pub(crate) choices: Vec<Box<str>>,
    /// Texts to show.
    pub(crate) examples: Vec<Box<str>>,
}

/// What a whole number may be.
#[derive(Debug)]
pub(crate) struct IntegerForm {
    /// The smallest one.
    pub(crate) min: i64,
    /// The largest one.
    pub(crate) max: Option<i64>,
    /// The largest one that its type can hold.
    pub(crate) type_max: i64,
}

/// What a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Duration,
    Size,
    Rate,
    Percent,
    Address,
    Url,
    Glob,
    Host,
    Secret,
}

/// The schema of the whole configuration, read once.
pub(crate) fn root() -> &'static Schema {
    static ROOT: OnceLock<Schema> = OnceLock::new();
    // The document is our own, and a test reads it: it always has a form.
    ROOT.get_or_init(|| read::published().unwrap_or(Schema::Anything))
}

/// The forms of a server.
pub(crate) fn servers() -> Option<&'static Servers> {
    match root() {
        Schema::Map(form) => match form.property("servers")? {
            Schema::Map(servers) => match servers.others.as_deref()? {
                Schema::Server(servers) => Some(servers),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

impl Schema {
    /// The form of a map at a node of this schema.
    pub(crate) fn map_form(&self, map: &Map) -> Option<&MapForm> {
        match self {
            Self::Map(form) => Some(form),
            Self::Server(servers) => Some(servers.form(map)),
            _ => None,
        }
    }

    /// What a text stands for.
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Text(form) => form.kind,
            _ => Kind::Plain,
        }
    }
}

impl MapForm {
    /// What a key of exactly this name holds.
    pub(crate) fn property(&self, key: &str) -> Option<&Schema> {
        let mut properties = self.properties.iter();
        let own = properties.find_map(|(name, schema)| (**name == *key).then_some(schema));
        own.or(self.others.as_ref()).map(|schema| &**schema)
    }

    /// The known keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.properties.iter().map(|(name, _)| &**name)
    }

    /// Whether a key only holds an anchor for use elsewhere.
    pub(crate) fn is_anchor(&self, key: &str) -> bool {
        self.has_anchors && key.starts_with("x-")
    }
}
