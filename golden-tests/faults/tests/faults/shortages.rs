//! A gateway that the system denies something: a process, a place on the disk, a line in the log. It
//! says what it lacks, goes on with what it has, and needs no restart when it is there again.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mcpc_process::{alive, until};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage};

/// No process can be started.
const NO_PROCESS: &str = "MCPC9616";

/// Lines of the log are lost.
const LOG_LOST: &str = "MCPC9617";

/// The key of sessions cannot be kept.
const NO_KEY: &str = "MCPC9608";

/// Plans cannot be kept.
const NOT_KEPT: &str = "MCPC9613";

fn pid(process: u32) -> Pid {
    Pid::from_raw(i32::try_from(process).unwrap()).unwrap()
}

/// Lets files of a process grow to this size at most.
fn limit_files(process: u32, current: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit { current, maximum };
    prlimit(Some(pid(process)), Resource::Fsize, limit).unwrap();
}

/// The codes of what the gateway says it lacks.
fn troubles(stage: &Stage) -> Vec<String> {
    let status = stage.gateway.status();
    let troubles = status["troubles"].as_array().unwrap();
    let code = |trouble: &Value| trouble["code"].as_str().unwrap().to_owned();
    troubles.iter().map(code).collect()
}

/// Why plans cannot be kept, as status says it.
fn kept_error(stage: &Stage) -> Value {
    stage.gateway.status()["kept"]["error"].clone()
}

fn is_degraded(stage: &Stage) -> bool {
    let is_ready = stage.gateway.page("/readyz").starts_with("HTTP/1.1 200");
    let health = stage.gateway.page("/health");
    assert!(is_ready, "it still serves: {health}");
    health.contains("\"status\": \"degraded\"")
}

#[test]
fn a_system_that_starts_no_process_costs_those_that_need_one_and_nobody_else() {
    let config = |faulty: &str| {
        format!(
            "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
             servers:\n  \
             there: {{ command: {faulty:?}, era: modern }}\n  \
             hurt: {{ command: {faulty:?}, era: modern, env: {{ WHO: hurt }} }}\n  \
             later: {{ command: {faulty:?}, era: modern, start: {{ when: lazy }} }}\n"
        )
    };
    let mut stage = Stage::open_without_rights(config, &[]);
    let mut caller = stage.client();
    caller.echoes("there.echo", 0);
    caller.echoes("hurt.echo", 0);
    let before = stage.limit_processes("0");

    // One that was never started, and one whose process ends now.
    caller.fails("later.echo", &[NO_PROCESS]);
    let line = stage.gateway.hears(NO_PROCESS);
    assert!(line.contains("os error 11"), "{line}");
    let hurt = u32::try_from(stage.gateway.upstream("hurt")["pid"].as_u64().unwrap()).unwrap();
    kill_process(pid(hurt), Signal::KILL).unwrap();
    until("the process is gone", || !alive(hurt));
    until("its calls are told why", || {
        let reply = caller.call("hurt.echo", &json!({}));
        reply.code() == NO_PROCESS
    });
    assert_eq!(troubles(&stage), [NO_PROCESS]);
    assert_eq!(stage.gateway.upstream("later")["last_error"], NO_PROCESS);
    assert!(is_degraded(&stage));
    for mark in 1..20 {
        caller.echoes("there.echo", mark);
    }

    stage.limit_processes(&before);
    for tool in ["later.echo", "hurt.echo"] {
        until("it is started", || {
            caller.call(tool, &json!({})).code().is_empty()
        });
    }
    stage.gateway.hears("the system starts processes again");
    assert!(troubles(&stage).is_empty());
    stage.gateway.stop();
}

#[test]
fn a_full_disk_costs_plans_and_lines_and_nothing_else() {
    // Logs for people and in JSON go different ways.
    for format in ["human", "json"] {
        fill_the_disk(format);
    }
}

