//! `mcpc run --stdio`: one client on standard input and output, real children behind the gateway.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::invocation::Folder;
use mcpc_process::{PATIENCE, children, until};

/// Both servers that ship with `mcpc`. The port is taken by the tests that want to show that
/// nothing binds it.
const BOTH: &str = "\
version: 1
servers:
  notes: { command: mcpc, args: [demo, notes] }
  clock: { command: mcpc, args: [demo, clock] }
";

const DOTTED: &str = "\
version: 1
servers:
  notes: { command: mcpc, args: [demo, notes] }
  clock: { command: mcpc, args: [demo, clock] }
endpoints:
  main: { path: /mcp, prefix: \"{server}.\" }
";

const TWO_ENDPOINTS: &str = "\
version: 1
servers:
  notes: { command: mcpc, args: [demo, notes] }
  clock: { command: mcpc, args: [demo, clock] }
endpoints:
  work: { path: /work, servers: [notes] }
  home: { path: /home, servers: [clock] }
";

/// A gateway whose standard input and output are the test's.
struct Desktop {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<String>,
}

impl Desktop {
    fn start(folder: &Folder, arguments: &[&str]) -> Self {
        let mut child = folder
            .command(&[&["run", "--stdio"], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _test_is_over = sender.send(line);
            }
        });
        Self {
            input: child.stdin.take(),
            child,
            messages,
        }
    }

    fn send(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.input
            .as_mut()
            .unwrap()
            .write_all(line.as_bytes())
            .unwrap();
    }

    /// The next line. Each is one message, or the replies to one batch.
    fn line(&self) -> Value {
        let line = self.messages.recv_timeout(PATIENCE).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// The next message.
    fn next(&self) -> Value {
        let message = self.line();
        assert_eq!(message.get("jsonrpc"), Some(&json!("2.0")), "{message}");
        message
    }

    /// The replies to a batch.
    fn batch(&self) -> Vec<Value> {
        loop {
            let line = self.line();
            if let Value::Array(replies) = line {
                return replies;
            }
            let method = line.get("method").and_then(Value::as_str);
            assert!(
                method.is_some_and(|it| it.ends_with("list_changed")),
                "{line}"
            );
        }
    }

    /// The next reply. Notifications come whenever a list has changed.
    fn reply(&self) -> Value {
        loop {
            let message = self.next();
            if message.get("method").is_none() {
                return message;
            }
        }
    }

    fn request(&mut self, id: u64, method: &str, params: &Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let reply = self.reply();
        assert_eq!(reply.get("id"), Some(&json!(id)), "{reply}");
        reply
    }

    /// Opens a session as clients of 2025-11-25 do.
    fn initialize(&mut self) {
        self.initialize_as("2025-11-25");
    }

    fn initialize_as(&mut self, revision: &str) {
        let params = json!({
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let reply = self.request(0, "initialize", &params);
        let version = reply.pointer("/result/protocolVersion");
        assert_eq!(version, Some(&json!(revision)), "{reply}");
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    /// Closes standard input, and holds the gateway to ending well and alone. Gives the replies that
    /// were still to come.
    fn leave(mut self) -> Vec<String> {
        let children = children(self.child.id());
        drop(self.input.take());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        for child in children {
            until("no server is left", || !mcpc_process::alive(child));
        }
        let rest = self.messages.iter();
        rest.filter(|line| !line.contains("list_changed")).collect()
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Params as every request of 2026-07-28 has them.
fn modern(mut params: Value) -> Value {
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
        .as_object_mut()
        .unwrap()
        .insert("_meta".to_owned(), meta);
    params
}

fn has_tool(list: &Value, name: &str) -> bool {
    let tools = list.pointer("/result/tools").and_then(Value::as_array);
    tools
        .unwrap()
        .iter()
        .any(|tool| tool.get("name") == Some(&json!(name)))
}

#[test]
fn standard_output_holds_messages_only_also_if_logs_are_json() {
    let folder = Folder::with_config(BOTH);
    let initialize = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        },
    });
    let arguments = ["run", "--stdio", "--log-format", "json"];
    let ran = folder.mcpc_with_input(&arguments, format!("{initialize}\n").as_bytes());
    let ran = ran.exits_with(0).says("\"message\":\"stopped\"");
    let lines = |text: &str| -> Vec<Value> {
        let lines = text.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let messages = lines(ran.text());
    assert!(!messages.is_empty());
    for message in messages {
        assert!(message.get("jsonrpc").is_some(), "{message}");
    }
    for event in lines(&ran.err) {
        assert!(event.get("level").is_some(), "{event}");
    }
}

#[test]
fn a_legacy_client_is_served_and_leaving_stops_everything() {
    // Whoever has the default port cannot keep a gateway without a listener from starting.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    desktop.initialize();
    let list = desktop.request(1, "tools/list", &json!({}));
    assert!(
        has_tool(&list, "notes__add_note") && has_tool(&list, "clock__now"),
        "{list}"
    );
    let call = json!({"name": "notes__add_note", "arguments": {"title": "a", "text": "b"}});
    let added = desktop.request(2, "tools/call", &call);
    assert!(added.to_string().contains("Added note 2."), "{added}");
    let pong = desktop.request(3, "ping", &json!({}));
    assert_eq!(pong, json!({"jsonrpc": "2.0", "id": 3, "result": {}}));
    assert_eq!(desktop.leave(), [""; 0]);
}

#[test]
fn a_modern_client_is_served() {
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    let discovered = desktop.request(1, "server/discover", &modern(json!({})));
    let versions = discovered.pointer("/result/supportedVersions");
    assert_eq!(versions, Some(&json!(["2026-07-28"])), "{discovered}");
    let arguments = json!({"time": "2026-07-28T00:00:00Z", "offset": "+01:00"});
    let call = modern(json!({"name": "clock__convert", "arguments": arguments}));
    let reply = desktop.request(2, "tools/call", &call);
    assert!(
        reply.to_string().contains("2026-07-28T01:00:00+01:00"),
        "{reply}"
    );
    let gone = desktop.request(3, "ping", &modern(json!({})));
    assert_eq!(gone.pointer("/error/code"), Some(&json!(-32601)), "{gone}");
    let bare = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}});
    let refused = desktop.request(4, "tools/list", &bare);
    assert_eq!(
        refused.pointer("/error/code"),
        Some(&json!(-32602)),
        "{refused}"
    );
    assert_eq!(desktop.leave(), [""; 0]);
}

#[test]
fn requests_overtake_each_other_and_can_be_cancelled() {
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    for (id, params) in [(1, json!({})), (2, modern(json!({})))] {
        let mut wait = json!({"name": "clock__wait", "arguments": {"seconds": 60}});
        if let Some(meta) = params.get("_meta") {
            wait.as_object_mut()
                .unwrap()
                .insert("_meta".to_owned(), meta.clone());
        }
        desktop.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": wait}));
    }
    let twice = desktop.request(1, "ping", &json!({}));
    assert_eq!(
        twice.pointer("/error/data/code"),
        Some(&json!("MCPC9204")),
        "{twice}"
    );
    desktop.request(3, "ping", &json!({}));
    for id in [1, 2] {
        let params = json!({"requestId": id});
        desktop.send(&json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params,
        }));
    }
    // Leaving waits for what is in flight, so it would take a minute if anything still were.
    assert_eq!(desktop.leave(), [""; 0]);
}

