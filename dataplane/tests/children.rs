//! What `child_entry` promises: a session of its own for every child, and no orphan when the
//! gateway is killed. Runs without the usual harness, because the test executable itself has to
//! become the gateway and the child.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test code; the gateway tells its child's process id on its output"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mcpc_dataplane::{Launch, Process, Reach as _, Real, child_entry};
use mcpc_plan::{Restart, Start, StartWhen, StdioTransport};
use tokio::io::AsyncBufReadExt as _;

/// The argument that makes this executable a gateway.
const GATEWAY: &str = "gateway";

fn main() {
    child_entry(std::env::args_os());
    if std::env::args().nth(1).as_deref() == Some(GATEWAY) {
        return gateway();
    }
    #[cfg(target_os = "linux")]
    {
        a_child_leads_a_session_of_its_own();
        a_whole_tree_dies_with_a_killed_gateway();
        a_program_that_cannot_be_executed_ends_with_126();
    }
}

fn launch(command: &str, args: &[&str]) -> Process {
    let definition = StdioTransport {
        command: command.into(),
        args: args.iter().map(|arg| (*arg).into()).collect(),
        env: Box::new([]),
        cwd: None,
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
    };
    let reach = Real::new()
        .unwrap()
        .with_children_through(std::env::current_exe().unwrap());
    reach
        .launch(&Launch {
            definition: &definition,
            env: &[],
        })
        .unwrap()
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
        let script = "trap '' TERM HUP; sleep 1000 & echo $!; wait";
        let child = launch("/bin/sh", &["-c", script]);
        let mut lines = tokio::io::BufReader::new(child.stdout).lines();
        let grandchild = lines.next_line().await.unwrap().unwrap();
        println!("{} {grandchild}", child.id);
        std::future::pending::<()>().await;
    });
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
        let id = child.id.to_string();
        let leads = within(Duration::from_secs(5), || {
            stat(child.id).is_some_and(|stat| stat.get(2) == Some(&id) && stat.get(3) == Some(&id))
        });
        assert!(leads, "{:?}", stat(child.id));
        child.signals.kill();
        child.ended.await.unwrap();
    });
    println!("a child leads a session of its own ... ok");
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
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|id| stat(*id).is_some()));
    gateway.kill().unwrap();
    gateway.wait().unwrap();
    for id in ids {
        let is_gone = within(Duration::from_secs(1), || {
            stat(id).is_none_or(|stat| stat.first().is_some_and(|state| state == "Z"))
        });
        assert!(is_gone, "{id}: {:?}", stat(id));
    }
    println!("a whole tree dies with a killed gateway ... ok");
}

fn a_program_that_cannot_be_executed_ends_with_126() {
    runtime().block_on(async {
        let child = launch("/nonexistent/server", &[]);
        assert_eq!(child.ended.await.unwrap(), mcpc_dataplane::Ended::Code(126));
    });
    println!("a program that cannot be executed ends with 126 ... ok");
}