fn fill_the_disk(log_format: &str) {
    let server =
        |more: &str| format!("{more}servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n");
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("log");
    let kept_in = place.path().join("state");
    let flags = [
        "--log-level",
        "debug",
        "--log-format",
        log_format,
        "--state-dir",
        kept_in.to_str().unwrap(),
    ];
    let stage = Stage::open_logging_to(&log, &server(""), &flags);
    let mut caller = stage.client();
    caller.echoes("echo", 0);
    let live = || stage.gateway.status()["live"]["digest"].clone();
    let first = live();

    // No file may have a byte more: what a full disk says, but for the number of the error.
    limit_files(stage.gateway.id(), Some(0));
    caller.echoes("echo", 1);
    stage.swap(&server("limits: { grace: 9s }\n"));
    until("another plan is live", || live() != first);
    caller.echoes("echo", 2);
    until("both are told", || {
        troubles(&stage) == [LOG_LOST] && kept_error(&stage) != Value::Null
    });
    assert!(is_degraded(&stage));

    limit_files(stage.gateway.id(), getrlimit(Resource::Fsize).current);
    until("the log is written and the plan is kept", || {
        caller.echoes("echo", 3);
        troubles(&stage).is_empty() && kept_error(&stage) == Value::Null
    });
    assert!(!is_degraded(&stage));

    // Room for the beginning of a line.
    let size = std::fs::metadata(&log).unwrap().len();
    limit_files(stage.gateway.id(), Some(size + 40));
    until("a line is lost", || {
        caller.echoes("echo", 4);
        troubles(&stage) == [LOG_LOST]
    });
    limit_files(stage.gateway.id(), getrlimit(Resource::Fsize).current);
    until("the log is written again", || {
        caller.echoes("echo", 5);
        troubles(&stage).is_empty()
    });
    stage.gateway.stop();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.contains(LOG_LOST), "{said}");
    if log_format == "json" {
        let is_event = |line: &&str| serde_json::from_str::<Value>(line).is_ok();
        let torn: Vec<&str> = said.lines().filter(|line| !is_event(line)).collect();
        let begun: usize = torn.iter().map(|it| it.matches("timestamp").count()).sum();
        assert_eq!(
            (torn.len(), begun),
            (1, 1),
            "it takes no other with it: {torn:?}"
        );
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_stops_nothing() {
    let server = |faulty: &str, more: &str| {
        format!("{more}servers:\n  good: {{ command: {faulty:?}, era: modern }}\n")
    };
    let mut stage = Stage::open_without_rights(|it| server(it, ""), &["--state-dir", "state"]);
    let faulty = stage.folder().join("faulty");
    let plans = stage.folder().join("state/plans");
    let mode = |mode| std::fs::set_permissions(&plans, Permissions::from_mode(mode)).unwrap();
    stage.client().echoes("echo", 0);
    assert_eq!(kept_error(&stage), Value::Null);

    mode(0o500);
    stage.swap(&server(faulty.to_str().unwrap(), "limits: { grace: 9s }\n"));
    stage.gateway.hears("the new plan is live");
    let line = stage.gateway.hears(NOT_KEPT);
    assert!(line.contains("Permission denied"), "{line}");
    stage.client().echoes("echo", 1);
    until("status says so", || {
        kept_error(&stage) == "Permission denied (os error 13)"
    });
    assert!(is_degraded(&stage));

    mode(0o700);
    stage.gateway.hears("the plan is kept on disk again");
    until("status says so", || kept_error(&stage) == Value::Null);
    stage.gateway.stop();
}

const STATE_DIR: [&str; 2] = ["--state-dir", "state"];

fn one_server() -> String {
    format!("servers:\n  good: {{ command: {FAULTY:?}, era: legacy }}\n")
}

/// A gateway that started where nothing can be kept: it serves, says so, and once `mend` has made it possible, a
/// session from before outlives the gateway.
fn keeps_its_key_later(stage: Stage, mend: impl FnOnce(&Stage)) {
    let caller = LegacyCaller::greet(stage.gateway.address);
    assert_eq!(caller.call(1, "echo", &json!({})).status, 200);
    assert_eq!(troubles(&stage), [NO_KEY]);
    assert_ne!(kept_error(&stage), Value::Null);
    assert!(is_degraded(&stage));

    mend(&stage);
    until("all is kept", || {
        troubles(&stage).is_empty() && kept_error(&stage) == Value::Null
    });
    assert!(!is_degraded(&stage));
    let stage = stage.restart();
    let reply = caller.at(stage.gateway.address).call(2, "echo", &json!({}));
    assert_eq!(reply.status, 200, "{reply:?}");
    stage.gateway.stop();
}

#[test]
fn a_disk_that_is_full_at_the_start_costs_sessions_that_would_outlive_it_and_nothing_else() {
    let limit = "ulimit -S -f 0";
    let stage = Stage::open_under_with(limit, &one_server(), &STATE_DIR);
    keeps_its_key_later(stage, |stage| {
        limit_files(stage.gateway.id(), getrlimit(Resource::Fsize).current);
    });
}

#[test]
fn a_state_directory_that_cannot_be_made_at_the_start_is_made_later() {
    let in_the_way = |folder: &Path| std::fs::write(folder.join("state"), "").unwrap();
    let stage = Stage::prepared(&one_server(), in_the_way, &STATE_DIR);
    keeps_its_key_later(stage, |stage| {
        std::fs::remove_file(stage.folder().join("state")).unwrap();
    });
}

#[test]
fn a_key_that_somebody_else_has_kept_meanwhile_stays_and_is_told() {
    let in_the_way = |folder: &Path| std::fs::write(folder.join("state"), "").unwrap();
    let stage = Stage::prepared(&one_server(), in_the_way, &STATE_DIR);
    let other = stage.folder().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("session.key"), "a".repeat(64)).unwrap();
    std::fs::set_permissions(other.join("session.key"), Permissions::from_mode(0o600)).unwrap();
    std::fs::remove_file(stage.folder().join("state")).unwrap();
    std::fs::rename(other, stage.folder().join("state")).unwrap();
    until("plans are kept", || kept_error(&stage) == Value::Null);
    assert_eq!(troubles(&stage), [NO_KEY]);
    let stage = stage.restart();
    assert!(troubles(&stage).is_empty());
    stage.gateway.stop();
}
