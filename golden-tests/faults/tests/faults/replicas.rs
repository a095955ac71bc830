//! Two servers that can stand in for each other: one of them is killed under calls.
//!
//! Nothing is lost but the calls that it had, later ones go to the other one, and it is used again when
//! it is back. How calls are shared out is told by the process that answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use mcpc_process::{Client, Reply, post};
use serde_json::{Value, json};

use crate::stage::{Caller, FAULTY, Stage, Traffic, text_of};

/// Clients that call without a pause.
const CLIENTS: u64 = 4;

/// How many calls each of them makes after the replica is gone.
const CALLS_AFTER: u64 = 100;

/// A server in a process of its own.
struct Replica {
    process: Child,
    address: SocketAddr,
}

impl Replica {
    fn start(address: SocketAddr) -> Self {
        let mut process = Command::new(FAULTY)
            .args(["http", &address.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let told = BufReader::new(process.stdout.take().unwrap()).read_line(&mut line);
        assert!(told.is_ok_and(|bytes| bytes > 0), "the server listens");
        Self {
            process,
            address: line.trim().parse().unwrap(),
        }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

fn two(era: &str) -> (Replica, Replica, Stage) {
    two_with(era, "")
}

fn two_with(era: &str, more: &str) -> (Replica, Replica, Stage) {
    let any = ([127, 0, 0, 1], 0).into();
    let (one, other) = (Replica::start(any), Replica::start(any));
    let stage = Stage::open(&format!(
        "servers:\n  web:\n    era: {era}\n    replicas:\n\
         \x20     - {{ url: \"http://{}/mcp\", weight: 3 }}\n\
         \x20     - {{ url: \"http://{}/mcp\" }}\n{more}",
        one.address, other.address
    ));
    until(|| {
        let status = stage.gateway.upstream("web");
        state(&status, 0) == "ready" && state(&status, 1) == "ready"
    });
    (one, other, stage)
}

/// Waits for something that comes by itself.
#[track_caller]
fn until(mut is_so: impl FnMut() -> bool) {
    let traffic = Traffic::begin();
    while !is_so() && traffic.goes_on() {
        std::thread::yield_now();
    }
}

fn state(status: &Value, replica: usize) -> &Value {
    &status["replicas"][replica]["state"]
}

/// How many of so many calls each process answers.
#[track_caller]
fn shares(client: &mut Caller, calls: usize) -> BTreeMap<u32, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..calls {
        let pid = text_of(&client.call("pid", &json!({}))).parse().unwrap();
        *shares.entry(pid).or_default() += 1;
    }
    shares
}

#[test]
fn a_replica_is_killed_under_calls_and_only_what_it_had_is_lost() {
    for era in ["modern", "legacy"] {
        let (one, mut other, mut stage) = two(era);
        let whole = shares(&mut stage.client(), 40);
        assert_eq!(whole, [(one.pid(), 30), (other.pid(), 10)].into(), "{era}");

        let traffic = Traffic::begin();
        let is_killed = AtomicBool::new(false);
        let lost: usize = std::thread::scope(|scope| {
            let over = traffic.over();
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| {
                    let (caller, number) = (stage.client(), client << 32);
                    let (traffic, is_killed) = (&traffic, &is_killed);
                    scope.spawn(move || calls_through(caller, traffic, is_killed, number))
                })
                .collect();
            other.kill();
            is_killed.store(true, Ordering::SeqCst);
            let lost = clients.into_iter().map(|client| client.join().unwrap());
            let lost = lost.sum();
            drop(over);
            lost
        });
        // Each client has one call in flight.
        assert!(
            lost <= usize::try_from(CLIENTS).unwrap(),
            "{era}: {lost} lost"
        );

        let status = stage.gateway.upstream("web");
        assert_eq!(status["state"], "ready", "{status}");
        assert_ne!(state(&status, 1), "ready", "{status}");
        assert!(stage.gateway.page("/health").contains("\"degraded\""));
        assert_eq!(shares(&mut stage.client(), 20), [(one.pid(), 20)].into());
        let at = other.address.to_string();
        let line = stage.gateway.hears("the server cannot be used");
        let is_whole = ["WARN", "MCPC9301", &at].iter().all(|it| line.contains(it));
        assert!(is_whole, "{line}");

        let other = Replica::start(other.address);
        let line = stage.gateway.hears("the server is ready");
        assert!(line.contains(&at), "{line}");
        until(|| state(&stage.gateway.upstream("web"), 1) == "ready");
        let whole = shares(&mut stage.client(), 40);
        assert_eq!(whole, [(one.pid(), 30), (other.pid(), 10)].into(), "{era}");
        assert!(stage.gateway.page("/health").contains("\"ok\""));
        stage.gateway.stop();
    }
}

/// Calls without a pause until some time after the replica is gone. Gives how many calls were lost.
fn calls_through(
    mut caller: Caller,
    traffic: &Traffic,
    is_killed: &AtomicBool,
    mut number: u64,
) -> usize {
    let (mut lost, mut after) = (0, 0);
    while after < CALLS_AFTER && traffic.goes_on() {
        // Read before the call: one that began afterwards cannot have been the killed process's.
        let is_after = is_killed.load(Ordering::SeqCst);
        number += 1;
        let reply = caller.call("echo", &json!({ "mark": number }));
        if reply.message().get("result").is_some() {
            assert_eq!(text_of(&reply), json!({ "mark": number }).to_string());
        } else {
            assert!(!is_after, "a call that came later is lost: {reply:?}");
            assert_eq!(reply.code(), "MCPC9306", "{reply:?}");
            lost += 1;
        }
        after += u64::from(is_after);
    }
    lost
}

#[test]
fn an_edit_of_the_replicas_lets_go_on_who_stays() {
    let (one, other, mut stage) = two("legacy");
    let third = Replica::start(([127, 0, 0, 1], 0).into());
    stage.replace(&format!(
        "servers:\n  web:\n    era: legacy\n    replicas:\n\
         \x20     - {{ url: \"http://{}/mcp\" }}\n\
         \x20     - {{ url: \"http://{}/mcp\" }}\n",
        other.address, third.address
    ));
    until(|| state(&stage.gateway.upstream("web"), 1) == "ready");
    let whole = shares(&mut stage.client(), 10);
    assert_eq!(whole, [(other.pid(), 5), (third.pid(), 5)].into());
    drop(one);
    stage.replace(&format!(
        "servers:\n  web: {{ era: legacy, url: \"http://{}/mcp\" }}\n",
        third.address
    ));
    assert_eq!(shares(&mut stage.client(), 4), [(third.pid(), 4)].into());
    assert!(stage.gateway.upstream("web").get("replicas").is_none());
    stage.gateway.stop();
}

/// Begins a call of a tool, kills the replica that has it, and gives what comes back.
#[track_caller]
fn killed_under(stage: &Stage, replicas: &mut [Replica; 2], tool: &str) -> Reply {
    let mut client = stage.client();
    // The tools are listed now, so that the next call is the only thing that a replica is busy with.
    client.call("late", &json!({ "ms": 0 }));
    let mut client = client.begin(tool, &json!({ "ms": 1500 }));
    let busy = || {
        let status = stage.gateway.upstream("web");
        (0..2).find(|at| status["replicas"][at]["in_flight"] == 1)
    };
    until(|| busy().is_some());
    replicas[busy().unwrap()].kill();
    client.reply().unwrap()
}

#[test]
fn a_call_that_may_be_repeated_outlives_the_process_that_had_it() {
    for era in ["modern", "legacy"] {
        let retry = "    retry: { attempts: 3, budget: 20% }\n";
        let (one, other, stage) = two_with(era, retry);
        let mut replicas = [one, other];
        let reply = killed_under(&stage, &mut replicas, "late");
        assert_eq!(text_of(&reply), json!({ "ms": 1500 }).to_string(), "{era}");
        assert_eq!(stage.gateway.upstream("web")["retries"]["sent"], 1);
        // Nothing says that this one can be sent twice.
        let reply = killed_under(&stage, &mut replicas, "silence");
        assert_eq!(reply.code(), "MCPC9306", "{era}: {reply:?}");
        assert_eq!(stage.gateway.upstream("web")["retries"]["sent"], 1);
        stage.gateway.stop();
    }
}

#[test]
fn the_same_session_stays_with_the_same_process() {
    let (one, other, stage) = two_with("modern", "    balance: sticky\n");
    let mut homes = Vec::new();
    for _ in 0..24 {
        let address = stage.gateway.address;
        let mut client = Client::connect(address);
        let session = begun(&mut client, address);
        let mut pids = [(); 4].map(|()| {
            let params = json!({ "name": "pid", "arguments": {} });
            let message =
                json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params })
                    .to_string();
            let headers = format!("{session}MCP-Protocol-Version: 2025-11-25\r\n");
            text_of(&client.ask(post(address, "/mcp", &headers, &message)))
        });
        pids.sort();
        assert_eq!(pids.first(), pids.last());
        homes.extend(pids.into_iter().take(1));
    }
    for replica in [&one, &other] {
        assert!(homes.contains(&replica.pid().to_string()), "{homes:?}");
    }
    stage.gateway.stop();
}

/// Begins a session of 2025-11-25, and gives the header that names it.
fn begun(client: &mut Client, address: SocketAddr) -> String {
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    });
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params });
    let reply = client.ask(post(address, "/mcp", "", &message.to_string()));
    let head = reply.head.to_lowercase();
    let line = head
        .lines()
        .find(|line| line.starts_with("mcp-session-id:"));
    let at = head.find(line.unwrap()).unwrap();
    let value = reply.head[at..].lines().next().unwrap();
    format!("{value}\r\n")
}
