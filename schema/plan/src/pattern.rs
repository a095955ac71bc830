//! Patterns over names: `*` stands for any characters, everything else for itself.

use serde::{Deserialize, Serialize};

/// A pattern. Matching is linear in the name for each star; there is no backtracking beyond the last star.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// A pattern from its text.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for one name only.
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// Patterns in the order in which a plan holds them: those for one name only come first, so
    /// that a name is looked up among them instead of compared with each; each once.
    pub fn sorted(patterns: impl IntoIterator<Item = Self>) -> Box<[Self]> {
        let mut sorted: Vec<Self> = patterns.into_iter().collect();
        sorted.sort_by(|a, b| a.rank().cmp(&b.rank()));
        sorted.dedup();
        sorted.into()
    }

    /// Whether one of the sorted patterns matches the name.
    pub(crate) fn any_matches(sorted: &[Self], name: &str) -> bool {
        let exact = sorted.partition_point(Self::is_exact);
        let (exact, stars) = sorted.split_at(exact);
        exact
            .binary_search_by(|pattern| pattern.as_str().cmp(name))
            .is_ok()
            || stars.iter().any(|pattern| pattern.matches(name))
    }

    /// What [`Pattern::sorted`] sorts by.
    pub(crate) fn rank(&self) -> (bool, &str) {
        (!self.is_exact(), &self.0)
    }

    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let Some(last) = parts.next_back() else {
            return rest.is_empty();
        };
        // Leftmost matches for the middle parts leave the most room for the last one.
        for part in parts {
            match rest.split_once(part) {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_patterns_match_what_one_of_them_matches() {
        let texts = ["get_*", "search", "*_file", "fetch", "search"];
        let sorted = Pattern::sorted(texts.map(Pattern::new));
        let order: Vec<_> = sorted.iter().map(Pattern::as_str).collect();
        assert_eq!(order, ["fetch", "search", "*_file", "get_*"]);
        for name in ["search", "fetch", "get_x", "read_file", "", "other", "get"] {
            let one = texts.iter().any(|text| Pattern::new(text).matches(name));
            assert_eq!(Pattern::any_matches(&sorted, name), one, "{name}");
        }
    }

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, matches) in [
            ("get", "get", true),
            ("get", "gets", false),
            ("*", "", true),
            ("get_*", "get_", true),
            ("get_*", "get_x", true),
            ("get_*", "xget_x", false),
            ("*_file", "read_file", true),
            ("a*b*c", "a__b__c", true),
            ("a*b*c", "abbc", true),
            ("a*bc*c", "abc", false),
            ("a*a", "a", false),
            ("*é*", "caféx", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(name),
                matches,
                "{pattern} {name}"
            );
        }
    }
}
