//! `mcpc run` and `mcpc status`: real processes, real children, edits, signals.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use mcpc_plan::Digest;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::invocation::{Folder, MISTAKEN, Ran};
use mcpc_process::{Page, Running, Stream, until};

/// Both servers that ship with `mcpc`, on free ports.
const BOTH: &str = "\
version: 1
listen: { address: 127.0.0.1:0 }
admin: { address: 127.0.0.1:0 }
servers:
  notes: { command: mcpc, args: [demo, notes] }
  clock: { command: mcpc, args: [demo, clock] }
";

/// The same with another prefix: neither server changes.
const DOTTED: &str = "\
version: 1
listen: { address: 127.0.0.1:0 }
admin: { address: 127.0.0.1:0 }
servers:
  notes: { command: mcpc, args: [demo, notes] }
  clock: { command: mcpc, args: [demo, clock] }
endpoints:
  main: { path: /mcp, prefix: \"{server}.\" }
";

fn run(folder: &Folder) -> Running {
    Running::start(&mut folder.command(&["run"]))
}

/// Replaces the configuration as editors do: a new file, renamed over the old one.
fn edit(folder: &Folder, text: &str) {
    folder.write("mcpc.yaml.new", text);
    let (new, old) = (
        folder.path().join("mcpc.yaml.new"),
        folder.path().join("mcpc.yaml"),
    );
    std::fs::rename(new, old).unwrap();
}

fn converted(served: &Running, tool: &str) -> bool {
    let arguments = json!({ "time": "2026-07-28T00:00:00Z", "offset": "+01:00" });
    served
        .call(tool, &arguments)
        .contains("2026-07-28T01:00:00+01:00")
}

#[test]
fn both_demo_servers_are_served_and_sigterm_stops_everything() {
    let folder = Folder::with_config(BOTH);
    let mut served = run(&folder);
    served.hears("/mcp exposes 7 tools, 2 prompts, 2 resources");
    assert!(converted(&served, "clock__convert"));
    let added = served.call("notes__add_note", &json!({ "title": "a", "text": "b" }));
    assert!(added.contains("Added note 2."), "{added}");
    served.stop();
}

#[test]
fn a_configuration_from_a_url_is_followed_and_its_mistakes_are_told() {
    let folder = Folder::new();
    let page = Page::serve(BOTH);
    let url = page.url("/mcpc.yaml");
    let mut served = Running::start(&mut folder.command(&["run", &url, "--poll", "1s"]));
    served.hears("/mcp exposes 7 tools, 2 prompts, 2 resources");
    page.replace(BOTH.replace("clock: {", "clock: { comand: x,"));
    served.hears("MCPC3001");
    served.hears(&format!("--> {url}:6"));
    assert!(converted(&served, "clock__convert"));
    page.replace(DOTTED);
    served.hears("kept=2 started=0 stopped=0");
    assert!(converted(&served, "clock.convert"));
    served.stop();
}

#[test]
fn a_server_that_starts_with_its_first_call_is_not_started_to_be_shown() {
    let lazy = BOTH.replace("[demo, clock]", "[demo, clock], start: { when: lazy }");
    let folder = Folder::with_config(&lazy);
    let mut served = run(&folder);
    served.hears("/mcp is not asked yet: clock starts with the first call");
    let state = |name: &str| {
        let status = served.status();
        let all = status.get("upstreams").and_then(Value::as_array).unwrap();
        let one = all.iter().find(|it| it["name"] == name);
        one.and_then(|it| it["state"].as_str().map(str::to_owned))
    };
    assert_eq!(state("clock").as_deref(), Some("idle"));
    until("notes is there", || {
        state("notes").as_deref() == Some("ready")
    });
    assert!(converted(&served, "clock__convert"));
    assert_eq!(state("clock").as_deref(), Some("ready"));
    served.stop();
}

#[test]
fn the_curl_line_works_as_it_is_printed() {
    let folder = Folder::with_config(BOTH);
    let mut served = run(&folder);
    let mut lines = vec![served.hears("curl ")];
    while lines.last().unwrap().ends_with('\\') {
        lines.push(served.hears(""));
    }
    let script = lines.join("\n");
    for part in [
        "-d '{",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/list",
    ] {
        assert!(script.contains(part), "{script}");
    }
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    // Without `curl` on the machine the shell says so with 127, and there is nothing to try.
    if output.status.code() != Some(127) {
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.contains("notes__add_note") && text.contains("clock__now"),
            "{text}"
        );
    }
    served.stop();
}

