//! `mcpc check --online`: real servers, servers that are none, and what is left of them afterwards.

use std::fmt::Write;
use std::net::TcpListener;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::invocation::{Folder, Ran};
use crate::status::answering;
use mcpc_process::{Running, alive, until};

/// A gateway is an MCP server over HTTP.
const BOTH: &str = "\
version: 1
listen: { address: 127.0.0.1:0 }
admin: { address: 127.0.0.1:0 }
servers:
  notes: { command: mcpc, args: [demo, notes] }
  clock: { command: mcpc, args: [demo, clock] }
";

/// A process that starts another one, writes down both and ends for nothing but force. What it is told it
/// does not read.
const HANGS: &str = "trap '' TERM; /bin/sleep 1000 & echo $$$$ $$! > pids; while :; do wait; done";

fn online(text: &str) -> (Folder, Ran) {
    let folder = Folder::with_config(text);
    let ran = folder.mcpc(&["check", "--online"]);
    (folder, ran)
}

/// A configuration with a server that hangs, and a bound on how long its start may take.
fn hanging(timeout: &str) -> String {
    let script = serde_json::to_string(HANGS).unwrap();
    format!(
        "version: 1\nservers:\n  hangs: {{ command: /bin/sh, args: [-c, {script}], start: {{ timeout: {timeout} }} }}\n"
    )
}

/// The processes that a hanging server has written down; none if it was never started.
fn written_down(folder: &Folder) -> Vec<u32> {
    let text = std::fs::read_to_string(folder.path().join("pids")).unwrap_or_default();
    let is_whole = text.ends_with('\n');
    let ids = text.split_whitespace().filter(|_| is_whole);
    ids.map(|id| id.parse().unwrap()).collect()
}

/// A legacy server that is there alone while it starts, and ends if it is not.
const ALONE: &str = r#"/bin/mkdir alone || exit 3
while IFS= read -r line; do
  id=$${line#*\"id\":}; id=$${id%%,*}
  case $$line in
  *'"initialize"'*) /bin/rmdir alone; echo '{"jsonrpc":"2.0","id":'$$id',"result":{"protocolVersion":"2025-11-25","capabilities":{}}}';;
  *'"id"'*) echo '{"jsonrpc":"2.0","id":'$$id',"result":{}}';;
  esac
done"#;

#[test]
fn as_many_servers_start_at_once_as_the_configuration_says() {
    let script = serde_json::to_string(ALONE).unwrap();
    let mut text = "version: 1\nlimits: { starts: 1 }\nservers:\n".to_owned();
    for number in 0..6 {
        let args = format!("[-c, {script}]");
        writeln!(text, "  s{number}: {{ command: /bin/sh, args: {args}, env: {{ N: \"{number}\" }}, era: legacy }}").unwrap();
    }
    let (_folder, ran) = online(&text);
    ran.exits_with(0).says("mcpc.yaml: no findings");
}

#[test]
fn servers_that_are_there_and_have_what_is_named_are_clean() {
    let (_folder, ran) = online(
        "version: 1\nservers:\n  \
         notes: { command: mcpc, args: [demo, notes], tools: { allow: [add_note, list_*], rename: { add_note: add } } }\n  \
         clock: { command: mcpc, args: [demo, clock], era: legacy, sharing: session }\n",
    );
    let ran = ran.exits_with(0).says("mcpc.yaml: no findings");
    assert_eq!(ran.text(), "");
}

/// A legacy server that says that it has prompts and resources, and offers the one and refuses the other.
const REFUSES: &str = r#"while IFS= read -r line; do
  id=$${line#*\"id\":}; id=$${id%%,*}
  case $$line in
  *'"initialize"'*) echo '{"jsonrpc":"2.0","id":'$$id',"result":{"protocolVersion":"2025-11-25","capabilities":{"prompts":{},"resources":{}}}}';;
  *'"prompts/list"'*) echo '{"jsonrpc":"2.0","id":'$$id',"error":{"code":-32601,"message":"no such method"}}';;
  *'"id"'*) echo '{"jsonrpc":"2.0","id":'$$id',"error":{"code":-32603,"message":"out of order"}}';;
  esac
done"#;

