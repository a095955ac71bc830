//! What the system knows of a process: memory, descriptors, processor time, descendants.
//!
//! Reads `/proc`, so all of this is for Linux. A process that has ended has none of it.

use std::fs;
use std::time::Duration;

/// The memory that a process has resident, in bytes.
#[track_caller]
pub fn memory(process: u32) -> u64 {
    status_bytes(process, "VmRSS:")
}

/// The most memory that a process has had resident, in bytes.
#[track_caller]
pub fn peak_memory(process: u32) -> u64 {
    status_bytes(process, "VmHWM:")
}

#[track_caller]
fn status_bytes(process: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status"));
    let status = status.expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("it has memory");
    kib * 1024
}

/// Lets [`peak_memory`] begin anew with what is resident now (proc(5), `clear_refs`).
#[track_caller]
pub fn reset_peak_memory(process: u32) {
    let written = fs::write(format!("/proc/{process}/clear_refs"), "5");
    written.expect("the figure can be reset");
}

/// How many descriptors a process has open.
pub fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// The processor time that a process has used, in the system's ticks of 10 ms.
pub fn cpu_time(process: u32) -> Duration {
    let ticks = stat(process).map_or(0, |fields| {
        let field = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok());
        field(11).unwrap_or(0) + field(12).unwrap_or(0)
    });
    Duration::from_millis(ticks * 10)
}

/// Whether a process is there and not just waiting to be reaped.
pub fn alive(process: u32) -> bool {
    stat(process).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z"))
}

/// The arguments that a process was started with, the program first.
pub fn arguments(process: u32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    text.split_terminator('\0').map(ToOwned::to_owned).collect()
}

/// The processes that this one has started and that are still its own.
pub fn children(process: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("there is a /proc");
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let parent = process.to_string();
    ids.filter(|id| stat(*id).is_some_and(|fields| fields.get(1) == Some(&parent)))
        .collect()
}

/// Its children, theirs, and so on.
pub fn descendants(process: u32) -> Vec<u32> {
    let mut found = children(process);
    let mut at = 0;
    while let Some(next) = found.get(at) {
        found.extend(children(*next));
        at += 1;
    }
    found
}

/// The fields of `/proc/PID/stat` after the name: state, parent, group, session, and so on.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    Some(rest.split(' ').map(ToOwned::to_owned).collect())
}
