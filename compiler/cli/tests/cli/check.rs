//! `mcpc check`: exit codes, formats, several files, standard input.

use serde_json::json;

use crate::invocation::{Folder, MISTAKEN, Ran, SMALLEST};

#[test]
fn a_clean_file_exits_with_0_and_leaves_standard_output_alone() {
    let folder = Folder::with_config(SMALLEST);
    for command in ["check", "validate"] {
        let ran = folder
            .mcpc(&[command])
            .exits_with(0)
            .says("mcpc.yaml: no findings");
        assert_eq!(ran.text(), "");
    }
}

#[test]
fn a_mistake_exits_with_1_and_is_shown_with_its_line() {
    let ran = Folder::with_config(MISTAKEN).mcpc(&["check"]).exits_with(1);
    let ran = ran.says("mcpc.yaml:3:11").says("comand");
    assert!(!ran.err.contains('\u{1b}'), "{}", ran.err);
}

#[test]
fn colour_is_for_terminals_or_when_asked_for() {
    let folder = Folder::with_config(MISTAKEN);
    let always = folder.mcpc(&["check", "--color", "always"]).exits_with(1);
    assert!(always.err.contains('\u{1b}'), "{}", always.err);
    let mut unwanted = folder.command(&["check", "--color=auto"]);
    let unwanted = unwanted.env("NO_COLOR", "1").output().unwrap();
    assert!(!unwanted.stderr.contains(&0x1b));
}

#[test]
fn colour_of_the_help_is_the_one_that_was_asked_for() {
    let folder = Folder::new();
    for (arguments, is_coloured) in [
        (&["check", "--help", "--color", "always"][..], true),
        (&["--color=always", "--help"], true),
        (&["check", "--help", "--color", "never"], false),
        (&["--help"], false),
    ] {
        let ran = folder.mcpc(arguments).exits_with(0);
        assert_eq!(ran.text().contains('\u{1b}'), is_coloured, "{arguments:?}");
    }
}

#[test]
fn standard_input_is_read_once() {
    let folder = Folder::with_config(SMALLEST);
    folder
        .mcpc_with_input(&["check", "-", "mcpc.yaml", "-"], SMALLEST.as_bytes())
        .exits_with(2)
        .says("`-` is given twice");
}

#[test]
fn json_is_one_versioned_document_for_all_files() {
    let folder = Folder::with_config(MISTAKEN);
    folder.write("other.yaml", SMALLEST);
    folder.write("third.yaml", MISTAKEN);
    let files = [
        "check",
        "--format",
        "json",
        "mcpc.yaml",
        "other.yaml",
        "third.yaml",
    ];
    let document = folder.mcpc(&files).exits_with(1).json();
    assert_eq!(document.get("format"), Some(&json!(1)));
    assert_eq!(document.get("errors"), Some(&json!(2)));
    assert_eq!(
        document.pointer("/diagnostics/0/file"),
        Some(&json!("mcpc.yaml"))
    );
    assert_eq!(
        document.pointer("/diagnostics/1/file"),
        Some(&json!("third.yaml"))
    );
}

#[test]
fn sarif_exits_with_0_unless_the_check_could_not_be_done() {
    let folder = Folder::with_config(MISTAKEN);
    let ran = folder.mcpc(&["check", "--format", "sarif"]).exits_with(0);
    assert_eq!(ran.json().get("version"), Some(&json!("2.1.0")));
    assert!(ran.json().pointer("/runs/0/results/0/ruleId").is_some());
    let missing = ["check", "--format", "sarif", "missing.yaml"];
    assert_eq!(
        folder.mcpc(&missing).exits_with(2).json().get("version"),
        Some(&json!("2.1.0"))
    );
}

#[test]
fn concise_is_one_line_for_each_finding() {
    let ran = Folder::with_config(MISTAKEN)
        .mcpc(&["check", "--format", "concise"])
        .exits_with(1);
    assert_eq!(ran.text().lines().count(), 1, "{}", ran.text());
    assert!(
        ran.text().starts_with("mcpc.yaml:3:11: error"),
        "{}",
        ran.text()
    );
}

