//! A network that fails, behind the gateway and in front of it: whoever is on it is told in time or cut
//! off, nobody else notices, and all is well when the network is.
//!
//! Owns two tables: what happens to the bytes, and what comes of it. Each row has a network of its own, and
//! all of them fail at once. `NETWORK_SEED` chooses which bytes are corrupted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mcpc_faults::{Harm, HttpServer, Network, Way};
use mcpc_process::{call_message, descriptors, post, until};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{Caller, Stage, all_beside};

/// The deadlines of servers behind a network. None of them is shorter than what a busy machine needs.
const TIMEOUTS: &str = "{ connect: 2s, first_byte: 2s, idle: 2s, total: 4s }";

/// What a call may take with them, on a busy machine.
const CALL_MAX: Duration = Duration::from_secs(12);

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(3);
const DRIP: Duration = Duration::from_millis(40);

/// What becomes of a call through a network that fails behind the gateway.
#[derive(Clone, Copy, Debug)]
enum Behind {
    Answered,
    /// The caller is told with one of these codes.
    Told(&'static [&'static str]),
}

const BEHIND: [(&str, Way, Harm, Behind); 13] = [
    (
        "late-answer",
        Way::ToClient,
        Harm::Delay(SHORT),
        Behind::Answered,
    ),
    (
        "late-call",
        Way::ToServer,
        Harm::Delay(SHORT),
        Behind::Answered,
    ),
    (
        "too-late",
        Way::ToClient,
        Harm::Delay(LONG),
        Behind::Told(&["MCPC9303"]),
    ),
    (
        "drip",
        Way::ToClient,
        Harm::Drip {
            bytes: 64,
            pause: DRIP,
        },
        Behind::Answered,
    ),
    (
        "drip-call",
        Way::ToServer,
        Harm::Drip {
            bytes: 64,
            pause: DRIP,
        },
        Behind::Answered,
    ),
    (
        "drop-by-drop",
        Way::ToClient,
        Harm::Drip {
            bytes: 1,
            pause: DRIP,
        },
        Behind::Told(&["MCPC9303", "MCPC9305"]),
    ),
    (
        "cut-head",
        Way::ToClient,
        Harm::Cut { after: 20 },
        Behind::Told(&["MCPC9306", "MCPC9307"]),
    ),
    (
        "cut-call",
        Way::ToServer,
        Harm::Cut { after: 20 },
        Behind::Told(&["MCPC9306"]),
    ),
    (
        "half-closed",
        Way::ToClient,
        Harm::HalfClose { after: 90 },
        Behind::Told(&["MCPC9306"]),
    ),
    (
        "half-call",
        Way::ToServer,
        Harm::HalfClose { after: 20 },
        Behind::Told(&["MCPC9306"]),
    ),
    (
        "corrupt",
        Way::ToClient,
        Harm::Corrupt { after: 0 },
        Behind::Told(&["MCPC9307"]),
    ),
    (
        "black-hole",
        Way::ToClient,
        Harm::BlackHole { after: 0 },
        Behind::Told(&["MCPC9303"]),
    ),
    (
        "half-hole",
        Way::ToClient,
        Harm::BlackHole { after: 90 },
        Behind::Told(&["MCPC9304"]),
    ),
];

/// What a client sees through a network that fails in front of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// The answer.
    Answered,
    /// A reply that says what is wrong with the request.
    Refused,
    /// The end of the connection, and less than a reply before it.
    Broken,
    /// The answer, or the end of the connection: who closes its side cannot be told from who has left,
    /// and leaving gives a call up.
    Gone,
    /// Nothing while the network fails, and the answer afterwards.
    Held,
}

/// `WHOLE` is where the request or the reply ends; other places are counted from the first byte.
const WHOLE: usize = usize::MAX;

