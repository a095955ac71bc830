//! Notices that something happens to a file.
//!
//! Watches the file's directory, not the file: editors write a new file and rename it over the old
//! one, and a mounted `ConfigMap` swaps a link (`..data`) that the file's own link goes through. A
//! watch on the file itself would go with the old one. Which event it was does not matter: `operate`
//! compares what is there with what it has loaded.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Between the first event and the look at the content: one save is many events.
const PAUSE: Duration = Duration::from_millis(100);

/// A watched file.
pub(crate) struct Watch {
    events: mpsc::Receiver<()>,
    /// Watches until it is dropped.
    _watcher: RecommendedWatcher,
}

impl Watch {
    /// Watches a file from now on.
    ///
    /// # Errors
    /// Whatever the system says, for example that there are too many watches.
    pub(crate) fn start(file: &Path) -> notify::Result<Self> {
        // One waiting event is enough to know that there was any.
        let (sender, events) = mpsc::channel(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                let is_change = event.map_or(true, |event| is_change(event.kind));
                if is_change {
                    let _one_waits_already = sender.try_send(());
                }
            })?;
        watcher.watch(&directory_of(file), RecursiveMode::NonRecursive)?;
        // A link may lead elsewhere; then that place is watched as well, if it can be.
        if let Ok(target) = file.canonicalize() {
            let _only_the_link = watcher.watch(&directory_of(&target), RecursiveMode::NonRecursive);
        }
        Ok(Self {
            events,
            _watcher: watcher,
        })
    }

    /// Ends a short while after something has happened.
    pub(crate) async fn stirred(&mut self) {
        if self.events.recv().await.is_none() {
            return std::future::pending().await;
        }
        self.settled().await;
    }

    /// Waits until what is being written has had the time to be complete.
    pub(crate) async fn settled(&mut self) {
        tokio::time::sleep(PAUSE).await;
        while self.events.try_recv().is_ok() {}
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
