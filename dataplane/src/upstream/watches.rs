//! Which resources of an upstream clients want to hear of.
//!
//! Owns the register of watched URIs, shared by workers and the keeper: who is told of an update, and
//! what the upstream has said to each subscription. Does not talk to the upstream: `subscribe` does, and
//! makes true what is wanted here. What clients may subscribe to is `subscriptions`' to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::failure::Failure;

/// The most URIs of one upstream that are watched at the same time, by all clients together.
const TOPICS_MAX: usize = 4096;

/// The longest URI that can be watched. Longer ones exist, but nobody has to keep them.
const URI_BYTES_MAX: usize = 4096;

/// The watched URIs of one upstream. They outlive its sessions.
pub(crate) struct Watches {
    /// A watch channel, because whoever keeps the upstream informed has to hear of every change.
    topics: watch::Sender<Topics>,
    numbers: AtomicU64,
}

pub(super) type Topics = BTreeMap<Box<str>, Topic>;

/// One URI that at least one client watches.
pub(super) struct Topic {
    pub(super) standing: Standing,
    /// Whether updates may have been missed since it was held.
    is_stale: bool,
    /// Whose mail it is, by the number of the watch.
    readers: Vec<(u64, Arc<Inbox>)>,
}

/// What became of a subscription at the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The upstream was not told yet, or not in its present session.
    Wanted,
    /// The upstream tells of updates.
    Held,
    /// The upstream does not want to: its own error, if it gave one.
    Refused(Option<Bytes>),
    /// The upstream did not answer.
    Failed(Failure),
}

/// Why a resource cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unwatchable {
    /// The upstream's own error, if it gave one.
    Refused(Option<Bytes>),
    /// The upstream did not answer.
    Failed(Failure),
}

/// One client's wish to hear of one resource, until it is dropped.
pub(crate) struct Watch {
    watches: Arc<Watches>,
    uri: Box<str>,
    number: u64,
}

/// What one client was not told yet. An update that comes again before it was told is told once; so there
/// are never more than the client watches.
pub(crate) struct Inbox(watch::Sender<Mail>);

/// What is in an inbox.
#[derive(Default)]
pub(crate) struct Mail {
    /// The resources that were updated.
    pub(crate) updated: BTreeSet<Box<str>>,
    /// An upstream does not want to tell of one of them.
    pub(crate) is_refused: bool,
}

impl Inbox {
    /// Nothing has happened.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Mail::default()))
    }

    /// Hears when there is something in it.
    pub(crate) fn listen(&self) -> watch::Receiver<Mail> {
        let mut receiver = self.0.subscribe();
        receiver.mark_changed();
        receiver
    }

    /// Takes out what is in it: of several readers, one gets each update.
    pub(crate) fn take(&self) -> Mail {
        let mut taken = Mail::default();
        self.0.send_if_modified(|mail| {
            taken = std::mem::take(mail);
            false
        });
        taken
    }

    /// There was an update.
    pub(crate) fn put(&self, uri: &str) {
        self.0
            .send_if_modified(|mail| mail.updated.insert(uri.into()));
    }

    /// There will be none of one of its resources.
    fn refuse(&self) {
        self.0
            .send_if_modified(|mail| !std::mem::replace(&mut mail.is_refused, true));
    }
}

impl Watches {
    /// Nobody watches anything.
    pub(crate) fn new() -> Self {
        Self {
            topics: watch::Sender::new(Topics::new()),
            numbers: AtomicU64::new(0),
        }
    }

    /// Watches a resource from now on; nothing if there are too many already.
    pub(crate) fn watch(self: &Arc<Self>, uri: &str, inbox: &Arc<Inbox>) -> Option<Watch> {
        if uri.len() > URI_BYTES_MAX {
            return None;
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut is_there = true;
        self.topics.send_if_modified(|topics| {
            let is_full = topics.len() >= TOPICS_MAX;
            let reader = (number, Arc::clone(inbox));
            match topics.get_mut(uri) {
                Some(topic) => {
                    topic.readers.push(reader);
                    let is_lost =
                        matches!(topic.standing, Standing::Refused(_) | Standing::Failed(_));
                    if is_lost {
                        // Whoever asks again may be told something else.
                        topic.standing = Standing::Wanted;
                    }
                    is_lost
                }
                None if is_full => {
                    is_there = false;
                    false
                }
                None => {
                    let topic = Topic {
                        standing: Standing::Wanted,
                        is_stale: false,
                        readers: vec![reader],
                    };
                    topics.insert(uri.into(), topic).is_none()
                }
            }
        });
        is_there.then(|| Watch {
            watches: Arc::clone(self),
            uri: uri.into(),
            number,
        })
    }

    /// Whether any URI is watched.
    pub(super) fn is_watched(&self) -> bool {
        !self.topics.borrow().is_empty()
    }

    /// Waits until none is.
    pub(super) async fn left(&self) {
        let mut topics = self.topics.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _left = topics.wait_for(Topics::is_empty).await;
    }

    /// How many URIs are watched.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.topics.borrow().len()
    }

