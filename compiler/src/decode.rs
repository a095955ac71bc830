//! Turns the tree into the configuration types.
//!
//! Owns what a schema cannot say about one value (is this a URL, a duration, a pattern) and the
//! removal of what is broken, so that the rest still reaches the later passes. Does not look at
//! how values relate: `resolve` and `check` do.

use mcpc_config::Config;

use crate::diagnostic::Sink;
use crate::path::Path;
use crate::tree::Tree;

/// A configuration whose every value is sound by itself, and where all of it stands.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    /// The configuration, without what is broken.
    pub(crate) config: Config,
    /// Where everything stands.
    pub(crate) tree: Tree,
    /// What was removed because of an error that is already reported. A later pass says nothing
    /// about what lies there or depends on it.
    pub(crate) broken: Vec<Path>,
}

impl Decoded {
    /// Whether a place was removed, or lies below one that was.
    pub(crate) fn is_broken(&self, path: &Path) -> bool {
        self.broken.iter().any(|broken| path.is_within(broken))
    }
}

/// Decodes the tree; `None` if nothing sound is left.
pub(crate) fn decode(tree: Tree, _sink: &mut Sink) -> Option<Decoded> {
    let json = tree.json(tree.root()?, &|_| true);
    let config = serde_json::from_value(json).ok()?;
    Some(Decoded {
        config,
        tree,
        broken: Vec::new(),
    })
}
