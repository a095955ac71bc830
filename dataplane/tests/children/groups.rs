//! Control groups of servers, with the real ones of the system.
//!
//! What bounds a tree is the kernel, so nothing is played here: where the system has no group with the
//! controllers that could be divided, that is said, and nothing is tried. What is written to which file
//! is tested beside the code. Each part runs in a process of its own, which is the gateway.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mcpc_dataplane::{Ended, Process};
use mcpc_plan::ProcessLimits;
use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use super::{launch_within, pid, runtime, stat, within};

/// The argument that makes this executable play one part.
const PART: &str = "group";

const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// What it shows, and how.
type Part = (&'static str, fn(&Path));

const PARTS: [Part; 5] = [
    ("a server is in a bounded group until its end", bounded),
    ("a tree gets no more processes", no_more_processes),
    ("a tree without memory is ended as a whole", no_more_memory),
    ("a tree gets no more processor time", no_more_time),
    ("what killed gateways leave is removed", left_over),
];

/// Gateways that others play with.
const HOLDING: usize = PARTS.len();
const DENIED: usize = HOLDING + 1;

/// How long a loaded machine may take.
const SOON: Duration = Duration::from_secs(10);

/// Plays the part that the arguments name, if they do.
pub(crate) fn is_played() -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(PART) {
        return false;
    }
    let at: usize = arguments.next().unwrap().parse().unwrap();
    let folder = PathBuf::from(std::env::var_os("MCPC_CGROUP").unwrap());
    match PARTS.get(at) {
        Some((_, part)) => part(&folder),
        None if at == HOLDING => holding(),
        None => denied(),
    }
    true
}

pub(crate) fn hold_whole_trees() {
    without_groups_no_limit_is_a_pretence();
    let folder = match delegated() {
        Ok(folder) => folder,
        Err(why) => {
            println!("control groups hold whole trees ... NOT TRIED HERE: {why}");
            return;
        }
    };
    for (at, (name, _)) in PARTS.iter().enumerate() {
        let ended = play(at, &folder).status().unwrap();
        assert!(ended.success(), "{name}");
        println!("{name} ... ok");
    }
    for entry in std::fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            assert_eq!(entry.file_name(), "mcpc-gateway", "nothing else is left");
            std::fs::remove_dir(entry.path()).unwrap();
        }
    }
    std::fs::remove_dir(folder).unwrap();
}

fn play(at: usize, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([PART, &at.to_string()]);
    command.env("MCPC_CGROUP", folder);
    command
}

/// A group of our own below the root of the hierarchy, or why there is none.
fn delegated() -> Result<PathBuf, String> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let is_v2 = |line: &&str| line.contains(" - cgroup2 ");
    let mount = mounts
        .lines()
        .find(is_v2)
        .ok_or("no cgroup v2 is mounted")?;
    let root = PathBuf::from(mount.split(' ').nth(4).unwrap());
    let enabled = std::fs::read_to_string(root.join("cgroup.subtree_control"));
    let enabled = enabled.map_err(|error| error.to_string())?;
    for name in CONTROLLERS {
        if !enabled.split_whitespace().any(|it| it == name) {
            return Err(format!("{} does not divide {name}", root.display()));
        }
    }
    let folder = root.join(format!("mcpc-test-{}", std::process::id()));
    std::fs::create_dir(&folder).map_err(|error| error.to_string())?;
    Ok(folder)
}

fn limits() -> ProcessLimits {
    ProcessLimits {
        memory_bytes: Some(64 << 20),
        open_files: None,
        processes: Some(12),
        cpu_percent: Some(20),
    }
}

fn launch(script: &str) -> Process {
    launch_within(limits(), "/bin/sh", &["-c", script]).unwrap()
}

/// The groups of servers.
fn groups(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.to_str().unwrap().contains("/mcpc-server-");
    paths.filter(is_one).collect()
}

fn read(group: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(group.join(name)).unwrap();
    text.trim().to_owned()
}

/// A bound on processor time needs a group: without one the server is not started.
fn without_groups_no_limit_is_a_pretence() {
    for folder in [Path::new("none"), &std::env::temp_dir()] {
        let ended = play(DENIED, folder).status().unwrap();
        assert!(ended.success(), "{}", folder.display());
    }
    println!("without groups no limit is a pretence ... ok");
}

fn denied() {
    runtime().block_on(async {
        let refused = launch_within(limits(), "/bin/sh", &["-c", "cat"]).err();
        let kind = refused.map(|error| error.kind());
        assert_eq!(kind, Some(std::io::ErrorKind::Unsupported));
        // The system has other ways to hold the rest.
        let rest = ProcessLimits {
            cpu_percent: None,
            ..limits()
        };
        let server = launch_within(rest, "/bin/sh", &["-c", "ulimit -d | grep -qx 65536"]).unwrap();
        assert_eq!(server.ended.await.unwrap(), Ended::Code(0));
    });
}

