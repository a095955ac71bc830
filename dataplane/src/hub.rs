//! Tells listening clients of one endpoint that a list has changed.
//!
//! A counter for each kind of list, watched: changes that come faster than a client reads them
//! become one notification by construction, and a slow client costs nobody anything. What a server says
//! counts as far as clients see it: `list` looks, and `shown` knows what they saw last.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::changes::Changes;
use crate::list_kind::Kind;

/// How long after a change of one upstream the next one is looked at: a list may be long, and a server
/// that says over and over that it has changed is looked at less and less often.
const PAUSE_FROM: Duration = Duration::from_millis(100);
const PAUSE_TO: Duration = Duration::from_secs(3);

/// The hubs of one endpoint path. They live across swaps, so listening clients stay connected.
#[derive(Clone)]
pub(crate) struct Hubs {
    pub(crate) all: Arc<Hub>,
    /// What is said by the shared ones of servers that sessions may have to themselves. It does not concern
    /// those that do.
    pub(crate) private: Arc<Hub>,
}

impl Hubs {
    /// Hubs that nobody watches yet.
    pub(crate) fn new() -> Self {
        Self {
            all: Arc::new(Hub::new()),
            private: Arc::new(Hub::new()),
        }
    }
}

/// The counters of those whom the same lists concern.
pub(crate) struct Hub {
    changes: watch::Sender<Changes>,
}

impl Hub {
    /// A hub that nobody watches yet.
    pub(crate) fn new() -> Self {
        Self {
            changes: watch::Sender::new(Changes::default()),
        }
    }

    /// Watches from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    /// The endpoint was given another plan, whether or not it is another one for its clients.
    pub(crate) fn replaced(&self) {
        self.changes.send_modify(|changes| changes.plans += 1);
    }

    /// Whether anybody listens.
    pub(crate) fn is_heard(&self) -> bool {
        self.changes.receiver_count() > 0
    }

    /// These lists may be others under the plan that the endpoint has now.
    pub(crate) fn touch(&self, kinds: &[Kind]) {
        let has = |kind| kinds.contains(&kind);
        self.tell(Said {
            tools: has(Kind::Tools),
            prompts: has(Kind::Prompts),
            resources: has(Kind::Resources) || has(Kind::Templates),
        });
    }

    /// Relays the changes of one upstream until the plan is replaced or the upstream is gone, as far as
    /// they are news for clients; `is_news` is told whether any of them listens. Watches from the call
    /// on, not from the first poll, so that between two plans no change is missed.
    pub(crate) fn relay<F>(
        self: Arc<Self>,
        mut source: watch::Receiver<Changes>,
        mut replaced: watch::Receiver<()>,
        is_news: impl Fn(Kind, bool) -> F + Send + Sync + 'static,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        F: Future<Output = bool> + Send,
    {
        let mut last = *source.borrow_and_update();
        async move {
            let mut pause = PAUSE_FROM;
            let mut looked = None;
            loop {
                tokio::select! {
                    // What was said before the plan was replaced is still passed on.
                    biased;
                    changed = source.changed() => if changed.is_err() { return },
                    // Nothing is ever sent: the sender is dropped.
                    _ = replaced.changed() => return,
                }
                let now = *source.borrow_and_update();
                let said = Said {
                    tools: now.tools != last.tools,
                    prompts: now.prompts != last.prompts,
                    resources: now.resources != last.resources,
                };
                last = now;
                let is_soon = looked.is_some_and(|at: Instant| at.elapsed() < pause * 2);
                pause = if is_soon {
                    (pause * 2).min(PAUSE_TO)
                } else {
                    PAUSE_FROM
                };
                let news = tokio::select! {
                    news = said.as_far_as(&is_news, self.is_heard()) => news,
                    // Under the next plan nobody looks at it again.
                    _ = replaced.changed() => said,
                };
                self.tell(news);
                looked = Some(Instant::now());
                tokio::select! {
                    () = sleep(pause) => {}
                    _ = replaced.changed() => {}
                }
            }
        }
    }

    fn tell(&self, news: Said) {
        self.changes.send_modify(|changes| {
            changes.tools += u64::from(news.tools);
            changes.prompts += u64::from(news.prompts);
            changes.resources += u64::from(news.resources);
        });
    }
}

/// Which lists are said to have changed.
#[derive(Clone, Copy)]
struct Said {
    tools: bool,
    prompts: bool,
    resources: bool,
}

impl Said {
    /// What is left if only news counts.
    async fn as_far_as<F>(self, is_news: &impl Fn(Kind, bool) -> F, is_heard: bool) -> Self
    where
        F: Future<Output = bool>,
    {
        let look = async |is_said: bool, kind| is_said && is_news(kind, is_heard).await;
        // Resources and their templates have one notification, and both are looked at: each is known
        // by clients from then on. A server that hangs is waited for once, not for each list.
        let (tools, prompts, resources, templates) = tokio::join!(
            look(self.tools, Kind::Tools),
            look(self.prompts, Kind::Prompts),
            look(self.resources, Kind::Resources),
            look(self.resources, Kind::Templates),
        );
        Self {
            tools,
            prompts,
            resources: resources || templates,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Arc, Changes, Duration, Hub, Kind, sleep, watch};

    async fn always(_: Kind, _: bool) -> bool {
        true
    }

    #[tokio::test(start_paused = true)]
    async fn only_news_is_told_and_what_is_said_over_and_over_is_looked_at_less_and_less() {
        let hub = Arc::new(Hub::new());
        let watching = hub.watch();
        let upstream = watch::Sender::new(Changes::default());
        let plan = watch::Sender::new(());
        let looks = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&looks);
        let is_news = move |kind, is_heard: bool| {
            assert!(is_heard);
            seen.fetch_add(1, Ordering::SeqCst);
            async move { kind == Kind::Templates }
        };
        let relay = Arc::clone(&hub).relay(upstream.subscribe(), plan.subscribe(), is_news);
        let saying = async {
            for _ in 0..20_000 {
                upstream.send_modify(|changes| {
                    changes.tools += 1;
                    changes.resources += 1;
                });
                sleep(Duration::from_millis(1)).await;
            }
            drop(upstream);
        };
        tokio::join!(relay, saying);
        assert_eq!((watching.borrow().tools, watching.borrow().prompts), (0, 0));
        // Six times in the first few seconds, and every three seconds from then on.
        assert_eq!(watching.borrow().resources, 12);
        assert_eq!(
            looks.load(Ordering::SeqCst),
            3 * watching.borrow().resources
        );
    }

    #[tokio::test]
    async fn a_relay_ends_with_its_plan_though_nothing_changes() {
        let hub = Arc::new(Hub::new());
        let upstream = watch::Sender::new(Changes::default());
        let plan = watch::Sender::new(());
        let relay = Arc::clone(&hub).relay(upstream.subscribe(), plan.subscribe(), always);
        drop(plan);
        relay.await;
        assert_eq!(upstream.receiver_count(), 0);
        assert_eq!(Arc::strong_count(&hub), 1);
    }

    #[tokio::test]
    async fn a_change_before_the_first_poll_and_the_end_of_the_plan_is_relayed() {
        let hub = Arc::new(Hub::new());
        let watching = hub.watch();
        let upstream = watch::Sender::new(Changes::default());
        let plan = watch::Sender::new(());
        let relay = Arc::clone(&hub).relay(upstream.subscribe(), plan.subscribe(), always);
        upstream.send_modify(|changes| changes.tools += 1);
        drop(plan);
        relay.await;
        assert_eq!(watching.borrow().tools, 1);
        assert_eq!(watching.borrow().prompts, 0);
    }
}
