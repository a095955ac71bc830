//! Notices that something happens to a file.
//!
//! Watches the file's directory, not the file: editors write a new file and rename it over the old
//! one, and a mounted `ConfigMap` swaps a link (`..data`) that the file's own link goes through. A
//! watch on the file itself would go with the old one. Other files of the directory, such as a log that
//! grows beside the configuration, wake nobody. Which event it was does not matter: `operate` compares
//! what is there with what it has loaded.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Between the first event and the look at the content: one save is many events.
const PAUSE: Duration = Duration::from_millis(100);

/// A watched file.
pub(crate) struct Watch {
    events: mpsc::Receiver<()>,
    /// When what has happened may be looked at. Kept, so that whoever stops waiting loses nothing.
    settles: Option<Instant>,
    /// Watches until it is dropped.
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches a file from now on.
    ///
    /// # Errors
    /// Whatever the system says, for example that there are too many watches.
    pub(crate) fn start(file: &Path) -> notify::Result<Self> {
        let target = file.canonicalize().ok();
        let places = [Some(file), target.as_deref()];
        let names = Names::of(places.into_iter().flatten());
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
        watcher.watch(&directory_of(file), RecursiveMode::NonRecursive)?;
        // A link may lead elsewhere; then that place is watched as well, if it can be.
        if let Some(target) = target {
            let _only_the_link = watcher.watch(&directory_of(&target), RecursiveMode::NonRecursive);
        }
        Ok(Self {
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
    }

    /// Waits until what is being written has had the time to be complete.
    pub(crate) async fn settled(&mut self) {
        tokio::time::sleep(PAUSE).await;
        while self.events.try_recv().is_ok() {}
    }

    /// What has happened was looked at.
    pub(crate) fn seen(&mut self) {
        self.settles = None;
    }
}

/// What the file and the directories that hold it are called.
struct Names(Vec<OsString>);

impl Names {
    fn of<'a>(files: impl Iterator<Item = &'a Path>) -> Self {
        let directories = |file: &'a Path| [Some(file), file.parent()];
        let names = files.flat_map(directories).flatten();
        Self(names.filter_map(Path::file_name).map(Into::into).collect())
    }

    /// Whether something happened to the file or to what it lies in. A name that starts with `..` is a
    /// link of a mounted `ConfigMap`; an event that names nothing says that events were lost.
    fn concern(&self, paths: &[PathBuf]) -> bool {
        let is_ours = |path: &PathBuf| {
            path.file_name().is_none_or(|name| {
                name.as_encoded_bytes().starts_with(b"..") || self.0.iter().any(|own| own == name)
            })
        };
        paths.is_empty() || paths.iter().any(is_ours)
    }
}

fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
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
mod tests {
    use super::*;

    #[test]
    fn only_the_file_and_what_it_lies_in_wake_anybody() {
        let files = ["conf/mcpc.yaml", "mnt/real.yaml"].map(Path::new);
        let names = Names::of(files.into_iter());
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
}
