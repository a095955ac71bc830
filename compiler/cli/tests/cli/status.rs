//! `mcpc status` and the orders, asked of gateways that have much to tell, and of what is no gateway.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::invocation::{Folder, Ran};

const AT: &str = "2026-07-28T00:00:00.000Z";
const LATER: &str = "2026-07-28T00:00:09.000Z";

/// Something that answers every request with this, until the tests end.
pub(crate) fn answering(status: u16, body: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let length = body.len();
    let reply = format!(
        "HTTP/1.1 {status} Stated\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _departed = answer(&mut stream.unwrap(), reply.as_bytes());
        }
    });
    address
}

fn answer(stream: &mut TcpStream, reply: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    stream.write_all(reply)?;
    // What is closed while bytes wait in it takes the reply along.
    io::copy(stream, &mut io::sink()).map(drop)
}

fn asked(what: &str, status: u16, body: &Value) -> Ran {
    let admin = answering(status, &body.to_string()).to_string();
    Folder::new().mcpc(&[what, "--admin", &admin])
}

fn upstream(name: &str, state: &str, more: Value) -> Value {
    let mut upstream = json!({
        "name": name, "state": state, "since": AT, "era": null, "latency_ms": null, "in_flight": 0,
        "restarts": 0, "pid": null, "last_error": null,
    });
    let Value::Object(more) = more else {
        unreachable!("{more}")
    };
    upstream.as_object_mut().unwrap().extend(more);
    upstream
}

fn breaker(state: &str, openings: u32, until: Option<&str>) -> Value {
    json!({ "state": state, "failures": 0, "openings": openings, "until": until })
}

fn replica(place: &str, is_backup: bool, breaker: &Value, healthy: bool) -> Value {
    json!({
        "place": place, "state": "failing", "since": AT, "is_backup": is_backup, "era": null,
        "latency_ms": null, "in_flight": 0, "last_error": "MCPC9301", "breaker": breaker,
        "health": { "healthy": healthy, "asked": 2, "failed": 1, "last_error": null },
    })
}

fn ended(how: &str, number: Option<i32>, lived_ms: Option<u64>) -> Value {
    let mut end = json!({ "at": AT, "how": how, "error": "MCPC9306" });
    let end_of = end.as_object_mut().unwrap();
    if let Some(number) = number {
        end_of.insert("number".to_owned(), json!(number));
    }
    if let Some(lived) = lived_ms {
        end_of.insert("lived_ms".to_owned(), json!(lived));
    }
    end
}

/// The document of a gateway with these upstreams.
fn status(upstreams: &[Value], more: Value) -> Value {
    let mut status = json!({
        "version": "0.1.0", "pid": 7, "uptime_ms": 61_000, "phase": "serving",
        "address": "127.0.0.1:8080", "connections": 2, "sessions": 0, "live": null, "refused": null,
        "endpoints": [], "upstreams": upstreams,
    });
    let Value::Object(more) = more else {
        unreachable!("{more}")
    };
    status.as_object_mut().unwrap().extend(more);
    status
}

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

#[test]
fn everything_that_a_gateway_lacks_or_keeps_is_told_in_words() {
    let told = |more| asked("status", 200, &status(&[], more)).exits_with(1);
    let first = |phase| {
        format!("mcpc 0.1.0, process 7, {phase} on 127.0.0.1:8080 for 61 s, 2 connections\n")
    };
    for phase in ["starting", "leaving", "draining"] {
        let expected = first(phase) + "live     no plan yet\n";
        assert_eq!(told(json!({ "phase": phase })).text(), expected);
    }
    let live =
        json!({ "digest": digest("a"), "since": AT, "source": "mcpc.yaml", "taken": "last_good" });
    let kept = json!({
        "directory": "/state/plans", "plans": [digest("a"), digest("b"), digest("c")], "error": "no space",
    });
    let trouble = json!({ "code": "MCPC9615", "text": "no descriptors", "reason": "os error 24", "since": AT, "times": 3 });
    let plans = format!(
        "{}live     aaaaaaaaaaaa since {AT} from mcpc.yaml, the last good plan: not what it holds now\n\
         probation until {LATER}\n\
         kept in  /state/plans, before the live one: bbbbbbbbbbbb, cccccccccccc; it cannot be written: no space (MCPC9613)\n\
         trouble  no descriptors since {AT}, 3 times: os error 24 (MCPC9615)\n",
        first("serving")
    );
    for (stage, gives_up) in [
        ("connections", "idle connections are closed"),
        ("sessions", "no new session begins"),
        ("calls", "no new call is taken"),
    ] {
        let pressure = json!({ "stage": stage, "since": AT, "percent": { "calls": 12, "memory": 97 }, "shed": {} });
        let ran = told(json!({
            "live": live, "probation": LATER, "kept": kept, "troubles": [trouble], "pressure": pressure,
        }));
        let expected = format!("{plans}pressure {gives_up}: calls 12%, memory 97%\n");
        assert_eq!(ran.text(), expected);
    }
}