#[test]
fn a_batch_is_answered_by_one_array_in_the_one_revision_that_has_batches() {
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    desktop.initialize_as("2025-03-26");
    let ping = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "ping"});
    let call = |id: u64, name: &str, arguments: &Value| {
        let params = json!({"name": name, "arguments": arguments});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let wait = call(1, "clock__wait", &json!({"seconds": 0.3}));
    let note = call(2, "notes__add_note", &json!({"title": "a", "text": "b"}));
    desktop.send(&json!([wait, told, note, ping(3), 7]));
    // Others are answered meanwhile.
    desktop.request(4, "ping", &json!({}));
    let replies = desktop.batch();
    let ids: Vec<_> = replies.iter().map(|reply| reply.get("id")).collect();
    let [one, two, three] = [json!(1), json!(2), json!(3)];
    assert_eq!(ids, [Some(&one), Some(&two), Some(&three), None]);
    let texts: Vec<_> = replies.iter().map(Value::to_string).collect();
    assert!(texts.concat().contains("Waited 0.3 s."), "{texts:?}");
    assert!(texts.concat().contains("Added note 2."), "{texts:?}");
    assert!(texts.concat().contains("MCPC9102"), "{texts:?}");

    // What has no reply is answered by nothing at all, and an empty batch is none.
    desktop.send(&json!([told, told]));
    desktop.send(&json!([]));
    let refused = desktop.reply();
    let code = |reply: &Value| reply.pointer("/error/data/code").cloned();
    assert_eq!(code(&refused), Some(json!("MCPC9102")), "{refused}");

    // A call of a batch can be cancelled like any other; leaving would wait for it.
    desktop.send(&json!([
        call(5, "clock__wait", &json!({"seconds": 60})),
        ping(6)
    ]));
    let params = json!({"requestId": 5});
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
    desktop.send(&json!([cancel]));
    let replies = desktop.batch();
    assert_eq!(replies, [json!({"jsonrpc": "2.0", "id": 6, "result": {}})]);

    desktop.initialize();
    desktop.send(&json!([ping(7)]));
    let refused = desktop.reply();
    assert_eq!(code(&refused), Some(json!("MCPC9103")), "{refused}");
    assert_eq!(desktop.leave(), [""; 0]);
}

