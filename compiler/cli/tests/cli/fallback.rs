//! `fallback: last_good`: a configuration that cannot be used when a gateway starts, and one from before.

#![expect(
    clippy::indexing_slicing,
    reason = "a member that is not there is null, which no expectation is"
)]

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::invocation::{Folder, Ran};
use mcpc_process::Running;

const KEEPING: [&str; 3] = ["run", "--state-dir", "state"];

/// A configuration that says this, too.
fn config(said: &str) -> String {
    format!(
        "version: 1\nlisten: {{ address: 127.0.0.1:0 }}\nadmin: {{ address: 127.0.0.1:0 }}\n{said}\n\
         servers:\n  notes: {{ command: mcpc, args: [demo, notes] }}\n"
    )
}

/// The same with a mistake.
fn bad(said: &str) -> String {
    config(said).replace("command", "comand")
}

/// A folder in which a gateway with this configuration has run, and stopped.
fn after_running(text: &str) -> Folder {
    let folder = Folder::with_config(text);
    Running::start(&mut folder.command(&KEEPING)).stop();
    folder
}

/// A start that leads to nothing.
fn does_not_start(folder: &Folder, with: &[&str]) -> Ran {
    folder.mcpc(&[&KEEPING, with].concat()).exits_with(1)
}

fn starts_with_the_last_good_plan(folder: &Folder, with: &[&str]) -> Running {
    let mut served = Running::start(&mut folder.command(&[&KEEPING, with].concat()));
    let added = served.call("add_note", &json!({ "title": "a", "text": "b" }));
    assert!(added.contains("Added note 2."), "{added}");
    let status = served.status();
    assert_eq!(status["live"]["taken"], "last_good", "{status:#}");
    assert_eq!(status["refused"]["code"], "MCPC3001", "{status:#}");
    served.hears("exposes");
    served
}

fn kept(folder: &Folder) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder.path().join("state/plans")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let is_plan = |path: &PathBuf| !path.ends_with("history.json");
    files.filter(is_plan).collect()
}

#[test]
fn a_bad_configuration_gives_way_to_the_last_good_plan_that_allows_it() {
    let folder = after_running(&config("fallback: last_good"));
    // What the text said before a mistake like this one is what the plan kept of it says.
    for text in [bad("fallback: last_good"), bad(""), bad("# cut off")] {
        folder.write("mcpc.yaml", text);
        starts_with_the_last_good_plan(&folder, &[]).stop();
    }
    folder.write("mcpc.yaml", "servers: {");
    let mut served = Running::start(&mut folder.command(&KEEPING));
    assert_eq!(served.status()["live"]["taken"], "last_good");
    served.signal(rustix::process::Signal::TERM);
    let (exit, said) = (served.ended(), served.rest_of(mcpc_process::Stream::Err));
    assert_eq!(exit, Some(0));
    assert!(
        said.contains("this is the last good plan, not what the file holds"),
        "{said}"
    );

    // It follows its file as ever.
    folder.write("mcpc.yaml", bad(""));
    let mut served = starts_with_the_last_good_plan(&folder, &[]);
    folder.write("mcpc.yaml", config("limits: { sessions: 7 }"));
    served.hears("the new plan is live");
    let status = served.status();
    assert_eq!(
        (&status["live"]["taken"], &status["refused"]),
        (&json!("loaded"), &Value::Null)
    );
    served.stop();
    // And the plan that is the last one now does not allow it.
    folder.write("mcpc.yaml", bad(""));
    does_not_start(&folder, &[]).says("MCPC3001");
}

#[test]
fn whoever_says_it_plainly_is_heard_before_the_plan_of_before() {
    let folder = after_running(&config(""));
    folder.write("mcpc.yaml", bad(""));
    does_not_start(&folder, &[]).says("MCPC3001");
    folder.write("mcpc.yaml", bad("fallback: last_good"));
    starts_with_the_last_good_plan(&folder, &[]).stop();
    does_not_start(&folder, &["--fallback", "none"]);

    let folder = after_running(&config("fallback: last_good"));
    folder.write("mcpc.yaml", bad("fallback: none"));
    does_not_start(&folder, &[]).says("MCPC3001");
    starts_with_the_last_good_plan(&folder, &["--fallback", "last-good"]).stop();
    let mut command = folder.command(&KEEPING);
    command.env("MCPC_FALLBACK", "last-good");
    Running::start(&mut command).stop();
}

#[test]
fn a_plan_that_cannot_be_put_to_work_has_the_say_itself() {
    let secret = "headers: { Authorization: $<MISSING> }";
    let with_secret =
        |said: &str| config(said) + "  far: { url: \"http://127.0.0.1:1/\", " + secret + " }\n";
    let folder = after_running(&config("fallback: last_good"));
    folder.write("mcpc.yaml", with_secret(""));
    folder.mcpc(&KEEPING).exits_with(2).says("MCPC9601");
    folder.write("mcpc.yaml", with_secret("fallback: last_good"));
    let served = Running::start(&mut folder.command(&KEEPING));
    assert_eq!(served.status()["refused"]["code"], "MCPC9601");
    served.stop();
}

#[test]
fn a_kept_plan_that_was_changed_is_not_started_from() {
    for with in [&[][..], &["--fallback", "last-good"]] {
        let folder = after_running(&config("fallback: last_good"));
        let [plan] = kept(&folder).try_into().unwrap();
        let text = std::fs::read_to_string(&plan).unwrap();
        let other = text.replace("\"demo\",\"notes\"", "\"demo\",\"clock\"");
        assert_ne!(text, other);
        std::fs::write(&plan, other).unwrap();
        folder.write("mcpc.yaml", bad("fallback: last_good"));
        let ran = does_not_start(&folder, with);
        ran.says("a plan kept from before cannot be used")
            .says("MCPC9613")
            .says("MCPC9612");
    }
}

#[test]
fn without_a_state_directory_there_is_a_warning_and_later_nothing_to_start_from() {
    let folder = Folder::with_config(&config("fallback: last_good"));
    let mut served = Running::start(&mut folder.command(&["run"]));
    served.hears("MCPC9618");
    folder.write("mcpc.yaml", config(""));
    served.hears("the new plan is live");
    folder.write("mcpc.yaml", config("fallback: last_good"));
    served.hears("the new plan is live");
    served.hears("MCPC9618");
    served.stop();
    folder.write("mcpc.yaml", bad("fallback: last_good"));
    folder.mcpc(&["run"]).exits_with(1).says("MCPC9618");
    folder.write("mcpc.yaml", bad(""));
    let ran = folder.mcpc(&["run"]).exits_with(1);
    assert!(!ran.err.contains("MCPC9618"), "{}", ran.err);
}
