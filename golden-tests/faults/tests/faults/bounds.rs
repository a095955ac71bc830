//! Servers that want more of the system than they may have, and others beside them.

use std::collections::BTreeMap;

use mcpc_process::{Client, alive, descendants, until};
use serde_json::{Value, json};

use crate::stage::{Caller, FAULTY, Stage, text_of};

const MIB: u64 = 1 << 20;

/// A server within limits, one with other limits, and one without any.
fn config() -> String {
    let restart = "{ at_most: 5, within: 10m, backoff: { from: 50ms, to: 1s } }";
    format!(
        "limits: {{ grace: 2s }}\n\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n\
         \x20 small: {{ command: {FAULTY:?}, era: modern, limits: {{ memory: 64MiB, open_files: 32 }} }}\n\
         \x20 few: {{ command: {FAULTY:?}, era: modern, limits: {{ processes: 6 }}, restart: {restart} }}\n\
         \x20 free: {{ command: {FAULTY:?}, era: modern }}\n"
    )
}

fn number(caller: &mut Caller, tool: &str, arguments: &Value) -> u64 {
    text_of(&caller.call(tool, arguments)).parse().unwrap()
}

fn pid(stage: &Stage, server: &str) -> u32 {
    let pid = stage.gateway.upstream(server)["pid"].as_u64();
    u32::try_from(pid.unwrap()).unwrap()
}

/// The soft and the hard limits of a process that the system tells, by name (proc(5)).
fn limits(process: u32) -> BTreeMap<String, [String; 2]> {
    let text = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = |line: &str| {
        let (name, rest) = line.split_once("  ")?;
        let mut values = rest.split_whitespace().map(ToOwned::to_owned);
        Some((name.to_owned(), [values.next()?, values.next()?]))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn a_server_gets_the_memory_and_the_files_that_it_may_have_and_no_more() {
    let stage = Stage::open(&config());
    let mut caller = stage.client();
    let bytes = |mib: u64| json!({ "bytes": mib * MIB });
    assert_eq!(number(&mut caller, "small.allocate", &bytes(32)), 32 * MIB);
    assert_eq!(number(&mut caller, "small.allocate", &bytes(128)), 0);
    assert_eq!(number(&mut caller, "free.allocate", &bytes(128)), 128 * MIB);

    let files = json!({ "files": 64 });
    let got = number(&mut caller, "small.open", &files);
    assert!((16..32).contains(&got), "{got}");
    assert_eq!(number(&mut caller, "free.open", &files), 64);

    // They bind the server's program from its first moment, and nothing can raise them.
    let small = limits(pid(&stage, "small"));
    let both = |text: &str| [text.to_owned(), text.to_owned()];
    assert_eq!(small["Max data size"], both(&(64 * MIB).to_string()));
    assert_eq!(small["Max open files"], both("32"));
    let free = limits(pid(&stage, "free"));
    assert_eq!(free["Max data size"], both("unlimited"));
    stage.gateway.stop();
}

#[test]
fn a_server_with_more_processes_than_it_may_have_is_ended_with_all_of_them() {
    let mut stage = Stage::open(&config());
    let mut caller = stage.client();
    caller.echoes("free.echo", 0);
    let free = pid(&stage, "free");

    // The server, a thread of it that waits, and the process that it waits for. They are counted
    // during the second call.
    caller.echoes("few.fork", 0);
    let late = json!({ "ms": 1500 });
    assert_eq!(text_of(&caller.call("few.late", &late)), late.to_string());
    let first = pid(&stage, "few");
    let family = descendants(first);
    assert_eq!(family.len(), 1);

    // Each further one counts twice. None is refused, so answers may come before the end.
    let begin = |_| stage.client().begin("few.fork", &json!({}));
    let _waiting: Vec<Client> = (0..3).map(begin).collect();
    let said = stage
        .gateway
        .hears("more processes and threads than it may");
    assert!(said.contains("server=few"), "{said}");
    until("nothing is left of it", || {
        !family.iter().chain([&first]).any(|id| alive(*id))
    });

    // It is started again, and may have as many as before.
    until("there is another process", || {
        let pid = stage.gateway.upstream("few")["pid"].as_u64();
        pid.is_some_and(|pid| pid != u64::from(first))
    });
    caller.echoes("few.fork", 1);
    assert_eq!(pid(&stage, "free"), free, "nobody else notices");
    caller.echoes("free.echo", 1);
    stage.gateway.stop();
}
