//! What is known of a server's names of one kind before traffic flows: which are exposed, as
//! what, and whether there may be more.
//!
//! Owns the reading of `allow`, `deny` and `rename`; `resolve` makes one [`Surface`] for the tools
//! and one for the prompts of every server, the checks and `lower` only read them. Does not know
//! prefixes: those belong to endpoints.

use std::collections::BTreeMap;

use mcpc_config::{Glob, NameFilter};
use mcpc_plan::Pattern;

/// The names of one kind that a server exposes.
#[derive(Debug, Default)]
pub(crate) struct Surface<'a> {
    /// The filter as it was written.
    pub(crate) filter: Option<&'a NameFilter>,
    /// The allow list; nothing if everything is allowed.
    pub(crate) allow: Option<PatternSet<'a>>,
    /// The deny list.
    pub(crate) deny: PatternSet<'a>,
    /// The exposed names that are known, sorted by the server's own name.
    pub(crate) known: Vec<Known<'a>>,
    /// Whether the server may expose names that are not known.
    pub(crate) open: bool,
    /// Whether part of the filter is in error. Then no name is known, and no other one is expected:
    /// whatever would be said of them could be wrong.
    pub(crate) is_partial: bool,
}

/// A name that is known to be exposed, if the server has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// The server's own name.
    pub(crate) name: &'a str,
    /// The name after the prefix.
    pub(crate) local: &'a str,
    /// Where the name that clients see was written.
    pub(crate) origin: Origin,
}

/// Where a known name was written, within its filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An entry of the allow list.
    Allow(usize),
    /// The entry of `rename` for the server's own name.
    Rename,
}

/// A list of patterns that looks up exact names.
#[derive(Debug, Default)]
pub(crate) struct PatternSet<'a> {
    exact: BTreeMap<&'a str, usize>,
    stars: Vec<(usize, Pattern)>,
}

impl<'a> Surface<'a> {
    /// Reads a filter; no filter exposes everything.
    pub(crate) fn new(filter: Option<&'a NameFilter>) -> Self {
        let Some(filter) = filter else {
            return Self {
                open: true,
                ..Self::default()
            };
        };
        let allow = filter.allow.as_deref().map(PatternSet::new);
        let deny = PatternSet::new(&filter.deny);
        let open = match &allow {
            None => deny.matching("*").is_none(),
            Some(allow) => allow
                .stars
                .iter()
                .any(|(_, pattern)| deny.matching(pattern.as_str()).is_none()),
        };
        let known = known_names(filter, allow.as_ref(), &deny);
        Self {
            filter: Some(filter),
            allow,
            deny,
            known,
            open,
            is_partial: false,
        }
    }

    /// Reads what is left of a filter that is in error.
    pub(crate) fn partial(filter: Option<&'a NameFilter>) -> Self {
        Self {
            known: Vec::new(),
            open: false,
            is_partial: true,
            ..Self::new(filter)
        }
    }

    /// Whether the server's own name is exposed, if the server has it.
    pub(crate) fn allows(&self, name: &str) -> bool {
        let allowed = self
            .allow
            .as_ref()
            .is_none_or(|allow| allow.matching(name).is_some());
        allowed && self.deny.matching(name).is_none()
    }

    /// Whether an unknown own name of the server could be exposed as this name after the prefix.
    pub(crate) fn could_expose(&self, local: &str) -> bool {
        let renamed = |filter: &NameFilter| filter.rename.contains_key(local);
        self.open && !local.is_empty() && self.allows(local) && !self.filter.is_some_and(renamed)
    }

    /// Whether nothing at all is exposed.
    pub(crate) fn is_empty(&self) -> bool {
        !self.open && self.known.is_empty() && !self.is_partial
    }
}

fn known_names<'a>(
    filter: &'a NameFilter,
    allow: Option<&PatternSet<'a>>,
    deny: &PatternSet<'a>,
) -> Vec<Known<'a>> {
    let mut known = BTreeMap::new();
    for (name, index) in allow.iter().flat_map(|allow| &allow.exact) {
        let (name, origin) = (*name, Origin::Allow(*index));
        known.insert(
            name,
            Known {
                name,
                local: name,
                origin,
            },
        );
    }
    for (name, local) in &filter.rename {
        if allow.is_none_or(|allow| allow.matching(name).is_some()) {
            let origin = Origin::Rename;
            known.insert(
                name,
                Known {
                    name,
                    local,
                    origin,
                },
            );
        }
    }
    known
        .into_values()
        .filter(|known| deny.matching(known.name).is_none())
        .collect()
}

impl<'a> PatternSet<'a> {
    pub(crate) fn new(patterns: &'a [Glob]) -> Self {
        let mut set = Self::default();
        for (index, pattern) in patterns.iter().enumerate() {
            if pattern.is_exact() {
                set.exact.entry(pattern.as_str()).or_insert(index);
            } else {
                set.stars.push((index, Pattern::new(pattern.as_str())));
            }
        }
        set
    }

