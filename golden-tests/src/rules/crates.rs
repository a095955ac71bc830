//! Rules: crates depend on each other in one direction, and the data plane's library stays small.
//!
//! Both ask cargo, offline, about the committed lock file.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::{Finding, Repository};

/// Which crates of ours each crate may depend on. A crate that is not listed may use all of them.
const MAY_USE: [(&str, &[&str]); 8] = [
    ("mcpc-config", &[]),
    ("mcpc-plan", &[]),
    ("mcpc-compiler", &["mcpc-config", "mcpc-plan"]),
    ("mcpc-dataplane", &["mcpc-plan"]),
    (
        "mcpc",
        &[
            "mcpc-compiler",
            "mcpc-config",
            "mcpc-dataplane",
            "mcpc-plan",
            "mcpc-process",
            "mcpcd",
        ],
    ),
    ("mcpcd", &["mcpc-dataplane", "mcpc-plan", "mcpc-process"]),
    ("mcpc-process", &[]),
    ("mcpc-fixture", &[]),
];

/// The most packages behind the data plane's library.
const PACKAGES_MAX: usize = 100;

/// What `cargo metadata` says about the packages of this workspace.
pub fn metadata() -> Value {
    let text = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    serde_json::from_str(&text).expect("cargo metadata prints JSON")
}

/// The packages behind the data plane's library, one a line, as `cargo tree` prints them.
pub fn package_tree() -> String {
    let flat = ["--prefix", "none", "--edges", "normal"];
    cargo(
        &[
            &["tree", "--locked", "--package", "mcpc-dataplane"],
            &flat[..],
        ]
        .concat(),
    )
}

/// What cargo prints, run offline in this workspace.
pub(super) fn cargo(arguments: &[&str]) -> String {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(program)
        .args(arguments)
        .arg("--offline")
        .current_dir(Repository::root())
        .output()
        .expect("cargo can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// Dependencies between our crates that point the wrong way. Takes [`metadata`].
pub fn direction(metadata: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let packages = members(metadata, "packages");
    let ours: BTreeSet<&str> = packages.iter().map(name).collect();
    for (listed, _) in MAY_USE {
        if !ours.contains(listed) {
            found.push(Finding::new(listed, "is not a crate of this workspace"));
        }
    }
    for package in packages {
        let Some((_, may_use)) = MAY_USE.iter().find(|(listed, _)| *listed == name(package)) else {
            continue;
        };
        for dependency in members(package, "dependencies").iter().map(name) {
            if ours.contains(dependency) && !may_use.contains(&dependency) {
                let fact = format!("must not depend on `{dependency}`");
                found.push(Finding::new(name(package), fact));
            }
        }
    }
    found
}

/// The finding if more packages stand behind the data plane than agreed. Takes [`package_tree`].
pub fn budget(tree: &str) -> Vec<Finding> {
    let packages: BTreeSet<&str> = tree
        .lines()
        .map(|line| line.trim_end_matches(" (*)").trim())
        .filter(|line| !line.is_empty())
        .collect();
    if packages.is_empty() {
        return vec![Finding::new("mcpc-dataplane", "has no packages at all")];
    }
    if packages.len() <= PACKAGES_MAX {
        return Vec::new();
    }
    let fact = format!("{} packages; the budget is {PACKAGES_MAX}", packages.len());
    vec![Finding::new("mcpc-dataplane", fact)]
}

fn members<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn name(value: &Value) -> &str {
    value
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn dependency_against_the_direction_is_found() {
        let workspace = |uses: &str| {
            let others = MAY_USE.iter().filter(|(name, _)| *name != "mcpc-plan");
            let mut packages: Vec<Value> =
                others.map(|(name, _)| json!({ "name": name })).collect();
            packages.push(json!({ "name": "mcpc-plan", "dependencies": [{ "name": uses }] }));
            json!({ "packages": packages })
        };
        assert_eq!(direction(&workspace("mcpc-config")).len(), 1);
        assert!(direction(&workspace("serde")).is_empty());
        assert_eq!(direction(&json!({ "packages": [] })).len(), MAY_USE.len());
    }

    #[test]
    fn package_beyond_the_budget_is_found() {
        let tree = |count: usize| -> String {
            let lines =
                (0..count).flat_map(|n| [format!("p{n} v1.0.0"), format!("p{n} v1.0.0 (*)")]);
            lines.collect::<Vec<_>>().join(
                "
",
            )
        };
        assert!(budget(&tree(PACKAGES_MAX)).is_empty());
        assert_eq!(budget(&tree(PACKAGES_MAX + 1)).len(), 1);
        assert_eq!(budget("").len(), 1);
    }
}