#[test]
fn what_a_server_has_behind_it_is_told_in_words() {
    let sessions = json!({ "in_use": 2, "spares": 1, "at_most": 9 });
    let one = json!({
        "era": "legacy", "ignored_lines": 4, "retries": { "sent": 5, "refused": 0 }, "sessions": sessions,
        "breaker": breaker("closed", 6, None),
    });
    let replicas = json!({ "replicas": [
        replica("a.test:80/mcp", false, &breaker("open", 1, Some(LATER)), false),
        replica("b.test:80/mcp", true, &breaker("half_open", 1, None), true),
        replica("c.test:80/mcp", false, &breaker("closed", 0, None), true),
    ] });
    let ran = asked(
        "status",
        200,
        &status(
            &[
                upstream("one", "ready", one),
                upstream("many", "failing", replicas),
            ],
            json!({}),
        ),
    );
    let expected = format!(
        "upstream one: ready, legacy, ignored lines 4, sent 5 calls again, breaker opened 6 times, 2 and 1 spare of 9 for sessions\n\
         upstream many: failing\n\
         \x20 a.test:80/mcp: failing, last failure MCPC9301, breaker open until {LATER}, unhealthy\n\
         \x20 backup b.test:80/mcp: failing, last failure MCPC9301, breaker half-open\n\
         \x20 c.test:80/mcp: failing, last failure MCPC9301\n"
    );
    let ran = ran.exits_with(1);
    let (_, upstreams) = ran.text().split_once("no plan yet\n").unwrap();
    assert_eq!(upstreams, expected);
}

#[test]
fn every_way_in_which_a_process_ends_has_its_words() {
    let ways = [
        (
            ended("signalled", Some(9), Some(5000)),
            "signal 9 after 5 s",
        ),
        (
            ended("crowded", Some(65), None),
            "65 processes and threads, too many, never ready",
        ),
        (
            ended("out_of_memory", Some(2), None),
            "out of memory, 2 processes ended by the system, never ready",
        ),
        (
            ended("not_executed", None, None),
            "the program cannot be executed, never ready",
        ),
        (
            ended("not_confined", None, None),
            "its sandbox or limits cannot be kept, never ready",
        ),
        (
            ended("closed_pipe", None, Some(999)),
            "it closed a pipe after 0 s",
        ),
        (ended("hung", None, Some(1000)), "it hung after 1 s"),
        (
            ended("not_ready", None, None),
            "it did not get ready, never ready",
        ),
        (
            ended("lost", None, None),
            "it is not known how, never ready",
        ),
    ];
    for (end, words) in ways {
        let upstream = upstream("one", "down", json!({ "ends": [end] }));
        let ran = asked("status", 200, &status(&[upstream], json!({}))).exits_with(1);
        let expected = format!("upstream one: down\n  {AT}: {words} (MCPC9306)\n");
        assert!(ran.text().ends_with(&expected), "{}", ran.text());
    }
}

#[test]
fn servers_that_have_left_the_plan_are_told_until_they_are_gone() {
    for (reason, words) in [
        ("requests", "requests from before may need it"),
        ("calls", "2 calls under way"),
        ("ending", "it is being ended"),
    ] {
        let draining = json!([{
            "name": "one", "since": AT, "reason": reason, "in_flight": 2, "until": AT,
        }]);
        let ran = asked("status", 200, &status(&[], json!({ "draining": draining }))).exits_with(1);
        let expected = format!("draining one: not in the plan since {AT}, {words}, gone by {AT}\n");
        assert!(ran.text().ends_with(&expected), "{}", ran.text());
    }
}

#[test]
fn what_is_no_gateway_or_takes_no_orders_is_told() {
    asked("status", 404, &json!({}))
        .exits_with(2)
        .says("answers with 404; is it the admin address of a gateway?");
    asked("status", 200, &json!({ "status": "UP" }))
        .exits_with(2)
        .says("does not answer with the status of a gateway");
    asked("reload", 404, &json!({}))
        .exits_with(2)
        .says("answers with 404; is it the admin address of a gateway?");
    let refusal = json!({ "code": "MCPC9612", "message": "there is no plan before it" });
    asked("rollback", 403, &refusal).exits_with(2).says(
        "error[MCPC9612]: there is no plan before it\n  = note: run `mcpc explain MCPC9612`\n",
    );
}
