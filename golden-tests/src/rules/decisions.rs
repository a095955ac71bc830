//! Rule: every package from outside that a manifest names has a line in `docs/decisions/`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Finding, Repository};

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

/// The first cells of the tables in the decision records.
fn decided(repository: &Repository) -> BTreeSet<String> {
    let records = repository
        .with_suffix(".md")
        .filter(|file| file.path.starts_with("docs/decisions/"));
    let lines = records.flat_map(|file| file.text.lines());
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
    use crate::TextFile;
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
}