#[test]
fn an_edit_goes_live_and_keeps_the_servers_that_did_not_change() {
    let folder = Folder::with_config(BOTH);
    let mut served = run(&folder);
    served.hears("exposes 7 tools");
    served.call("notes__add_note", &json!({ "title": "kept", "text": "b" }));
    edit(&folder, DOTTED);
    let line = served.hears("the new plan is live");
    assert!(line.contains("kept=2 started=0 stopped=0"), "{line}");
    assert!(converted(&served, "clock.convert"));
    assert!(
        !converted(&served, "clock__convert"),
        "the old name is gone"
    );
    let notes = served.call("notes.list_notes", &json!({}));
    assert!(notes.contains("2: kept"), "the same process: {notes}");
    served.stop();
}

#[test]
fn a_bad_edit_is_shown_and_changes_nothing() {
    let folder = Folder::with_config(BOTH);
    let mut served = run(&folder);
    edit(&folder, MISTAKEN);
    served.hears("there is no plan to go live");
    served.hears("mcpc.yaml:3:11");
    assert!(converted(&served, "clock__convert"));
    edit(&folder, BOTH);
    served.hears("the plan is live already");
    served.stop();
}

#[test]
fn a_config_map_that_swaps_its_link_is_noticed() {
    let folder = Folder::new();
    for (version, text) in [("..1", BOTH), ("..2", DOTTED)] {
        std::fs::create_dir(folder.path().join(version)).unwrap();
        folder.write(&format!("{version}/mcpc.yaml"), text);
    }
    symlink("..1", folder.path().join("..data")).unwrap();
    symlink("..data/mcpc.yaml", folder.path().join("mcpc.yaml")).unwrap();
    let mut served = run(&folder);
    symlink("..2", folder.path().join("..data.new")).unwrap();
    std::fs::rename(
        folder.path().join("..data.new"),
        folder.path().join("..data"),
    )
    .unwrap();
    served.hears("the new plan is live");
    assert!(converted(&served, "clock.convert"));
    served.stop();
}

#[test]
fn sighup_compiles_again_also_without_watching() {
    let folder = Folder::with_config(BOTH);
    let mut served = Running::start(&mut folder.command(&["run", "--no-watch"]));
    served.signal(Signal::HUP);
    served.hears("the plan is live already");
    edit(&folder, DOTTED);
    served.signal(Signal::HUP);
    served.hears("the new plan is live");
    served.stop();
}

#[test]
fn standard_input_is_served_and_sighup_leaves_it_alone() {
    let folder = Folder::new();
    let mut command = folder.command(&["run", "-"]);
    let mut served = Running::start_with_input(&mut command, Some(BOTH));
    assert!(converted(&served, "clock__convert"));
    served.signal(Signal::HUP);
    served.hears("the plan is live already");
    served.stop();
}

#[test]
fn a_call_in_flight_is_answered_before_the_gateway_stops() {
    let folder = Folder::with_config(BOTH);
    let mut served = run(&folder);
    served.hears("exposes 7 tools");
    let mut call = served.begin_call("clock__wait", &json!({ "seconds": 1.5 }));
    wait_until_in_flight(&served);
    served.signal(Signal::TERM);
    let mut reply = String::new();
    call.read_to_string(&mut reply).unwrap();
    assert!(reply.contains("Waited 1.5 s."), "{reply}");
    assert_eq!(served.ended(), Some(0));
}

#[test]
fn a_second_signal_stops_at_once() {
    let folder = Folder::with_config(BOTH);
    let mut served = run(&folder);
    served.hears("exposes 7 tools");
    let _call = served.begin_call("clock__wait", &json!({ "seconds": 60 }));
    wait_until_in_flight(&served);
    served.signal(Signal::TERM);
    served.hears("stopping");
    served.signal(Signal::INT);
    assert_eq!(served.ended(), Some(1));
}

/// A call that was sent may still be on its way; status tells when it has arrived.
fn wait_until_in_flight(served: &Running) {
    until("the call has arrived", || {
        served.upstream("clock").get("in_flight") != Some(&json!(0))
    });
}

#[test]
fn logs_are_json_when_asked_for() {
    let folder = Folder::with_config(BOTH);
    let mut command = folder.command(&["run"]);
    command
        .env("MCPC_LOG_FORMAT", "json")
        .env("MCPC_LOG_LEVEL", "debug");
    let mut served = Running::start(&mut command);
    served.call("clock__now", &json!({}));
    edit(&folder, MISTAKEN);
    let refused = served.hears("there is no plan to go live");
    let warned = BOTH.replace(
        "[demo, clock] }",
        "[demo, clock] }\nendpoints: { a: { path: /a, servers: [clock] } }",
    );
    edit(&folder, &warned);
    served.hears("the configuration has warnings");
    served.hears("the new plan is live");
    served.signal(Signal::TERM);
    let said = served.rest_of(Stream::Out);
    let events: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let serving = events
        .iter()
        .find(|event| event.get("message") == Some(&json!("serving")));
    assert!(serving.unwrap().get("address").is_some(), "{said}");
    let refused: Value = serde_json::from_str(&refused).unwrap();
    let details = refused.get("details").and_then(Value::as_str).unwrap();
    assert!(details.contains("--> mcpc.yaml:3:11"), "{details}");
    assert_eq!(served.rest_of(Stream::Err), "");
}

