//! Which replica gets what, against scripted servers under a virtual clock.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcpc_plan::{
    Balance, ContentKey, Era as PlanEra, HttpTransport, Replicated, Retry, Scheme, Transport,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::fake::{Scripted, Seen, Server, limits, permit, timeouts, tool_call};
use super::tests::{PARAMS, legacy, modern, result, text};
use super::{Replicas, Resolved, Sent, Upstream};
use crate::Secret;
use crate::call::{Answer, Call, Era, Leave, Party};
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::reach::{Dialed, Launch, Process, Reach, ReachFuture, Target};
use crate::status::UpstreamState;

/// Servers by their hosts.
#[derive(Default)]
struct Places {
    servers: BTreeMap<Box<str>, Arc<Server>>,
}

impl Reach for Places {
    fn connect(&self, target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        self.servers[&target.host].connect(target)
    }

    fn launch(&self, _launch: &Launch<'_>) -> io::Result<Process> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn give_up_after(&self, _: Duration) {}

    fn variable(&self, _name: &str) -> Option<Secret> {
        None
    }

    fn file(&self, _path: &str) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Replicas that answer with their own names.
pub(super) struct Stage {
    pub(super) replicas: Replicas,
    servers: Vec<Arc<Server>>,
    pub(super) records: Vec<mpsc::Receiver<Seen>>,
}

/// A name, a weight, and whether it is a backup.
pub(super) type Wanted = (&'static str, u32, bool);

impl Stage {
    fn open(era: Era, wanted: &[Wanted]) -> Self {
        Self::scripted(era, wanted, |name, seen| {
            Some(Scripted::json(result(seen, &format!("{name:?}"))))
        })
    }

    fn scripted(
        era: Era,
        wanted: &[Wanted],
        script: impl Fn(&str, &Seen) -> Option<Scripted> + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::ruled(era, wanted, Balance::RoundRobin, None, script)
    }

    pub(super) fn ruled(
        era: Era,
        wanted: &[Wanted],
        balance: Balance,
        retry: Option<Retry>,
        script: impl Fn(&str, &Seen) -> Option<Scripted> + Clone + Send + Sync + 'static,
    ) -> Self {
        let mut places = Places::default();
        let (mut servers, mut records, mut replicas) = (Vec::new(), Vec::new(), Vec::new());
        let plan_era = match era {
            Era::Modern => PlanEra::Modern,
            Era::Legacy => PlanEra::Legacy,
        };
        for &(name, weight, is_backup) in wanted {
            let script = script.clone();
            let (server, record) = Server::new(move |seen| {
                let greeting = match era {
                    Era::Modern => modern(seen),
                    Era::Legacy => legacy(seen, name),
                };
                let scripted = greeting.or_else(|| script(name, seen))?;
                // No connection is kept, so that whoever refuses is noticed by the next call.
                Some(scripted.with_header("connection", "close"))
            });
            places.servers.insert(name.into(), Arc::clone(&server));
            servers.push(server);
            records.push(record);
            let http = http(name);
            replicas.push(mcpc_plan::Replica {
                key: ContentKey::of(&Transport::Http(http.clone()), plan_era),
                http,
                weight,
                is_backup,
            });
        }
        let definition = definition(replicas, plan_era, balance, retry);
        let reach: Arc<dyn Reach> = Arc::new(places);
        let start = |instance: mcpc_plan::Upstream| {
            let resolved = Resolved::of(&instance, reach.as_ref()).unwrap();
            let (keeper, limits) = (Keeper::here(), limits());
            let upstream = Upstream::start(&instance, resolved, &keeper, &reach, &limits);
            (instance.key, upstream.unwrap())
        };
        let instances = definition.instances().into_iter();
        let alive: Vec<(ContentKey, Arc<Upstream>)> = instances.map(start).collect();
        let find = |key: &ContentKey, _: &mcpc_plan::Rules| {
            let mut alive = alive.iter();
            alive.find_map(|(its, upstream)| (its == key).then(|| Arc::clone(upstream)))
        };
        let replicas = Replicas::of(&definition, find).unwrap();
        replicas.take_effect();
        Self {
            replicas,
            servers,
            records,
        }
    }

    /// Waits until as many replicas can be used.
    pub(super) async fn ready(&self, count: usize) {
        for _ in 0..1000 {
            let states = self
                .replicas
                .upstreams()
                .map(|upstream| upstream.is_ready());
            if states.filter(|is_ready| *is_ready).count() == count {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("{count} replicas were never ready");
    }

    pub(super) async fn send(&self, call: Call) -> Result<String, Failure> {
        told(self.replicas.send(Box::new(call), permit()).await)
    }

    /// Who answers a call of a tool.
    pub(super) async fn asks(&self) -> Result<String, Failure> {
        self.send(tool_call(Era::Modern, Leave::Cancels, PARAMS))
            .await
    }

    /// Who answers so many calls.
    async fn who(&self, calls: usize) -> Vec<String> {
        let mut who = Vec::new();
        for _ in 0..calls {
            who.push(self.asks().await.unwrap());
        }
        who
    }

    pub(super) fn refuses(&self, at: usize, refuses: bool) {
        self.servers[at].refuses.store(refuses, Ordering::SeqCst);
    }
}

/// The plan's word on these replicas.
fn definition(
    replicas: Vec<mcpc_plan::Replica>,
    era: PlanEra,
    balance: Balance,
    retry: Option<Retry>,
) -> mcpc_plan::Upstream {
    let transport = Transport::Replicated(Replicated {
        replicas: replicas.into(),
        balance,
    });
    mcpc_plan::Upstream {
        name: "fake".into(),
        key: ContentKey::of(&transport, era),
        transport,
        era,
        timeouts: timeouts(),
        breaker: Some(mcpc_plan::Breaker {
            failures: 3,
            within_ms: 30_000,
            open_for_ms: 10_000,
            open_for_ms_max: None,
            replicas_percent_max: None,
        }),
        health: None,
        retry,
        private: None,
    }
}

fn http(name: &str) -> HttpTransport {
    HttpTransport {
        scheme: Scheme::Http,
        host: name.into(),
        port: 80,
        authority: name.into(),
        path: "/mcp".into(),
        headers: Box::default(),
    }
}

fn told(sent: Result<Sent, Failure>) -> Result<String, Failure> {
    match sent?.answer {
        Answer::Done(reply) => Ok(text(&reply).trim_matches('"').to_owned()),
        Answer::Stream(_) => panic!("a stream"),
    }
}

fn count(who: &[String], name: &str) -> usize {
    who.iter().filter(|found| *found == name).count()
}

pub(super) const TWO: [Wanted; 2] = [("a", 1, false), ("b", 1, false)];

#[tokio::test(start_paused = true)]
async fn calls_go_round_by_weight_each_with_the_session_of_its_replica() {
    for era in [Era::Modern, Era::Legacy] {
        let mut stage = Stage::open(era, &[("a", 3, false), ("b", 1, false)]);
        stage.ready(2).await;
        let who = stage.who(40).await;
        assert_eq!((count(&who, "a"), count(&who, "b")), (30, 10), "{who:?}");
        for (name, record) in ["a", "b"].iter().zip(&mut stage.records) {
            while let Ok(seen) = record.try_recv() {
                let session = if era == Era::Legacy { name } else { "" };
                if seen.method() == "tools/call" {
                    assert_eq!(seen.header("mcp-session-id"), session);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_cannot_be_reached_costs_no_call_and_comes_back() {
    for era in [Era::Modern, Era::Legacy] {
        let stage = Stage::open(era, &TWO);
        stage.ready(2).await;
        stage.refuses(0, true);
        let began = Instant::now();
        let who = stage.who(20).await;
        assert_eq!(count(&who, "b"), 20, "{who:?}");
        assert!(began.elapsed() < Duration::from_millis(100), "nobody waits");
        assert_eq!(stage.replicas.state().condition, UpstreamState::Ready);
        let first = stage.replicas.all().next().unwrap();
        assert_eq!(first.upstream.state().condition, UpstreamState::Failing);
        stage.refuses(0, false);
        stage.ready(2).await;
        let who = stage.who(20).await;
        assert_eq!((count(&who, "a"), count(&who, "b")), (10, 10), "{who:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_is_used_while_no_other_can_be() {
    let wanted = [("a", 1, false), ("b", 1, false), ("c", 1, true)];
    let stage = Stage::open(Era::Modern, &wanted);
    stage.ready(3).await;
    assert_eq!(count(&stage.who(10).await, "c"), 0);
    stage.refuses(0, true);
    assert_eq!(count(&stage.who(10).await, "b"), 10);
    stage.refuses(1, true);
    assert_eq!(count(&stage.who(10).await, "c"), 10);
    stage.refuses(0, false);
    stage.ready(2).await;
    assert_eq!(count(&stage.who(10).await, "a"), 10);
}

#[tokio::test(start_paused = true)]
async fn with_all_replicas_gone_a_call_fails_soon_and_is_served_when_one_is_back() {
    // Three failures open the breaker of a replica, and to wait for one in vain is a failure as well.
    for (calls, then) in [(2, Ok("b")), (3, Err(Failure::CircuitOpen(10)))] {
        let stage = Stage::open(Era::Modern, &TWO);
        stage.ready(2).await;
        stage.refuses(0, true);
        stage.refuses(1, true);
        for _ in 0..calls {
            let began = Instant::now();
            assert_eq!(stage.asks().await, Err(Failure::Unreachable));
            assert!(began.elapsed() < Duration::from_secs(1));
        }
        stage.refuses(1, false);
        let answer = stage.asks().await;
        let answer = answer.as_deref().map_err(|failure| *failure);
        assert_eq!(answer, then, "a call hurries its keeper");
        sleep(Duration::from_secs(11)).await;
        assert_eq!(stage.asks().await.as_deref(), Ok("b"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_replica_may_have_begun_no_other_gets() {
    let mut stage = Stage::scripted(Era::Modern, &TWO, |name, seen| match name {
        "a" => None,
        _ => Some(Scripted::json(result(seen, "\"b\""))),
    });
    stage.ready(2).await;
    let mut outcomes = [stage.asks().await, stage.asks().await];
    outcomes.sort_by_key(Result::is_ok);
    assert_eq!(outcomes[0], Err(Failure::FirstByteTimeout));
    assert_eq!(outcomes[1].as_deref(), Ok("b"));
    for record in &mut stage.records {
        let mut calls = 0;
        while let Ok(seen) = record.try_recv() {
            calls += usize::from(seen.method() == "tools/call");
        }
        assert_eq!(calls, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_replica_has_begun_it_alone_goes_on_with() {
    let stage = Stage::open(Era::Modern, &TWO);
    stage.ready(2).await;
    for at in [1, 0, 1, 1, 0] {
        let mut call = tool_call(Era::Modern, Leave::Cancels, PARAMS);
        call.replica = Some(at);
        assert_eq!(stage.send(call).await.as_deref(), Ok(["a", "b"][at]));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_found_at_the_replica_that_has_it() {
    let stage = Stage::scripted(Era::Modern, &TWO, |name, seen| {
        let has_it = seen.body["params"]["taskId"] == name;
        let id = &seen.body["id"];
        Some(Scripted::json(if has_it {
            result(seen, &format!("{name:?}"))
        } else {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32602,"message":"no task"}}}}"#
            )
        }))
    });
    stage.ready(2).await;
    let task = |params| {
        let mut call = tool_call(Era::Modern, Leave::Cancels, params);
        call.method = "tasks/get".into();
        call
    };
    for _ in 0..3 {
        let a = stage.send(task(r#"{"taskId":"a"}"#)).await;
        assert_eq!(a.as_deref(), Ok("a"));
        let b = stage.send(task(r#"{"taskId":"b"}"#)).await;
        assert_eq!(b.as_deref(), Ok("b"));
    }
    let nobodys = stage.send(task(r#"{"taskId":"c"}"#)).await.unwrap();
    assert!(nobodys.contains("no task"), "{nobodys}");
}

/// Servers that answer calls with an HTTP error as long as they are ill.
fn ill(ill: &Arc<AtomicBool>) -> impl Fn(&str, &Seen) -> Option<Scripted> + Clone + use<> {
    let ill = Arc::clone(ill);
    move |name, seen| {
        let is_ill = name == "a" && ill.load(Ordering::SeqCst);
        Some(if is_ill {
            Scripted::status(503)
        } else {
            Scripted::json(result(seen, &format!("{name:?}")))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_fails_is_passed_over_until_a_handshake_has_reached_it() {
    for era in [Era::Modern, Era::Legacy] {
        let is_ill = Arc::new(AtomicBool::new(true));
        let mut stage = Stage::scripted(era, &TWO, ill(&is_ill));
        stage.ready(2).await;
        let mut failed = 0;
        for _ in 0..30 {
            failed += usize::from(stage.asks().await == Err(Failure::Status(503)));
        }
        assert_eq!(failed, 3, "the third failure is the last one");
        let first = stage.replicas.all().next().unwrap();
        assert_eq!(first.upstream.state().condition, UpstreamState::Down);
        let seen = std::iter::from_fn(|| stage.records[0].try_recv().ok());
        assert_eq!(seen.filter(|seen| seen.method() == "tools/call").count(), 3);

        is_ill.store(false, Ordering::SeqCst);
        sleep(Duration::from_secs(9)).await;
        assert_eq!(count(&stage.who(4).await, "b"), 4, "its pause is not over");
        sleep(Duration::from_secs(2)).await;
        let mut seen = std::iter::from_fn(|| stage.records[0].try_recv().ok());
        assert!(
            seen.all(|seen| seen.method() != "tools/call"),
            "no call is a probe"
        );
        assert_eq!(count(&stage.who(4).await, "a"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_out_of_use_and_roused_is_tried_at_once() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let stage = Stage::scripted(Era::Modern, &TWO, ill(&is_ill));
    stage.ready(2).await;
    for _ in 0..30 {
        let _failed = stage.asks().await;
    }
    is_ill.store(false, Ordering::SeqCst);
    stage.refuses(1, true);
    // The breaker of one is open, and the other cannot be reached.
    assert!(stage.asks().await.is_err());
    sleep(Duration::from_secs(5)).await;
    assert!(stage.replicas.upstreams().all(|upstream| upstream.rests()));
    stage.refuses(1, false);
    let began = Instant::now();
    for upstream in stage.replicas.upstreams() {
        upstream.rouse();
    }
    stage.ready(2).await;
    assert!(began.elapsed() < Duration::from_millis(500));
    assert_eq!(count(&stage.who(4).await, "a"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_refuses_calls_at_once_also_while_the_server_is_tried() {
    let is_ill = Arc::new(AtomicBool::new(true));
    let stage = Stage::scripted(
        Era::Modern,
        &[("a", 1, false), ("b", 1, true)],
        ill(&is_ill),
    );
    stage.ready(2).await;
    stage.refuses(1, true);
    for _ in 0..3 {
        assert_eq!(stage.asks().await, Err(Failure::Status(503)));
    }
    stage.refuses(0, true);
    for _ in 0..40 {
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        assert!(stage.asks().await.is_err());
        assert!(began.elapsed() < Duration::from_millis(100));
    }
    is_ill.store(false, Ordering::SeqCst);
    stage.refuses(0, false);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(stage.asks().await.as_deref(), Ok("a"));
}

#[tokio::test(start_paused = true)]
async fn the_less_busy_replica_gets_the_call() {
    let stage = Stage::ruled(
        Era::Modern,
        &TWO,
        Balance::LeastRequests,
        None,
        |name, seen| {
            let is_late = name == "a" && seen.body["params"]["name"] == "late";
            (!is_late).then(|| Scripted::json(result(seen, &format!("{name:?}"))))
        },
    );
    stage.ready(2).await;
    let whole = stage.who(40).await;
    assert!(
        count(&whole, "a") > 5 && count(&whole, "b") > 5,
        "{whole:?}"
    );
    let late = tool_call(Era::Modern, Leave::Cancels, r#"{"name":"late"}"#);
    let mut held = Vec::new();
    while stage.replicas.state().in_flight == 0 {
        let mut sending = Box::pin(stage.send(late.clone()));
        // Only `a` lets it wait.
        let waits = tokio::time::timeout(Duration::from_millis(10), &mut sending).await;
        if waits.is_err() {
            held.push(sending);
        }
    }
    assert_eq!(count(&stage.who(20).await, "b"), 20);
    drop(held);
}

fn of_session(session: u128) -> Call {
    let mut call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
    call.party = Party::Session(session);
    call
}

#[tokio::test(start_paused = true)]
async fn a_session_stays_with_its_replica_and_moves_only_if_that_is_gone() {
    let wanted = [("a", 3, false), ("b", 1, false), ("c", 1, true)];
    let answers =
        |name: &str, seen: &Seen| Some(Scripted::json(result(seen, &format!("{name:?}"))));
    let stage = Stage::ruled(Era::Legacy, &wanted, Balance::Sticky, None, answers);
    stage.ready(3).await;
    let mut homes = Vec::new();
    for session in 0..100 {
        let home = stage.send(of_session(session)).await.unwrap();
        assert_eq!(
            stage.send(of_session(session)).await.as_deref(),
            Ok(home.as_str())
        );
        homes.push(home);
    }
    assert!(
        (60..90).contains(&count(&homes, "a")),
        "by weight: {homes:?}"
    );
    assert_eq!(count(&homes, "c"), 0);
    stage.refuses(1, true);
    for session in 0..100 {
        assert_eq!(stage.send(of_session(session)).await.as_deref(), Ok("a"));
    }
    stage.refuses(1, false);
    stage.ready(3).await;
    for (session, home) in (0..).zip(&homes) {
        assert_eq!(
            stage.send(of_session(session)).await.as_deref(),
            Ok(home.as_str())
        );
    }
}