#[test]
fn a_list_that_a_server_does_not_have_is_empty_and_one_that_it_refuses_is_told() {
    let script = serde_json::to_string(REFUSES).unwrap();
    let (_folder, ran) = online(&format!(
        "version: 1\nservers:\n  refuses: {{ command: /bin/sh, args: [-c, {script}], era: legacy }}\n"
    ));
    let ran = ran
        .exits_with(1)
        .says("resources")
        .says("the server refused a request of the gateway")
        .says("found 1 error");
    assert!(!ran.err.contains("prompts"), "{}", ran.err);
}

#[test]
fn a_server_that_refuses_the_credentials_is_told() {
    for (status, era) in [(401, "modern"), (403, "modern"), (401, "legacy")] {
        let address = answering(status, "{}");
        let (_folder, ran) = online(&format!(
            "version: 1\nservers:\n  closed: {{ url: \"http://{address}/mcp\", era: {era} }}\n"
        ));
        ran.exits_with(1)
            .says("error[MCPC7001]: server `closed` cannot be used")
            .says("the server refused the gateway's credentials")
            .says("calls would fail with MCPC9311");
    }
}

#[test]
fn names_that_a_server_does_not_have_are_told_with_their_place_and_the_near_name() {
    let (_folder, ran) = online(
        "version: 1\nservers:\n  notes:\n    command: mcpc\n    args: [demo, notes]\n    \
         tools:\n      allow: [add_note, lst_notes]\n    prompts: { deny: [nothing] }\n  \
         clock: { command: mcpc, args: [demo, clock], tools: { rename: { clock__now: time } } }\n",
    );
    ran.exits_with(1)
        .says("error[MCPC7003]: server `notes` has no tool `lst_notes`")
        .says("mcpc.yaml:7:25")
        .says("did you mean `list_notes`?")
        .says("warning[MCPC7003]: server `notes` has no prompt `nothing`")
        .says("write `now`: a filter takes the server's own names, without the prefix")
        .says("found 2 errors and 1 warning");
}

#[test]
fn a_program_that_does_not_exist_and_a_port_where_nobody_listens_are_told_at_their_places() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let (_folder, ran) = online(&format!(
        "version: 1\nservers:\n  gone: {{ command: /no/such/server }}\n  \
         ends: {{ command: /bin/sh, args: [-c, exit 7] }}\n  dead: {{ url: \"http://{dead}/mcp\" }}\n  \
         well: {{ command: mcpc, args: [demo, clock] }}\n  \
         several:\n    replicas:\n      - {{ url: \"http://{dead}/one\" }}\n      - {{ url: \"http://{dead}/two\" }}\n"
    ));
    let ran = ran
        .exits_with(1)
        .says("error[MCPC7001]: server `gone` cannot be used")
        .says("mcpc.yaml:3:20")
        .says("its program is not there, or cannot be executed")
        .says("its process ended with the exit code 7")
        .says("error[MCPC7001]: server `dead` cannot be used")
        .says("mcpc.yaml:5:16")
        .says("calls would fail with MCPC9301")
        .says("mcpc.yaml:9:9")
        .says("mcpc.yaml:10:9")
        .says("found 5 errors");
    assert!(!ran.err.contains("`well`"), "{}", ran.err);
}

#[test]
fn a_server_that_hangs_is_told_in_time_and_nothing_of_it_is_left() {
    let (folder, ran) = online(&hanging("1s"));
    ran.exits_with(1)
        .says("error[MCPC7001]: server `hangs` cannot be used")
        .says("it did not answer within 1s (`start.timeout`)");
    let ids = written_down(&folder);
    assert_eq!(ids.len(), 2);
    assert!(!ids.into_iter().any(alive));
}

