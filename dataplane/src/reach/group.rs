//! The control group of one server: what its whole tree may use together (cgroups(7)).
//!
//! Owns the files of a group: made and bounded by the server's warden (`warden`), entered by the
//! process that becomes the server (`shim`), and removed by the warden when nothing is left. A group
//! belongs to whoever holds the lock on its directory, which ends with that process, so what nobody
//! holds is left over from one that was killed. Where groups can be made at all is `groups`' to find.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::terms::Controllers;
use super::tree;
use mcpc_plan::ProcessLimits;

/// How the directories of these groups begin.
const PREFIX: &str = "mcpc-server-";

/// The type of the filesystem (statfs(2)).
const CGROUP2: u64 = 0x6367_7270;

/// The time in which a bound on processor time holds, in microseconds: the kernel's default.
const PERIOD: u64 = 100_000;

/// How many names are tried, and how often a removal.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

impl Controllers {
    /// Those in a list of the system's.
    pub(super) fn listed(text: &str) -> Self {
        let has = |name| text.split_whitespace().any(|it| it == name);
        Self {
            cpu: has("cpu"),
            memory: has("memory"),
            pids: has("pids"),
        }
    }

    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Those that are not among others.
    pub(super) fn without(self, others: Self) -> Self {
        Self {
            cpu: self.cpu && !others.cpu,
            memory: self.memory && !others.memory,
            pids: self.pids && !others.pids,
        }
    }

    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.cpu, "cpu"),
            (self.memory, "memory"),
            (self.pids, "pids"),
        ];
        all.into_iter()
            .filter_map(|(is_there, name)| is_there.then_some(name))
    }
}

/// A group that is there, and is removed by [`Group::remove`].
pub(super) struct Group {
    path: PathBuf,
    _lock: File,
}

