//! Directories in place of a file: for `check`, `plan` and `run`.

use std::fs::{create_dir, remove_file, rename};

use mcpc_process::{Running, until};
use serde_json::{Map, Value, json};

use crate::invocation::Folder;

const GATEWAY: &str = "\
version: 1
listen: { address: 127.0.0.1:0 }
admin: { address: 127.0.0.1:0 }
";

const NOTES: &str = "\
version: 1
servers:
  notes: { command: mcpc, args: [demo, notes] }
";

const CLOCK: &str = "\
version: 1
servers:
  clock: { command: mcpc, args: [demo, clock] }
";

/// A folder with `conf.d`, and in it these files.
fn folder(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    create_dir(folder.path().join("conf.d")).unwrap();
    for (name, text) in files {
        folder.write(&format!("conf.d/{name}"), text);
    }
    folder
}

fn whole() -> Folder {
    folder(&[
        ("20-clock.yml", CLOCK),
        ("10-notes.yaml", NOTES),
        ("00-gateway.yaml", GATEWAY),
        // None of these counts.
        (".30-hidden.yaml", "- : ["),
        ("40-old.yaml~", "- : ["),
        ("README.md", "- : ["),
    ])
}

#[test]
fn a_directory_is_checked_as_one_configuration() {
    let folder = whole();
    create_dir(folder.path().join("conf.d/below.yaml")).unwrap();
    let check = folder.mcpc(&["check", "conf.d"]).exits_with(0);
    check.says("conf.d: no findings");
    folder.write("conf.d/10-notes.yaml", NOTES.replace("command", "comand"));
    let ran = folder.mcpc(&["check", "conf.d/"]).exits_with(1);
    ran.says("--> conf.d/10-notes.yaml:3:12");
    for (format, place) in [
        ("concise", "conf.d/10-notes.yaml:3:12: error[MCPC3001]"),
        ("github", "::error file=conf.d/10-notes.yaml,line=3,col=12,"),
    ] {
        let ran = folder.mcpc(&["check", "conf.d", "--format", format]);
        let text = ran.exits_with(1).text().to_owned();
        assert!(text.starts_with(place), "{text}");
    }
    let sarif = folder
        .mcpc(&["check", "conf.d", "--format", "sarif"])
        .json();
    let place = "/runs/0/results/0/locations/0/physicalLocation";
    let place = |part: &str| sarif.pointer(&format!("{place}/{part}"));
    let file = json!("conf.d/10-notes.yaml");
    assert_eq!(place("artifactLocation/uri"), Some(&file));
    assert_eq!(place("region/startLine"), Some(&json!(3)));
}

#[test]
fn a_name_in_two_files_is_shown_in_both() {
    let folder = whole();
    folder.write("conf.d/50-more.yaml", format!("{NOTES}limits: {{}}\n"));
    folder.write("conf.d/60-limits.yaml", "limits: {}\n");
    let ran = folder.mcpc(&["check", "conf.d"]).exits_with(1);
    let ran = ran.says("the key `notes` is given twice, in `10-notes.yaml` and in `50-more.yaml`");
    let ran = ran.says("--> conf.d/50-more.yaml:3:3");
    let ran = ran.says("::: conf.d/10-notes.yaml:3:3");
    ran.says("the key `limits` is given twice, in `50-more.yaml` and in `60-limits.yaml`");
    let found = folder.mcpc(&["check", "conf.d", "--format", "json"]).json();
    let part = |part: &str| found.pointer(&format!("/diagnostics/0/{part}"));
    assert_eq!(part("file"), Some(&json!("conf.d/50-more.yaml")));
    assert_eq!(part("labels/0/file"), None);
    assert_eq!(part("labels/1/file"), Some(&json!("conf.d/10-notes.yaml")));
    for label in ["labels/0/start/byte", "labels/1/start/byte"] {
        // Bytes count from the start of the file that is named.
        assert_eq!(part(label), Some(&json!(22)), "{label}");
    }
}

#[test]
fn a_directory_without_a_configuration_and_one_with_an_unreadable_file_are_refused() {
    let empty = folder(&[("README.md", "# nothing\n")]);
    for (command, exit) in [
        (&["check", "conf.d"][..], 2),
        (&["plan", "conf.d"], 1),
        (&["run", "conf.d"], 2),
    ] {
        empty.mcpc(command).exits_with(exit).says("MCPC0007");
    }
    let dangling = whole();
    std::os::unix::fs::symlink("gone", dangling.path().join("conf.d/70-gone.yaml")).unwrap();
    let ran = dangling.mcpc(&["check", "conf.d"]).exits_with(2);
    ran.says("MCPC0001").says("--> conf.d/70-gone.yaml");
    let blank = folder(&[("a.yaml", "# nothing yet\n"), ("b.yaml", "")]);
    blank
        .mcpc(&["check", "conf.d"])
        .exits_with(1)
        .says("MCPC1005");
}

#[test]
fn a_plan_of_a_directory_is_the_plan_of_its_text_in_one_file() {
    let folder = whole();
    let servers = "servers:\n";
    let (notes, clock) = (
        NOTES.split_once(servers).unwrap(),
        CLOCK.split_once(servers).unwrap(),
    );
    folder.write(
        "one.yaml",
        format!("{GATEWAY}{servers}{}{}", notes.1, clock.1),
    );
    let plan = |of: &str| -> Map<String, Value> {
        let ran = folder.mcpc(&["plan", of]).exits_with(0);
        let mut plan = ran.json().as_object().cloned().unwrap();
        plan.remove("digest").unwrap();
        plan
    };
    let (mut directory, mut one) = (plan("conf.d"), plan("one.yaml"));
    let places = directory.remove("provenance").unwrap();
    one.remove("provenance").unwrap();
    assert_eq!(directory, one);
    assert_eq!(places.get("servers.clock"), Some(&json!("20-clock.yml:3")));
    assert_eq!(places.get("servers.notes"), Some(&json!("10-notes.yaml:3")));
}

#[test]
fn a_running_gateway_follows_the_files_of_its_directory() {
    let folder = folder(&[("00-gateway.yaml", GATEWAY), ("10-notes.yaml", NOTES)]);
    let mut served = Running::start(&mut folder.command(&["run", "conf.d"]));
    served.hears("/mcp exposes 4 tools");
    served.call("add_note", &json!({ "title": "kept", "text": "b" }));
    let place = |name: &str| folder.path().join("conf.d").join(name);

    folder.write("new", CLOCK);
    rename(folder.path().join("new"), place("20-clock.yaml")).unwrap();
    let line = served.hears("the new plan is live");
    assert!(line.contains("kept=1 started=1 stopped=0"), "{line}");
    let notes = served.call("notes__list_notes", &json!({}));
    assert!(notes.contains("2: kept"), "the same process: {notes}");

    folder.write("new", NOTES);
    rename(folder.path().join("new"), place("30-again.yaml")).unwrap();
    served.hears("MCPC1008");
    served.hears("conf.d/30-again.yaml:3:3");
    until("the reason names the file", || {
        let status = served.status();
        let reason = status.pointer("/refused/reason").and_then(Value::as_str);
        reason.is_some_and(|reason| reason.starts_with("conf.d/30-again.yaml:3:3: "))
    });
    remove_file(place("30-again.yaml")).unwrap();
    served.hears("the plan is live already");

    remove_file(place("20-clock.yaml")).unwrap();
    let line = served.hears("the new plan is live");
    assert!(line.contains("kept=1 started=0 stopped=1"), "{line}");
    served.stop();
}
