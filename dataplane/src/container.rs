//! How much memory the container may hold that the gateway runs in, as far as the system tells.
//!
//! Owns the look at control groups, of both versions (cgroups(7)): the group of the process and those above it,
//! of which the smallest bound counts. What is done about it is `pressure`'s. It is looked at once, at the start:
//! a bound that changes later is the exception, and `limits.memory` says more anyway.

use std::path::{Path, PathBuf};

/// A group that may hold this much may hold everything: version 1 has no word for that.
const EVERYTHING: u64 = 1 << 60;

/// The bound in bytes; nothing if there is none, or if nobody tells.
pub(crate) fn memory() -> Option<u64> {
    let groups = read(Path::new("/proc/self/cgroup"))?;
    memory_in(Path::new("/sys/fs/cgroup"), &groups)
}

/// A file that the kernel makes up when it is read.
#[expect(
    clippy::disallowed_methods,
    reason = "at the start, before anything is served; no disk is waited for"
)]
fn read(file: &Path) -> Option<String> {
    std::fs::read_to_string(file).ok()
}

/// The same for a process in these groups, where the hierarchies are mounted at `root`.
fn memory_in(root: &Path, groups: &str) -> Option<u64> {
    let bounds = groups.lines().filter_map(|line| {
        // hierarchy:controllers:path; the second version has the number 0 and no controllers.
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        if controllers.is_empty() {
            least(root, path, "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            least(&root.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    bounds.min()
}

/// The least of the bounds of a group and those above it. In a container the path can be one of the machine,
/// which is not there: then only the top is looked at, which is the container's own.
fn least(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let mut group = PathBuf::from(path.trim_start_matches('/'));
    let mut found = None;
    loop {
        let bound = read(&mount.join(&group).join(file));
        let bound = bound.and_then(|text| text.trim().parse::<u64>().ok());
        let bound = bound.filter(|bytes| *bytes < EVERYTHING);
        found = [found, bound].into_iter().flatten().min();
        if !group.pop() {
            return found;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;

    #[test]
    fn the_smallest_bound_above_the_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let set = |group: &str, bound: &str| {
            let file = root.path().join(group);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bound).unwrap();
        };
        let bound = |groups: &str| memory_in(root.path(), groups);
        assert_eq!(bound("0::/\n"), None, "nothing is told");

        set("memory.max", "max\n");
        set("a/memory.max", "2000\n");
        set("a/b/memory.max", "3000\n");
        assert_eq!(bound("0::/\n"), None);
        assert_eq!(bound("0::/a/b\n"), Some(2000));
        assert_eq!(bound("0::/elsewhere/c\n"), None);

        set("memory/memory.limit_in_bytes", "9223372036854771712\n");
        set("memory/d/memory.limit_in_bytes", "1000\n");
        assert_eq!(bound("5:cpu,memory:/d\n0::/a\n"), Some(1000));
        assert_eq!(bound("5:cpu:/d\n4:memory:/\n"), None);

        // A container that sees itself at the top, under a name that it cannot see.
        set("memory.max", "500\n");
        assert_eq!(bound("0::/docker/0123\n"), Some(500));
        for odd in ["", "0", "0:", "x::y", "0::/../..", ":::"] {
            let _whatever = bound(odd);
        }
    }
}
