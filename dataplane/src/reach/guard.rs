//! The guard: a small process that outlives a killed gateway by a moment, to end what it left behind.
//!
//! Owns the list of the process groups that the gateway started. The parent-death signal of a child
//! (`shim`) reaches the child alone; what the child has started in turn would go on. The guard reads
//! the list from a pipe whose other end only the gateway holds, so the end of that pipe is the end
//! of the gateway, whatever ended it. See `docs/decisions/0015-child-guard.md`.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

/// The hidden first argument, before and after the guard has left the gateway's family.
pub(super) const ENTRY: &str = "__guard";
pub(super) const DETACHED: &str = "__guard-detached";

/// The gateway's end of the pipe.
pub(super) struct Guard {
    list: ChildStdin,
}

impl Guard {
    /// Starts the guard. Without one the gateway works as well, but for the worst of its deaths.
    pub(super) fn start(executable: &Path) -> Option<Self> {
        let started = Command::new(executable)
            .arg(ENTRY)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut first = match started {
            Ok(first) => first,
            Err(error) => {
                tracing::warn!(%error, "the guard of child processes did not start");
                return None;
            }
        };
        let list = first.stdin.take()?;
        // It starts the guard proper and ends at once, so that the guard is nobody's child.
        let _ended = first.wait();
        // A guard that does not read must not hold up the gateway.
        let flags = rustix::fs::fcntl_getfl(&list).ok()?;
        rustix::fs::fcntl_setfl(&list, flags | rustix::fs::OFlags::NONBLOCK).ok()?;
        Some(Self { list })
    }

    /// A group was started.
    pub(super) fn add(&self, group: u32) {
        self.tell('+', group);
    }

    /// A group has ended.
    pub(super) fn remove(&self, group: u32) {
        self.tell('-', group);
    }

    fn tell(&self, sign: char, group: u32) {
        // One write, shorter than a pipe's atomic unit. A guard that was killed is missed by nobody
        // as long as the gateway itself ends in order.
        let _told = (&self.list).write_all(format!("{sign}{group}\n").as_bytes());
    }
}

/// Starts the guard proper, which inherits the pipe. Answers the exit code.
pub(super) fn detach() -> i32 {
    // As it was called: a path that was looked up could name a file that was replaced since.
    let started = std::env::args_os()
        .next()
        .map(|executable| Command::new(executable).arg(DETACHED).spawn());
    i32::from(!matches!(started, Some(Ok(_))))
}

/// Is the guard: reads the list until its end, then ends what is on it. Answers the exit code.
pub(super) fn stand() -> i32 {
    // Signals to the gateway's terminal or group are not for the guard.
    let _session = rustix::process::setsid();
    let mut groups = BTreeSet::new();
    for line in BufReader::new(std::io::stdin()).lines() {
        let Ok(line) = line else { break };
        match (line.strip_prefix('+'), line.strip_prefix('-')) {
            (Some(group), _) => drop(group.parse::<i32>().map(|group| groups.insert(group))),
            (_, Some(group)) => drop(group.parse::<i32>().map(|group| groups.remove(&group))),
            (None, None) => {}
        }
    }
    for group in groups
        .into_iter()
        .filter_map(rustix::process::Pid::from_raw)
    {
        // What has ended by itself is no error.
        let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    0
}