#[test]
fn an_interrupt_ends_what_was_started() {
    for signal in [Signal::INT, Signal::TERM] {
        let folder = Folder::with_config(&hanging("60s"));
        let mut command = folder.command(&["check", "--online"]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let checking = command.spawn().unwrap();
        until("the server was started", || {
            !written_down(&folder).is_empty()
        });
        let id = i32::try_from(checking.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        let ran = Ran::from(checking.wait_with_output().unwrap());
        let ran = ran.exits_with(2).says("interrupted");
        assert_eq!(ran.text(), "");
        assert!(!written_down(&folder).into_iter().any(alive));
    }
}

#[test]
fn a_server_over_http_is_asked_as_a_gateway_asks_it() {
    let behind = Folder::with_config(BOTH);
    let served = Running::start(&mut behind.command(&["run"]));
    let url = format!("http://{}/mcp", served.address);
    let (_folder, ran) = online(&format!(
        "version: 1\nservers:\n  modern: {{ url: \"{url}\", tools: {{ allow: [clock__now] }} }}\n  \
         legacy: {{ url: \"{url}\", era: legacy, tools: {{ allow: [clock__noww] }} }}\n  \
         nowhere: {{ url: \"http://{}/other\" }}\n",
        served.address
    ));
    ran.exits_with(1)
        .says("error[MCPC7003]: server `legacy` has no tool `clock__noww`")
        .says("did you mean `clock__now`?")
        .says("it answers, but not as an MCP server")
        // Both are the same server, so they have the same resources; only one can have them.
        .says("MCPC7006")
        .says("found 2 errors");
    served.stop();
}

#[test]
fn a_server_that_gives_no_list_is_told_with_the_list() {
    let greeting = json!({ "jsonrpc": "2.0", "id": 0, "result": {
        "protocolVersion": "2025-06-18",
        "capabilities": { "tools": {} },
        "serverInfo": { "name": "mute", "version": "1" },
    } });
    let script = format!("read line; echo '{greeting}'; while read line; do :; done");
    let script = serde_json::to_string(&script).unwrap();
    let (_folder, ran) = online(&format!(
        "version: 1\nservers:\n  mute: {{ command: /bin/sh, args: [-c, {script}], era: legacy, \
         timeouts: {{ list: 1s }}, tools: {{ allow: [nothing] }} }}\n"
    ));
    ran.exits_with(1)
        .says("error[MCPC7002]: server `mute` does not list its tools")
        .says("it did not answer within 1s (`timeouts.list`)")
        .says("found 1 error");
}

#[test]
fn programs_get_the_findings_and_nothing_else_on_standard_output() {
    let text = "version: 1\nservers:\n  gone: { command: /no/such/server }\n";
    let folder = Folder::with_config(text);
    folder.write(
        "other.yaml",
        "version: 1\nservers:\n  clock: { command: mcpc, args: [demo, clock] }\n",
    );
    let both = [
        "check",
        "--online",
        "--format",
        "json",
        "mcpc.yaml",
        "other.yaml",
    ];
    let document = folder.mcpc(&both).exits_with(1).json();
    assert_eq!(document.get("errors"), Some(&json!(1)));
    let first = |member| {
        document
            .pointer(&format!("/diagnostics/0/{member}"))
            .cloned()
    };
    assert_eq!(first("code"), Some(json!("MCPC7001")));
    assert_eq!(first("file"), Some(json!("mcpc.yaml")));
    assert_eq!(first("labels/0/start/line"), Some(json!(3)));
    let sarif = folder.mcpc(&["check", "--online", "--format", "sarif"]);
    let sarif = sarif.exits_with(0).json();
    let rule = sarif.pointer("/runs/0/results/0/ruleId");
    assert_eq!(rule.and_then(Value::as_str), Some("MCPC7001"));
}

#[test]
fn nothing_is_started_while_the_text_has_errors_or_a_secret_has_no_value() {
    for (addition, code) in [
        ("  other: { comand: x }\n", "MCPC3001"),
        (
            "  other: { command: mcpc, env: { KEY: $<NOT_THERE> } }\n",
            "MCPC2007",
        ),
    ] {
        let mut text = hanging("1s");
        write!(text, "{addition}").unwrap();
        let (folder, ran) = online(&text);
        ran.exits_with(1)
            .says(code)
            .says("the servers were not asked, since there are errors");
        assert_eq!(written_down(&folder), [0; 0]);
    }
}

#[test]
fn a_secret_of_a_server_that_fails_is_not_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let folder = Folder::with_config(&format!(
        "version: 1\nservers:\n  web: {{ url: \"http://{dead}/mcp\", headers: {{ Authorization: \"Bearer $<KEY>\" }} }}\n  \
         shell: {{ command: /bin/sh, args: [-c, 'echo $$KEY >&2; exit 3'], env: {{ KEY: $<KEY> }} }}\n"
    ));
    for format in ["human", "json"] {
        let mut command = folder.command(&["check", "--online", "--format", format]);
        let output = command.env("KEY", "canary-7b31").output().unwrap();
        let ran = Ran::from(output).exits_with(1);
        assert!(
            !ran.err.contains("canary") && !ran.text().contains("canary"),
            "{ran:?}"
        );
    }
}
