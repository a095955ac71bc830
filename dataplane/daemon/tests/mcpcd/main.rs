//! `mcpcd` as a process: plans from a file, replaced and refused, signals, exit codes.
//!
//! The one upstream is never reached: nothing listens there. What a gateway does with servers that
//! answer is tested where `mcpc run` is. `history.rs` has what happens to plans that were live,
//! `remote.rs` plans from a URL, `hooks.rs` what a container runtime asks.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed step fails the test"
)]

mod history;
mod hooks;
mod remote;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use mcpc_plan::{
    Access, AdminListener, ContentKey, Digest, Endpoint, Era, Fallback, HttpTransport, Limits,
    Listener, Member, MemberId, Names, OpenRoute, Part, Plan, Routes, Scheme, SecretUse, Source,
    Template, Timeouts, Transport, Upstream, UpstreamId, Uris,
};
use mcpc_process::{Running, Stream, as_first_process, children, exchange, first_of, post, until};
use rustix::process::Signal;
use tempfile::TempDir;

/// A plan with one endpoint at this path, on free ports.
fn plan(path: &str) -> Plan {
    let transport = Transport::Http(HttpTransport {
        scheme: Scheme::Http,
        host: "127.0.0.1".into(),
        port: 1,
        authority: "127.0.0.1:1".into(),
        path: "/mcp".into(),
        headers: Box::default(),
    });
    let upstream = Upstream {
        name: "nobody".into(),
        key: ContentKey::of(&transport, Era::Modern),
        transport,
        era: Era::Modern,
        timeouts: Timeouts {
            connect_ms: 1000,
            first_byte_ms: 1000,
            idle_ms: 1000,
            total_ms: 1000,
            list_ms: 1000,
        },
        breaker: None,
        health: None,
        retry: None,
        private: None,
    };
    let member = Member {
        upstream: UpstreamId::new(0).unwrap(),
        prefix: "".into(),
        tools: Names::default(),
        prompts: Names::default(),
        resources: Uris::default(),
    };
    let endpoint = Endpoint {
        name: "main".into(),
        path: path.into(),
        instructions: None,
        members: [member].into(),
        tools: everything(),
        prompts: everything(),
    };
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Plan {
        format: mcpc_plan::FORMAT,
        digest: Digest::unsealed(),
        listener: Listener {
            address: loopback,
            hosts: Box::default(),
            allow_anonymous: false,
        },
        admin: AdminListener {
            address: loopback,
            allow_anonymous: false,
        },
        endpoints: [endpoint].into(),
        upstreams: [upstream].into(),
        access: Access::Open,
        limits: limits(),
        fallback: Fallback::None,
        secrets: Box::default(),
        provenance: std::collections::BTreeMap::new(),
    }
    .seal()
    .unwrap()
}

/// The same with a header whose value is a secret.
fn plan_with_secret(path: &str, source: Source) -> Plan {
    let mut plan = plan(path);
    let upstream = &mut plan.upstreams[0];
    let Transport::Http(http) = &mut upstream.transport else {
        unreachable!("the server is at a URL");
    };
    let value = Part::Reference {
        source,
        default: None,
        message: None,
    };
    http.headers = [("x-key".into(), Template([value].into()))].into();
    upstream.key = ContentKey::of(&upstream.transport, upstream.era);
    plan.secrets = SecretUse::of(&plan.upstreams);
    plan.seal().unwrap()
}

fn everything() -> Routes {
    Routes {
        exact: Box::default(),
        open: [OpenRoute {
            prefix: "".into(),
            member: MemberId::new(0).unwrap(),
        }]
        .into(),
    }
}

fn limits() -> Limits {
    Limits {
        body_bytes: 1 << 20,
        reply_bytes: 1 << 20,
        head_bytes: 1 << 16,
        headers: 100,
        nesting: 64,
        sessions: 10,
        session_idle_ms: 60_000,
        private_upstreams: Limits::PRIVATE_UPSTREAMS,
        calls: Limits::CALLS,
        starts: Limits::STARTS,
        memory_bytes: None,
        unacknowledged_ms: Limits::UNACKNOWLEDGED_MS,
        connections: 100,
        streams: 10,
        list_pages: 10,
        list_items: 100,
        grace_ms: 5_000,
    }
}

/// A directory with a plan.
struct Folder {
    directory: TempDir,
}

