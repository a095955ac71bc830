//! `mcpc demo`: both servers over standard input and output, in both eras.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::invocation::Folder;

/// No answer takes this long.
const PATIENCE: Duration = Duration::from_secs(30);

const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Era {
    Modern,
    Legacy,
}

/// A running demo server, and a client that remembers what it was told.
struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Value>,
    /// Messages that were not what somebody waited for.
    heard: Vec<Value>,
    era: Era,
    _folder: Folder,
}

impl Server {
    /// Starts a server and, in the legacy era, initializes it.
    fn start(name: &str, era: Era) -> Self {
        let mut server = Self::start_silent(name, era);
        if era == Era::Legacy {
            let hello = json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            });
            let answer = server.request("initialize", hello);
            assert_eq!(
                answer.pointer("/result/protocolVersion"),
                Some(&json!("2025-06-18"))
            );
            server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        }
        server
    }

    fn start_silent(name: &str, era: Era) -> Self {
        let folder = Folder::new();
        let mut command = folder.command(&["demo", name]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let message = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            heard: Vec::new(),
            era,
            _folder: folder,
        }
    }

    fn send(&mut self, message: &Value) {
        self.send_line(&message.to_string());
    }

    fn send_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// Sends a request with what its era wants beside the params.
    fn ask(&mut self, id: &Value, method: &str, mut params: Value) {
        if self.era == Era::Modern {
            let params = params.as_object_mut().unwrap();
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            let meta = meta.as_object_mut().unwrap();
            meta.entry(VERSION).or_insert_with(|| json!("2026-07-28"));
            meta.entry(CAPABILITIES).or_insert_with(|| json!({}));
        }
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    }

    /// Sends a request and gives its answer.
    fn request(&mut self, method: &str, params: Value) -> Value {
        let id = json!("the only one");
        self.ask(&id, method, params);
        self.until(|message| message.get("id") == Some(&id))
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
    }

    /// The next message like this; what comes before it is kept in `heard`.
    fn until(&mut self, is_wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let message = self.lines.recv_timeout(PATIENCE).unwrap();
            if is_wanted(&message) {
                return message;
            }
            self.heard.push(message);
        }
    }

    fn heard(&self, method: &str) -> usize {
        let is_it = |message: &&Value| message.get("method") == Some(&json!(method));
        self.heard.iter().filter(is_it).count()
    }

    /// Closes the input and waits for the end.
    fn close(mut self) {
        drop(self.stdin.take());
        assert!(
            self.lines.recv_timeout(PATIENCE).is_err(),
            "something came after the end"
        );
        assert!(self.child.wait().unwrap().success());
    }
}

fn in_both_eras(name: &str, test: impl Fn(&mut Server)) {
    for era in [Era::Modern, Era::Legacy] {
        let mut server = Server::start(name, era);
        test(&mut server);
        server.close();
    }
}

fn code(answer: &Value) -> Option<i64> {
    answer.pointer("/error/code").and_then(Value::as_i64)
}

fn text(answer: &Value) -> &str {
    answer
        .pointer("/result/content/0/text")
        .and_then(Value::as_str)
        .unwrap()
}

#[test]
fn both_servers_list_what_they_have() {
    for (name, tools) in [("notes", 4), ("clock", 3)] {
        in_both_eras(name, |server| {
            for (method, key, least) in [
                ("tools/list", "tools", tools),
                ("prompts/list", "prompts", 1),
                ("resources/list", "resources", 1),
                ("resources/templates/list", "resourceTemplates", 1),
            ] {
                let answer = server.request(method, json!({}));
                let result = answer.get("result").unwrap();
                assert_eq!(result.get(key).unwrap().as_array().unwrap().len(), least);
                assert_eq!(result.get("ttlMs").is_some(), server.era == Era::Modern);
                assert_eq!(
                    result.get("resultType").is_some(),
                    server.era == Era::Modern
                );
            }
            let cursor = server.request("tools/list", json!({ "cursor": "" }));
            assert_eq!(code(&cursor), Some(-32602));
        });
    }
}