#[test]
fn the_calls_of_batches_count_like_any_others() {
    let folder = Folder::with_config(
        "version: 1\nservers:\n  s: { command: /bin/sh, args: [server.sh], era: legacy }\n",
    );
    folder.write("server.sh", SILENT);
    let mut desktop = Desktop::start(&folder, &[]);
    desktop.initialize_as("2025-03-26");
    let call = |id: u64| {
        let params = json!({"name": "wait", "arguments": {}});
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params})
    };
    for batch in 0..4 {
        let calls: Value = (0..64).map(|at| call(1000 + batch * 64 + at)).collect();
        desktop.send(&calls);
    }
    desktop.send(&json!([call(1), call(2)]));
    let codes: Vec<_> = desktop
        .batch()
        .iter()
        .map(|reply| reply.pointer("/error/data/code").cloned())
        .collect();
    assert_eq!(codes, [Some(json!("MCPC9207")), Some(json!("MCPC9207"))]);
    let calls: Value = (0..65).map(call).collect();
    desktop.send(&calls);
    let refused = desktop.reply();
    let code = refused.pointer("/error/data/code");
    assert_eq!(code, Some(&json!("MCPC9102")), "{refused}");
    for id in 1000..1256 {
        let params = json!({"requestId": id});
        desktop.send(&json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params,
        }));
    }
    assert_eq!(desktop.leave(), [""; 0]);
}

#[test]
fn what_was_asked_before_leaving_is_answered() {
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    let wait = json!({"name": "clock__wait", "arguments": {"seconds": 0.5}});
    desktop.send(&json!({"jsonrpc": "2.0", "id": "w", "method": "tools/call", "params": wait}));
    let rest = desktop.leave();
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert!(rest.concat().contains("Waited 0.5 s."), "{rest:?}");
}

#[test]
fn a_last_line_needs_no_line_break() {
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    let input = desktop.input.as_mut().unwrap();
    input
        .write_all(br#"{"jsonrpc":"2.0","id":"last","method":"ping"}"#)
        .unwrap();
    let rest = desktop.leave();
    assert_eq!(rest.len(), 1, "{rest:?}");
    assert!(rest.concat().contains("\"last\""), "{rest:?}");
}

#[test]
fn an_address_that_nobody_listens_on_may_change() {
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    desktop.initialize();
    let other = "listen: { address: 127.0.0.1:1 }\nadmin: { address: 127.0.0.1:2 }\n";
    folder.write("mcpc.yaml.new", format!("{DOTTED}{other}"));
    let (new, old) = (
        folder.path().join("mcpc.yaml.new"),
        folder.path().join("mcpc.yaml"),
    );
    std::fs::rename(new, old).unwrap();
    let changed = json!("notifications/tools/list_changed");
    while desktop.next().get("method") != Some(&changed) {}
    desktop.leave();
}

#[test]
fn an_edit_goes_live_and_the_client_is_told() {
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    desktop.initialize();
    let listen = modern(json!({"notifications": {"toolsListChanged": true}}));
    desktop.send(&json!({
        "jsonrpc": "2.0", "id": 9, "method": "subscriptions/listen", "params": listen,
    }));
    let acknowledged = desktop.next();
    let method = acknowledged.get("method");
    assert_eq!(
        method,
        Some(&json!("notifications/subscriptions/acknowledged"))
    );
    folder.write("mcpc.yaml.new", DOTTED);
    let (new, old) = (
        folder.path().join("mcpc.yaml.new"),
        folder.path().join("mcpc.yaml"),
    );
    std::fs::rename(new, old).unwrap();
    // Once as a client of 2025-11-25, once on the stream that was asked for.
    let mut told = Vec::new();
    while told.len() < 2 {
        let message = desktop.next();
        if message.get("method") == Some(&json!("notifications/tools/list_changed")) {
            told.push(message.get("params").is_some());
        }
    }
    told.sort_unstable();
    assert_eq!(told, [false, true]);
    desktop.send(&json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9},
    }));
    // Prompts and resources changed as well; those notifications may come before the reply.
    desktop.send(&json!({"jsonrpc": "2.0", "id": 10, "method": "tools/list"}));
    let list = desktop.reply();
    assert!(has_tool(&list, "clock.now"), "{list}");
    desktop.leave();
}