impl Group {
    /// Makes a group below a directory, bounds it, and holds it.
    ///
    /// # Errors
    /// The system does not make it, or does not take one of the bounds.
    pub(super) fn make(
        below: &Path,
        controllers: Controllers,
        limits: &ProcessLimits,
    ) -> io::Result<Self> {
        let own = std::process::id();
        for number in 0..TRIES {
            let path = below.join(format!("{PREFIX}{own}-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            let lock = File::open(&path)?;
            lock.lock()?;
            let group = Self { path, _lock: lock };
            return match group.bound(controllers, limits) {
                // Somebody has cleared it away before it was held.
                Err(_) if !group.path.exists() => continue,
                Err(error) => {
                    group.remove();
                    Err(error)
                }
                Ok(()) => Ok(group),
            };
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn bound(&self, controllers: Controllers, limits: &ProcessLimits) -> io::Result<()> {
        bound(&self.path, controllers, limits)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends everything in it at once, also what is just being started (Linux 5.14).
    pub(super) fn kill(&self) {
        let _older = write(&self.path, "cgroup.kill", "1");
    }

    /// How many processes the system has ended because the group had no more memory.
    pub(super) fn starved(&self) -> u32 {
        let events = tree::read(&self.path.join("memory.events")).unwrap_or_default();
        let count = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        count
            .and_then(|count| count.parse().ok())
            .unwrap_or_default()
    }

    /// Removes it, if nothing is in it any more.
    pub(super) fn remove(&self) {
        remove(&self.path);
    }
}

/// Writes the bounds of a group.
fn bound(path: &Path, controllers: Controllers, limits: &ProcessLimits) -> io::Result<()> {
    if let Some(bytes) = limits.memory_bytes.filter(|_| controllers.memory) {
        write(path, "memory.max", &bytes.to_string())?;
        // What is swapped out would not count. Systems that do not count it have no such file.
        optional(write(path, "memory.swap.max", "0"))?;
        // A server that has lost one of its processes is neither alive nor gone.
        optional(write(path, "memory.oom.group", "1"))?;
    }
    if let Some(most) = limits.processes.filter(|_| controllers.pids) {
        write(path, "pids.max", &most.to_string())?;
    }
    if let Some(percent) = limits.cpu_percent.filter(|_| controllers.cpu) {
        let quota = u64::from(percent) * PERIOD / 100;
        write(path, "cpu.max", &format!("{quota} {PERIOD}"))?;
    }
    Ok(())
}

fn optional(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written,
    }
}

/// Puts this process into a group, and thus what it becomes and starts.
///
/// # Errors
/// The system does not do it.
pub(super) fn enter(path: &Path) -> io::Result<()> {
    write(path, "cgroup.procs", "0")
}

/// Whether a directory is a group of cgroup v2. Files with the same names elsewhere would bound nothing.
pub(super) fn is_group(path: &Path) -> io::Result<bool> {
    let kind = rustix::fs::statfs(path)?.f_type;
    Ok(u64::try_from(kind).is_ok_and(|kind| kind == CGROUP2))
}

/// Writes to one of the system's files, and makes none.
pub(super) fn write(path: &Path, name: &str, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path.join(name))?;
    file.write_all(text.as_bytes())
}

/// The processes in a group itself.
pub(super) fn processes(path: &Path) -> io::Result<Vec<i32>> {
    let text = tree::read(&path.join("cgroup.procs")).ok_or(io::ErrorKind::NotFound)?;
    Ok(text.lines().filter_map(|id| id.parse().ok()).collect())
}

/// Ends and removes the groups of servers whose wardens are gone: those that nobody holds.
pub(super) fn sweep(below: &Path) {
    let Ok(entries) = std::fs::read_dir(below) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let is_one = entry
            .file_name()
            .to_str()
            .is_some_and(|it| it.starts_with(PREFIX));
        let path = entry.path();
        let held = File::open(&path).map(|file| file.try_lock().map(|()| file));
        if let (true, Ok(Ok(_held))) = (is_one, held) {
            let _older = write(&path, "cgroup.kill", "1");
            remove(&path);
            tracing::info!(path = %path.display(), "removed a control group that was left over");
        }
    }
}

/// Removes a group with those that its server has made in it. What was killed may take a moment to go, so
/// this is for threads that serve nobody.
fn remove(path: &Path) {
    for _ in 0..TRIES {
        let inside = std::fs::read_dir(path).into_iter().flatten();
        for entry in inside.filter_map(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::park_timeout(PAUSE);
            }
            Ok(()) | Err(_) => return,
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code, which may block"
)]
mod tests {
    use super::*;

    const ALL: Controllers = Controllers {
        cpu: true,
        memory: true,
        pids: true,
    };

    /// A directory that plays a group: the files are there, and keep what was written last.
    fn played(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            File::create(folder.path().join(name)).unwrap();
        }
        folder
    }

    fn limits() -> ProcessLimits {
        ProcessLimits {
            memory_bytes: Some(64 << 20),
            open_files: Some(8),
            processes: Some(12),
            cpu_percent: Some(50),
        }
    }

    #[test]
    fn each_limit_is_written_where_its_controller_reads_it() {
        let files = ["memory.max", "memory.oom.group", "pids.max", "cpu.max"];
        let folder = played(&files);
        bound(folder.path(), ALL, &limits()).unwrap();
        let wrote = files.map(|name| std::fs::read_to_string(folder.path().join(name)).unwrap());
        assert_eq!(wrote, ["67108864", "1", "12", "50000 100000"]);
    }

    #[test]
    fn what_the_system_does_not_take_is_an_error_and_no_file_is_made() {
        let folder = played(&["memory.max", "cpu.max"]);
        let error = bound(folder.path(), ALL, &limits()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(!folder.path().join("pids.max").exists());
        let fewer = Controllers { pids: false, ..ALL };
        bound(folder.path(), fewer, &limits()).unwrap();
        let folder = played(&[]);
        bound(folder.path(), ALL, &ProcessLimits::default()).unwrap();
        assert!(!is_group(folder.path()).unwrap(), "files alone are none");
    }

    #[test]
    fn groups_are_removed_when_nobody_holds_them() {
        let folder = tempfile::tempdir().unwrap();
        let make = || Group::make(folder.path(), ALL, &ProcessLimits::default()).unwrap();
        let (held, left) = (make(), make());
        assert_ne!(held.path(), left.path());
        let (kept, gone) = (held.path().to_owned(), left.path().to_owned());
        std::fs::create_dir(gone.join("made by the server")).unwrap();
        let foreign = folder.path().join("another");
        std::fs::create_dir(&foreign).unwrap();
        drop(left);
        sweep(folder.path());
        assert!(kept.exists() && foreign.exists() && !gone.exists());
        held.remove();
        assert!(!kept.exists());
    }
}
