//! The processes below this one, and their end.
//!
//! Owns finding descendants, counting and killing them, whatever group or session they are in. Used by the
//! warden (`warden`), which adopts what its descendants leave behind, so that none can get out of
//! this tree but by ending. Does not reap: the warden does.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process, kill_process_group};

/// Kills every descendant of this process that is there right now. Those that are started at this
/// very moment may be missed, so whoever wants all of them gone calls it until there is none.
pub(super) fn kill_descendants() {
    let found = descendants();
    let own = getpgrp();
    // A group dies as a whole, also the process that one of its members is just starting. It cannot
    // hold a stranger: only a descendant can have made a session below this one's.
    let groups: BTreeSet<i32> = found.iter().map(|process| process.group).collect();
    for group in groups.into_iter().filter_map(Pid::from_raw) {
        if group != own {
            let _gone = kill_process_group(group, Signal::KILL);
        }
    }
    for process in found
        .into_iter()
        .filter_map(|process| Pid::from_raw(process.id))
    {
        // What has ended by itself is no error.
        let _gone = kill_process(process, Signal::KILL);
    }
}

/// The numbers of all descendants of this process.
#[cfg(target_os = "linux")]
pub(super) fn family() -> BTreeSet<i32> {
    descendants().iter().map(|process| process.id).collect()
}

/// Whether the system tells what [`count_tasks`] asks for.
pub(super) fn can_count() -> bool {
    read("/proc/thread-self/children".as_ref()).is_some()
}

/// How many processes and threads are below this one, counted while they come and go.
pub(super) fn count_tasks() -> u32 {
    let own = getpid().as_raw_nonzero().get();
    let mut left = tasks(own).1;
    let mut count = 0;
    let mut seen = BTreeSet::from([own]);
    while let Some(id) = left.pop() {
        if seen.insert(id) {
            let (threads, children) = tasks(id);
            count += threads;
            left.extend(children);
        }
    }
    count
}

/// The number of a process's threads, and its children: each is a thread's (proc(5),
/// `/proc/PID/task/TID/children`). Reading them costs what the tree is large, not the machine.
fn tasks(id: i32) -> (u32, Vec<i32>) {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return (0, Vec::new());
    };
    let mut count = 0;
    let mut children = Vec::new();
    for thread in threads.filter_map(Result::ok) {
        count += 1;
        let text = read(&thread.path().join("children")).unwrap_or_default();
        children.extend(
            text.split_whitespace()
                .filter_map(|id| id.parse::<i32>().ok()),
        );
    }
    (count, children)
}

/// What the system says in one of its files; the end of what is very long is left out.
pub(super) fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(1 << 16).read_to_string(&mut text).ok()?;
    Some(text)
}

struct Entry {
    id: i32,
    parent: i32,
    group: i32,
}

/// All of them, from the system's table of processes.
#[cfg(target_os = "linux")]
fn descendants() -> Vec<Entry> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let mut strangers: Vec<Entry> = ids.filter_map(entry).collect();
    let mut family = BTreeSet::from([getpid().as_raw_nonzero().get()]);
    let mut found = Vec::new();
    loop {
        // A child can have a lower number than its parent, so one look is not enough.
        let (children, others): (Vec<_>, Vec<_>) = strangers
            .into_iter()
            .partition(|process| family.contains(&process.parent));
        if children.is_empty() {
            return found;
        }
        family.extend(children.iter().map(|process| process.id));
        found.extend(children);
        strangers = others;
    }
}

/// What `/proc/PID/stat` says (proc(5)): after the name come state, parent and group.
#[cfg(target_os = "linux")]
fn entry(id: i32) -> Option<Entry> {
    let text = read(format!("/proc/{id}/stat").as_ref())?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(1);
    Some(Entry {
        id,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}

/// Without that table the warden has the group of its server only.
#[cfg(not(target_os = "linux"))]
fn descendants() -> Vec<Entry> {
    Vec::new()
}
