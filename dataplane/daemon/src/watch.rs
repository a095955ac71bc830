//! Notices that something happens to a file, or to the files of a directory.
//!
//! Watches the file's directory, not the file: editors write a new file and rename it over the old
//! one, and a mounted `ConfigMap` swaps a link (`..data`) that the file's own link goes through. A
//! watch on the file itself would go with the old one. The directories of all links on the way are
//! watched as well, and the watch moves on when one of these directories is replaced, as a new checkout
//! or a new release does. Other files there, such as a log that grows beside the configuration, wake
//! nobody. Which event it was does not matter: `operate` compares what is there with what it has loaded.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use crate::folder;

/// Between the first event and the look at the content: one save is many events.
const PAUSE: Duration = Duration::from_millis(100);

/// The most links on the way to a file, as the kernel counts them (`path_resolution(7)`).
const LINKS_MAX: usize = 40;

/// A watched file, or a watched directory of files.
pub(crate) struct Watch {
    file: PathBuf,
    sights: Sights,
    events: mpsc::Receiver<()>,
    /// When what has happened may be looked at. Kept, so that whoever stops waiting loses nothing.
    settles: Option<Instant>,
    /// Watches until it is dropped.
    _watcher: RecommendedWatcher,
}

/// What is looked at: directories, and in them whatever has one of these names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sights {
    directories: BTreeSet<Directory>,
    names: Names,
}

/// A directory as it was found, so that another one with its name is told from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Directory {
    path: PathBuf,
    number: (u64, u64),
}

impl Watch {
    /// Watches a file from now on.
    ///
    /// # Errors
    /// Whatever the system says, for example that there are too many watches.
    pub(crate) fn start(file: &Path) -> notify::Result<Self> {
        let sights = Sights::of(file);
        let names = sights.names.clone();
        // One waiting event is enough to know that there was any.
        let (sender, events) = mpsc::channel(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let is_change = event.map_or(true, |event| {
                    is_change(event.kind) && names.concern(&event.paths)
                });
                if is_change {
                    let _one_waits_already = sender.try_send(());
                }
            })?;
        for directory in &sights.directories {
            watcher.watch(&directory.path, RecursiveMode::NonRecursive)?;
        }
        Ok(Self {
            file: file.to_owned(),
            sights,
            events,
            settles: None,
            _watcher: watcher,
        })
    }

    /// Ends a short while after something has happened, and again until it was [seen](Self::seen).
    pub(crate) async fn stirred(&mut self) {
        if self.settles.is_none() && self.events.recv().await.is_none() {
            return std::future::pending().await;
        }
        let settles = *self.settles.get_or_insert_with(|| Instant::now() + PAUSE);
        tokio::time::sleep_until(settles).await;
        while self.events.try_recv().is_ok() {}
        self.follow();
    }

    /// Waits until what is being written has had the time to be complete.
    pub(crate) async fn settled(&mut self) {
        tokio::time::sleep(PAUSE).await;
        while self.events.try_recv().is_ok() {}
        self.follow();
    }

    /// Watches what is on the way now, if that is something else than before. Whoever waits for this
    /// looks at the content afterwards, so that nothing is lost in between.
    fn follow(&mut self) {
        if Sights::of(&self.file) == self.sights {
            return;
        }
        match Self::start(&self.file) {
            Ok(watch) => {
                *self = Self {
                    settles: self.settles,
                    ..watch
                }
            }
            Err(error) => {
                warn!(reason = %error, "the file is not watched any more; SIGHUP loads it again");
            }
        }
    }

    /// What has happened was looked at.
    pub(crate) fn seen(&mut self) {
        self.settles = None;
    }
}

impl Sights {
    fn of(file: &Path) -> Self {
        let mut all = places(file);
        let is_directory = file.is_dir();
        if is_directory {
            // Any name will do: what is watched is the directory that would hold it.
            all.push(file.join("mcpc.yaml"));
            // A file that is a link changes where it leads to.
            let members = folder::members(file).unwrap_or_default().into_iter();
            let links = members.filter(|member| member.is_symlink());
            all.extend(links.flat_map(|link| places(&link)));
        }
        Self {
            directories: directories(&all),
            names: Names {
                places: Names::of(&all),
                any_member: is_directory,
            },
        }
    }
}

/// The file and every link on the way to it: the places that decide what a path leads to.
fn places(file: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let mut next = absolute(file).ok();
    while let Some(path) = next.take().filter(|_| places.len() <= LINKS_MAX) {
        // The topmost link decides where the rest is looked for.
        let link = path.ancestors().filter(|place| place.is_symlink()).last();
        if let Some(link) = link
            && let (Ok(target), Some(parent)) = (link.read_link(), link.parent())
            && let Ok(rest) = path.strip_prefix(link)
        {
            let target = parent.join(target);
            let is_link_itself = rest.as_os_str().is_empty();
            next = Some(if is_link_itself {
                target
            } else {
                target.join(rest)
            });
            places.push(link.to_owned());
        } else {
            places.push(path);
        }
    }
    places
}

/// The directories that hold these places; for one that is not there, the nearest one above.
fn directories(places: &[PathBuf]) -> BTreeSet<Directory> {
    let existing = |place: &PathBuf| {
        let above = place.ancestors().skip(1);
        above.filter(|path| path.is_dir()).find_map(Directory::of)
    };
    places.iter().filter_map(existing).collect()
}

