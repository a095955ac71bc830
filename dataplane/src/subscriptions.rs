//! What one client has subscribed to: `resources/subscribe` of a session, and the resources of a
//! `subscriptions/listen` stream.
//!
//! Owns the bound on a client's subscriptions, where each is attached, and attaching them again when the
//! plan changes. Who hears of which update is `upstream`'s register; `listen` writes what came in. URIs
//! are the same on both sides of the gateway (`docs/decisions/0004-resources-by-uri.md`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::call::Party;
use crate::client::Asked;
use crate::directory;
use crate::local;
use crate::reply::{LocalReply, WatchFault};
use crate::serve::done;
use crate::server::Response;
use crate::session::Session;
use crate::snapshot::Served;
use crate::upstream::{Inbox, Unwatchable, Watch};

/// How many resources one client may have subscribed to.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 256;

/// How long the acknowledgement of a stream waits for servers that are still starting.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// And how long for what servers say to the subscriptions. Clients wait for the acknowledgement.
const ANSWER_MAX: Duration = Duration::from_millis(300);

/// The subscriptions of one session or stream. They end with it.
pub(crate) struct Subscriptions {
    inbox: Arc<Inbox>,
    /// Nothing once it has ended. A cell: nobody listens.
    held: watch::Sender<Option<Held>>,
}

/// Where each resource is watched. A watch is never dropped while this is changed, because that changes
/// the upstream's register in turn.
type Held = BTreeMap<Box<str>, Watch>;

/// `resources/subscribe` of a legacy session (2025-11-25 Resources §Subscriptions).
pub(crate) async fn subscribe(
    asked: &Asked<'_>,
    session: Option<&Session>,
) -> Result<Response, LocalReply> {
    let uri = uri_of(asked)?;
    // Without a session there is nobody who could be told.
    let session = session.ok_or(LocalReply::SessionRequired)?;
    let subscriptions = session.live.subscriptions();
    if subscriptions.holds(&uri) {
        return Ok(done(asked));
    }
    if subscriptions.count() >= SUBSCRIPTIONS_MAX {
        return Err(LocalReply::Watch(WatchFault::Full));
    }
    let (watch, deadline) =
        attach(asked.served, &uri, asked.client.party, &subscriptions.inbox).await?;
    match watch.settled(deadline).await {
        Ok(()) => subscriptions.add(uri, watch)?,
        Err(Unwatchable::Refused(Some(error))) => return Ok(local::error(&asked.id, &error)),
        Err(Unwatchable::Refused(None)) => return Err(LocalReply::Watch(WatchFault::Unable)),
        Err(Unwatchable::Failed(failure)) => return Err(failure.into()),
    }
    Ok(done(asked))
}

/// `resources/unsubscribe`. What was not subscribed to is not an error: the client has what it wants.
pub(crate) fn unsubscribe(
    asked: &Asked<'_>,
    session: Option<&Session>,
) -> Result<Response, LocalReply> {
    let uri = uri_of(asked)?;
    let session = session.ok_or(LocalReply::SessionRequired)?;
    session.live.subscriptions().remove(&uri);
    Ok(done(asked))
}

/// The subscriptions of a stream: those that can be had of the resources that are wished. Its client is told
/// soon which these are (2026-07-28 Subscriptions): what an upstream has not said by then counts as a yes,
/// and [`Subscriptions::has_refused`] tells if it was none.
pub(crate) async fn of_stream(
    served: &Arc<Served>,
    wished: Vec<Box<str>>,
    party: Party,
) -> Result<Arc<Subscriptions>, LocalReply> {
    if wished.len() > SUBSCRIPTIONS_MAX {
        return Err(LocalReply::Watch(WatchFault::Full));
    }
    let subscriptions = Arc::<Subscriptions>::default();
    let until = Instant::now() + WAIT_MAX;
    let mut attached = Vec::new();
    for uri in wished {
        let attaching = attach(served, &uri, party, &subscriptions.inbox);
        if let Ok(Ok((watch, _))) = timeout_at(until, attaching).await {
            attached.push((uri, watch));
        }
    }
    let until = Instant::now() + ANSWER_MAX;
    for (uri, watch) in attached {
        // An upstream that failed will be asked again; one that has refused will not.
        if !matches!(watch.settled(until).await, Err(Unwatchable::Refused(_))) {
            subscriptions.add(uri, watch)?;
        }
    }
    Ok(subscriptions)
}

fn uri_of(asked: &Asked<'_>) -> Result<Box<str>, LocalReply> {
    let uri = asked.params.uri().ok_or(LocalReply::BadParams)?;
    let uri = std::str::from_utf8(&uri).map_err(|_| LocalReply::BadParams)?;
    Ok(uri.into())
}

