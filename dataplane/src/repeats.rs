//! Tools that do the same however often they are called: `readOnlyHint` and `idempotentHint` in the
//! annotations of a listed tool (Tools §Tool Annotations).
//!
//! Owns what is known of the tools of an endpoint, as far as the configuration lets calls be sent again: to
//! say so for a server is to trust its annotations. Does not send anything: `upstream/retries.rs` decides.

use std::collections::HashSet;

use arc_swap::ArcSwap;

use crate::json;

/// Exposed names of such tools. Empty where no server's calls are sent again.
pub(crate) struct Repeats(ArcSwap<HashSet<Box<str>>>);

impl Repeats {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self(ArcSwap::from_pointee(HashSet::new()))
    }

    /// Takes what a list has told; of servers that are missing from it, what was known stays known. A tool
    /// that is listed without saying so any more is forgotten.
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

/// Whether a listed tool says that it can be called again.
pub(crate) fn is_repeatable(tool: &[u8]) -> bool {
    let mut annotations = None;
    let walk = json::members(tool, u32::MAX, |member| {
        if member.key == b"annotations" {
            annotations = tool.get(member.value);
        }
    });
    let Some(annotations) = annotations.filter(|_| walk.is_ok()) else {
        return false;
    };
    let mut says_so = false;
    let walk = json::members(annotations, u32::MAX, |member| {
        let is_hint = matches!(member.key, b"readOnlyHint" | b"idempotentHint");
        says_so |= is_hint && annotations.get(member.value) == Some(b"true");
    });
    walk.is_ok() && says_so
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_the_tool_itself_counts() {
        for (tool, says_so) in [
            (r#"{"name":"a","annotations":{"readOnlyHint":true}}"#, true),
            (
                r#"{"annotations":{"title":"x","idempotentHint": true}}"#,
                true,
            ),
            (r#"{"annotations":{"idempotentHint":false}}"#, false),
            (r#"{"annotations":{"idempotentHint":"true"}}"#, false),
            (r#"{"annotations":{"destructiveHint":true}}"#, false),
            (r#"{"annotations":{"x":{"readOnlyHint":true}}}"#, false),
            (r#"{"annotations":true}"#, false),
            (r#"{"readOnlyHint":true}"#, false),
        ] {
            assert_eq!(is_repeatable(tool.as_bytes()), says_so, "{tool}");
        }
    }

    #[test]
    fn a_whole_list_replaces_what_was_known_and_a_part_only_its_own() {
        let repeats = Repeats::new();
        let listed = |name: &str| HashSet::from([Box::from(name)]);
        let seen = |name: &str| HashSet::from([String::from(name)]);
        repeats.learn(&listed("a"), &seen("a"), true);
        repeats.learn(&listed("b"), &seen("b"), false);
        assert!(repeats.has(b"a") && repeats.has(b"b"));
        repeats.learn(&HashSet::new(), &seen("b"), false);
        assert!(repeats.has(b"a") && !repeats.has(b"b"));
        repeats.learn(&HashSet::new(), &HashSet::new(), true);
        assert!(!repeats.has(b"a"));
    }
}
