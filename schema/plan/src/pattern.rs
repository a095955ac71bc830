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