const BEFORE: [(&str, Way, Harm, Before); 13] = [
    ("late", Way::ToServer, Harm::Delay(SHORT), Before::Answered),
    (
        "late-answer",
        Way::ToClient,
        Harm::Delay(SHORT),
        Before::Answered,
    ),
    (
        "drip",
        Way::ToServer,
        Harm::Drip {
            bytes: 16,
            pause: DRIP,
        },
        Before::Answered,
    ),
    (
        "drip-answer",
        Way::ToClient,
        Harm::Drip {
            bytes: 16,
            pause: DRIP,
        },
        Before::Answered,
    ),
    (
        "cut-head",
        Way::ToServer,
        Harm::Cut { after: 30 },
        Before::Broken,
    ),
    (
        "cut-answer",
        Way::ToClient,
        Harm::Cut { after: 30 },
        Before::Broken,
    ),
    (
        "half-head",
        Way::ToServer,
        Harm::HalfClose { after: 30 },
        Before::Broken,
    ),
    (
        "half-closed",
        Way::ToServer,
        Harm::HalfClose { after: WHOLE },
        Before::Gone,
    ),
    (
        "half-answer",
        Way::ToClient,
        Harm::HalfClose { after: 30 },
        Before::Broken,
    ),
    (
        "corrupt",
        Way::ToServer,
        Harm::Corrupt { after: 0 },
        Before::Refused,
    ),
    (
        "corrupt-body",
        Way::ToServer,
        Harm::Corrupt { after: WHOLE - 40 },
        Before::Refused,
    ),
    (
        "black-hole",
        Way::ToServer,
        Harm::BlackHole { after: 30 },
        Before::Held,
    ),
    (
        "black-answer",
        Way::ToClient,
        Harm::BlackHole { after: 30 },
        Before::Held,
    ),
];

fn seed() -> u64 {
    let seed = std::env::var("NETWORK_SEED").ok();
    let seed = seed.map_or(7, |seed| seed.parse().unwrap());
    eprintln!("NETWORK_SEED={seed}");
    seed
}

fn fails_behind(era: &str) {
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let seed = seed();
    let networks = BEHIND.map(|_| Network::start(server.address, seed).unwrap());
    let line = |name: &str, address: SocketAddr| {
        format!("  {name}: {{ url: \"http://{address}/mcp\", era: {era}, timeouts: {TIMEOUTS} }}\n")
    };
    let rows = BEHIND.iter().zip(&networks);
    let lines: String = rows
        .map(|(row, network)| line(row.0, network.address))
        .collect();
    let stage = Stage::open(&format!(
        "servers:\n{}{lines}",
        line("steady", server.address)
    ));
    // Each server has been used before its network fails, and has a connection that may be used again.
    for (name, ..) in BEHIND {
        stage.client().echoes(&format!("{name}__echo"), 0);
    }
    let gateway = stage.gateway.address;
    let rows: Vec<_> = BEHIND.iter().zip(&networks).collect();
    all_beside(stage.client(), "steady__echo", &rows, |(row, network)| {
        fails_one_behind(Caller::connect(gateway), row, network);
    });
    stage.gateway.stop();
}

fn fails_one_behind(mut caller: Caller, row: &(&str, Way, Harm, Behind), network: &Network) {
    let (name, way, harm, expected) = *row;
    let tool = format!("{name}__echo");
    network.harm(way, harm);
    let began = Instant::now();
    match expected {
        Behind::Answered => caller.echoes(&tool, 1),
        Behind::Told(codes) => caller.fails(&tool, codes),
    }
    let elapsed = began.elapsed();
    assert!(elapsed < CALL_MAX, "{name}: {elapsed:?}");
    network.heal();
    // The first call after the network works does.
    caller.echoes(&tool, 2);
}

#[test]
fn a_network_that_fails_behind_the_gateway_costs_nobody_but_the_caller() {
    fails_behind("modern");
}

#[test]
fn a_network_that_fails_on_the_way_to_a_legacy_server_costs_nobody_but_the_caller() {
    fails_behind("legacy");
}

/// A client of either era, and the bytes of its calls.
enum Sender {
    Modern,
    Legacy(LegacyCaller),
}

