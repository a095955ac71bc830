//! Clients that send what is no HTTP, no JSON-RPC or no MCP: the answer that the revision demands, a
//! closed connection where it is not clear any more where a request ends, and a next good call that
//! works. How the guard reads bytes is tested beside it; this is the whole way through a socket.

use std::net::SocketAddr;

use mcpc_process::{Client, Reply, call_message, post};
use serde_json::{Value, json};

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// What mirrors a good `tools/call` of `echo`.
const MIRRORED: &str =
    "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n";

fn serve() -> Stage {
    Stage::open(&format!(
        "limits: {{ body: 64KiB }}\nservers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n"
    ))
}

fn good_call(address: SocketAddr) -> String {
    let message = call_message("echo", &json!({})).to_string();
    post(address, "/mcp", MIRRORED, &message)
}

#[track_caller]
fn is_good(reply: &Reply) {
    let text = reply.message().pointer("/result/content/0/text").cloned();
    assert_eq!((reply.status, text), (200, Some(json!("{}"))), "{reply:#?}");
}

#[test]
fn a_line_break_in_a_request_smuggles_nothing_to_a_process() {
    let stage = serve();
    let address = stage.gateway.address;
    let hidden = call_message("echo", &json!({ "of": "nobody" }));
    let arguments = json!({ "x": [hidden] });
    for line_break in ["\n", "\r", "\r\n"] {
        let message = call_message("echo", &arguments).to_string();
        let message = message.replace(":[", &format!(":[{line_break}"));
        let message = message.replace("]}", &format!("{line_break}]}}"));
        assert!(message.contains(line_break));
        let request = post(address, "/mcp", MIRRORED, &message);
        let reply = Client::connect(address).ask(request);
        let text = reply.message().pointer("/result/content/0/text").cloned();
        let text = text.and_then(|text| serde_json::from_str::<Value>(text.as_str()?).ok());
        assert_eq!(
            (reply.status, text.as_ref()),
            (200, Some(&arguments)),
            "{reply:#?}"
        );
    }
    stage.gateway.stop();
}

/// Requests whose end cannot be told, or that two readers could read in two ways: what is wrong, the
/// lines of the head after those of every request, and what follows the head.
const UNFRAMED: [(&str, &str, &str); 13] = [
    (
        "two lengths",
        "Content-Length: 40\r\nContent-Length: 1\r\n",
        PING,
    ),
    (
        "both framings",
        "Content-Length: 40\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
    ),
    ("a signed length", "Content-Length: +40\r\n", PING),
    (
        "a length beyond numbers",
        "Content-Length: 99999999999999999999999\r\n",
        PING,
    ),
    (
        "an unknown coding",
        "Transfer-Encoding: gzip, chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "a coding with a mark",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "a chunk without a size",
        "Transfer-Encoding: chunked\r\n",
        "x\r\n{}\r\n0\r\n\r\n",
    ),
    (
        "a chunk without its end",
        "Transfer-Encoding: chunked\r\n",
        "2\r\n{}0\r\n\r\n",
    ),
    (
        "a folded line",
        "X-A: b\r\n c\r\nContent-Length: 40\r\n",
        PING,
    ),
    ("a blank before the colon", "Content-Length : 40\r\n", PING),
    ("a bare line feed", "X-A: b\nContent-Length: 40\r\n", PING),
    (
        "NUL in a field",
        "X-A: b\0c\r\nContent-Length: 40\r\n",
        PING,
    ),
    ("two hosts", "Host: other\r\nContent-Length: 40\r\n", PING),
];

