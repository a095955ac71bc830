//! Clients of 2024-11-05 that leave, stall, guess or are cut off: what they asked is given up, what they have
//! open takes little, and nobody else notices.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mcpc_faults::HttpServer;
use mcpc_process::{
    Reply, alive, descendants, descriptors, memory, peak_memory, reset_peak_memory, until,
};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::sse::{SseCaller, says_at};
use crate::stage::{FAULTY, Stage, TIMEOUTS, text_of};

/// How much the gateway may grow for one stream, whatever its server writes.
const GROWTH_MAX: u64 = 4 << 20;

/// How long a flood is looked at; the calls of these tests end after five seconds.
const LOOK: Duration = Duration::from_secs(3);

/// Many streams, and what each may take. A build for tests takes more than a release build.
const IDLE: usize = 1000;
const IDLE_BYTES_MAX: u64 = 48 << 10;

/// How many calls a client that leaves has asked of each of these.
const CALLS: u64 = 10;
const SERVERS: [&str; 3] = ["web", "child", "older"];

fn serve() -> (HttpServer, Stage) {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let stage = Stage::open(&format!(
        "limits: {{ grace: 5s }}\n\
         endpoints:\n\
         \x20 main: {{ path: /mcp, prefix: \"{{server}}.\" }}\n\
         \x20 other: {{ path: /other, servers: [child] }}\n\
         servers:\n\
         \x20 floods: {{ url: \"http://{at}/mcp\", era: legacy, timeouts: {TIMEOUTS} }}\n\
         \x20 web: {{ url: \"http://{at}/mcp\", era: modern }}\n\
         \x20 child: {{ command: {FAULTY:?}, era: modern }}\n\
         \x20 older: {{ command: {FAULTY:?}, era: legacy }}\n",
        at = server.address
    ));
    (server, stage)
}

fn sessions(stage: &Stage) -> Value {
    stage.gateway.status()["sessions"].clone()
}

/// The marks of the calls that a server has begun, or that were given up there.
fn marks(stage: &Stage, server: &str, what: &str) -> BTreeSet<String> {
    let text = text_of(&stage.client().call(&format!("{server}.ledger"), &json!({})));
    let ledger: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(ledger["unknown"], json!([]), "the server knows every id");
    let entries = ledger[what].as_array().unwrap().iter();
    let marks = entries.map(|entry| entry.get("arguments").unwrap_or(entry)["mark"].as_str());
    marks.map(|mark| mark.unwrap().to_owned()).collect()
}

/// What an unknown session is told, but for the number that each request has of its own.
#[track_caller]
fn refused(reply: &Reply) -> Value {
    assert_eq!((reply.status, reply.code().as_str()), (404, "MCPC9202"));
    let mut message = reply.message();
    message["error"]["data"]["correlation"].take();
    message
}

#[test]
fn a_client_that_leaves_gives_up_what_it_asked_and_its_address_is_nobodys() {
    let (_server, stage) = serve();
    let address = stage.gateway.address;
    let mut stays = SseCaller::greet(address);
    let before = sessions(&stage);
    let leaves = SseCaller::greet(address);
    // Both count alike.
    let ids = |at: u64| (at + 1) * 100..(at + 1) * 100 + CALLS;
    let marked = |who: &str, at: u64| -> BTreeSet<String> {
        ids(at).map(|id| format!("{who} {id}")).collect()
    };
    for (at, server) in (0..).zip(SERVERS) {
        for (who, caller) in [("stays", &stays), ("leaves", &leaves)] {
            for id in ids(at) {
                let arguments = json!({ "mark": format!("{who} {id}"), "round": at });
                caller.begin(id, &format!("{server}.held"), &arguments);
            }
        }
        let all: BTreeSet<String> = &marked("stays", at) | &marked("leaves", at);
        until("all calls wait", || marks(&stage, server, "begun") == all);
    }
    let place = leaves.place().to_owned();
    drop(leaves);
    for (at, server) in (0..).zip(SERVERS) {
        until("those of the one that left are given up", || {
            marks(&stage, server, "cancelled") == marked("leaves", at)
        });
    }
    until("its session has ended", || sessions(&stage) == before);
    let ping = json!({ "jsonrpc": "2.0", "id": 3, "method": "ping" });
    refused(&says_at(address, &place, &ping));
    for (at, server) in (0..).zip(SERVERS) {
        let release = format!("{server}.release");
        stage.client().call(&release, &json!({ "round": at }));
        stays.answers(ids(at).collect());
    }
    stage.gateway.stop();
}