#[test]
fn github_annotations_are_the_default_inside_github_actions() {
    let folder = Folder::with_config(MISTAKEN);
    let mut command = folder.command(&["check"]);
    let output = command.env("GITHUB_ACTIONS", "true").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("::error file=mcpc.yaml,line=3"), "{text}");
    let mut command = folder.command(&["check", "--format", "human"]);
    let output = command.env("GITHUB_ACTIONS", "true").output().unwrap();
    assert!(output.stdout.is_empty());
}

#[test]
fn standard_input_is_checked_like_a_file() {
    let folder = Folder::new();
    folder
        .mcpc_with_input(&["check", "-"], SMALLEST.as_bytes())
        .exits_with(0);
    let ran = folder.mcpc_with_input(&["check", "-"], MISTAKEN.as_bytes());
    ran.exits_with(1).says("<stdin>:3:11");
}

#[test]
fn what_cannot_be_read_exits_with_2_and_the_other_files_are_still_checked() {
    let folder = Folder::with_config(MISTAKEN);
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("loop", folder.path().join("loop")).unwrap();
    for (file, code) in [
        ("missing", "MCPC0001"),
        ("folder", "MCPC0007"),
        ("loop", "MCPC0003"),
    ] {
        let ran = folder.mcpc(&["check", file, "mcpc.yaml"]).exits_with(2);
        let ran = ran.says(code).says(&format!("--> {file}\n"));
        ran.says("mcpc.yaml:3:11");
    }
    let ran = folder
        .mcpc(&["check", "--format", "json", "missing"])
        .exits_with(2);
    assert_eq!(
        ran.json().pointer("/diagnostics/0/code"),
        Some(&json!("MCPC0001"))
    );
    Folder::new()
        .mcpc(&["check"])
        .exits_with(2)
        .says("mcpc.yaml");
}

#[test]
fn texts_that_are_no_configuration_are_findings() {
    let folder = Folder::new();
    let half = b"version: 1 # caf\xc3";
    let texts: [(&[u8], &str); 5] = [
        (half, "MCPC1002"),
        (b"version: 1\0", "MCPC1003"),
        (b"", "MCPC1005"),
        (b"\xff\xfev\0e\0", "MCPC1002"),
        (b"servers:\n\ttime: {}\n", "MCPC1007"),
    ];
    for (text, code) in texts {
        folder.write("mcpc.yaml", text);
        folder.mcpc(&["check"]).exits_with(1).says(code);
        folder
            .mcpc_with_input(&["check", "-"], text)
            .exits_with(1)
            .says(code);
    }
}

#[test]
fn fifty_megabytes_are_refused_without_reading_them_all() {
    let folder = Folder::new();
    let file = std::fs::File::create(folder.path().join("mcpc.yaml")).unwrap();
    file.set_len(50 << 20).unwrap();
    folder.mcpc(&["check"]).exits_with(1).says("MCPC1004");
    let endless = vec![b'a'; 20 << 20];
    folder
        .mcpc_with_input(&["check", "-"], &endless)
        .exits_with(1)
        .says("MCPC1004");
}

