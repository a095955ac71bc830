//! What `child_entry` promises: a session of its own for every child, and nothing left of it when it
//! ends, is ended, or loses its gateway, wherever its descendants have gone. Runs without the usual harness, because the test executable itself has to
//! become the gateway and the child. Control groups are in `groups.rs`, the filter of
//! system calls in `calls.rs`.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code; the gateway tells its child's process id on its output"
)]

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod calls;
#[cfg(target_os = "linux")]
mod groups;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mcpc_dataplane::{Ended, Launch, Process, Reach as _, Real, Secret, child_entry};
use mcpc_plan::{Network, ProcessLimits, Restart, Sandbox, Start, StartWhen, StdioTransport};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncBufReadExt as _;

/// The argument that makes this executable a gateway.
const GATEWAY: &str = "gateway";

fn main() {
    child_entry(std::env::args_os());
    if std::env::args().nth(1).as_deref() == Some(GATEWAY) {
        return gateway();
    }
    #[cfg(target_os = "linux")]
    if groups::is_played() {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        a_child_leads_a_session_of_its_own();
        a_process_id_is_told_while_the_end_is_left_unattended();
        a_whole_tree_dies_with_a_killed_gateway();
        what_left_the_session_dies_however_the_server_ends();
        what_starts_itself_anew_for_ever_dies_too();
        a_killed_warden_takes_its_server_along();
        what_is_meant_for_a_server_does_not_end_its_warden();
        arguments_arrive_as_they_are();
        a_program_that_cannot_be_executed_ends_with_126();
        a_working_directory_that_cannot_be_used_is_named();
        a_program_without_a_place_is_looked_for_also_in_a_sandbox();
        #[cfg(target_arch = "x86_64")]
        calls::are_filtered_in_a_sandbox();
        groups::hold_whole_trees();
    }
}

fn launch(command: &str, args: &[&str]) -> Process {
    launch_within(ProcessLimits::default(), command, args).unwrap()
}

fn launch_within(limits: ProcessLimits, command: &str, args: &[&str]) -> std::io::Result<Process> {
    let mut definition = definition(command, args);
    definition.limits = limits;
    start(&definition, &[])
}

fn definition(command: &str, args: &[&str]) -> StdioTransport {
    StdioTransport {
        command: command.into(),
        args: args.iter().map(|arg| (*arg).into()).collect(),
        env: Box::new([]),
        cwd: None,
        limits: ProcessLimits::default(),
        sandbox: None,
        start: Start {
            timeout_ms: 1_000,
            when: StartWhen::Lazy,
        },
        restart: Restart {
            at_most: 1,
            within_ms: 1_000,
            backoff_from_ms: 1,
            backoff_to_ms: 1,
        },
    }
}

