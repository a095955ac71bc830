//! `mcpc schema` and `mcpc completions`.

use crate::invocation::Folder;

#[test]
fn schema_is_the_one_of_the_configuration_types() {
    let folder = Folder::new();
    let ran = folder.mcpc(&["schema"]).exits_with(0);
    assert_eq!(ran.text(), mcpc_config::schema_text());
    folder
        .mcpc(&["schema", "--out", "mcpc.schema.json"])
        .exits_with(0);
    let written = std::fs::read_to_string(folder.path().join("mcpc.schema.json")).unwrap();
    assert_eq!(written, mcpc_config::schema_text());
}

#[test]
fn completions_are_made_for_every_shell() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = folder.mcpc(&["completions", shell]).exits_with(0);
        assert!(ran.text().contains("mcpc"), "{shell}");
        assert!(ran.text().contains("explain"), "{shell}");
        for entry in mcpc_compiler::CODES {
            let is_offered = ran.text().contains(entry.name);
            let offers = ["bash", "zsh", "fish"].contains(&shell);
            assert!(is_offered || !offers, "{shell}: {}", entry.name);
        }
    }
    folder.mcpc(&["completions", "tcsh"]).exits_with(2);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = Folder::new();
    let mut child = folder
        .command(&["schema"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_full_disk_is_a_failure() {
    let folder = Folder::with_config(crate::invocation::SMALLEST);
    for (arguments, exit) in [
        (&["plan"][..], 1),
        (&["schema"], 2),
        (&["check", "--format", "json"], 2),
        (&["version"], 2),
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let output = folder.command(arguments).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{said}");
        assert!(said.contains("MCPC0004"), "{said}");
    }
}
