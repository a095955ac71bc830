//! What the system knows about processes: CPU time and memory, from `/proc`.
//!
//! Owns: reading `/proc/PID/stat`, `status` and `smaps_rollup`, and which processes descend from
//! which. Linux only, like the figures. Does not start or end anything: see `subject`.

use std::fs;

use crate::failure::Failure;

/// The process and all that descend from it.
pub(crate) fn tree(root: u32) -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let Some(process) = process else { continue };
        if let Some(parent) = stat_field(process, 3) {
            parents.push((process, parent));
        }
    }
    let mut members = vec![root];
    let mut next = 0;
    while let Some(&member) = members.get(next) {
        let children = parents
            .iter()
            .filter(|(_, parent)| *parent == u64::from(member));
        members.extend(children.map(|(process, _)| *process));
        next += 1;
    }
    members
}

/// CPU milliseconds, user and system, that these processes have used with all their threads,
/// ended threads included.
pub(crate) fn cpu_ms(processes: &[u32]) -> Result<f64, Failure> {
    let mut ticks = 0;
    for &process in processes {
        let used = stat_field(process, 13).zip(stat_field(process, 14));
        let (in_user, in_system) =
            used.ok_or_else(|| Failure::new("a measured process has ended"))?;
        ticks += in_user + in_system;
    }
    #[expect(clippy::cast_precision_loss, reason = "ticks are far below 2^52")]
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(seconds * 1e3)
}

/// CPU nanoseconds that the threads of a process have used, without those that have ended.
pub(crate) fn cpu_ns(process: u32) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| Failure::at("measure the CPU of a process", &error);
    let threads = fs::read_dir(format!("/proc/{process}/task")).map_err(failed)?;
    let used = threads.flatten().map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat"));
        text.map_or(0, |text| first_number(&text))
    });
    Ok(used.sum())
}

/// CPU nanoseconds that this thread has used.
pub(crate) fn own_cpu_ns() -> Result<u64, Failure> {
    let text = fs::read_to_string("/proc/thread-self/schedstat");
    let text = text.map_err(|error| Failure::at("measure the CPU of this thread", &error))?;
    Ok(first_number(&text))
}

fn first_number(text: &str) -> u64 {
    let mut fields = text.split_whitespace();
    fields.next().and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// Resident memory of a process, in MiB.
pub(crate) fn resident_mib(process: u32) -> Result<f64, Failure> {
    let failed = || Failure::new("the memory of a measured process cannot be read");
    mib(&format!("/proc/{process}/status"), "VmRSS:").ok_or_else(failed)
}

/// Proportional memory of a process, in MiB: pages shared with other processes count in part.
pub(crate) fn proportional_mib(process: u32) -> Result<f64, Failure> {
    let failed = || Failure::new("the memory of a measured process cannot be read");
    mib(&format!("/proc/{process}/smaps_rollup"), "Pss:").ok_or_else(failed)
}

/// The most resident memory that a process has had so far, in MiB. `None` once it has ended.
pub(crate) fn peak_mib(process: u32) -> Option<f64> {
    mib(&format!("/proc/{process}/status"), "VmHWM:")
}

/// Lets [`peak_mib`] begin anew with what is resident now (proc(5), `clear_refs`).
pub(crate) fn reset_peak(process: u32) -> Result<(), Failure> {
    let written = fs::write(format!("/proc/{process}/clear_refs"), "5");
    written.map_err(|error| Failure::at("let a measurement begin anew", &error))
}

/// Whether a process is there, and does not just wait to be reaped.
pub(crate) fn is_alive(process: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = text
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('Z'));
    state.is_some_and(|is_zombie| !is_zombie)
}

/// How many files, sockets and pipes a process has open.
pub(crate) fn descriptors(process: u32) -> Result<usize, Failure> {
    let listed = fs::read_dir(format!("/proc/{process}/fd"));
    listed
        .map(Iterator::count)
        .map_err(|error| Failure::at("count the descriptors of a measured process", &error))
}

fn mib(path: &str, key: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// A number from `/proc/PID/stat`, counted from 0 as in proc(5) less one. The name of the program
/// may hold blanks, so counting starts behind its closing parenthesis, which is field 1.
fn stat_field(process: u32, field: usize) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace()
        .nth(field.checked_sub(2)?)?
        .parse()
        .ok()
}