    /// The index of a pattern that matches every name that `name` stands for. Since no name has a
    /// star, the star of a pattern can only be met by a star: this decides exactly whether one
    /// pattern of the set covers another pattern.
    pub(crate) fn matching(&self, name: &str) -> Option<usize> {
        self.exact.get(name).copied().or_else(|| {
            let mut stars = self.stars.iter();
            stars.find_map(|(index, pattern)| pattern.matches(name).then_some(*index))
        })
    }

    /// Another pattern of the set that makes the one at this index needless: one that covers it, or
    /// the same one earlier on.
    pub(crate) fn covering(&self, index: usize, pattern: &str) -> Option<usize> {
        if let Some(first) = self.exact.get(pattern).filter(|first| **first != index) {
            return Some(*first);
        }
        let covers = |(other, star): &&(usize, Pattern)| {
            let is_same = star.as_str() == pattern;
            star.matches(pattern)
                && if is_same {
                    *other < index
                } else {
                    *other != index
                }
        };
        self.stars.iter().find(covers).map(|(other, _)| *other)
    }

    /// The patterns with a star, by index.
    pub(crate) fn stars(&self) -> &[(usize, Pattern)] {
        &self.stars
    }

    /// Whether there is a name that both this set and the pattern match.
    pub(crate) fn meets(&self, pattern: &str) -> bool {
        if !pattern.contains('*') {
            return self.matching(pattern).is_some();
        }
        let single = Pattern::new(pattern);
        self.exact.keys().any(|name| single.matches(name))
            || self
                .stars
                .iter()
                .any(|(_, star)| overlap(star.as_str(), pattern))
    }
}

/// Whether two patterns with stars have a name in common: their fixed beginnings and ends agree.
/// What stands between stars can always be laid one after the other.
fn overlap(one: &str, other: &str) -> bool {
    let ends = |pattern: &str| -> (String, String) {
        let first = pattern.split('*').next().unwrap_or_default();
        let last = pattern.rsplit('*').next().unwrap_or_default();
        (first.to_owned(), last.to_owned())
    };
    let ((first, last), (other_first, other_last)) = (ends(one), ends(other));
    (first.starts_with(&other_first) || other_first.starts_with(&first))
        && (last.ends_with(&other_last) || other_last.ends_with(&last))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "patterns of the tests are valid")]
    use super::*;

    fn globs(texts: &[&str]) -> Vec<Glob> {
        texts
            .iter()
            .map(|text| Glob::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn a_pattern_covers_another_exactly_if_every_name_of_the_other_matches() {
        for (wide, narrow, covers) in [
            ("get_*", "get_issue", true),
            ("get_*", "get_*_all", true),
            ("get_*", "g*", false),
            ("*", "a*b", true),
            ("a*b", "a*b", true),
            ("a*b", "a*", false),
            ("a*b*", "ab", true),
            ("*a*", "*aa*", true),
        ] {
            let patterns = globs(&[wide]);
            let set = PatternSet::new(&patterns);
            assert_eq!(set.matching(narrow).is_some(), covers, "{wide} {narrow}");
        }
    }

    #[test]
    fn patterns_meet_if_one_name_matches_both() {
        for (one, other, meets) in [
            ("get_*", "*_issue", true),
            ("get_*", "list_*", false),
            ("get_*", "g*", true),
            ("*_a", "*_b", false),
            ("*a", "ba*", true),
            ("search", "s*", true),
            ("search", "list_*", false),
        ] {
            let patterns = globs(&[one]);
            assert_eq!(
                PatternSet::new(&patterns).meets(other),
                meets,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn a_surface_is_open_only_if_an_unknown_name_can_come_through() {
        for (allow, deny, open) in [
            (None, &[] as &[&str], true),
            (None, &["delete_*"], true),
            (None, &["*"], false),
            (Some(&["a", "b"] as &[&str]), &[], false),
            (Some(&["a", "get_*"]), &[], true),
            (Some(&["a", "get_*"]), &["g*"], false),
            (Some(&[]), &[], false),
        ] {
            let filter = NameFilter {
                allow: allow.map(globs),
                deny: globs(deny),
                rename: BTreeMap::new(),
            };
            assert_eq!(Surface::new(Some(&filter)).open, open, "{allow:?} {deny:?}");
        }
    }

    #[test]
    fn known_names_are_the_exact_ones_and_the_renamed_ones_that_are_not_denied() {
        let rename = [("get_issue", "issue"), ("gone", "x"), ("other", "y")];
        let filter = NameFilter {
            allow: Some(globs(&["get_*", "search", "gone"])),
            deny: globs(&["gone"]),
            rename: rename
                .iter()
                .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                .collect(),
        };
        let surface = Surface::new(Some(&filter));
        let known: Vec<_> = surface
            .known
            .iter()
            .map(|known| (known.name, known.local))
            .collect();
        assert_eq!(known, [("get_issue", "issue"), ("search", "search")]);
        assert!(surface.could_expose("get_x"));
        assert!(!surface.could_expose("get_issue"));
        assert!(!surface.could_expose("list"));
    }
}