fn bounded(folder: &Path) {
    runtime().block_on(async {
        let mut server = launch("cat /proc/self/cgroup; echo; exec cat");
        let mut lines = tokio::io::BufReader::new(&mut server.stdout).lines();
        let mut told = String::new();
        while let Some(line) = lines.next_line().await.unwrap().filter(|it| !it.is_empty()) {
            told = line.strip_prefix("0::").map_or(told, ToOwned::to_owned);
        }
        let [group] = &groups(folder)[..] else {
            unreachable!("there is one group");
        };
        assert!(group.ends_with(told.rsplit('/').next().unwrap()), "{told}");
        assert_eq!(read(group, "memory.max"), (64 << 20).to_string());
        assert_eq!(read(group, "pids.max"), "12");
        assert_eq!(read(group, "cpu.max"), "20000 100000");
        let id = server.started.await.unwrap().to_string();
        assert_eq!(read(group, "cgroup.procs"), id, "and nobody else");
        // What the server divides further is removed with it.
        std::fs::create_dir(group.join("own")).unwrap();
        server.signals.kill();
        server.ended.await.unwrap();
        server.cleared.await.unwrap();
        assert!(groups(folder).is_empty());
    });
}

fn no_more_processes(folder: &Path) {
    runtime().block_on(async {
        let mut server =
            launch("i=0; while [ $i -lt 40 ]; do sleep 1000 & i=$((i + 1)); done; echo all");
        let mut said = String::new();
        server.stdout.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "", "a shell that cannot fork ends");
        assert!(matches!(server.ended.await.unwrap(), Ended::Code(1..)));
        server.cleared.await.unwrap();
        assert!(groups(folder).is_empty());
    });
}

fn no_more_memory(folder: &Path) {
    runtime().block_on(async {
        // Each of them alone has room.
        let one = "(head -c 40000000 /dev/zero; sleep 1000) | tail -c 40000000";
        let server = launch(&format!("{one} & {one} & {one} & wait"));
        let ended = server.ended.await.unwrap();
        assert!(matches!(ended, Ended::Starved(1..)), "{ended:?}");
        server.cleared.await.unwrap();
        assert!(groups(folder).is_empty());
    });
}

fn no_more_time(folder: &Path) {
    runtime().block_on(async {
        let mut server = launch("echo; while :; do :; done");
        let mut lines = tokio::io::BufReader::new(&mut server.stdout).lines();
        lines.next_line().await.unwrap().unwrap();
        let group = &groups(folder)[0];
        let throttled = || {
            let stat = read(group, "cpu.stat");
            let count = stat
                .lines()
                .find_map(|line| line.strip_prefix("nr_throttled "));
            count.is_some_and(|count| count != "0")
        };
        assert!(within(SOON, throttled));
        server.signals.kill();
        server.cleared.await.unwrap();
    });
}

/// Holds a server, tells its process id and that of something that has left its session, and waits.
fn holding() {
    runtime().block_on(async {
        let mut server =
            launch("setsid sh -c 'echo $$; exec sleep 1000' & while :; do sleep 1000; done");
        let mut lines = tokio::io::BufReader::new(&mut server.stdout).lines();
        let stray = lines.next_line().await.unwrap().unwrap();
        println!("{} {stray}", server.started.await.unwrap());
        std::future::pending::<()>().await;
    });
}

fn left_over(folder: &Path) {
    let begin = || {
        let mut gateway = play(HOLDING, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut told = BufReader::new(gateway.stdout.take().unwrap());
        told.read_line(&mut line).unwrap();
        let ids: Vec<u32> = line
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect();
        (gateway, ids)
    };
    let (mut other, others) = begin();
    let kept = groups(folder);
    let (mut killed, ids) = begin();
    let left: Vec<PathBuf> = groups(folder)
        .into_iter()
        .filter(|it| !kept.contains(it))
        .collect();
    assert_eq!((kept.len(), left.len()), (1, 1));
    // Stopped, it cannot clear up when the gateway is gone; then it is killed as well.
    let warden = stat(ids[0]).unwrap()[1].parse().unwrap();
    kill_process(pid(warden), Signal::STOP).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    kill_process(pid(warden), Signal::KILL).unwrap();
    let is_there = |id: u32| stat(id).is_some_and(|stat| stat[0] != "Z");
    assert!(within(SOON, || !is_there(warden)));
    assert!(is_there(ids[1]), "what has left the session lives on");
    assert_eq!(groups(folder).len(), 2);

    runtime().block_on(async {
        let mut server = launch("exec cat");
        (&mut server.started).await.unwrap();
        assert!(within(SOON, || !left[0].exists() && !is_there(ids[1])));
        assert!(kept[0].exists() && others.iter().all(|id| is_there(*id)));
        server.signals.kill();
        server.cleared.await.unwrap();
    });
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(within(SOON, || groups(folder).is_empty()));
}
