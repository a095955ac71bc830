//! A gateway that has no descriptor left: it waits for one, says so, and goes on with what it has.

use std::net::SocketAddr;

use mcpc_faults::HttpServer;
use mcpc_process::{Client, cpu_time, descendants, descriptors, until};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::stage::{FAULTY, Stage, text_of};

/// What status says when none is left.
const CODE: &str = "MCPC9615";

/// How many more descriptors the gateway may open than it has open.
const LEFT: usize = 6;

/// More clients than that.
const CLIENTS: usize = 40;

/// A call that takes this long, to see what happens meanwhile.
const MEANWHILE_MS: u64 = 900;

/// Lets a process have this many descriptors at most, whatever it has now.
fn allow(process: u32, most: usize) {
    let process = Pid::from_raw(i32::try_from(process).unwrap());
    let most = u64::try_from(most).ok();
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    prlimit(process, Resource::Nofile, limit).unwrap();
}

#[test]
fn without_descriptors_accepting_pauses_and_goes_on_later() {
    let mut stage = Stage::open(&format!(
        "servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n"
    ));
    let process = stage.gateway.id();
    let mut caller = stage.client();
    caller.echoes("echo", 0);
    let before = descriptors(process);
    allow(process, before + LEFT);
    let waiting: Vec<Client> = (0..CLIENTS)
        .map(|_| Client::connect(stage.gateway.address))
        .collect();
    stage.gateway.hears(CODE);

    // What is connected goes on, at little cost.
    let used = cpu_time(process);
    let reply = caller.call("late", &json!({ "ms": MEANWHILE_MS }));
    let used = cpu_time(process).saturating_sub(used);
    assert_eq!(text_of(&reply), json!({ "ms": MEANWHILE_MS }).to_string());
    assert!(used.as_millis() < 300, "it was busy for {used:?}");
    for mark in 0..20 {
        caller.echoes("echo", mark);
    }

    // Those who leave make room for those who come.
    drop(waiting);
    stage.client().echoes("echo", 21);
    until("the descriptors of those who left are free", || {
        descriptors(process) <= before + 1
    });
    stage.gateway.stop();
}

#[test]
fn a_gateway_without_descriptors_stops_when_it_is_asked_to() {
    let mut stage = Stage::open(&format!(
        "servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n"
    ));
    stage.client().echoes("echo", 0);
    allow(stage.gateway.id(), descriptors(stage.gateway.id()));
    let _waiting: Vec<Client> = (0..CLIENTS)
        .map(|_| Client::connect(stage.gateway.address))
        .collect();
    stage.gateway.hears(CODE);
    stage.gateway.stop();
}

/// The codes of what the gateway says it lacks.
fn troubles(stage: &Stage) -> Vec<String> {
    let status = stage.gateway.status();
    let troubles = status["troubles"].as_array().unwrap();
    let code = |trouble: &serde_json::Value| trouble["code"].as_str().unwrap().to_owned();
    troubles.iter().map(code).collect()
}

#[test]
fn a_hundred_idle_clients_under_a_limit_of_64_silence_neither_pages_nor_calls() {
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = server.address;
    let config = format!(
        "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n  \
         good: {{ command: {FAULTY:?}, era: modern, start: {{ when: lazy }} }}\n  \
         web: {{ url: \"http://{address}/mcp\", era: modern }}\n"
    );
    let mut stage = Stage::open_under("ulimit -n 64", &config);
    // Who has never said a word would have to make room for others.
    let mut caller = stage.client();
    caller.fails("none.echo", &["MCPC9109"]);
    let connect = |_| Client::connect(stage.gateway.address);
    let idle: Vec<Client> = (0..100).map(connect).collect();
    assert!(stage.gateway.hears(CODE).contains("Too many open files"));

    // Neither server has been reached before: there is still room for a process and a connection.
    for mark in 0..20 {
        caller.echoes("good.echo", mark);
        caller.echoes("web.echo", mark);
        assert_eq!(troubles(&stage), [CODE]);
    }
    assert!(stage.gateway.page("/readyz").starts_with("HTTP/1.1 200"));
    assert!(stage.gateway.page("/health").contains("\"degraded\""));
    assert!(descriptors(stage.gateway.id()) < 64);

    drop(idle);
    stage.client().echoes("good.echo", 21);
    stage.gateway.hears("there are descriptors again");
    assert!(troubles(&stage).is_empty());
    stage.gateway.stop();
}

#[test]
fn idle_clients_make_room_for_those_that_wait() {
    let config = format!("servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n");
    let mut stage = Stage::open_under("ulimit -n 64", &config);
    let connect = |_| Client::connect(stage.gateway.address);
    let idle: Vec<Client> = (0..20).map(connect).collect();
    let mut late = stage.client().begin("echo", &json!({ "mark": 0 }));
    stage.gateway.hears(CODE);
    let reply = late.reply().unwrap();
    assert_eq!(text_of(&reply), json!({ "mark": 0 }).to_string());
    drop(idle);
    stage.gateway.stop();
}

/// The soft and the hard limit of a process (proc(5)).
fn limits(process: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    let mut numbers = line.unwrap().split_whitespace().skip(3);
    let mut next = || numbers.next().unwrap().parse().unwrap();
    (next(), next())
}

#[test]
fn the_gateway_raises_its_limit_and_its_processes_get_the_old_one() {
    let config = format!("servers:\n  good: {{ command: {FAULTY:?}, era: modern }}\n");
    let stage = Stage::open_under("ulimit -Sn 300 && ulimit -Hn 900", &config);
    stage.client().echoes("echo", 0);
    assert_eq!(limits(stage.gateway.id()), (900, 900));
    let processes = descendants(stage.gateway.id());
    assert!(!processes.is_empty());
    for process in processes {
        assert_eq!(limits(process), (300, 900));
    }
    stage.gateway.stop();
}
