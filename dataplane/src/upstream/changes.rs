//! What an upstream has told of its lists and resources, or what follows from its having another session.
//!
//! Owns what raises the counters of [`Changes`](crate::changes::Changes). Does not tell: `hub` and `watches` do.

use super::Upstream;
use crate::json;

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