#[test]
fn anothers_address_is_nobodys_and_its_stream_hears_nothing() {
    let (_server, stage) = serve();
    let address = stage.gateway.address;
    let mut caller = SseCaller::greet(address);
    let session = LegacyCaller::greet(address);
    let place = caller.place().to_owned();
    let (path, token) = place.split_once("session_id=").unwrap();
    let ping = json!({ "jsonrpc": "2.0", "id": 7, "method": "ping" });
    let says = |place: &str| refused(&says_at(address, place, &ping));
    let unknown = says(&format!("{path}session_id=nobodys"));
    let altered: String = token.chars().rev().collect();
    for guess in ["", &altered, session.session(), &token[1..]] {
        assert_eq!(says(&format!("{path}session_id={guess}")), unknown);
    }
    // It is good on the endpoint of its stream, and for nothing else.
    assert_eq!(says(&format!("/other?session_id={token}")), unknown);
    let other = SseCaller::open_at(address, "/other");
    assert_eq!(says(&other.place().replace("/other", "/mcp")), unknown);
    let (claims, nobodys) = (session.with_session(token), session.with_session("nobodys"));
    assert_eq!(refused(&claims.says(&ping)), refused(&nobodys.says(&ping)));
    assert_eq!(refused(&claims.end()), refused(&nobodys.end()));
    // Whatever these asked would have come before the answer to this, under the id that it has as well.
    let own = caller.call(7, "child.echo", &json!({ "mark": 1 }));
    assert!(own["result"]["content"].is_array(), "{own}");
    stage.gateway.stop();
}

#[test]
fn a_flood_towards_a_client_that_reads_slowly_takes_no_memory_and_holds_up_nobody() {
    let (_server, stage) = serve();
    let mut slow = SseCaller::greet(stage.gateway.address);
    let mut beside = SseCaller::greet(stage.gateway.address);
    slow.begin(1, "floods.notices", &json!({}));
    slow.take(64 << 10);
    beside.echoes(1, "older.echo");
    reset_peak_memory(stage.gateway.id());
    let before = peak_memory(stage.gateway.id());
    let began = Instant::now();
    for id in 2.. {
        if began.elapsed() > LOOK {
            break;
        }
        // Ten times a second 1 KiB.
        let asked = Instant::now();
        beside.call(id, "older.late", &json!({ "ms": 100 }));
        assert!(asked.elapsed() < Duration::from_secs(1), "it was held up");
        slow.take(1024);
    }
    let grown = peak_memory(stage.gateway.id()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "it grew by {} KiB", grown >> 10);
    drop(slow);
    beside.echoes(1, "older.echo");
    stage.gateway.stop();
}

#[test]
fn a_client_that_reads_nothing_is_not_listened_to_until_it_does() {
    let (_server, stage) = serve();
    let mut deaf = SseCaller::greet(stage.gateway.address);
    let mut beside = SseCaller::greet(stage.gateway.address);
    beside.echoes(1, "older.echo");
    reset_peak_memory(stage.gateway.id());
    let before = peak_memory(stage.gateway.id());
    deaf.begin(1, "floods.notices", &json!({}));
    let ping = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
    // What the system keeps for it is full sooner or later.
    let mut taken = 0;
    let refusal = loop {
        let reply = deaf.says(&ping(100 + taken));
        if reply.status != 202 {
            break reply;
        }
        taken += 1;
        beside.echoes(1, "older.echo");
    };
    assert_eq!((refusal.status, refusal.code().as_str()), (503, "MCPC9207"));
    beside.echoes(2, "older.echo");
    let grown = peak_memory(stage.gateway.id()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "it grew by {} KiB", grown >> 10);
    // It reads, and everything that was taken is answered.
    let pings = (0..taken).map(|number| 100 + number);
    deaf.answers(pings.chain([1]).collect());
    deaf.echoes(2, "older.echo");
    stage.gateway.stop();
}

#[test]
fn a_thousand_idle_streams_take_little_and_end_properly() {
    let (_server, stage) = serve();
    let (gateway, address) = (stage.gateway.id(), stage.gateway.address);
    let mut caller = SseCaller::greet(address);
    caller.echoes(1, "older.echo");
    let (base, open) = (memory(gateway), descriptors(gateway));
    let mut idle: Vec<SseCaller> = (0..IDLE).map(|_| SseCaller::greet(address)).collect();
    assert_eq!(sessions(&stage), IDLE + 1);
    let each = memory(gateway).saturating_sub(base) / IDLE as u64;
    assert!(each < IDLE_BYTES_MAX, "each takes {each} bytes");
    caller.echoes(2, "older.echo");
    // Half of them leave without a word, the gateway ends the others.
    idle.truncate(IDLE / 2);
    until("those who left are forgotten", || {
        sessions(&stage) == idle.len() + 1 && descriptors(gateway) <= open + idle.len() + 4
    });
    caller.echoes(3, "older.echo");
    stage.gateway.stop();
    for client in idle {
        client.ends();
    }
    caller.ends();
}

#[test]
fn a_client_connects_again_after_the_gateway_was_killed() {
    let (_server, stage) = serve();
    let mut caller = SseCaller::greet(stage.gateway.address);
    caller.echoes(1, "child.echo");
    caller.begin(2, "older.held", &json!({}));
    let place = caller.place().to_owned();
    let children = descendants(stage.gateway.id());
    let stage = stage.restart();
    assert!(caller.was_cut(), "no end was made up");
    until("its children are gone", || {
        !children.iter().any(|id| alive(*id))
    });
    // The stream is gone, and with it the address, whoever listens there now.
    let ping = json!({ "jsonrpc": "2.0", "id": 3, "method": "ping" });
    refused(&says_at(stage.gateway.address, &place, &ping));
    let mut again = SseCaller::greet(stage.gateway.address);
    again.echoes(1, "child.echo");
    again.echoes(2, "web.echo");
    stage.gateway.stop();
}
