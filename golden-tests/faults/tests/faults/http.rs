//! A server that misbehaves over HTTP: the caller is told in time, and nobody else notices.

use std::net::SocketAddr;

use mcpc_faults::HttpServer;
use mcpc_process::{descriptors, peak_memory, reset_peak_memory, until};
use serde_json::json;

use crate::stage::{Caller, Stage, TIMEOUTS, all_beside, text_of};

/// Every fault of a call over HTTP, and the codes that say so.
const FAULTS: [(&str, &[&str]); 17] = [
    ("garbage", &["MCPC9307"]),
    ("wrong_id", &["MCPC9308"]),
    ("silence", &["MCPC9303"]),
    ("hang", &["MCPC9303"]),
    ("die", &["MCPC9306"]),
    ("huge", &["MCPC9309"]),
    ("huge_chunks", &["MCPC9309"]),
    ("huge_event", &["MCPC9309"]),
    ("endless_body", &["MCPC9309"]),
    ("endless_events", &["MCPC9305"]),
    ("firehose", &["MCPC9305"]),
    ("cut_body", &["MCPC9306"]),
    ("stalled_body", &["MCPC9304"]),
    ("cut_head", &["MCPC9306", "MCPC9307"]),
    ("stalled_head", &["MCPC9303"]),
    ("endless_head", &["MCPC9307"]),
    ("wrong_type", &["MCPC9310"]),
];

/// A reply may have this many bytes, and the gateway may grow by this much while many arrive that
/// are larger: a few whole ones, and buffers.
const REPLY: &str = "2MiB";
const GROWTH_MAX: u64 = 24 << 20;

fn serve(era: &str) -> (HttpServer, Stage) {
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = server.address;
    let stage = Stage::open(&format!(
        "limits: {{ reply: {REPLY} }}\n\
         servers:\n  web: {{ url: \"http://{address}/mcp\", era: {era}, timeouts: {TIMEOUTS} }}\n"
    ));
    (server, stage)
}

/// All faults at once, and beside them a client whose calls to the same server must go on.
fn all_at_once(era: &str) {
    let (server, stage) = serve(era);
    let mut other = stage.client();
    other.echoes("echo", 0);
    let (open, connected) = (descriptors(stage.gateway.id()), server.connections());
    reset_peak_memory(stage.gateway.id());
    let before = peak_memory(stage.gateway.id());
    let gateway = stage.gateway.address;
    all_beside(other, "echo", &FAULTS, |(tool, codes)| {
        let mut caller = Caller::connect(gateway);
        caller.fails(tool, codes);
        // The connection of the caller is as good as before, whatever came from behind.
        caller.echoes("echo", 7);
    });
    let grown = peak_memory(stage.gateway.id()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "it grew by {} MiB", grown >> 20);
    // A few connections are kept for the next calls; none of the broken ones is.
    until("the broken connections are closed", || {
        server.connections() <= connected + FAULTS.len()
    });
    until("its descriptors are back", || {
        descriptors(stage.gateway.id()) <= open + FAULTS.len()
    });
    stage.gateway.stop();
}

#[test]
fn a_modern_server_that_misbehaves_costs_nobody_but_its_caller() {
    all_at_once("modern");
}

#[test]
fn a_legacy_server_that_misbehaves_costs_nobody_but_its_caller() {
    all_at_once("legacy");
}

#[test]
fn a_second_answer_on_a_connection_is_nobodys() {
    let (_server, stage) = serve("modern");
    let mut caller = stage.client();
    for mark in 0..50 {
        caller.echoes("twice", mark);
        caller.echoes("echo", mark + 1000);
    }
    stage.gateway.stop();
}

#[test]
fn an_answer_that_comes_again_is_nobodys() {
    let (_server, stage) = serve("modern");
    let mut caller = stage.client();
    for mark in 0..10 {
        caller.echoes("again", mark);
        // The server has taken this request: whether it was carried out, nobody knows.
        caller.fails("echo", &["MCPC9308"]);
        caller.echoes("echo", mark + 1000);
    }
    stage.gateway.stop();
}

#[test]
fn what_nobody_asked_for_is_left_out() {
    let (_server, stage) = serve("modern");
    let mut caller = stage.client();
    for mark in 0..10 {
        caller.echoes("unasked", mark);
    }
    stage.gateway.stop();
}

#[test]
fn an_answer_after_the_deadline_is_nobodys() {
    let (_server, stage) = serve("modern");
    let mut caller = stage.client();
    let reply = caller.call("late", &json!({ "ms": 2600 }));
    assert_eq!(reply.code(), "MCPC9303", "{reply:?}");
    // Its answer comes while these go on.
    let reply = caller.call("late", &json!({ "ms": 1200 }));
    assert_eq!(text_of(&reply), json!({ "ms": 1200 }).to_string());
    caller.echoes("echo", 1);
    stage.gateway.stop();
}