fn start(definition: &StdioTransport, env: &[(Box<str>, Secret)]) -> std::io::Result<Process> {
    let reach = Real::new()
        .unwrap()
        .with_children_through(std::env::current_exe().unwrap());
    reach.launch(&Launch { definition, env })
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Starts a child that has a child of its own, both deaf to everything; tells their ids and waits
/// for ever.
fn gateway() {
    runtime().block_on(async {
        let mut child = launch("/bin/sh", &["-c", FAMILY]);
        let ids = family_of(&mut child).await;
        println!("{}", ids.map(|id| id.to_string()).join(" "));
        std::future::pending::<()>().await;
    });
}

/// A server with a child in its group, one that has left the group and the session, and one that
/// has lost its parent besides. All are deaf; it tells their ids.
const FAMILY: &str = "trap '' TERM HUP
    sleep 1000 & echo $!
    setsid sh -c 'echo $$; exec sleep 1000' &
    (setsid sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" & exit' &)
    while :; do sleep 1000; done";

/// Every process of that server, itself first.
async fn family_of(server: &mut Process) -> [u32; 4] {
    let mut lines = tokio::io::BufReader::new(&mut server.stdout).lines();
    let mut ids = [(&mut server.started).await.unwrap(), 0, 0, 0];
    for id in ids.iter_mut().skip(1) {
        *id = lines.next_line().await.unwrap().unwrap().parse().unwrap();
    }
    ids
}

fn is_gone(id: u32) -> bool {
    stat(id).is_none_or(|stat| stat.first().is_some_and(|state| state == "Z"))
}

/// Nothing is left of any of them, within the second that is promised.
fn assert_gone(ids: &[u32]) {
    let all_gone = within(Duration::from_secs(1), || ids.iter().all(|id| is_gone(*id)));
    assert!(
        all_gone,
        "{:?}",
        ids.iter().map(|id| stat(*id)).collect::<Vec<_>>()
    );
}

/// The numbers of `/proc/PID/stat` after the name: state, parent, group, session.
fn stat(id: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(ToOwned::to_owned).collect())
}

fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < limit {
        if holds() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

fn a_child_leads_a_session_of_its_own() {
    runtime().block_on(async {
        let child = launch("/bin/sh", &["-c", "cat"]);
        let process = child.started.await.unwrap();
        let id = process.to_string();
        let leads = within(Duration::from_secs(5), || {
            stat(process).is_some_and(|stat| stat.get(2) == Some(&id) && stat.get(3) == Some(&id))
        });
        assert!(leads, "{:?}", stat(process));
        child.signals.kill();
        child.ended.await.unwrap();
    });
    println!("a child leads a session of its own ... ok");
}

fn a_process_id_is_told_while_the_end_is_left_unattended() {
    runtime().block_on(async {
        let mut child = launch("/bin/sh", &["-c", "cat"]);
        let has_ended = tokio::select! {
            biased;
            _ = &mut child.ended => true,
            () = std::future::ready(()) => false,
        };
        assert!(!has_ended);
        let told = tokio::time::timeout(Duration::from_secs(10), &mut child.started).await;
        assert!(told.unwrap().unwrap() > 0);
    });
    println!("a process id is told while the end is left unattended ... ok");
}

fn a_whole_tree_dies_with_a_killed_gateway() {
    let mut gateway = Command::new(std::env::current_exe().unwrap())
        .arg(GATEWAY)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(gateway.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ids = line.split_whitespace().map(|id| id.parse().unwrap());
    let ids: Vec<u32> = ids.collect();
    assert_eq!(ids.len(), 4);
    assert!(!ids.iter().any(|id| is_gone(*id)));
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    assert_gone(&ids);
    println!("a whole tree dies with a killed gateway ... ok");
}

fn what_left_the_session_dies_however_the_server_ends() {
    runtime().block_on(async {
        // It is ended; it dies; the gateway lets go of it.
        for end in ["kill", "die", "drop"] {
            let mut child = launch("/bin/sh", &["-c", FAMILY]);
            let ids = family_of(&mut child).await;
            assert!(!ids.iter().any(|id| is_gone(*id)));
            match end {
                "kill" => child.signals.kill(),
                "die" => kill_process(pid(ids[0]), Signal::KILL).unwrap(),
                _ => {
                    drop(child);
                    assert_gone(&ids);
                    continue;
                }
            }
            assert_eq!(child.ended.await.unwrap(), Ended::Signal(9));
            child.cleared.await.unwrap();
            assert!(ids.iter().all(|id| stat(*id).is_none()), "{end}: reaped");
        }
    });
    println!("what left the session dies however the server ends ... ok");
}

/// Starts itself anew in another session and ends, and holds the pipes all the while. It stops
/// by itself after a few thousand rounds.
const RELAY: &str = r#"[ "$1" -gt 0 ] && setsid sh -c "$0" "$0" $(($1 - 1)) &"#;

fn what_starts_itself_anew_for_ever_dies_too() {
    runtime().block_on(async {
        let script = format!("sh -c '{RELAY}' '{RELAY}' 5000; echo; while :; do sleep 1000; done");
        let mut child = launch("/bin/sh", &["-c", &script]);
        let mut lines = tokio::io::BufReader::new(&mut child.stdout).lines();
        lines.next_line().await.unwrap().unwrap();
        child.signals.kill();
        child.ended.await.unwrap();
        let began = Instant::now();
        child.cleared.await.unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
        // Whoever lived would hold this end open.
        assert_eq!(lines.next_line().await.unwrap(), None);
    });
    println!("what starts itself anew for ever dies too ... ok");
}

fn a_killed_warden_takes_its_server_along() {
    runtime().block_on(async {
        let mut child = launch(
            "/bin/sh",
            &["-c", "sleep 1000 & while :; do sleep 1000; done"],
        );
        let server = (&mut child.started).await.unwrap();
        let warden = stat(server).unwrap()[1].parse().unwrap();
        kill_process(pid(warden), Signal::KILL).unwrap();
        assert!(child.ended.await.is_err());
        assert_gone(&[server, warden]);
    });
    println!("a killed warden takes its server along ... ok");
}

fn what_is_meant_for_a_server_does_not_end_its_warden() {
    runtime().block_on(async {
        let mut child = launch("/bin/sh", &["-c", FAMILY]);
        let family = family_of(&mut child).await;
        let warden = stat(family[0]).unwrap()[1].parse().unwrap();
        let listed = std::fs::read_to_string(format!("/proc/{warden}/cmdline")).unwrap();
        assert!(!listed.contains("sleep"), "{listed:?}");
        for signal in [
            Signal::ABORT,
            Signal::ALARM,
            Signal::HUP,
            Signal::INT,
            Signal::QUIT,
            Signal::TERM,
            Signal::USR2,
        ] {
            kill_process(pid(warden), signal).unwrap();
        }
        kill_process(pid(warden), Signal::USR1).unwrap();
        // Its server gets each as it always is.
        kill_process(pid(family[0]), Signal::USR1).unwrap();
        assert_eq!(child.ended.await.unwrap(), Ended::Signal(10));
        assert_gone(&family);
    });
    println!("what is meant for a server does not end its warden ... ok");
}

fn arguments_arrive_as_they_are() {
    let long = "x".repeat(100 * 1024);
    let script = "printf '%s|' \"$#\" \"$1\" \"$2\" \"${#3}\" \"$4\"; echo";
    let arguments = ["-c", script, "sh", "", "a b\nc", &long, ""];
    let said = runtime().block_on(async {
        let mut process = launch("/bin/sh", &arguments);
        let mut said = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut process.stdout, &mut said)
            .await
            .unwrap();
        said
    });
    assert_eq!(said, "4||a b\nc|102400||\n");
    let refused = runtime().block_on(async {
        let split = definition("/bin/sh", &["-c", "echo one\0two"]);
        start(&split, &[]).map(drop).unwrap_err()
    });
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    println!("arguments arrive as they are ... ok");
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
}

fn a_program_that_cannot_be_executed_ends_with_126() {
    runtime().block_on(async {
        let child = launch("/nonexistent/server", &[]);
        assert_eq!(child.ended.await.unwrap(), Ended::Code(126));
    });
    println!("a program that cannot be executed ends with 126 ... ok");
}

/// What the process says first.
async fn first_line(process: &mut Process) -> Option<String> {
    let mut lines = tokio::io::BufReader::new(&mut process.stdout).lines();
    lines.next_line().await.unwrap()
}

fn a_working_directory_that_cannot_be_used_is_named() {
    runtime().block_on(async {
        let start_in = |folder: &str| {
            let mut definition = definition("/bin/pwd", &[]);
            definition.cwd = Some(folder.into());
            start(&definition, &[])
        };
        for (folder, why) in [
            ("/no/folder", "No such file or directory (os error 2)"),
            ("/dev/null", "not a directory"),
        ] {
            let error = start_in(folder).err().unwrap().to_string();
            let named = format!("its working directory `{folder}` cannot be used: ");
            assert!(error.starts_with(&named) && error.ends_with(why), "{error}");
        }
        let mut child = start_in("/proc").unwrap();
        assert_eq!(first_line(&mut child).await.as_deref(), Some("/proc"));
    });
    println!("a working directory that cannot be used is named ... ok");
}

fn empty_sandbox() -> Sandbox {
    Sandbox {
        read: Box::new([]),
        write: Box::new([]),
        network: Network::Host,
    }
}

/// The sandbox lets the server be executed wherever the path has it, in a folder that it may not read.
fn a_program_without_a_place_is_looked_for_also_in_a_sandbox() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy("/bin/echo", folder.path().join("says")).unwrap();
        let path = format!("/no/folder:{}", folder.path().display());
        let mut definition = definition("says", &["here"]);
        definition.sandbox = Some(empty_sandbox());
        let mut child = start(&definition, &[("PATH".into(), Secret::new(path))]).unwrap();
        assert_eq!(first_line(&mut child).await.as_deref(), Some("here"));
    });
    println!("a program without a place is looked for also in a sandbox ... ok");
}