impl Folder {
    fn with(plan: &Plan) -> Self {
        let folder = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        folder.replace(&plan.to_bytes().unwrap());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces the plan in one step, as `mcpc plan --out` does.
    fn replace(&self, bytes: &[u8]) {
        std::fs::write(self.path("new"), bytes).unwrap();
        std::fs::rename(self.path("new"), self.path("plan.json")).unwrap();
    }

    fn mcpcd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpcd"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.directory.path())
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    fn start(&self) -> Running {
        Running::start(&mut self.mcpcd(&["--plan", "plan.json"]))
    }
}

/// The status of a request to a path.
fn status_of(daemon: &Running, path: &str) -> u16 {
    let request = post(daemon.address, path, "Connection: close\r\n", "");
    let reply = exchange(daemon.address, &request);
    reply.split(' ').nth(1).unwrap().parse().unwrap()
}

fn refused(output: &Output) -> (Option<i32>, String) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), said)
}

/// Holds a daemon that was asked to stop to its end, which comes before anything of this code is told.
#[track_caller]
fn ends_without(daemon: Running, exit: i32, code: &str) {
    let (ended, said) = daemon.rest();
    assert_eq!(ended, Some(exit), "{said}");
    assert!(!said.contains(code), "{code} was waited for: {said}");
}

/// Whether a process has taken this signal over from the system's default (proc(5), `SigCgt`).
fn catches(process: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & (1 << (signal.as_raw() - 1)) != 0
}

#[test]
fn a_plan_that_never_comes_does_not_keep_signals_from_ending_the_gateway() {
    let folder = Folder::with(&plan("/one"));
    for is_urgent in [false, true] {
        let mut command = folder.mcpcd(&["--plan", "-"]);
        let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (_open, said) = (child.stdin.take(), child.stderr.take().unwrap());
        until("it hears signals", || catches(child.id(), Signal::HUP));
        let process = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(process, Signal::TERM).unwrap();
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line).unwrap();
        assert!(line.contains("before anything is served"), "{line}");
        if is_urgent {
            rustix::process::kill_process(process, Signal::TERM).unwrap();
        }
        until("it ends", || child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().code(), Some(i32::from(is_urgent)));
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_requests_nor_plans_nor_the_end() {
    let folder = Folder::with(&plan("/one"));
    let mut command = folder.mcpcd(&["--plan", "plan.json", "--log-level", "debug"]);
    let (daemon, _unread) = Running::start_unread(&mut command);
    // More than a pipe holds: each is a line of a hundred bytes and more.
    for _ in 0..1500 {
        assert_eq!(status_of(&daemon, "/nowhere"), 404);
    }
    folder.replace(&plan("/two").to_bytes().unwrap());
    until("the new plan is live", || status_of(&daemon, "/two") != 404);
    assert!(daemon.page("/readyz").starts_with("HTTP/1.1 200"));
    daemon.stop();
}

#[test]
fn a_replaced_plan_goes_live_and_a_refused_one_changes_nothing() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = folder.start();
    assert_ne!(status_of(&daemon, "/one"), 404);
    assert_eq!(status_of(&daemon, "/two"), 404);

    folder.replace(&plan("/two").to_bytes().unwrap());
    let line = daemon.hears("the new plan is live");
    assert!(line.contains("kept=1 started=0 stopped=0"), "{line}");
    assert_ne!(status_of(&daemon, "/two"), 404);
    assert_eq!(status_of(&daemon, "/one"), 404);

    let mut cut = plan("/three").to_bytes().unwrap();
    cut.truncate(cut.len() / 2);
    folder.replace(&cut);
    daemon.hears("MCPC8001");
    assert_ne!(status_of(&daemon, "/two"), 404);
    daemon.stop();
}

#[test]
fn sighup_loads_the_plan_again() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = Running::start(&mut folder.mcpcd(&["--plan", "plan.json", "--no-watch"]));
    daemon.signal(Signal::HUP);
    daemon.hears("the plan is live already");
    folder.replace(&plan("/two").to_bytes().unwrap());
    daemon.signal(Signal::HUP);
    daemon.hears("the new plan is live");
    daemon.stop();
}

