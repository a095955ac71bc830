//! `mcpc explain`, `mcpc version` and the help of every command.

use serde_json::json;

use crate::invocation::Folder;

#[test]
fn every_code_is_explained_by_its_page() {
    let folder = Folder::new();
    assert!(!mcpc_compiler::CODES.is_empty());
    for entry in mcpc_compiler::CODES {
        let code = entry.code.to_string();
        let ran = folder.mcpc(&["explain", &code]).exits_with(0);
        let heading = format!("# {code}: {}\n", entry.title);
        assert!(ran.text().starts_with(&heading), "{}", ran.text());
    }
}

#[test]
fn codes_are_found_however_they_are_written() {
    let folder = Folder::new();
    let page = folder.mcpc(&["explain", "MCPC1008"]).exits_with(0).out;
    for written in ["mcpc1008", "1008", "Mcpc1008"] {
        assert_eq!(folder.mcpc(&["explain", written]).exits_with(0).out, page);
    }
}

#[test]
fn unknown_codes_exit_with_2_and_name_near_ones() {
    let folder = Folder::new();
    folder
        .mcpc(&["explain", "MCPC0000"])
        .exits_with(2)
        .says("MCPC0001");
    folder
        .mcpc(&["explain", "MCPC930"])
        .exits_with(2)
        .says("MCPC9301");
    for wrong in ["", "MCPC", "MCPC10080", "é", "E1008"] {
        folder
            .mcpc(&["explain", wrong])
            .exits_with(2)
            .says("MCPC1008");
    }
}

#[test]
fn list_has_a_line_for_every_code() {
    let ran = Folder::new().mcpc(&["explain", "--list"]).exits_with(0);
    let listed: Vec<&str> = ran
        .text()
        .lines()
        .filter_map(|line| line.get(..8))
        .collect();
    let codes: Vec<String> = mcpc_compiler::CODES
        .iter()
        .map(|it| it.code.to_string())
        .collect();
    assert_eq!(listed, codes);
}

#[test]
fn version_tells_the_plan_format_and_the_revisions() {
    let folder = Folder::new();
    let document = folder.mcpc(&["version", "--json"]).exits_with(0).json();
    assert_eq!(
        document.get("version"),
        Some(&json!(env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(document.get("plan_format"), Some(&json!(mcpc_plan::FORMAT)));
    assert_eq!(
        document.pointer("/protocol_revisions/0"),
        Some(&json!("2026-07-28"))
    );
    assert_eq!(
        document.pointer("/protocol_revisions/4"),
        Some(&"2024-11-05".into())
    );
    let ran = folder.mcpc(&["version"]).exits_with(0);
    assert!(
        ran.text()
            .starts_with(concat!("mcpc ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn every_command_has_help_with_an_example() {
    let folder = Folder::new();
    let commands = [
        "check",
        "plan",
        "run",
        "status",
        "explain",
        "schema",
        "version",
        "completions",
        "demo",
    ];
    for command in commands {
        let ran = folder.mcpc(&[command, "--help"]).exits_with(0);
        assert!(
            ran.text().contains(&format!("mcpc {command}")),
            "{}",
            ran.text()
        );
        assert!(ran.text().contains("Example"), "{command}: {}", ran.text());
    }
}