#[test]
fn logs_for_people_leave_standard_output_alone() {
    let folder = Folder::with_config(BOTH);
    let mut served = run(&folder);
    served.hears("exposes 7 tools");
    edit(&folder, MISTAKEN);
    served.hears("mcpc.yaml:3:11");
    served.signal(Signal::TERM);
    assert_eq!(served.rest_of(Stream::Out), "");
}

#[test]
fn why_nothing_starts_is_an_event_too_if_logs_are_json() {
    let folder = Folder::with_config(MISTAKEN);
    folder.write("credentials", "no JSON");
    let json = ["run", "--log-format", "json"];
    let named = ["run", "--log-format", "json", "missing.yaml"];
    let url = ["run", "--log-format", "json", "http://a/b"];
    let mut unusable = folder.command(&json);
    unusable.env("MCPC_CREDENTIALS_FILE", "credentials");
    for (mut command, exit, code) in [
        (folder.command(&json), 1, "MCPC3001"),
        (folder.command(&named), 2, "MCPC0001"),
        (folder.command(&url), 2, "MCPC0006"),
        (unusable, 2, "MCPC0005"),
    ] {
        let ran = Ran::from(command.output().unwrap()).exits_with(exit);
        // A file that others may read is told before.
        let last = ran.text().lines().last().unwrap();
        let event: Value = serde_json::from_str(last).unwrap();
        assert_eq!(event.get("code"), Some(&json!(code)), "{ran:#?}");
        assert_eq!(ran.err, "");
    }
}

#[test]
fn a_program_that_cannot_be_executed_is_an_error_in_the_log() {
    let folder = Folder::with_config(
        "version: 1\nlisten: { address: 127.0.0.1:0 }\nadmin: { address: 127.0.0.1:0 }\n\
         servers:\n  gone: { command: /no/such/program, restart: { at_most: 0 } }\n",
    );
    let mut command = folder.command(&["run"]);
    command.env("MCPC_LOG_FORMAT", "json");
    let served = Running::start(&mut command);
    let is_down = || served.upstream("gone").get("state") == Some(&json!("down"));
    until("it is left alone", is_down);
    served.signal(Signal::TERM);
    let (_, said) = served.rest();
    let events = said.lines().map(|line| serde_json::from_str(line).unwrap());
    let told: Vec<Value> = events
        .filter(|event: &Value| {
            event.get("message") == Some(&json!("the program cannot be executed"))
        })
        .collect();
    let levels: Vec<_> = told.iter().map(|event| event.get("level")).collect();
    assert_eq!(levels, [Some(&json!("ERROR"))], "{said}");
}

#[test]
fn flags_win_over_the_file_and_cannot_open_it() {
    let folder = Folder::with_config(BOTH);
    let ran = folder.mcpc(&["run", "--listen", "0.0.0.0:0"]).exits_with(1);
    ran.says("error[MCPC6");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    folder
        .mcpc(&["run", "--listen", &taken])
        .exits_with(2)
        .says("MCPC9603")
        .says("`--listen`");
    folder
        .mcpc(&["run", "--listen", "127.0.0.1:0", "--admin", &taken])
        .exits_with(2)
        .says("MCPC9603")
        .says("`--admin`");
    for no_address in ["nowhere", "8080", "localhost:8080"] {
        folder
            .mcpc(&["run", "--listen", no_address])
            .exits_with(2)
            .says("for example 127.0.0.1:8080");
    }
}

#[test]
fn what_is_no_configuration_does_not_start() {
    let folder = Folder::with_config(MISTAKEN);
    folder.mcpc(&["run"]).exits_with(1).says("mcpc.yaml:3:11");
    folder
        .mcpc(&["run", "missing.yaml"])
        .exits_with(2)
        .says("MCPC0001");
}

