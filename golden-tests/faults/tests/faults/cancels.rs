//! Cancellation: the server that works on a call hears of it at once, by the id that it knows, and no
//! other call does.
//!
//! Two clients of 2025-11-25 use the same ids and cancel by notification, each what the other keeps;
//! clients of 2026-07-28 use one id for everything and cancel by closing their stream.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcpc_faults::HttpServer;
use mcpc_process::{Client, until};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage, Traffic, text_of};

/// Five rounds of 100 are 500 cancellations at one server.
const ROUNDS: u64 = 5;
const CANCELS_PER_ROUND: usize = 100;
/// How many each legacy client cancels and keeps in a round; the modern ones twice as many.
const CANCELLED: u64 = 25;
const KEPT: u64 = 5;
/// A server hears of a cancellation within this time.
const DELAY_MAX: Duration = Duration::from_secs(1);

/// A call that waits at the server.
struct Waiting {
    mark: String,
    client: Client,
    /// The legacy client that it belongs to and its id there.
    of: Option<(LegacyCaller, u64)>,
    is_kept: bool,
}

/// When what was cancelled, in milliseconds since 1970.
type Sent = BTreeMap<String, u64>;

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_millis()).unwrap()
}

/// All calls of a round, under way.
fn begin(stage: &Stage, legacy: &[LegacyCaller; 2], round: u64) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for (number, caller) in legacy.iter().enumerate() {
        for id in 1..=CANCELLED + KEPT {
            let mark = format!("legacy {number}, round {round}, id {id}");
            let arguments = json!({ "round": round, "mark": mark });
            waiting.push(Waiting {
                client: caller.begin(id, "held", &arguments),
                of: Some((caller.clone(), id)),
                // What one keeps, the other cancels under the same id.
                is_kept: if number == 0 {
                    id > CANCELLED
                } else {
                    id <= KEPT
                },
                mark,
            });
        }
    }
    for id in 1..=2 * (CANCELLED + KEPT) {
        let mark = format!("modern, round {round}, number {id}");
        let arguments = json!({ "round": round, "mark": mark });
        waiting.push(Waiting {
            client: stage.client().begin("held", &arguments),
            of: None,
            is_kept: id % 6 == 0,
            mark,
        });
    }
    waiting
}

fn ledger(stage: &Stage) -> Value {
    let text = text_of(&stage.client().call("ledger", &json!({})));
    serde_json::from_str(&text).unwrap()
}

fn marks<'a>(entries: &'a Value, at: &'a str) -> impl Iterator<Item = &'a str> {
    let entries = entries.as_array().unwrap().iter();
    entries.map(move |entry| entry.pointer(at).and_then(Value::as_str).unwrap())
}

/// Cancels what is to be cancelled, and holds those who did to what they get for it.
fn cancel(waiting: Vec<Waiting>, sent: &mut Sent) -> Vec<Waiting> {
    let (kept, cancelled): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|it| it.is_kept);
    assert_eq!(cancelled.len(), CANCELS_PER_ROUND);
    let mut silenced = Vec::new();
    for Waiting {
        mark, client, of, ..
    } in cancelled
    {
        sent.insert(mark, now_ms());
        match of {
            Some((caller, id)) => {
                let params = json!({ "requestId": id, "reason": "no longer of interest" });
                let reply = caller.notify("notifications/cancelled", &params);
                assert_eq!(reply.status, 202, "{reply:?}");
                silenced.push(client);
            }
            None => drop(client),
        }
    }
    for mut client in silenced {
        let reply = client.reply().unwrap();
        // A stream without an answer: nobody waits for one.
        assert_eq!((reply.status, reply.body.as_str()), (200, ""), "{reply:?}");
        let form = "content-type: text/event-stream";
        assert!(reply.head.to_ascii_lowercase().contains(form), "{reply:?}");
    }
    kept
}

fn one_round(stage: &Stage, legacy: &[LegacyCaller; 2], round: u64, sent: &mut Sent) {
    let waiting = begin(stage, legacy, round);
    let all: BTreeSet<String> = waiting.iter().map(|it| it.mark.clone()).collect();
    until("all calls of the round wait at the server", || {
        let ledger = ledger(stage);
        let begun: BTreeSet<_> = marks(&ledger["begun"], "/mark").collect();
        all.iter().all(|mark| begun.contains(mark.as_str()))
    });
    let kept = cancel(waiting, sent);
    until("the server has heard of as many", || {
        marks(&ledger(stage)["cancelled"], "/arguments/mark").count() >= sent.len()
    });
    stage.client().call("release", &json!({ "round": round }));
    for mut it in kept {
        let text = text_of(&it.client.reply().unwrap());
        let arguments: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(arguments["mark"], it.mark.as_str());
    }
}

