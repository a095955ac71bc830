//! What an upstream said about itself in `initialize` or `server/discover`.

use bytes::Bytes;

use crate::beside::Beside;
use crate::call::Era;
use crate::json;

/// An upstream's own words, kept as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    /// The era in which it was reached.
    pub(crate) era: Era,
    /// The negotiated revision, for example `2025-11-25`.
    pub(crate) revision: Box<str>,
    /// The value of `capabilities`, one JSON object.
    pub(crate) capabilities: Bytes,
    /// Whether it tells those who ask when a resource is updated, and can reach the gateway with it.
    pub(crate) subscribes: bool,
    /// Whether calls of its tools can be tasks of 2025-11-25.
    pub(crate) runs_tasks: bool,
    /// The value of `instructions`, decoded.
    pub(crate) instructions: Option<Box<str>>,
    /// What it says beside all that.
    pub(crate) beside: Beside,
}

impl Profile {
    /// The value of `capabilities.extensions`, if there is one.
    pub(crate) fn extensions(&self) -> Option<Bytes> {
        let found = json::place_of(&self.capabilities, b"extensions")?;
        Some(self.capabilities.slice(found))
    }

    /// Whether the upstream has a capability, for example `tools`.
    pub(crate) fn has(&self, capability: &str) -> bool {
        json::place_of(&self.capabilities, capability.as_bytes()).is_some()
    }
}