#[test]
fn discovery_tells_what_works() {
    for name in ["notes", "clock"] {
        let mut server = Server::start(name, Era::Modern);
        let answer = server.request("server/discover", json!({}));
        let result = answer.get("result").unwrap();
        assert_eq!(
            result.get("supportedVersions"),
            Some(&json!(["2026-07-28"]))
        );
        assert_eq!(result.get("cacheScope"), Some(&json!("public")));
        for capability in ["tools", "prompts", "resources", "completions", "logging"] {
            assert!(
                result
                    .pointer(&format!("/capabilities/{capability}"))
                    .is_some()
            );
        }
        server.close();
    }
}

#[test]
fn the_first_message_fixes_the_era() {
    let mut modern = Server::start("notes", Era::Modern);
    modern.request("server/discover", json!({}));
    modern.era = Era::Legacy;
    let refused = modern.request("initialize", json!({ "protocolVersion": "2025-11-25" }));
    assert_eq!(code(&refused), Some(-32022));
    assert_eq!(
        code(&modern.request("ping", json!({}))),
        Some(-32602),
        "no `_meta`"
    );
    modern.close();

    let mut legacy = Server::start("notes", Era::Legacy);
    legacy.era = Era::Modern;
    assert_eq!(
        code(&legacy.request("server/discover", json!({}))),
        Some(-32600)
    );
    legacy.era = Era::Legacy;
    assert_eq!(
        legacy.request("ping", json!({})).get("result"),
        Some(&json!({}))
    );
    assert_eq!(
        code(&legacy.request("server/discover", json!({}))),
        Some(-32601)
    );
    legacy.close();
}

#[test]
fn a_modern_request_without_its_meta_is_refused() {
    let mut server = Server::start_silent("clock", Era::Modern);
    let versions = |version: &str| json!({ "_meta": { VERSION: version } });
    let unknown = server.request("tools/list", versions("2027-01-01"));
    assert_eq!(code(&unknown), Some(-32022));
    assert_eq!(
        unknown.pointer("/error/data/supported"),
        Some(&json!(["2026-07-28"]))
    );
    assert_eq!(
        unknown.pointer("/error/data/requested"),
        Some(&json!("2027-01-01"))
    );
    server.era = Era::Legacy;
    let bare = server.request("tools/list", versions("2026-07-28"));
    assert_eq!(code(&bare), Some(-32602), "no capabilities");
    server.era = Era::Modern;
    for removed in [
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "initialized",
    ] {
        assert_eq!(
            code(&server.request(removed, json!({}))),
            Some(-32601),
            "{removed}"
        );
    }
    server.close();
}

#[test]
fn legacy_servers_agree_on_a_revision() {
    for (asked, given) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let mut server = Server::start_silent("clock", Era::Legacy);
        let answer = server.request("initialize", json!({ "protocolVersion": asked }));
        assert_eq!(
            answer.pointer("/result/protocolVersion"),
            Some(&json!(given))
        );
        server.close();
    }
}

#[test]
fn notes_are_added_found_read_and_deleted() {
    in_both_eras("notes", |server| {
        let added = server.call(
            "add_note",
            &json!({ "title": "Milk", "text": "Two litres" }),
        );
        assert_eq!(
            added.pointer("/result/structuredContent/uri"),
            Some(&json!("note://2"))
        );
        assert_eq!(
            text(&server.call("list_notes", &json!({}))),
            "1: Welcome\n2: Milk"
        );
        let found = server.call("search_notes", &json!({ "query": "LITRES" }));
        assert_eq!(text(&found), "2: Milk");
        let read = server.request("resources/read", json!({ "uri": "note://2" }));
        assert_eq!(
            read.pointer("/result/contents/0/text"),
            Some(&json!("Two litres"))
        );
        let asked = json!({ "name": "summarize", "arguments": { "note": "2" } });
        let prompt = server.request("prompts/get", asked);
        let prompt = prompt.pointer("/result/messages/0/content/text").unwrap();
        assert!(prompt.as_str().unwrap().contains("Two litres"));
        server.call("delete_note", &json!({ "id": 2 }));
        let gone = server.request("resources/read", json!({ "uri": "note://2" }));
        let expected = if server.era == Era::Modern {
            -32602
        } else {
            -32002
        };
        assert_eq!(code(&gone), Some(expected));
        assert_eq!(gone.pointer("/error/data/uri"), Some(&json!("note://2")));
        let again = server.call("delete_note", &json!({ "id": 2 }));
        assert_eq!(again.pointer("/result/isError"), Some(&json!(true)));
    });
}

