//! A gateway that has no descriptor left: it waits for one, says so, and goes on with what it has.

use mcpc_process::{Client, cpu_time, descriptors, until};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::stage::{FAULTY, Stage, text_of};

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
    stage.gateway.hears("no connection can be accepted");

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
    stage.gateway.hears("no connection can be accepted");
    stage.gateway.stop();
}