#[test]
fn a_plan_that_was_loaded_between_two_looks_does_not_stay() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = folder.start();
    // The signal loads what was written before the watch has looked at it.
    folder.replace(&plan("/two").to_bytes().unwrap());
    daemon.signal(Signal::HUP);
    daemon.hears("the new plan is live");
    folder.replace(&plan("/one").to_bytes().unwrap());
    daemon.hears("the new plan is live");
    assert_ne!(status_of(&daemon, "/one"), 404);
    daemon.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_plan_from_a_pipe_is_read_once() {
    use std::io::Write;
    let folder = Folder::with(&plan("/one"));
    let mut command = folder.mcpcd(&["--plan", "/dev/fd/0"]);
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&plan("/one").to_bytes().unwrap()).unwrap();
    drop(writer);
    let mut daemon = Running::start(command.stdin(reader));
    daemon.signal(Signal::HUP);
    daemon.hears("the plan is live already");
    assert_ne!(status_of(&daemon, "/one"), 404);
    daemon.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_or_a_device_in_place_of_the_plan_is_refused_at_once() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = folder.start();
    let made = Command::new("mkfifo").arg(folder.path("pipe")).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", folder.path("device")).unwrap();
    for name in ["pipe", "device"] {
        std::fs::rename(folder.path(name), folder.path("plan.json")).unwrap();
        daemon.hears("MCPC0003");
        let refused = || daemon.status()["refused"]["reason"].to_string();
        until("the status says so", || {
            refused().contains("a pipe or a device")
        });
        daemon.signal(Signal::HUP);
        daemon.hears("MCPC0003");
        assert_ne!(status_of(&daemon, "/one"), 404);
        folder.replace(&plan("/one").to_bytes().unwrap());
        daemon.hears("the plan is live already");
    }
    daemon.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn a_secret_that_does_not_come_keeps_no_stop_waiting() {
    use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};

    let folder = Folder::with(&plan("/one"));
    let secret = folder.path("secret");
    std::fs::write(&secret, "hidden").unwrap();
    let source = Source::File(secret.to_str().unwrap().into());
    folder.replace(&plan_with_secret("/one", source).to_bytes().unwrap());
    let daemon = folder.start();
    std::fs::remove_file(&secret).unwrap();
    mkfifoat(CWD, &secret, Mode::RUSR | Mode::WUSR).unwrap();
    daemon.signal(Signal::HUP);
    // Whoever opens a pipe to write into it without waiting fails until somebody reads.
    let mut writer = None;
    until("the secret is read", || {
        writer = open(&secret, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        writer.is_some()
    });
    daemon.signal(Signal::TERM);
    ends_without(daemon, 0, "MCPC9601");
}

#[test]
fn why_there_is_no_plan_is_told_again_when_it_is_another_reason() {
    let folder = Folder::with(&plan("/one"));
    let mut daemon = folder.start();
    std::fs::remove_file(folder.path("plan.json")).unwrap();
    daemon.hears("MCPC0001");
    std::fs::create_dir(folder.path("plan.json")).unwrap();
    daemon.hears("MCPC0002");
    std::fs::remove_dir(folder.path("plan.json")).unwrap();
    daemon.hears("MCPC0001");
    folder.replace(&plan("/two").to_bytes().unwrap());
    daemon.hears("the new plan is live");
    daemon.stop();
}

#[test]
fn the_plan_can_come_from_the_environment() {
    let folder = Folder::with(&plan("/one"));
    let mut command = folder.mcpcd(&[]);
    command
        .env("MCPCD_PLAN", "plan.json")
        .env("MCPC_LISTEN", "127.0.0.1:0");
    let daemon = Running::start(&mut command);
    assert_ne!(status_of(&daemon, "/one"), 404);
    daemon.stop();
    assert_eq!(folder.mcpcd(&[]).output().unwrap().status.code(), Some(2));
}

#[test]
fn plans_that_are_not_whole_do_not_start() {
    let folder = Folder::with(&plan("/one"));
    let whole = String::from_utf8(plan("/one").to_bytes().unwrap()).unwrap();
    for (bytes, code) in [
        (String::new(), "MCPC8001"),
        (whole.replace("\"format\":1", "\"format\":99"), "MCPC8002"),
        (
            whole.replace("\"format\":1", "\"format\":1,\"more\":1"),
            "MCPC8003",
        ),
        (whole.replace("/one", "/two"), "MCPC8004"),
    ] {
        folder.replace(bytes.as_bytes());
        let output = folder.mcpcd(&["--plan", "plan.json"]).output().unwrap();
        let (exit, said) = refused(&output);
        assert_eq!(exit, Some(1), "{said}");
        assert!(said.contains(code), "{code} is not in {said}");
    }
    for (name, code) in [("missing.json", "MCPC0001"), (".", "MCPC0002")] {
        let (exit, said) = refused(&folder.mcpcd(&["--plan", name]).output().unwrap());
        assert!(exit == Some(2) && said.contains(code), "{said}");
    }
}