impl Sender {
    fn request(&self, address: SocketAddr, mark: u64) -> String {
        let mut message = call_message("echo", &json!({ "mark": mark }));
        let headers = match self {
            Self::Modern => "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n\
                 Mcp-Name: echo\r\n"
                .to_owned(),
            Self::Legacy(caller) => {
                let params = message.get_mut("params").and_then(Value::as_object_mut);
                params.unwrap().remove("_meta");
                let (session, revision) = (caller.session(), caller.revision());
                format!("Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: {revision}\r\n")
            }
        };
        let headers = format!("{headers}Connection: close\r\n");
        post(address, "/mcp", &headers, &message.to_string())
    }
}

/// Everything that comes on a connection until its end.
fn rest(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(CALL_MAX)).unwrap();
    let mut bytes = Vec::new();
    // A reset is an end as well.
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "no end");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn judge(said: &str, mark: u64) -> Before {
    let is_whole = said.split_once("\r\n\r\n").is_some_and(|(head, body)| {
        let head = head.to_ascii_lowercase();
        let length = head.split_once("content-length: ");
        let length = length.and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok());
        length == Some(body.len()) || body.ends_with("0\r\n\r\n")
    });
    let status = said.split(' ').nth(1).unwrap_or_default();
    match (is_whole, status) {
        (true, "200") if said.contains(&format!("\\\"mark\\\":{mark}")) => Before::Answered,
        (true, status) if status.starts_with('4') => Before::Refused,
        _ => Before::Broken,
    }
}

/// The place in a request, if it is counted from its end.
fn placed(harm: Harm, request: &str) -> Harm {
    let place = |after: usize| {
        let before_end = WHOLE - after;
        request.len().checked_sub(before_end).unwrap_or(after)
    };
    match harm {
        Harm::HalfClose { after } => Harm::HalfClose {
            after: place(after),
        },
        Harm::Corrupt { after } => Harm::Corrupt {
            after: place(after),
        },
        other => other,
    }
}

fn fails_one_before(row: &(&str, Way, Harm, Before), network: &Network, sender: &Sender) {
    let (name, way, harm, expected) = *row;
    let request = sender.request(network.address, 1);
    network.harm(way, placed(harm, &request));
    let mut stream = TcpStream::connect(network.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let seen = if expected == Before::Held {
        until("bytes are held back", || network.holds());
        network.heal();
        judge(&rest(stream), 1)
    } else {
        let said = rest(stream);
        network.heal();
        judge(&said, 1)
    };
    let is_as_expected = match expected {
        Before::Held => seen == Before::Answered,
        Before::Gone => matches!(seen, Before::Answered | Before::Broken),
        other => seen == other,
    };
    assert!(is_as_expected, "{name}: {seen:?}");
    let mut stream = TcpStream::connect(network.address).unwrap();
    let again = sender.request(network.address, 2);
    stream.write_all(again.as_bytes()).unwrap();
    assert_eq!(judge(&rest(stream), 2), Before::Answered, "{name}, healed");
}

fn fails_before(sender: impl Fn(SocketAddr) -> Sender + Sync) {
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let stage = Stage::open(&format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", timeouts: {TIMEOUTS} }}\n",
        server.address
    ));
    let gateway = stage.gateway.address;
    let seed = seed();
    let mut other = stage.client();
    other.echoes("echo", 0);
    let open = descriptors(stage.gateway.id());
    all_beside(other, "echo", &BEFORE, |row| {
        let network = Network::start(gateway, seed).unwrap();
        fails_one_before(row, &network, &sender(network.address));
    });
    until("the broken connections are closed", || {
        // The connections to the server are kept for the next calls.
        descriptors(stage.gateway.id()) <= open + server.connections()
    });
    stage.gateway.stop();
}

#[test]
fn a_network_that_fails_in_front_of_the_gateway_costs_nobody_but_its_client() {
    fails_before(|_| Sender::Modern);
}

#[test]
fn a_network_that_fails_in_front_of_legacy_clients_costs_nobody_but_them() {
    fails_before(|address| Sender::Legacy(LegacyCaller::greet(address)));
}