/// Bytes that are no request of HTTP/1.
const NO_REQUEST: [(&str, &str); 6] = [
    (
        "no host",
        "POST /mcp HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    ),
    (
        "a later version",
        "POST /mcp HTTP/3.0\r\nHost: localhost\r\n\r\n",
    ),
    ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (
        "a tunnel",
        "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
    ),
    (
        "a greeting of TLS",
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\r\n\r\n",
    ),
    ("no HTTP", "hello\r\n\r\n"),
];

/// All of them, and the status of the refusal.
fn unframed(address: SocketAddr) -> Vec<(&'static str, String, u16)> {
    let whole = |lines: &str, rest: &str| {
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\n{lines}\r\n{rest}"
        )
    };
    assert_eq!(PING.len(), 40, "the length that the table names");
    let heads = UNFRAMED.map(|(name, lines, rest)| (name, whole(lines, rest), 400));
    let others = NO_REQUEST.map(|(name, bytes)| (name, bytes.to_owned(), 400));
    let large = format!("X-A: {}\r\n", "b".repeat(1 << 20));
    let many = "X-A: b\r\n".repeat(2000);
    let beyond = [
        ("a field too large", whole(&large, ""), 431),
        ("fields too many", whole(&many, ""), 431),
    ];
    heads.into_iter().chain(others).chain(beyond).collect()
}