/// Watches a resource at its owner. Gives until when the owner may take to say something to it.
async fn attach(
    served: &Arc<Served>,
    uri: &str,
    party: Party,
    inbox: &Arc<Inbox>,
) -> Result<(Watch, Instant), LocalReply> {
    let owner = directory::find(served, uri).await;
    let member = owner.ok_or_else(|| LocalReply::UnknownResource {
        uri: uri.to_owned(),
    })?;
    let deadline = Instant::now() + Duration::from_millis(member.timeouts.first_byte_ms);
    let (upstream, profile) = member.replicas.one(party, deadline).await?;
    if !profile.subscribes {
        return Err(LocalReply::Watch(WatchFault::Unable));
    }
    let watch = upstream.watches().watch(uri, inbox);
    let watch = watch.ok_or(LocalReply::Watch(WatchFault::Full))?;
    Ok((watch, deadline))
}

impl Default for Subscriptions {
    fn default() -> Self {
        Self {
            inbox: Arc::new(Inbox::new()),
            held: watch::Sender::new(Some(Held::new())),
        }
    }
}

impl Subscriptions {
    /// What the client is still to be told.
    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The resources.
    pub(crate) fn uris(&self) -> Vec<Box<str>> {
        let held = self.held.borrow();
        held.iter().flatten().map(|(uri, _)| uri.clone()).collect()
    }

    /// Whether an upstream has refused one of them after it was acknowledged.
    pub(crate) fn has_refused(&self) -> bool {
        let held = self.held.borrow();
        held.iter().flatten().any(|(_, watch)| watch.is_refused())
    }

    /// Ends all of them, for good.
    pub(crate) fn end(&self) {
        drop(self.held.send_replace(None));
    }

    /// Attaches each of them to its owner under another plan. What this one does not expose ends.
    pub(crate) async fn reattach(&self, served: Option<&Arc<Served>>, party: Party) {
        for uri in self.uris() {
            let owner = match served {
                Some(served) => directory::find(served, &uri).await,
                None => None,
            };
            let Some(replicas) = owner.map(|owner| &owner.replicas) else {
                self.remove(&uri);
                continue;
            };
            let is_of = |watch: &Watch| replicas.serve(party, |it| watch.is_of(it.watches()));
            if self.is_at(&uri, is_of) {
                continue;
            }
            let upstream = replicas.at_hand(party);
            match upstream.and_then(|it| it.watches().watch(&uri, &self.inbox)) {
                Some(watch) => {
                    // Another server holds another content, most likely.
                    self.inbox.put(&uri);
                    let _bounded_before = self.add(uri, watch);
                }
                None => self.remove(&uri),
            }
        }
    }

    fn count(&self) -> usize {
        self.held.borrow().as_ref().map_or(0, BTreeMap::len)
    }

    fn holds(&self, uri: &str) -> bool {
        self.is_at(uri, |_| true)
    }

    fn is_at(&self, uri: &str, right: impl Fn(&Watch) -> bool) -> bool {
        let held = self.held.borrow();
        held.as_ref()
            .and_then(|held| held.get(uri))
            .is_some_and(right)
    }

    fn add(&self, uri: Box<str>, watch: Watch) -> Result<(), LocalReply> {
        let mut surplus = Some(watch);
        let mut is_full = false;
        self.held.send_if_modified(|held| {
            if let Some(held) = held {
                is_full = held.len() >= SUBSCRIPTIONS_MAX && !held.contains_key(&uri);
                if !is_full && let Some(watch) = surplus.take() {
                    surplus = held.insert(uri, watch);
                }
            }
            false
        });
        drop(surplus);
        if is_full {
            return Err(LocalReply::Watch(WatchFault::Full));
        }
        Ok(())
    }

    fn remove(&self, uri: &str) {
        let mut removed = None;
        self.held.send_if_modified(|held| {
            removed = held.as_mut().and_then(|held| held.remove(uri));
            false
        });
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::upstream::Watches;

    #[test]
    fn a_client_has_so_many_subscriptions_and_none_after_its_end() {
        let watches = Arc::new(Watches::new());
        let subscriptions = Subscriptions::default();
        let add = |uri: &str| {
            let watch = watches.watch(uri, &subscriptions.inbox).unwrap();
            subscriptions.add(uri.into(), watch)
        };
        for number in 0..SUBSCRIPTIONS_MAX {
            assert_eq!(add(&format!("a://{number}")), Ok(()));
        }
        assert_eq!(add("a://0"), Ok(()), "it has this one already");
        let full = Err(LocalReply::Watch(WatchFault::Full));
        assert_eq!(add("b://1"), full);
        subscriptions.remove("a://0");
        assert_eq!(add("b://1"), Ok(()));
        subscriptions.end();
        assert_eq!(add("c://1"), Ok(()), "nobody is there to be refused");
        assert_eq!(subscriptions.uris().len(), 0);
        assert_eq!(watches.count(), 0, "every watch has ended with its client");
    }
}