#[test]
fn variables_are_read_only_when_asked_for() {
    let text = "version: 1\nlisten: { address: $<ADDRESS> }\nservers: { time: { command: t } }\n";
    let folder = Folder::with_config(text);
    folder
        .mcpc(&["check"])
        .exits_with(0)
        .says("warning")
        .says("ADDRESS");
    folder.mcpc(&["check", "--deny-warnings"]).exits_with(1);
    folder
        .mcpc(&["check", "--env"])
        .exits_with(1)
        .says("error")
        .says("ADDRESS");
    let mut command = folder.command(&["check", "--env"]);
    let output = command.env("ADDRESS", "127.0.0.1:7000").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn the_credentials_file_comes_before_the_environment() {
    let text = "version: 1\nlisten: { address: $<ADDRESS> }\nservers: { time: { command: t } }\n";
    let folder = Folder::with_config(text);
    let path = folder.write("credentials.json", r#"{ "ADDRESS": "127.0.0.1:7001" }"#);
    let mut command = folder.command(&["plan", "--json"]);
    let command = command
        .env("MCPC_CREDENTIALS_FILE", &path)
        .env("ADDRESS", "127.0.0.1:7000");
    let summary: serde_json::Value =
        serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    assert_eq!(summary.get("listen"), Some(&json!("127.0.0.1:7001")));

    folder.write(
        "credentials.json",
        r#"{ "ADDRESS": 7001, "TOKEN": "hidden-value" }"#,
    );
    let mut command = folder.command(&["check", "--env"]);
    let output = command
        .env("MCPC_CREDENTIALS_FILE", &path)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said.contains("MCPC0005") && !said.contains("hidden-value"),
        "{said}"
    );
    let place = format!("{}:1:14: the value is no text", path.display());
    assert!(said.contains(&place), "{said}");
}

#[test]
fn a_name_that_the_credentials_file_gives_twice_is_refused_with_both_places() {
    let folder = Folder::with_config(SMALLEST);
    folder.write(
        "credentials.json",
        "{\n  \"TOKEN\": \"hidden-one\",\n  \"TOKEN\": \"hidden-two\"\n}\n",
    );
    for arguments in [&["check", "--env"][..], &["plan"], &["run"]] {
        let mut command = folder.command(arguments);
        command.env("MCPC_CREDENTIALS_FILE", "credentials.json");
        let ran = Ran::from(command.output().unwrap());
        assert_ne!(ran.code, Some(0));
        let ran = ran
            .says("MCPC0005")
            .says("credentials.json:3:12: a value for a name that has one already, at 2:12");
        assert!(!ran.err.contains("hidden") && !ran.err.contains("TOKEN"));
    }
}

#[test]
fn with_the_environment_every_secret_has_to_have_a_value() {
    let folder = Folder::new();
    let key = folder.write("key", "hidden-key");
    folder.write(
        "mcpc.yaml",
        format!(
            "version: 1\nservers:\n  web:\n    url: http://127.0.0.1:1/mcp\n    headers:\n      \
             A: Bearer $<TOKEN>\n      B: $<file:{}>\n      C: $<file:/no/such/file>\n",
            key.display()
        ),
    );
    folder.mcpc(&["check"]).exits_with(0);
    let ran = folder.mcpc(&["check", "--env"]).exits_with(1);
    let ran = ran.says("mcpc.yaml:6:17").says("the variable `TOKEN`");
    let ran = ran.says("mcpc.yaml:8:10").says("`/no/such/file`");
    assert!(!ran.err.contains("hidden"), "{}", ran.err);
    let mut command = folder.command(&["check", "--env", "--format", "concise"]);
    let ran = Ran::from(command.env("TOKEN", "hidden-token").output().unwrap());
    assert_eq!(ran.text().lines().count(), 1, "{ran:?}");
    assert!(!format!("{ran:?}").contains("hidden"));
}

#[test]
fn a_name_that_a_terminal_would_obey_is_shown_escaped() {
    let folder = Folder::new();
    let ran = folder.mcpc(&["check", "a\n\u{1b}[31m.yaml"]).exits_with(2);
    let ran = ran.says("a\\n\\u{1b}[31m.yaml");
    assert!(!ran.err.contains('\u{1b}'), "{}", ran.err);
}

#[test]
fn wrong_usage_exits_with_2() {
    let folder = Folder::new();
    for wrong in [
        &["chekc"][..],
        &["check", "--format", "xml"],
        &["check", "--nope"],
        &[],
    ] {
        folder.mcpc(wrong).exits_with(2);
    }
}
