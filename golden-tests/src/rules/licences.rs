//! Rule: every package in the tree is under a licence that `deny.toml` allows, and the list there
//! holds no licence that nothing needs.
//!
//! `cargo deny` checks more (advisories, sources, duplicates); this part needs no tool and no
//! network, so it is part of every test run.

use std::collections::BTreeSet;

use super::crates::cargo;
use crate::Finding;

/// `name version|licence` of every package on this machine's target, one a line.
pub fn licence_tree() -> String {
    let edges = ["--edges", "normal,build,dev", "--format", "{p}|{l}"];
    cargo(
        &[
            &["tree", "--locked", "--workspace", "--prefix", "none"],
            &edges[..],
        ]
        .concat(),
    )
}

/// Packages whose licence is not allowed, and allowed licences that no package offers. Takes
/// [`licence_tree`] and the text of `deny.toml`.
pub fn unwelcome_licences(tree: &str, deny: &str) -> Vec<Finding> {
    let allowed = allowed(deny);
    let mut found = BTreeSet::new();
    let mut offered = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let (package, licence) = line.split_once('|').unwrap_or((line, ""));
        let licence = licence.trim_end_matches(" (*)").replace('/', " OR ");
        let words = words(&licence);
        offered.extend(words.iter().cloned());
        if !Expression::new(&words).holds(&allowed) {
            let name = package.split(" (").next().unwrap_or(package);
            let fact = format!("is under `{licence}`, which `deny.toml` does not allow");
            found.insert(Finding::new(name, fact));
        }
    }
    let unused = allowed.iter().filter(|licence| !offered.contains(*licence));
    found.extend(
        unused.map(|licence| Finding::new("deny.toml", format!("nothing needs `{licence}`"))),
    );
    found.into_iter().collect()
}

/// The strings of the list `allow` in the section `[licenses]`.
fn allowed(deny: &str) -> BTreeSet<String> {
    let section = deny.split("[licenses]").nth(1).unwrap_or_default();
    let list = section.split("allow = [").nth(1).unwrap_or_default();
    let list = list.split("\n]").next().unwrap_or_default();
    list.lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

/// Licences, operators and brackets of an SPDX expression; an exception stays with its licence.
fn words(licence: &str) -> Vec<String> {
    let spaced = licence.replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<String> = Vec::new();
    let mut parts = spaced.split_whitespace();
    while let Some(part) = parts.next() {
        match words.last_mut() {
            Some(last) if part == "WITH" => {
                let exception = parts.next().unwrap_or_default();
                *last = format!("{last} WITH {exception}");
            }
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// An SPDX expression, read from left to right; `AND` binds tighter than `OR`.
struct Expression<'a> {
    words: std::iter::Peekable<std::slice::Iter<'a, String>>,
}

impl<'a> Expression<'a> {
    fn new(words: &'a [String]) -> Self {
        Self {
            words: words.iter().peekable(),
        }
    }

    fn holds(mut self, allowed: &BTreeSet<String>) -> bool {
        self.any(allowed) && self.words.next().is_none()
    }

    fn any(&mut self, allowed: &BTreeSet<String>) -> bool {
        let mut met = self.all(allowed);
        while self.words.next_if(|word| *word == "OR").is_some() {
            met |= self.all(allowed);
        }
        met
    }

    fn all(&mut self, allowed: &BTreeSet<String>) -> bool {
        let mut met = self.one(allowed);
        while self.words.next_if(|word| *word == "AND").is_some() {
            met &= self.one(allowed);
        }
        met
    }

    fn one(&mut self, allowed: &BTreeSet<String>) -> bool {
        if self.words.next_if(|word| *word == "(").is_some() {
            let met = self.any(allowed);
            return self.words.next_if(|word| *word == ")").is_some() && met;
        }
        self.words.next().is_some_and(|word| allowed.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[licenses]\nallow = [\n    \"MIT\",\n    \"ISC\", # short\n    \"Apache-2.0 WITH LLVM-exception\",\n]\n[bans]\n";

    #[test]
    fn licences_are_judged_as_expressions() {
        let allowed = allowed(DENY);
        assert_eq!(allowed.len(), 3);
        for (licence, met) in [
            ("MIT", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0 AND MIT", false),
            ("ISC AND (Apache-2.0 OR ISC) AND MIT", true),
            ("ISC AND (Apache-2.0 OR GPL-3.0)", false),
            ("Apache-2.0 WITH LLVM-exception OR Apache-2.0", true),
            ("Apache-2.0", false),
            ("", false),
        ] {
            assert_eq!(
                Expression::new(&words(licence)).holds(&allowed),
                met,
                "{licence}"
            );
        }
    }

    #[test]
    fn package_under_another_licence_and_licence_without_package_are_found() {
        let tree = "a v1.0.0|MIT/GPL-3.0\nb v1.0.0|GPL-3.0 (*)\n\nc v1.0.0 (proc-macro)|ISC\n";
        let found = unwelcome_licences(tree, DENY);
        let places: Vec<&str> = found.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(places, ["b v1.0.0", "deny.toml"]);
    }
}
