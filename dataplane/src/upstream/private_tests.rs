//! How long a session keeps what it has to itself, against scripted programs under a virtual clock.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use mcpc_plan::{Era as PlanEra, Rules, StartWhen};
use tokio::time::{Instant, sleep, sleep_until};

use super::fake::{Act, Programs, begin, definition, limits, permit, stdio, tool_call};
use super::tests::PARAMS;
use super::watches::Inbox;
use super::{Premises, Private, Upstream};
use crate::Reach;
use crate::call::{Era, Leave};
use crate::session::{Asks, Grant, Revision, Seal, Session, SessionKeys, Sessions};

/// How long a tool takes that does.
const LONG: Duration = Duration::from_secs(2);

/// A session of a server that each has to itself.
struct Stage {
    private: Arc<Private>,
    session: Session,
    began: Instant,
}

impl Stage {
    fn open(idle_s: u64) -> Self {
        let (programs, _record) = Programs::new(answer);
        let reach: Arc<dyn Reach> = programs;
        let definition = definition(stdio("own", &[], StartWhen::Lazy), PlanEra::Modern);
        let shared = begin(&definition, &reach);
        let sessions = sessions();
        let grant = Grant {
            revision: Revision::R2025_11,
            asks: Asks::SAMPLE,
            principal: [0; 16],
        };
        let session = sessions.begin(grant, "/mcp", Instant::now());
        let (_token, session) = session.ok().unwrap();
        let premises = Premises::new(&sessions, &limits());
        let rule = rule(idle_s);
        let private = Private::new(definition, &rule, &shared, &premises, &reach, &limits());
        private.obey(&rule, &Rules::default());
        Self {
            private,
            session,
            began: Instant::now(),
        }
    }

    /// An edit of the configuration after this many seconds.
    async fn is_edited(&self, after_s: u64, idle_s: u64) {
        sleep_until(self.began + Duration::from_secs(after_s)).await;
        self.private.obey(&rule(idle_s), &Rules::default());
    }

    fn own(&self) -> Arc<Upstream> {
        self.private.of(self.session.live.number()).unwrap()
    }

    async fn call(&self) {
        let call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
        let number = self.session.live.number();
        let sent = self.private.send(number, call.into(), permit()).await;
        let _reply = sent.ok().unwrap().answer.into_reply().await.unwrap();
    }

    /// After how many seconds nothing is left of it.
    async fn ends_after(&self) -> u64 {
        let number = self.session.live.number();
        if let Some(own) = self.private.of_now(number) {
            own.presence.stopped().await;
        }
        self.began.elapsed().as_secs()
    }
}

fn answer(_process: u32, message: &serde_json::Value) -> Act {
    let id = message.get("id").unwrap_or(&serde_json::Value::Null);
    let result =
        r#"{"supportedVersions":["2026-07-28"],"capabilities":{"resources":{"subscribe":true}}}"#;
    Act::say(format!(
        r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#
    ))
}

fn sessions() -> Arc<Sessions> {
    let seal = Seal::new(&SessionKeys::new([7; 32], Vec::new()));
    let wall = UNIX_EPOCH + Duration::from_secs(1_785_196_800);
    let sessions = Sessions::new(seal, &limits(), Instant::now(), wall);
    sessions.ok().unwrap()
}

fn rule(idle_s: u64) -> mcpc_plan::Private {
    mcpc_plan::Private {
        at_most: 4,
        idle_ms: Some(idle_s * 1_000),
        spares: 0,
        spares_at_most: None,
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_a_while_after_the_last_of_several_calls() {
    let stage = Stage::open(30);
    for _ in 0..3 {
        stage.call().await;
        sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(stage.ends_after().await, 10 + 30);
}

#[tokio::test(start_paused = true)]
async fn edits_that_say_the_same_do_not_prolong_it() {
    let stage = Stage::open(30);
    stage.call().await;
    let edits = async {
        for second in 1..100 {
            stage.is_edited(second, 30).await;
        }
    };
    let (after, ()) = tokio::join!(stage.ends_after(), edits);
    assert_eq!(after, 30);
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_time_counts_from_the_last_use() {
    for (before, after, expected) in [(30, 20, 20), (30, 5, 10), (30, 60, 60)] {
        let stage = Stage::open(before);
        stage.call().await;
        stage.is_edited(10, after).await;
        assert_eq!(stage.ends_after().await, expected, "{before} to {after}");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_and_subscriptions_are_uses_until_they_end() {
    let stage = Stage::open(30);
    let own = stage.own();
    sleep(Duration::from_secs(5)).await;
    let watch = own.watches().watch("file:///a", &Arc::new(Inbox::new()));
    sleep(Duration::from_secs(40)).await;
    drop(watch);
    sleep(LONG).await;
    let call = super::InFlight::begin(&own);
    sleep(Duration::from_secs(40)).await;
    drop(call);
    assert_eq!(stage.ends_after().await, 5 + 40 + 2 + 40 + 30);
}