/// 500 cancellations at one server, with calls before, beside and after them.
fn cancels(stage: &Stage) {
    let legacy = [(); 2].map(|()| LegacyCaller::greet(stage.gateway.address));
    let mut sent = Sent::new();
    let traffic = Traffic::begin();
    let mut other = stage.client();
    std::thread::scope(|scope| {
        let over = traffic.over();
        let others = scope.spawn(|| traffic.echoes(&mut other, &["echo"]));
        for round in 0..ROUNDS {
            one_round(stage, &legacy, round, &mut sent);
        }
        drop(over);
        assert!(others.join().unwrap() > 0);
    });
    let ledger = ledger(stage);
    let heard: Vec<&str> = marks(&ledger["cancelled"], "/arguments/mark").collect();
    assert_eq!(heard.len(), 500, "each is told once");
    let heard: BTreeSet<&str> = heard.into_iter().collect();
    assert_eq!(heard, sent.keys().map(String::as_str).collect());
    assert_eq!(ledger["unknown"], json!([]), "the server knows every id");
    for entry in ledger["cancelled"].as_array().unwrap() {
        let sent = sent[entry["arguments"]["mark"].as_str().unwrap()];
        let delay = entry["at_ms"].as_u64().unwrap().saturating_sub(sent);
        assert!(
            u128::from(delay) < DELAY_MAX.as_millis(),
            "{delay} ms: {entry}"
        );
    }
}

fn over_http(era: &str) {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let stage = Stage::open(&format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: {era} }}\n",
        server.address
    ));
    cancels(&stage);
    stage.gateway.stop();
}

fn over_stdio(era: &str) {
    let stage = Stage::open(&format!(
        "servers:\n  child: {{ command: {FAULTY:?}, era: {era} }}\n"
    ));
    cancels(&stage);
    stage.gateway.stop();
}

#[test]
fn a_modern_server_hears_of_exactly_the_calls_that_were_cancelled() {
    over_http("modern");
}

#[test]
fn a_legacy_server_hears_of_exactly_the_calls_that_were_cancelled() {
    over_http("legacy");
}

#[test]
fn a_modern_process_hears_of_exactly_the_calls_that_were_cancelled() {
    over_stdio("modern");
}

#[test]
fn a_legacy_process_hears_of_exactly_the_calls_that_were_cancelled() {
    over_stdio("legacy");
}

/// Begins a call and loses the connection before anything has come.
fn leave(stage: &Stage, caller: &LegacyCaller, id: u64, mark: &str) {
    let arguments = json!({ "round": 0, "mark": mark });
    let client = caller.begin(id, "held", &arguments);
    until("the call waits at the server", || {
        marks(&ledger(stage)["begun"], "/mark").any(|begun| begun == mark)
    });
    drop(client);
    until("the gateway knows that its client has gone", || {
        stage
            .gateway
            .page("/metrics")
            .contains("mcpc_connections 0\n")
    });
}

#[test]
fn a_call_is_cancelled_although_its_client_was_gone_meanwhile() {
    for era in ["modern", "legacy"] {
        // Longer than the test waits: a server is told of a call that has no answer in time, too.
        let timeouts = "{ first_byte: 10m, idle: 10m, total: 10m }";
        let stage = Stage::open(&format!(
            "servers:\n  child: {{ command: {FAULTY:?}, era: {era}, timeouts: {timeouts} }}\n"
        ));
        let heard = |mark: &str| {
            marks(&ledger(&stage)["cancelled"], "/arguments/mark").any(|heard| heard == mark)
        };
        let caller = LegacyCaller::greet_as("2025-06-18", stage.gateway.address);
        leave(&stage, &caller, 1, "told");
        assert!(!heard("told"), "leaving is no cancellation");
        let params = json!({ "requestId": 1 });
        assert_eq!(
            caller.notify("notifications/cancelled", &params).status,
            202
        );
        until("the server hears of it", || heard("told"));
        leave(&stage, &caller, 2, "ended");
        caller.end();
        until("the server hears of the end", || heard("ended"));
        until("none is under way", || {
            stage.gateway.upstream("child")["in_flight"] == 0
        });
        stage.gateway.stop();
    }
}