    /// The watched URIs, and every change of them.
    pub(super) fn topics(&self) -> watch::Receiver<Topics> {
        self.topics.subscribe()
    }

    /// Notes what the upstream said to some subscriptions.
    pub(super) fn settle<'u>(&self, outcomes: impl IntoIterator<Item = (&'u str, Standing)>) {
        self.topics.send_modify(|topics| {
            for (uri, standing) in outcomes {
                let Some(topic) = topics.get_mut(uri) else {
                    continue;
                };
                // What happened in between nobody has heard, so it is told as an update: reading once
                // too often is better than not at all.
                if standing == Standing::Held && std::mem::take(&mut topic.is_stale) {
                    topic.tell(uri);
                }
                topic.standing = standing;
                if matches!(topic.standing, Standing::Refused(_)) {
                    topic.readers.iter().for_each(|(_, inbox)| inbox.refuse());
                }
            }
        });
    }

    /// What the upstream tells was not heard for a while, and is again.
    pub(super) fn missed(&self) {
        let topics = self.topics.borrow();
        let held = topics
            .iter()
            .filter(|(_, topic)| topic.standing == Standing::Held);
        held.for_each(|(uri, topic)| topic.tell(uri));
    }

    /// The upstream does not tell of updates any more until it is asked again.
    pub(super) fn interrupted(&self) {
        self.topics.send_modify(|topics| {
            for topic in topics
                .values_mut()
                .filter(|it| it.standing == Standing::Held)
            {
                topic.standing = Standing::Wanted;
                topic.is_stale = true;
            }
        });
    }

    /// A new session of the upstream knows of no subscription, nor of one that it has refused.
    pub(super) fn begin(&self) {
        self.interrupted();
        self.topics.send_modify(|topics| {
            for topic in topics.values_mut() {
                topic.standing = Standing::Wanted;
            }
        });
    }

    /// Tells an update to those who watch the resource, or one that it is a part of (2025-11-25
    /// Resources §Subscriptions), under the URI that they have subscribed to.
    pub(super) fn updated(&self, uri: &str) {
        if uri.len() > URI_BYTES_MAX {
            return;
        }
        let topics = self.topics.borrow();
        let tell = |watched: &str| {
            if let Some(topic) = topics.get(watched) {
                topic.tell(watched);
            }
        };
        tell(uri);
        for (at, _) in uri.match_indices(['/', '?', '#']) {
            // With and without the separator at its end; a watched URI that is longer is no whole of it.
            uri.get(..at).into_iter().for_each(tell);
            uri.get(..=at)
                .filter(|whole| *whole != uri)
                .into_iter()
                .for_each(tell);
        }
    }
}

impl Topic {
    fn tell(&self, uri: &str) {
        for (_, inbox) in &self.readers {
            inbox.put(uri);
        }
    }
}

impl Watch {
    /// Waits until the upstream has said something to it.
    pub(crate) async fn settled(&self, deadline: Instant) -> Result<(), Unwatchable> {
        let mut topics = self.watches.topics.subscribe();
        let is_settled = |topics: &Topics| {
            let topic = topics.get(&self.uri);
            topic.is_none_or(|topic| topic.standing != Standing::Wanted)
        };
        let found = match timeout_at(deadline, topics.wait_for(is_settled)).await {
            Ok(Ok(topics)) => topics.get(&self.uri).map(|topic| topic.standing.clone()),
            // The sender lives in `self`, so it cannot be gone.
            Ok(Err(_)) => None,
            Err(_) => Some(Standing::Failed(Failure::FirstByteTimeout)),
        };
        match found {
            Some(Standing::Held) => Ok(()),
            Some(Standing::Refused(error)) => Err(Unwatchable::Refused(error)),
            Some(Standing::Failed(failure)) => Err(Unwatchable::Failed(failure)),
            // Only a watch that is gone has no topic.
            Some(Standing::Wanted) | None => Err(Unwatchable::Failed(Failure::Stopped)),
        }
    }

    /// Whether the upstream has said that it does not want to.
    pub(crate) fn is_refused(&self) -> bool {
        let topics = self.watches.topics.borrow();
        let topic = topics.get(&self.uri);
        topic.is_some_and(|topic| matches!(topic.standing, Standing::Refused(_)))
    }