#[test]
fn a_request_without_clear_bounds_is_refused_and_ends_its_connection() {
    let stage = serve();
    let address = stage.gateway.address;
    for (name, bytes, status) in unframed(address) {
        let mut client = Client::connect(address);
        // A good call before it is answered first, and one behind it never: it could be a part of it.
        client.send(good_call(address) + &bytes + &good_call(address));
        is_good(&client.reply().unwrap());
        let refused = client.reply().unwrap();
        assert_eq!(refused.status, status, "{name}: {refused:#?}");
        assert_eq!(refused.rpc_code(), Some(-32600), "{name}: {refused:#?}");
        assert!(
            refused.message().get("id").is_none(),
            "{name}: {refused:#?}"
        );
        assert!(
            refused.head.to_lowercase().contains("connection: close"),
            "{name}"
        );
        assert!(client.is_closed(), "{name}");
        is_good(&Client::connect(address).ask(good_call(address)));
    }
    stage.gateway.stop();
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing_behind() {
    let stage = serve();
    let address = stage.gateway.address;
    let good = good_call(address);
    for length in [1, 10, good.len() / 2, good.len() - 1] {
        let mut client = Client::connect(address);
        client.send(good.get(..length).unwrap());
        drop(client);
    }
    is_good(&Client::connect(address).ask(good));
    stage.gateway.stop();
}

/// What a refused message is answered: status, JSON-RPC code, own code, and the id that it names.
type Refused = (u16, i64, &'static str, Option<&'static str>);

/// Bodies that are no message, in no era.
const NO_MESSAGES: [(&str, &str, Refused); 17] = [
    ("nothing", "", (400, -32700, "MCPC9101", None)),
    (
        "a cut text",
        r#"{"jsonrpc":"2.0","id":1,"#,
        (400, -32700, "MCPC9101", None),
    ),
    (
        "two texts",
        r#"{"id":1}{"id":1}"#,
        (400, -32700, "MCPC9101", None),
    ),
    (
        "a byte order mark",
        "\u{feff}{}",
        (400, -32700, "MCPC9101", None),
    ),
    ("NUL", "{}\0", (400, -32700, "MCPC9101", None)),
    ("a number", "1", (400, -32600, "MCPC9102", None)),
    ("a text", r#""ping""#, (400, -32600, "MCPC9102", None)),
    ("an empty object", "{}", (400, -32600, "MCPC9102", None)),
    ("an empty batch", "[]", (400, -32600, "MCPC9103", None)),
    (
        "a batch",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        (400, -32600, "MCPC9103", None),
    ),
    (
        "no version",
        r#"{"id":1,"method":"ping"}"#,
        (400, -32600, "MCPC9102", Some("1")),
    ),
    (
        "a wrong version",
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        (400, -32600, "MCPC9102", Some("1")),
    ),
    (
        "an id of null",
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        (400, -32600, "MCPC9102", None),
    ),
    (
        "an id that is a list",
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        (400, -32600, "MCPC9102", None),
    ),
    (
        "a method that is none",
        r#"{"jsonrpc":"2.0","id":"a","method":7}"#,
        (400, -32600, "MCPC9102", Some("\"a\"")),
    ),
    (
        "two methods",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"x"}"#,
        (400, -32600, "MCPC9102", Some("1")),
    ),
    (
        "two ids",
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        (400, -32600, "MCPC9102", None),
    ),
];

/// What the modern revision refuses: the mirrored headers, the method, the params with `META` for
/// what `_meta` must hold.
const MODERN: [(&str, &str, &str, &str, Refused); 11] = [
    (
        "no version header",
        "Mcp-Method: tools/call\r\nMcp-Name: echo\r\n",
        "tools/call",
        r#"{"name":"echo",META}"#,
        (400, -32020, "MCPC9105", ID),
    ),
    (
        "no mirrors",
        "MCP-Protocol-Version: 2026-07-28\r\n",
        "tools/call",
        r#"{"name":"echo",META}"#,
        (400, -32020, "MCPC9105", ID),
    ),
    (
        "a sentinel that is none",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: =?base64?ZWN*obw?=\r\n",
        "tools/call",
        r#"{"name":"echo",META}"#,
        (400, -32020, "MCPC9105", ID),
    ),
    (
        "a method in capitals",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: Tools/Call\r\nMcp-Name: echo\r\n",
        "tools/call",
        r#"{"name":"echo",META}"#,
        (400, -32020, "MCPC9105", ID),
    ),
    (
        "a mirror twice",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\nMcp-Method: tools/list\r\n",
        "tools/list",
        "{META}",
        (400, -32020, "MCPC9105", ID),
    ),
    (
        "no meta",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n",
        "tools/list",
        "{}",
        (400, -32602, "MCPC9107", ID),
    ),
    (
        "no capabilities",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n",
        "tools/list",
        r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        (400, -32602, "MCPC9107", ID),
    ),
    (
        "no version in meta",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n",
        "tools/list",
        r#"{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}"#,
        (400, -32602, "MCPC9107", ID),
    ),
    // The only server of an endpoint is asked for methods that the gateway does not know.
    (
        "an unknown method",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: no/such\r\n",
        "no/such",
        "{META}",
        (404, -32601, "", ID),
    ),
    (
        "a removed method",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: ping\r\n",
        "ping",
        "{META}",
        (404, -32601, "MCPC9108", ID),
    ),
    (
        "params that are a list",
        "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n",
        "tools/list",
        "[1]",
        (400, -32602, "MCPC9104", ID),
    ),
];

/// What the revisions before refuse: headers, method, params.
const LEGACY: [(&str, &str, &str, &str, Refused); 6] = [
    (
        "an unknown version",
        "MCP-Protocol-Version: 1999-01-01\r\n",
        "ping",
        "{}",
        (400, -32022, "MCPC9106", ID),
    ),
    (
        "an unknown session",
        "Mcp-Session-Id: not-one-of-ours\r\n",
        "ping",
        "{}",
        (404, -32600, "MCPC9202", ID),
    ),
    (
        "an unknown method",
        "",
        "no/such",
        "{}",
        (200, -32601, "", ID),
    ),
    (
        "params that are a list",
        "",
        "ping",
        "[1]",
        (400, -32602, "MCPC9104", ID),
    ),
    (
        "a call without a name",
        "",
        "tools/call",
        "{}",
        (200, -32602, "MCPC9104", ID),
    ),
    (
        "a name that is a number",
        "",
        "tools/call",
        r#"{"name":7}"#,
        (200, -32602, "MCPC9104", ID),
    ),
];

const ID: Option<&str> = Some("5");

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// All refused messages: name, headers, body, answer.
fn refused() -> Vec<(String, &'static str, String, Refused)> {
    let mut all = Vec::new();
    for (era, headers) in [("legacy", ""), ("modern", MIRRORED)] {
        for (name, body, answer) in NO_MESSAGES {
            all.push((format!("{era}: {name}"), headers, body.to_owned(), answer));
        }
        let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
        let deep = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{deep}}}}}"#);
        let answer = (400, -32700, "MCPC9101", None);
        all.push((format!("{era}: far too deep"), headers, deep, answer));
    }
    let modern = MODERN.map(|case| ("modern", case));
    let legacy = LEGACY.map(|case| ("legacy", case));
    for (era, (name, headers, method, params, answer)) in modern.into_iter().chain(legacy) {
        let params = params.replace("META", META);
        let body = format!(r#"{{"jsonrpc":"2.0","id":5,"method":"{method}","params":{params}}}"#);
        all.push((format!("{era}: {name}"), headers, body, answer));
    }
    all
}