#[test]
fn wrong_names_are_errors_and_wrong_arguments_are_results() {
    in_both_eras("clock", |server| {
        assert_eq!(code(&server.call("then", &json!({}))), Some(-32602));
        assert_eq!(
            code(&server.request("prompts/get", json!({ "name": "x" }))),
            Some(-32602)
        );
        assert_eq!(code(&server.request("tools/call", json!({}))), Some(-32602));
        for (tool, arguments) in [
            ("now", json!({ "offset": "Mars" })),
            ("convert", json!({ "time": "yesterday", "offset": "Z" })),
            ("wait", json!({ "seconds": 1e9 })),
            ("wait", json!({ "seconds": -1 })),
        ] {
            let answer = server.call(tool, &arguments);
            assert_eq!(
                answer.pointer("/result/isError"),
                Some(&json!(true)),
                "{answer}"
            );
        }
    });
}

#[test]
fn times_are_told_and_converted() {
    in_both_eras("clock", |server| {
        let arguments = json!({ "time": "2026-07-28T23:30:00Z", "offset": "+02:00" });
        let answer = server.call("convert", &arguments);
        assert_eq!(text(&answer), "2026-07-29T01:30:00+02:00 (Wednesday)");
        for uri in ["clock://now", "clock://now/-05:30", "clock://now/%2B02:00"] {
            let read = server.request("resources/read", json!({ "uri": uri }));
            assert!(read.pointer("/result/contents/0/text").is_some(), "{read}");
        }
        let wrong = server.request("resources/read", json!({ "uri": "clock://nowhere" }));
        assert!(code(&wrong).is_some());
    });
}

#[test]
fn arguments_are_completed() {
    in_both_eras("clock", |server| {
        for reference in [
            json!({ "type": "ref/prompt", "name": "meeting" }),
            json!({ "type": "ref/resource", "uri": "clock://now/{offset}" }),
        ] {
            let argument = json!({ "name": "offset", "value": "+0" });
            let params = json!({ "ref": reference, "argument": argument });
            let answer = server.request("completion/complete", params);
            let values = answer.pointer("/result/completion/values").unwrap();
            let values = values.as_array().unwrap();
            assert!(values.contains(&json!("+02:00")) && !values.contains(&json!("Z")));
        }
        let unknown = json!({ "type": "ref/prompt", "name": "nothing" });
        let argument = json!({ "name": "offset", "value": "" });
        let params = json!({ "ref": unknown, "argument": argument });
        assert_eq!(
            code(&server.request("completion/complete", params)),
            Some(-32602)
        );
    });
}

#[test]
fn progress_and_log_messages_come_before_the_answer_if_asked_for() {
    in_both_eras("clock", |server| {
        let level = "io.modelcontextprotocol/logLevel";
        let meta = match server.era {
            Era::Modern => json!({ "progressToken": 7, level: "info" }),
            Era::Legacy => {
                server.request("logging/setLevel", json!({ "level": "info" }));
                json!({ "progressToken": 7 })
            }
        };
        let arguments = json!({ "seconds": 0.3 });
        let wait = json!({ "name": "wait", "arguments": arguments, "_meta": meta });
        let answer = server.request("tools/call", wait);
        assert_eq!(text(&answer), "Waited 0.3 s.");
        assert_eq!(server.heard("notifications/message"), 1);
        let steps: Vec<f64> = server
            .heard
            .iter()
            .filter(|message| message.pointer("/params/progressToken") == Some(&json!(7)))
            .map(|message| {
                message
                    .pointer("/params/progress")
                    .unwrap()
                    .as_f64()
                    .unwrap()
            })
            .collect();
        assert!(steps.len() >= 2 && steps.is_sorted(), "{steps:?}");
        assert_eq!(steps.last(), Some(&0.3));

        server.heard.clear();
        if server.era == Era::Legacy {
            server.request("logging/setLevel", json!({ "level": "error" }));
        }
        server.call("wait", &json!({ "seconds": 0 }));
        assert!(server.heard.is_empty(), "{:?}", server.heard);
    });
}

