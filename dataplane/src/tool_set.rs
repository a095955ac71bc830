//! The tools of an endpoint of which their servers' lists say one thing: that they can be called again, or
//! that they are called as tasks.
//!
//! Owns what is known of it, by exposed name, across lists that may be incomplete. Does not read lists:
//! `list` does, with `repeats` and `tasks`. Nearly always empty, and then a look-up is one load.

use std::collections::HashSet;

use arc_swap::ArcSwap;

/// Exposed names of such tools.
pub(crate) struct ToolSet(ArcSwap<HashSet<Box<str>>>);

impl ToolSet {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self(ArcSwap::from_pointee(HashSet::new()))
    }

    /// Takes what a list has told; of servers that are missing from it, what was known stays known. A tool
    /// that is listed and is none of them any more is forgotten.
    pub(crate) fn learn(
        &self,
        listed: &HashSet<Box<str>>,
        seen: &HashSet<String>,
        is_complete: bool,
    ) {
        if listed.is_empty() && self.0.load().is_empty() {
            return;
        }
        // Two lists may come at the same time.
        self.0.rcu(|known| {
            let missing = known
                .iter()
                .filter(|tool| !is_complete && !seen.contains(tool.as_ref()));
            let next: HashSet<_> = missing.chain(listed).cloned().collect();
            next
        });
    }

    /// Whether a tool is one of them.
    pub(crate) fn has(&self, tool: &[u8]) -> bool {
        let known = self.0.load();
        !known.is_empty() && std::str::from_utf8(tool).is_ok_and(|tool| known.contains(tool))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_list_replaces_what_was_known_and_a_part_only_its_own() {
        let known = ToolSet::new();
        let listed = |name: &str| HashSet::from([Box::from(name)]);
        let seen = |name: &str| HashSet::from([String::from(name)]);
        known.learn(&listed("a"), &seen("a"), true);
        known.learn(&listed("b"), &seen("b"), false);
        assert!(known.has(b"a") && known.has(b"b"));
        known.learn(&HashSet::new(), &seen("b"), false);
        assert!(known.has(b"a") && !known.has(b"b"));
        known.learn(&HashSet::new(), &HashSet::new(), true);
        assert!(!known.has(b"a"));
    }
}