impl Directory {
    fn of(path: &Path) -> Option<Self> {
        let number = number_of(&path.metadata().ok()?);
        let path = path.to_owned();
        Some(Self { path, number })
    }
}

/// What tells a directory from another one of the same name.
#[cfg(unix)]
fn number_of(directory: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (directory.dev(), directory.ino())
}

#[cfg(not(unix))]
fn number_of(directory: &std::fs::Metadata) -> (u64, u64) {
    let created = directory.created().ok();
    let since = created.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or((0, 0), |since| {
        (since.as_secs(), since.subsec_nanos().into())
    })
}

/// What the places and the directories that hold them are called.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    places: BTreeSet<OsString>,
    /// Whether every file counts that could be one of a directory.
    any_member: bool,
}

impl Names {
    fn of(places: &[PathBuf]) -> BTreeSet<OsString> {
        let all = places.iter().flat_map(|place| place.ancestors());
        all.filter_map(Path::file_name).map(Into::into).collect()
    }

    /// Whether something happened to the file or to what it lies in. A name that starts with `..` is a
    /// link of a mounted `ConfigMap`; an event that names nothing says that events were lost.
    fn concern(&self, paths: &[PathBuf]) -> bool {
        let is_ours = |path: &PathBuf| {
            path.file_name().is_none_or(|name| {
                name.as_encoded_bytes().starts_with(b"..")
                    || self.places.contains(name)
                    || (self.any_member && folder::counts(name))
            })
        };
        paths.is_empty() || paths.iter().any(is_ours)
    }
}

/// Reading the file is an event, too, and must not lead to reading it again.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failing test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_the_file_and_what_it_lies_in_wake_anybody() {
        let files = ["conf/mcpc.yaml", "mnt/real.yaml"].map(PathBuf::from);
        let names = Names {
            places: Names::of(&files),
            any_member: false,
        };
        let concern = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            names.concern(&paths)
        };
        for own in [
            "conf/mcpc.yaml",
            "mnt/real.yaml",
            "conf/..data",
            "conf",
            "/",
        ] {
            assert!(concern(&[own]), "{own} is no concern");
        }
        assert!(concern(&[]), "lost events are no concern");
        assert!(concern(&["conf/.mcpc.yaml.new", "conf/mcpc.yaml"]));
        for other in ["conf/gateway.log", "conf/mcpc.yaml~", "conf/.mcpc.yaml.swp"] {
            assert!(!concern(&[other]), "{other} wakes");
        }
    }

    /// Does something to a folder and waits until that is noticed.
    #[cfg(unix)]
    async fn notices(watch: &mut Watch, what: &str, done: impl FnOnce()) {
        done();
        let stirred = tokio::time::timeout(Duration::from_secs(5), watch.stirred()).await;
        assert!(stirred.is_ok(), "{what} is not noticed");
        watch.seen();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_replaced_directory_and_a_moved_link_are_followed() {
        use std::fs::{create_dir, remove_dir_all, rename, write};
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        create_dir(place("first")).unwrap();
        write(place("first/mcpc.yaml"), "1").unwrap();
        symlink("first", place("current")).unwrap();
        let mut watch = Watch::start(&place("current/mcpc.yaml")).unwrap();
        notices(&mut watch, "another release", || {
            create_dir(place("second")).unwrap();
            write(place("second/mcpc.yaml"), "2").unwrap();
            symlink("second", place("next")).unwrap();
            rename(place("next"), place("current")).unwrap();
        })
        .await;
        let edit = |text: &str| write(place("second/mcpc.yaml"), text).unwrap();
        notices(&mut watch, "an edit of it", || edit("3")).await;
        notices(&mut watch, "its end", || {
            remove_dir_all(place("second")).unwrap();
        })
        .await;
        notices(&mut watch, "its return", || {
            create_dir(place("second")).unwrap();
            edit("4");
        })
        .await;
        notices(&mut watch, "an edit after it", || edit("5")).await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_files_of_a_directory_wake_and_no_others() {
        use std::fs::{create_dir, remove_file, rename, write};
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        create_dir(place("conf.d")).unwrap();
        create_dir(place("available")).unwrap();
        write(place("available/b"), "1").unwrap();
        let mut watch = Watch::start(&place("conf.d")).unwrap();
        notices(&mut watch, "a first file", || {
            write(place("conf.d/a.yaml"), "1").unwrap();
        })
        .await;
        notices(&mut watch, "a link to a file", || {
            symlink("../available/b", place("conf.d/b.yml")).unwrap();
        })
        .await;
        notices(&mut watch, "an edit of what it leads to", || {
            write(place("available/b"), "2").unwrap();
        })
        .await;
        notices(&mut watch, "its end", || {
            remove_file(place("conf.d/b.yml")).unwrap();
        })
        .await;
        notices(&mut watch, "another directory in its place", || {
            create_dir(place("next.d")).unwrap();
            rename(place("conf.d"), place("old.d")).unwrap();
            rename(place("next.d"), place("conf.d")).unwrap();
        })
        .await;
        notices(&mut watch, "a file in that one", || {
            write(place("conf.d/c.yaml"), "1").unwrap();
        })
        .await;
        let names = &watch.sights.names;
        for other in [
            ".a.yaml.swp",
            ".#a.yaml",
            "a.yaml~",
            "gateway.log",
            "a.json",
        ] {
            assert!(
                !names.concern(&[place("conf.d").join(other)]),
                "{other} wakes"
            );
        }
    }
}
