//! Where the gateway may make control groups for its servers (cgroups(7), "Delegation").
//!
//! Owns finding the directory, making it ready once, and clearing what gateways before this one have
//! left there. A directory is used if `MCPC_CGROUP` names it, or if it is the gateway's own and nobody
//! else's: with strangers in it, it is somebody else's to divide. What is in one server's group is
//! `group`'s. See `docs/decisions/0043-control-groups.md`.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{getpid, getppid};

use super::terms::{Controllers, Grouping};
use super::{group, tree};

/// Names the directory, or `none`.
const VARIABLE: &str = "MCPC_CGROUP";

/// The group that the gateway goes into: a group with controllers for its children holds no processes
/// itself (cgroups(7), "no internal processes").
const OWN: &str = "mcpc-gateway";

/// When it is looked again for what is left over.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// How often processes are moved that are just starting others.
const ROUNDS: usize = 8;

/// Makes the directory ready. Nothing if there is none; the log says why.
pub(super) fn find() -> Option<Grouping> {
    let named = std::env::var_os(VARIABLE).filter(|it| !it.is_empty());
    if named.as_deref() == Some(OsStr::new("none")) {
        return None;
    }
    let is_named = named.is_some();
    let found = match named {
        Some(path) => prepare(&PathBuf::from(path)),
        None => own_group().and_then(|path| prepare(&path)),
    };
    match found {
        Ok(grouping) => {
            tracing::info!(path = %grouping.path, controllers = ?grouping.controllers, "servers with limits get control groups");
            Some(grouping)
        }
        Err(error) if is_named => {
            tracing::error!(%error, "the directory in {VARIABLE} gives no control groups");
            None
        }
        Err(error) => {
            tracing::info!(%error, "there are no control groups for servers");
            None
        }
    }
}

fn prepare(path: &Path) -> io::Result<Grouping> {
    let text = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    if !group::is_group(path)? {
        return Err(io::Error::other("this is no group of cgroup v2"));
    }
    let has = Controllers::listed(&read(&path.join("cgroup.controllers"))?);
    if has.is_none() {
        return Err(io::Error::other(
            "none of cpu, memory and pids is delegated",
        ));
    }
    make_room(path)?;
    let enabled = read(&path.join("cgroup.subtree_control"))?;
    for name in has.without(Controllers::listed(&enabled)).names() {
        group::write(path, "cgroup.subtree_control", &format!("+{name}"))?;
    }
    sweep(path.to_owned());
    Ok(Grouping {
        path: text.into(),
        controllers: has,
    })
}

/// Removes what is left over, on a thread of its own, because processes may take a moment to end. So may a
/// warden that was killed a moment ago, and holds its group until then: there is a second look.
pub(super) fn sweep(below: PathBuf) {
    let sweeping = std::thread::Builder::new().spawn(move || {
        group::sweep(&below);
        std::thread::park_timeout(SECOND_LOOK);
        group::sweep(&below);
    });
    // Without a thread it is done at the next start.
    let _later = sweeping;
}

fn read(path: &Path) -> io::Result<String> {
    tree::read(path).ok_or_else(|| io::Error::other(format!("{} cannot be read", path.display())))
}

/// Moves this gateway, its first process and what it has started by now, out of the way, if it is in there.
fn make_room(path: &Path) -> io::Result<()> {
    let own = getpid().as_raw_nonzero().get();
    let first = first_process();
    for _ in 0..ROUNDS {
        let inside = group::processes(path)?;
        if inside.is_empty() {
            return Ok(());
        }
        let family = tree::family();
        let is_own = |id: &i32| *id == own || Some(*id) == first || family.contains(id);
        if !inside.iter().all(is_own) {
            return Err(io::Error::other("it holds processes of others"));
        }
        let aside = path.join(OWN);
        match std::fs::create_dir(&aside) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Ok(()) | Err(_) => {}
        }
        for id in inside {
            match group::write(&aside, "cgroup.procs", &id.to_string()) {
                // It has ended meanwhile.
                Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                moved => moved?,
            }
        }
    }
    Err(io::Error::other("its processes do not come to rest"))
}

/// The first process of the container, if it runs this program and has started this gateway.
fn first_process() -> Option<i32> {
    let parent = getppid()?;
    let program = |of: &str| std::fs::read_link(format!("/proc/{of}/exe")).ok();
    let own = program("self")?;
    (parent.is_init() && program("1")? == own).then(|| parent.as_raw_nonzero().get())
}

/// The group that this process is in.
fn own_group() -> io::Result<PathBuf> {
    let missing = || io::Error::other("this process is in no group of cgroup v2 that is mounted");
    let groups = read("/proc/self/cgroup".as_ref())?;
    let mounts = read("/proc/self/mountinfo".as_ref())?;
    place(&groups, &mounts).ok_or_else(missing)
}

/// The same, from what proc(5) tells of groups and mounts.
fn place(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut places = mounts.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        if filesystem.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        // Outside of what is mounted there is nothing to see.
        let below = Path::new(group).strip_prefix(root).ok()?;
        Some(Path::new(at).join(below))
    });
    places.find(|path| !path.components().any(|part| part.as_os_str() == ".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_behind_its_mount() {
        let mounts = "24 1 0:22 / /proc rw - proc proc rw\n\
            30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let at = |groups: &str, mounts: &str| place(groups, mounts);
        assert_eq!(
            at("0::/system.slice/mcpcd.service\n", mounts),
            Some("/sys/fs/cgroup/system.slice/mcpcd.service".into())
        );
        let hybrid = mounts.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ");
        assert_eq!(
            at("4:memory:/a\n0::/\n", &hybrid),
            Some("/sys/fs/cgroup/unified".into())
        );
        // A part of the tree is mounted, as in a container.
        let part = mounts.replace("0:26 / ", "0:26 /docker/1 ");
        assert_eq!(
            at("0::/docker/1/a\n", &part),
            Some("/sys/fs/cgroup/a".into())
        );
        assert_eq!(at("0::/docker/2\n", &part), None);
        assert_eq!(at("0::/../other\n", mounts), None);
        assert_eq!(at("1:cpu:/\n", mounts), None);
        assert_eq!(at("0::/\n", "24 1 0:22 / /proc rw - proc proc rw\n"), None);
    }
}