#[test]
fn a_call_is_taken_back_while_others_go_on() {
    in_both_eras("clock", |server| {
        let slow = json!({ "name": "wait", "arguments": { "seconds": 60 } });
        server.ask(&json!(1), "tools/call", slow.clone());
        server.ask(&json!(1), "tools/call", slow);
        let twice = server.until(|message| message.get("id") == Some(&json!(1)));
        assert_eq!(code(&twice), Some(-32600), "an id that is in use");
        let other = server.call("now", &json!({}));
        assert!(other.get("result").is_some());
        let cancelled = json!({ "requestId": 1, "reason": "test" });
        let method = "notifications/cancelled";
        server.send(&json!({ "jsonrpc": "2.0", "method": method, "params": cancelled }));
        // Its id is free again as soon as it has stopped, long before its minute is over.
        let quick = json!({ "name": "wait", "arguments": { "seconds": 0 } });
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "the call goes on");
            server.ask(&json!(1), "tools/call", quick.clone());
            let answer = server.until(|message| message.get("id") == Some(&json!(1)));
            if answer.get("result").is_some() {
                assert_eq!(text(&answer), "Waited 0 s.");
                break;
            }
        }
    });
}

#[test]
fn changes_of_the_resource_list_are_told_to_those_who_listen() {
    const CHANGED: &str = "notifications/resources/list_changed";
    let note = json!({ "title": "a", "text": "b" });

    let mut legacy = Server::start("notes", Era::Legacy);
    legacy.call("add_note", &note);
    assert_eq!(legacy.heard(CHANGED), 1);
    legacy.close();

    let mut modern = Server::start("notes", Era::Modern);
    modern.call("add_note", &note);
    assert_eq!(modern.heard(CHANGED), 0, "nobody listens yet");
    let filter = json!({ "resourcesListChanged": true, "toolsListChanged": true });
    modern.ask(
        &json!(5),
        "subscriptions/listen",
        json!({ "notifications": filter }),
    );
    let acknowledged = modern.until(|message| message.get("method").is_some());
    assert_eq!(
        acknowledged.pointer("/params/notifications"),
        Some(&json!({ "resourcesListChanged": true }))
    );
    modern.call("add_note", &note);
    assert_eq!(modern.heard(CHANGED), 1);
    let subscription = modern.heard.first().unwrap().pointer("/params/_meta");
    assert_eq!(
        subscription,
        Some(&json!({ "io.modelcontextprotocol/subscriptionId": 5 }))
    );
    let method = "notifications/cancelled";
    modern.send(&json!({ "jsonrpc": "2.0", "method": method, "params": { "requestId": 5 } }));
    modern.call("add_note", &note);
    assert_eq!(modern.heard(CHANGED), 1);
    modern.close();
}

#[test]
fn lines_that_are_no_messages_are_answered_and_the_next_one_is_served() {
    let mut server = Server::start("notes", Era::Legacy);
    for (line, expected) in [
        ("nonsense", -32700),
        ("[]", -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#,
            -32602,
        ),
        (r#"{"jsonrpc":"2.0","id":1}"#, -32600),
    ] {
        server.send_line(line);
        let answer = server.until(|_| true);
        assert_eq!(code(&answer), Some(expected), "{line}");
        assert_ne!(answer.get("id"), Some(&Value::Null));
    }
    server.send_line("");
    server.send_line(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#);
    assert_eq!(
        server.request("ping", json!({})).get("result"),
        Some(&json!({}))
    );
    server.close();
}
