//! Streams whose readers are slower than their writers, or gone: nothing piles up for them.

use std::time::{Duration, Instant};

use mcpc_faults::HttpServer;
use mcpc_process::{Client, call_message, peak_memory, post, reset_peak_memory, until};
use serde_json::json;

use crate::legacy::LegacyCaller;
use crate::stage::{Stage, TIMEOUTS};

/// How much the gateway may grow for one stream, whatever its server writes.
const GROWTH_MAX: u64 = 4 << 20;

/// How long a flood is looked at; the calls of these tests end after five seconds.
const LOOK: Duration = Duration::from_secs(3);
const OVER: Duration = Duration::from_secs(7);

fn serve(era: &str) -> (HttpServer, Stage, LegacyCaller) {
    let server = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let stage = Stage::open(&format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: {era}, timeouts: {TIMEOUTS} }}\n",
        server.address
    ));
    let caller = LegacyCaller::greet(stage.gateway.address);
    stage.client().echoes("echo", 0);
    (server, stage, caller)
}

/// A flood towards a client of 2026-07-28, which has to ask for log messages with its call.
fn modern_flood(stage: &Stage) -> Client {
    let mut message = call_message("notices", &json!({}));
    message["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!("debug");
    let mirrored = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
                    Mcp-Name: notices\r\n";
    let address = stage.gateway.address;
    let mut client = Client::connect(address);
    client.send(post(address, "/mcp", mirrored, &message.to_string()));
    client
}

/// Reads some of a stream; the last id in it.
fn last_id(stream: &mut Client) -> String {
    let text = String::from_utf8(stream.take(64 * 1024)).unwrap();
    let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    // The last line may be cut.
    ids.rev().nth(1).unwrap().to_owned()
}

/// Reads a flood slowly while another client works.
fn read_slowly(stage: &Stage, slow: &mut Client) {
    let first = String::from_utf8(slow.take(64 * 1024)).unwrap();
    assert!(first.contains("notifications/message"), "{first:.200}");
    let mut other = stage.client();
    other.call("late", &json!({ "ms": 1 }));
    reset_peak_memory(stage.gateway.id());
    let before = peak_memory(stage.gateway.id());
    let began = Instant::now();
    while began.elapsed() < LOOK {
        // Ten times a second 1 KiB.
        let asked = Instant::now();
        other.call("late", &json!({ "ms": 100 }));
        assert!(asked.elapsed() < Duration::from_secs(1), "it was held up");
        slow.take(1024);
    }
    let grown = peak_memory(stage.gateway.id()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "it grew by {} KiB", grown >> 10);
}

fn to_a_slow_legacy_reader(era: &str) {
    let (_server, stage, caller) = serve(era);
    read_slowly(&stage, &mut caller.begin(1, "notices", &json!({})));
    stage.gateway.stop();
}

fn to_a_slow_modern_reader(era: &str) {
    let (_server, stage, _) = serve(era);
    read_slowly(&stage, &mut modern_flood(&stage));
    stage.gateway.stop();
}

#[test]
fn a_flood_of_a_legacy_server_takes_no_memory_however_slowly_a_legacy_client_reads() {
    to_a_slow_legacy_reader("legacy");
}

#[test]
fn a_flood_of_a_modern_server_takes_no_memory_however_slowly_a_legacy_client_reads() {
    to_a_slow_legacy_reader("modern");
}

#[test]
fn a_flood_of_a_legacy_server_takes_no_memory_however_slowly_a_modern_client_reads() {
    to_a_slow_modern_reader("legacy");
}

#[test]
fn a_flood_of_a_modern_server_takes_no_memory_however_slowly_a_modern_client_reads() {
    to_a_slow_modern_reader("modern");
}

/// The reader of a flood leaves, which is no cancellation: the call goes on to its deadline.
fn without_a_reader(era: &str) {
    let (_server, stage, caller) = serve(era);
    let began = Instant::now();
    let mut stream = caller.begin(1, "notices", &json!({}));
    let last = last_id(&mut stream);
    reset_peak_memory(stage.gateway.id());
    let before = peak_memory(stage.gateway.id());
    drop(stream);
    until("the call is over", || began.elapsed() > OVER);
    let grown = peak_memory(stage.gateway.id()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "it grew by {} KiB", grown >> 10);
    let rest = caller.resume(&last);
    assert_eq!(rest.status, 200, "{}", rest.head);
    assert!(rest.body.len() < 2 << 20, "{} bytes", rest.body.len());
    assert_eq!(rest.code(), "MCPC9305");
    stage.gateway.stop();
}

#[test]
fn a_flood_of_a_legacy_server_whose_reader_has_left_takes_no_memory_and_its_end_is_kept() {
    without_a_reader("legacy");
}

#[test]
fn a_flood_of_a_modern_server_whose_reader_has_left_takes_no_memory_and_its_end_is_kept() {
    without_a_reader("modern");
}