    /// Whether this is the upstream that it was made with.
    pub(crate) fn is_of(&self, watches: &Arc<Watches>) -> bool {
        Arc::ptr_eq(&self.watches, watches)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.topics.send_if_modified(|topics| {
            let Some(topic) = topics.get_mut(&self.uri) else {
                return false;
            };
            topic.readers.retain(|(number, _)| *number != self.number);
            let is_last = topic.readers.is_empty();
            if is_last {
                topics.remove(&self.uri);
            }
            is_last
        });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn told(inbox: &Inbox) -> Vec<String> {
        let updated = inbox.take().updated;
        updated.into_iter().map(String::from).collect()
    }

    #[test]
    fn an_update_reaches_those_who_watch_it_or_its_whole_and_nobody_else() {
        let watches = Arc::new(Watches::new());
        let inbox = || Arc::new(Inbox::new());
        let (exact, whole, directory, other) = (inbox(), inbox(), inbox(), inbox());
        let _held = [
            watches.watch("file:///a/b.txt", &exact).unwrap(),
            watches.watch("file:///a", &whole).unwrap(),
            watches.watch("file:///a/", &directory).unwrap(),
            watches.watch("file:///a/b", &other).unwrap(),
        ];
        watches.updated("file:///a/b.txt");
        watches.updated("file:///a/b.txt");
        watches.updated("file:///c");
        assert_eq!(told(&exact), ["file:///a/b.txt"]);
        assert_eq!(told(&whole), ["file:///a"]);
        assert_eq!(told(&directory), ["file:///a/"]);
        assert_eq!(told(&other), [""; 0]);
        watches.updated("file:///a/");
        assert_eq!(told(&whole), ["file:///a"]);
        assert_eq!(told(&directory), ["file:///a/"]);
        assert_eq!(told(&exact), [""; 0]);
    }

    #[test]
    fn the_last_one_who_leaves_takes_the_topic_with_it() {
        let watches = Arc::new(Watches::new());
        let inbox = Arc::new(Inbox::new());
        let first = watches.watch("a://1", &inbox).unwrap();
        let second = watches.watch("a://1", &inbox).unwrap();
        drop(first);
        assert_eq!(watches.topics.borrow().len(), 1);
        drop(second);
        assert_eq!(watches.topics.borrow().len(), 0);
    }

    #[test]
    fn there_is_an_end_to_what_can_be_watched() {
        let watches = Arc::new(Watches::new());
        let inbox = Arc::new(Inbox::new());
        let held: Vec<_> = (0..TOPICS_MAX)
            .map(|number| watches.watch(&format!("a://{number}"), &inbox).unwrap())
            .collect();
        assert!(watches.watch("b://1", &inbox).is_none());
        assert!(
            watches.watch("a://1", &inbox).is_some(),
            "it is watched already"
        );
        drop(held);
        assert!(watches.watch("b://1", &inbox).is_some());
        assert!(
            watches
                .watch(&"x".repeat(URI_BYTES_MAX + 1), &inbox)
                .is_none()
        );
    }

    #[test]
    fn those_who_watch_hear_of_a_refusal_and_nobody_else() {
        let watches = Arc::new(Watches::new());
        let (one, other) = (Arc::new(Inbox::new()), Arc::new(Inbox::new()));
        let refused = watches.watch("a://1", &one).unwrap();
        let held = watches.watch("a://2", &other).unwrap();
        watches.settle([
            ("a://1", Standing::Refused(None)),
            ("a://2", Standing::Held),
        ]);
        assert!(refused.is_refused() && !held.is_refused());
        assert!(one.take().is_refused && !other.take().is_refused);
        assert!(!one.take().is_refused, "it is told once");
        // Whoever asks again asks the upstream again.
        let _again = watches.watch("a://1", &other).unwrap();
        assert!(!refused.is_refused());
    }

    #[test]
    fn what_was_missed_is_told_and_asked_for_again() {
        let watches = Arc::new(Watches::new());
        let inbox = Arc::new(Inbox::new());
        let _held = watches.watch("a://1", &inbox).unwrap();
        let _new = watches.watch("a://2", &inbox).unwrap();
        watches.settle([
            ("a://1", Standing::Held),
            ("a://2", Standing::Refused(None)),
        ]);
        watches.begin();
        let is_wanted = |topic: &Topic| topic.standing == Standing::Wanted;
        assert!(watches.topics.borrow().values().all(is_wanted));
        assert_eq!(told(&inbox), [""; 0]);
        watches.settle([("a://1", Standing::Held), ("a://2", Standing::Held)]);
        assert_eq!(told(&inbox), ["a://1"]);
    }
}
