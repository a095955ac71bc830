//! Rules: every package from outside that a manifest names has a line in `docs/decisions/`, and each
//! record there has a number of its own.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Finding, Repository, TextFile};

/// Dependencies from outside without a table row of their own in a decision record. Takes the
/// output of [`metadata`](super::metadata).
pub fn undecided_dependencies(metadata: &Value, repository: &Repository) -> Vec<Finding> {
    let decided = decided(repository);
    named(metadata)
        .into_iter()
        .filter(|dependency| !decided.contains(dependency))
        .map(|dependency| Finding::new(dependency, "has no row in `docs/decisions/`"))
        .collect()
}

/// Records without the number of their file at the head of their title, and numbers that two records have.
pub fn misnumbered_decisions(repository: &Repository) -> Vec<Finding> {
    let mut numbers = BTreeSet::new();
    let mut found = Vec::new();
    for record in records(repository) {
        let name = record.path.trim_start_matches(FOLDER);
        let number = name.split_once('-').map_or(name, |(number, _)| number);
        if !record.text.starts_with(&format!("# {number}: ")) {
            let fact = format!("its title has to begin with `{number}: `");
            found.push(Finding::at(&record.path, 1, fact));
        }
        if !numbers.insert(number) {
            found.push(Finding::new(&record.path, "another record has this number"));
        }
    }
    found
}

const FOLDER: &str = "docs/decisions/";

fn records(repository: &Repository) -> impl Iterator<Item = &TextFile> {
    let pages = repository.with_suffix(".md");
    pages.filter(|file| file.path.starts_with(FOLDER))
}

/// The first cells of the tables in the decision records.
fn decided(repository: &Repository) -> BTreeSet<String> {
    let lines = records(repository).flat_map(|file| file.text.lines());
    lines
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// Dependencies that are not a path into this workspace, over all kinds and all members.
fn named(metadata: &Value) -> BTreeSet<String> {
    let list = |value: &Value, key: &str| -> Vec<Value> {
        let items = value.get(key).and_then(Value::as_array);
        items.cloned().unwrap_or_default()
    };
    list(metadata, "packages")
        .iter()
        .flat_map(|package| list(package, "dependencies"))
        .filter(|dependency| dependency.get("path").is_none())
        .filter_map(|dependency| Some(dependency.get("name")?.as_str()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dependency_without_a_row_is_found() {
        let dependencies = json!([{ "name": "hyper" }, { "name": "mcpc-plan", "path": "x" }]);
        let metadata = json!({ "packages": [{ "dependencies": dependencies }] });
        let with = |text: &str| {
            let record = TextFile::new("docs/decisions/0001-dependencies.md", text);
            undecided_dependencies(&metadata, &Repository::of(vec![record])).len()
        };
        assert_eq!(with("hyper is fine\n"), 1);
        assert_eq!(with("| `hyper` | HTTP |\n"), 0);
    }
    #[test]
    fn records_with_one_number_or_another_title_are_found() {
        let found = |second: (&str, &str)| {
            let first = TextFile::new("docs/decisions/0001-first.md", "# 0001: First\n");
            let second = TextFile::new(second.0, second.1);
            misnumbered_decisions(&Repository::of(vec![first, second])).len()
        };
        assert_eq!(found(("docs/decisions/0002-b.md", "# 0002: Second\n")), 0);
        assert_eq!(found(("docs/decisions/0002-b.md", "# Second\n")), 1);
        assert_eq!(found(("docs/decisions/0001-b.md", "# 0001: Second\n")), 1);
        assert_eq!(found(("docs/guide/0001-b.md", "# A guide\n")), 0);
    }
}