#[test]
fn what_is_no_message_is_refused_and_the_next_one_is_served() {
    let text = format!("{BOTH}limits: {{ body: 64KiB }}\n");
    let folder = Folder::with_config(&text);
    let mut desktop = Desktop::start(&folder, &[]);
    let mut code_for = |line: &[u8]| {
        let input = desktop.input.as_mut().unwrap();
        input.write_all(line).unwrap();
        input.write_all(b"\r\n").unwrap();
        let refused = desktop.next();
        refused
            .pointer("/error/data/code")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(code_for(b"hello"), "MCPC9101");
    assert_eq!(code_for(b"[]"), "MCPC9103");
    assert_eq!(code_for(br#"{"id":1}"#), "MCPC9102");
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#,
        "a".repeat(1 << 20)
    );
    assert_eq!(code_for(long.as_bytes()), "MCPC9006");
    desktop.request(2, "ping", &json!({}));
    desktop.leave();
}

/// A server of 2025-11-25 that greets and then says nothing more.
const SILENT: &str = r#"
while read -r line; do
  case "$line" in
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}' ;;
  esac
done
"#;

#[test]
fn too_many_at_once_are_refused() {
    let folder = Folder::with_config(
        "version: 1\nservers:\n  s: { command: /bin/sh, args: [server.sh], era: legacy }\n",
    );
    folder.write("server.sh", SILENT);
    let mut desktop = Desktop::start(&folder, &[]);
    let wait = json!({"name": "wait", "arguments": {}});
    for id in 0..257 {
        desktop.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": wait}));
    }
    let refused = desktop.next();
    assert_eq!(refused.get("id"), Some(&json!(256)), "{refused}");
    assert_eq!(
        refused.pointer("/error/data/code"),
        Some(&json!("MCPC9207")),
        "{refused}"
    );
    for id in 0..256 {
        let params = json!({"requestId": id});
        desktop.send(&json!({
            "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params,
        }));
    }
    desktop.leave();
}

#[test]
fn an_endpoint_is_named_when_there_are_several() {
    let folder = Folder::with_config(TWO_ENDPOINTS);
    let ran = folder.mcpc(&["run", "--stdio"]).exits_with(2);
    ran.says("MCPC9607").says("home, work");
    folder
        .mcpc(&["run", "--stdio", "--endpoint", "else"])
        .exits_with(2)
        .says("MCPC9607");
    folder.mcpc(&["run", "--endpoint", "home"]).exits_with(2);
    for named in ["home", "/home"] {
        let mut desktop = Desktop::start(&folder, &["--endpoint", named]);
        let list = desktop.request(1, "tools/list", &json!({}));
        assert!(
            has_tool(&list, "now") && !list.to_string().contains("add_note"),
            "{list}"
        );
        desktop.leave();
    }
}

#[test]
fn the_configuration_cannot_come_from_where_the_client_is() {
    let folder = Folder::new();
    folder
        .mcpc(&["run", "--stdio", "-"])
        .exits_with(2)
        .says("standard input");
}

#[test]
fn a_signal_stops_it_although_the_client_is_still_there() {
    let folder = Folder::with_config(BOTH);
    let mut desktop = Desktop::start(&folder, &[]);
    desktop.request(1, "ping", &json!({}));
    let id = i32::try_from(desktop.child.id())
        .ok()
        .and_then(Pid::from_raw);
    kill_process(id.unwrap(), Signal::TERM).unwrap();
    assert_eq!(desktop.child.wait().unwrap().code(), Some(0));
}

/// A server of 2025-11-25 that elicits before it answers.
const ASKING: &str = r#"
while read -r line; do
  id=${line#*'"id":'}; id=${id%%[,\}]*}
  case "$line" in
    *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}' ;;
    *tools/call*) call=$id; echo '{"jsonrpc":"2.0","id":7,"method":"elicitation/create","params":{"message":"sure?","requestedSchema":{"type":"object","properties":{}}}}' ;;
    *accept*) echo '{"jsonrpc":"2.0","id":'"$call"',"result":{"content":[]}}' ;;
  esac
done
"#;

#[test]
fn a_server_asks_the_client_on_the_channel() {
    let folder = Folder::with_config(
        "version: 1\nservers:\n  s: { command: /bin/sh, args: [server.sh], era: legacy }\n",
    );
    folder.write("server.sh", ASKING);
    let mut desktop = Desktop::start(&folder, &[]);
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}});
    desktop.request(0, "initialize", &params);
    let call = json!({"name": "ask", "arguments": {}});
    desktop.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}));
    let question = desktop.next();
    assert_eq!(
        question.pointer("/params/message"),
        Some(&json!("sure?")),
        "{question}"
    );
    let id = question.get("id").unwrap();
    desktop
        .send(&json!({"jsonrpc": "2.0", "id": id, "result": {"action": "accept", "content": {}}}));
    let reply = desktop.reply();
    assert_eq!(
        reply,
        json!({"jsonrpc": "2.0", "id": 1, "result": {"content": []}})
    );
    desktop.leave();
}