#[test]
fn a_message_that_is_none_is_answered_as_its_revision_demands() {
    let stage = serve();
    let address = stage.gateway.address;
    let mut client = Client::connect(address);
    is_good(&client.ask(good_call(address)));
    let mut wrong = Vec::new();
    for (name, headers, body, (status, rpc_code, code, id)) in refused() {
        let reply = client.ask(post(address, "/mcp", headers, &body));
        let named = reply.message().get("id").map(Value::to_string);
        let seen = (reply.status, reply.rpc_code(), reply.code(), named);
        let expected = (
            status,
            Some(rpc_code),
            code.to_owned(),
            id.map(ToOwned::to_owned),
        );
        // `null` is no id since 2025-11-25: an error that cannot name one has none.
        if seen != expected {
            wrong.push(format!("{name}: {seen:?} instead of {expected:?}"));
        }
        // Its end was clear, so the connection is as good as before.
        is_good(&client.ask(good_call(address)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    stage.gateway.stop();
}

#[test]
fn notifications_and_answers_that_nobody_waits_for_are_accepted_without_a_word() {
    let stage = serve();
    let address = stage.gateway.address;
    let mut client = Client::connect(address);
    for body in [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/of/no/known/kind","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"no"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#,
    ] {
        let reply = client.ask(post(address, "/mcp", "", body));
        assert_eq!((reply.status, reply.body.as_str()), (202, ""), "{body}");
        is_good(&client.ask(good_call(address)));
    }
    stage.gateway.stop();
}

#[test]
fn a_batch_is_answered_in_the_one_revision_that_has_batches() {
    let stage = serve();
    let ping = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" });
    let told = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    let echo = json!({ "jsonrpc": "2.0", "id": "e", "method": "tools/call", "params": { "name": "echo", "arguments": {} } });
    let greeting = json!({ "jsonrpc": "2.0", "id": 4, "method": "initialize", "params": { "protocolVersion": "2025-03-26" } });
    let caller = LegacyCaller::greet_as("2025-03-26", stage.gateway.address);

    let reply = caller.says(&json!([ping(1), told, echo, 7, ping(1), greeting]));
    assert_eq!(reply.status, 200, "{reply:#?}");
    let replies = reply.message();
    let seen = |at: usize, part: &str| replies.pointer(&format!("/{at}{part}")).cloned();
    assert_eq!(
        seen(0, ""),
        Some(json!({ "jsonrpc": "2.0", "id": 1, "result": {} }))
    );
    assert_eq!(seen(1, "/id"), Some(json!("e")));
    assert_eq!(seen(1, "/result/content/0/text"), Some(json!("{}")));
    // What is no message is told so, and costs the others nothing.
    assert_eq!(seen(2, "/error/data/code"), Some(json!("MCPC9102")));
    assert_eq!(seen(4, "/error/data/code"), Some(json!("MCPC9102")));
    assert_eq!(seen(4, "/id"), Some(json!(4)));
    assert_eq!(seen(5, ""), None);

    let reply = caller.says(&json!([told, told]));
    assert_eq!((reply.status, reply.body.as_str()), (202, ""));
    for (batch, code) in [
        (json!([]), "MCPC9102"),
        (Value::from(vec![ping(1); 65]), "MCPC9102"),
    ] {
        let reply = caller.says(&batch);
        assert_eq!((reply.status, reply.code().as_str()), (400, code));
    }
    let later = LegacyCaller::greet_as("2025-06-18", stage.gateway.address);
    let reply = later.says(&json!([ping(1)]));
    assert_eq!((reply.status, reply.code().as_str()), (400, "MCPC9103"));
    stage.gateway.stop();
}

#[test]
fn a_body_beyond_the_bound_is_refused_however_it_is_sent() {
    let stage = serve();
    let address = stage.gateway.address;
    let large = "x".repeat(200 << 10);
    let chunks = format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n",
        large.len()
    );
    for request in [post(address, "/mcp", "", &large), chunks] {
        let mut client = Client::connect(address);
        let reply = client.ask(request);
        assert_eq!((reply.status, reply.code().as_str()), (413, "MCPC9006"));
        is_good(&Client::connect(address).ask(good_call(address)));
    }
    stage.gateway.stop();
}