#[test]
fn status_tells_what_is_live_and_what_was_refused() {
    let folder = Folder::with_config(BOTH);
    let mut served = run(&folder);
    served.hears("exposes 7 tools");
    let admin = served.admin.to_string();
    let ran = folder.mcpc(&["status", "--admin", &admin]).exits_with(0);
    assert!(
        ran.text()
            .contains("upstream notes: ready, modern, process "),
        "{}",
        ran.text()
    );
    let before = folder
        .mcpc(&["status", "--json", "--admin", &admin])
        .exits_with(0)
        .json();

    edit(&folder, MISTAKEN);
    served.hears("there is no plan to go live");
    let ran = folder.mcpc(&["status", "--admin", &admin]).exits_with(1);
    assert!(ran.text().contains("mcpc.yaml:3:11"), "{}", ran.text());
    let refused = Digest::of(MISTAKEN.as_bytes());
    let said = format!("refused  {} at ", refused.short());
    assert!(ran.text().contains(&said), "{}", ran.text());

    edit(&folder, DOTTED);
    served.hears("the new plan is live");
    let after = folder
        .mcpc(&["status", "--json", "--admin", &admin])
        .exits_with(0)
        .json();
    assert_ne!(
        before.pointer("/live/digest"),
        after.pointer("/live/digest")
    );
    assert_eq!(after.get("refused"), Some(&Value::Null));
    for name in ["notes", "clock"] {
        let process = |status| pid(status, name);
        assert!(process(&before).unwrap().is_u64());
        assert_eq!(
            process(&before),
            process(&after),
            "{name} is another process now"
        );
    }
    served.stop();
    folder.mcpc(&["status", "--admin", &admin]).exits_with(2);
}

#[test]
fn status_tells_how_processes_ended() {
    let config = "\
version: 1
listen: { address: 127.0.0.1:0 }
admin: { address: 127.0.0.1:0 }
servers:
  ends: { command: /bin/sh, args: [-c, exit 3], era: modern, restart: { at_most: 0 } }
";
    let folder = Folder::with_config(config);
    let served = run(&folder);
    until("it is left alone", || {
        served.upstream("ends").get("state") == Some(&json!("down"))
    });
    let admin = served.admin.to_string();
    let ran = folder.mcpc(&["status", "--admin", &admin]).exits_with(1);
    let text = ran.text();
    let lines = text.lines();
    let lines: Vec<&str> = lines
        .skip_while(|line| !line.starts_with("upstream "))
        .collect();
    let [upstream, end, next] = lines.as_slice() else {
        unreachable!("{text}");
    };
    assert!(upstream.starts_with("upstream ends: down"), "{text}");
    assert!(
        end.ends_with(": exit code 3, never ready (MCPC9301)"),
        "{text}"
    );
    assert!(next.starts_with("  started again at 20"), "{text}");
    served.stop();
}

fn pid(status: &Value, name: &str) -> Option<Value> {
    let upstreams = status.get("upstreams")?.as_array()?;
    let is_it = |upstream: &&Value| upstream.get("name") == Some(&json!(name));
    upstreams.iter().find(is_it)?.get("pid").cloned()
}

/// One server that gets a secret in its environment, and one that nobody reaches.
const WITH_SECRETS: &str = "\
version: 1
listen: { address: 127.0.0.1:0 }
admin: { address: 127.0.0.1:0 }
servers:
  clock:
    command: mcpc
    args: [demo, clock]
    env: { CLOCK_TOKEN: $<CLOCK_TOKEN> }
  web:
    url: http://127.0.0.1:1/mcp
    headers: { Authorization: Bearer $<WEB_TOKEN> }
";

#[test]
fn a_secret_that_is_missing_keeps_the_gateway_from_starting() {
    let folder = Folder::with_config(WITH_SECRETS);
    let ran = folder.mcpc(&["run"]).exits_with(2);
    ran.says("MCPC9601").says("_TOKEN");
}

#[test]
fn what_an_edit_opens_is_a_warning_and_what_it_closes_is_told() {
    let narrow = "version: 1\nlisten: { address: 127.0.0.1:0 }\nadmin: { address: 127.0.0.1:0 }\n\
                  servers:\n  notes: { command: mcpc, args: [demo, notes], tools: { allow: [add_note] } }\n";
    let folder = Folder::with_config(narrow);
    let mut served = run(&folder);
    edit(
        &folder,
        &narrow.replace("allow: [add_note]", "deny: [add_note]"),
    );
    let told = served.hears("the endpoint offers more or other names");
    assert!(
        told.contains("WARN") && told.contains("tools `*` of server `notes`"),
        "{told}"
    );
    assert!(told.contains("no_longer=\"tool `add_note`\""), "{told}");
    edit(&folder, &narrow.replace("allow: [add_note]", "allow: []"));
    let told = served.hears("the endpoint offers fewer names");
    assert!(told.contains("INFO"), "{told}");
    served.stop();
}

#[test]
fn a_file_that_is_gone_is_told_of_without_a_place_in_it() {
    let folder = Folder::with_config(BOTH);
    let served = run(&folder);
    std::fs::remove_file(folder.path().join("mcpc.yaml")).unwrap();
    served.signal(Signal::HUP);
    until("the file is missed", || {
        let status = served.status();
        let reason = status.pointer("/refused/reason").and_then(Value::as_str);
        reason.is_some_and(|reason| {
            assert_eq!(reason, "mcpc.yaml: there is no such file");
            true
        })
    });
    served.stop();
}