#[test]
fn logs_in_json_are_all_that_standard_output_holds() {
    let folder = Folder::with(&plan("/one"));
    let json = ["--plan", "plan.json", "--log-format", "json"];
    let mut daemon = Running::start(&mut folder.mcpcd(&json));
    folder.replace(b"{}");
    daemon.hears("MCPC8001");
    daemon.signal(Signal::TERM);
    let events = daemon.rest_of(Stream::Out);
    let events = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let messages: Vec<String> = events
        .map(|event: serde_json::Value| event["message"].to_string())
        .collect();
    assert!(messages.contains(&"\"serving\"".to_owned()), "{messages:?}");
    assert!(messages.contains(&"\"stopped\"".to_owned()), "{messages:?}");
    assert_eq!(daemon.rest_of(Stream::Err), "");
}

#[test]
fn a_flag_cannot_open_a_plan_to_other_machines() {
    let folder = Folder::with(&plan("/one"));
    for flag in ["--listen", "--admin"] {
        let arguments = ["--plan", "plan.json", flag, "0.0.0.0:0"];
        let (exit, said) = refused(&folder.mcpcd(&arguments).output().unwrap());
        assert!(exit == Some(1) && said.contains("MCPC8007"), "{said}");
    }
    let daemon =
        Running::start(&mut folder.mcpcd(&["--plan", "plan.json", "--listen", "127.0.0.2:0"]));
    assert!(daemon.address.ip().is_loopback());
    // Its own address is one that it answers for.
    let status = status_of(&daemon, "/one");
    assert!(![403, 404].contains(&status), "{status}");
    daemon.stop();
}

#[test]
fn a_plan_from_standard_input_is_served() {
    let folder = Folder::with(&plan("/one"));
    let text = String::from_utf8(plan("/one").to_bytes().unwrap()).unwrap();
    let mut command = folder.mcpcd(&["--plan", "-"]);
    let mut daemon = Running::start_with_input(&mut command, Some(&text));
    assert_ne!(status_of(&daemon, "/one"), 404);
    daemon.signal(Signal::HUP);
    daemon.hears("the plan is live already");
    daemon.stop();
    let output = folder.mcpcd(&["--plan", "-", "--stdio"]).output().unwrap();
    let (exit, said) = refused(&output);
    assert!(exit == Some(2) && said.contains("standard input"), "{said}");
}

#[test]
fn a_bad_value_names_the_variable_that_it_came_from() {
    let folder = Folder::with(&plan("/one"));
    for (variable, value, expected) in [
        ("MCPC_LISTEN", "localhost:80", "an address and a port"),
        ("MCPC_ADMIN", "", "an address and a port"),
        ("MCPC_LOG_LEVEL", "loud", "possible values"),
        ("MCPC_WORKERS", "100000", "from 0 to 1024"),
    ] {
        let mut command = folder.mcpcd(&["--plan", "plan.json"]);
        let (exit, said) = refused(&command.env(variable, value).output().unwrap());
        assert_eq!(exit, Some(2), "{said}");
        assert!(said.contains(expected), "{said}");
        let note = format!("the variable {variable} is set to this value");
        assert!(said.contains(&note), "{said}");
    }
    let (_, said) = refused(&folder.mcpcd(&["--listen", "x"]).output().unwrap());
    assert!(!said.contains("the variable"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn as_the_first_process_of_a_container_it_stops_when_asked_and_tells_what_was_wrong() {
    let folder = Folder::with(&plan("/one"));
    let of = |arguments: &[&str]| as_first_process(&folder.mcpcd(arguments));
    let Some(mut command) = of(&["--plan", "plan.json"]) else {
        return;
    };
    let mut daemon = Running::start(&mut command);
    let first = first_of(daemon.id());
    assert_eq!(children(first).len(), 1, "the gateway is another process");
    let first = i32::try_from(first).unwrap();
    let first = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(first, Signal::TERM).unwrap();
    assert_eq!(daemon.ended(), Some(0));
    for (plan, code) in [("nothing.json", 2), ("cut.json", 1)] {
        std::fs::write(folder.path("cut.json"), "{").unwrap();
        let arguments = ["--plan", plan];
        let alone = folder.mcpcd(&arguments).output().unwrap();
        let ended = of(&arguments).unwrap().output().unwrap();
        assert_eq!(alone.status.code(), Some(code), "{alone:?}");
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    }
}
