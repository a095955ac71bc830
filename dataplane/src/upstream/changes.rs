//! What an upstream has told of its lists and resources, or what follows from its having another session.
//!
//! Owns the counters that are watched by whoever tells clients, and what raises them. Does not tell: `hub` and
//! `watches` do.

use super::Upstream;
use crate::json;

/// How often each list of an upstream is known to have changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// `notifications/tools/list_changed`.
    pub(crate) tools: u64,
    /// `notifications/prompts/list_changed`.
    pub(crate) prompts: u64,
    /// `notifications/resources/list_changed`.
    pub(crate) resources: u64,
    /// How often an endpoint was given another plan; an upstream does not know of that.
    pub(crate) plans: u64,
}

impl Upstream {
    pub(super) fn note_change(&self, method: &[u8]) {
        self.changes.send_modify(|changes| match method {
            b"notifications/tools/list_changed" => changes.tools += 1,
            b"notifications/prompts/list_changed" => changes.prompts += 1,
            _ => changes.resources += 1,
        });
    }

    /// A resource was updated, say the params of a notification.
    pub(super) fn note_update(&self, params: Option<&bytes::Bytes>) {
        let uri = params.and_then(|params| json::member(params, b"uri"));
        if let Some(uri) = uri.and_then(json::text) {
            self.watches.updated(&uri);
        }
    }

    /// A new session may show other lists than the one before it.
    pub(super) fn note_all_changed(&self) {
        self.changes.send_modify(|changes| {
            changes.tools += 1;
            changes.prompts += 1;
            changes.resources += 1;
        });
    }
}
