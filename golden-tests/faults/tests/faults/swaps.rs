//! Plans that are replaced again and again under traffic: no call is lost, wrong or cut, what did not
//! change keeps running, and nothing of a plan stays behind.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mcpc_faults::HttpServer;
use mcpc_process::{alive, children, descriptors, memory, until};
use serde_json::json;

use crate::stage::{FAULTY, Stage, Traffic};

/// Swaps before memory is looked at for the first time, and after it. Each is followed by a plan that
/// is refused.
const WARM_UP: u64 = 100;
const SWAPS: u64 = 400;

/// A leak of 2 KiB per swap is more than this; what an allocator keeps here and there is less.
const GROWTH_MAX: u64 = 512 << 10;

/// How long a busy and deaf server is waited for.
const GRACE: Duration = Duration::from_secs(4);

fn config(web: SocketAddr, turn: u64) -> String {
    format!(
        "servers:\n\
         \x20 child: {{ command: {FAULTY:?}, era: modern }}\n\
         \x20 web: {{ url: \"http://{web}/mcp\", era: modern, timeouts: {{ total: {}ms }} }}\n\
         endpoints:\n\
         \x20 main: {{ path: /mcp }}\n\
         \x20 other: {{ path: /{turn}, servers: [child] }}\n",
        300_000 + turn
    )
}

#[test]
fn swaps_under_traffic_lose_no_call_and_leave_nothing_behind() {
    let web = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let mut stage = Stage::open(&config(web.address, 0));
    let gateway = stage.gateway.id();
    stage.client().echoes("child__echo", 0);
    let child = stage.gateway.upstream("child").get("pid").cloned();
    let traffic = &Traffic::begin();
    let clients = [stage.client(), stage.client()];
    std::thread::scope(|scope| {
        let over = traffic.over();
        let calling = clients.map(|mut client| {
            scope.spawn(move || {
                let mut calls = 0;
                while traffic.goes_on() {
                    client.echoes("child__echo", calls);
                    client.echoes("web__echo", calls + 1);
                    calls += 2;
                }
                calls
            })
        });
        let mut storm = |turns: std::ops::Range<u64>| {
            for turn in turns {
                assert!(traffic.goes_on());
                stage.replace(&config(web.address, turn));
                stage.replace_bytes(json!({ "format": 1, "turn": turn }).to_string().as_bytes());
                stage.gateway.hears("there is no plan to go live");
            }
            (memory(gateway), descriptors(gateway))
        };
        let (before, _) = storm(1..WARM_UP);
        let (after, open) = storm(WARM_UP..WARM_UP + SWAPS);
        drop(over);
        for calls in calling {
            assert!(calls.join().unwrap() > 100);
        }
        let grown = after.saturating_sub(before);
        assert!(grown < GROWTH_MAX, "it grew by {} KiB", grown >> 10);
        assert!(open < 100, "{open} descriptors are open");
    });
    assert_eq!(stage.gateway.upstream("child").get("pid").cloned(), child);
    stage.gateway.stop();
}

/// A server that ignores everything, and what it is asked for that takes longer than the grace.
#[test]
fn a_busy_server_that_ignores_everything_is_gone_within_the_grace_of_its_plan() {
    let with = |server: &str| {
        format!(
            "limits: {{ grace: 4s }}\nendpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
             servers:\n\x20 {server}: {{ command: {FAULTY:?}, args: [--deaf, {server}], era: modern }}\n"
        )
    };
    let mut stage = Stage::open(&with("left"));
    stage.client().echoes("left.echo", 0);
    let servers = children(stage.gateway.id());
    assert_eq!(servers.len(), 1);
    let mut waiting = stage.client().begin("left.silence", &json!({}));
    stage.gateway.hears("silence is with the server");
    stage.replace(&with("came"));
    let began = Instant::now();
    let reply = waiting.reply().unwrap();
    assert_eq!(reply.code(), "MCPC9317", "{:?}", reply.message());
    let had = began.elapsed();
    assert!(had > GRACE / 2, "its call had {had:?}");
    until("the server is gone", || {
        !servers.iter().any(|id| alive(*id))
    });
    let took = began.elapsed();
    assert!(took < GRACE + Duration::from_secs(1), "{took:?}");
    stage.client().echoes("came.echo", 1);
}

#[test]
fn a_server_that_has_left_the_plan_is_shown_until_it_is_gone() {
    let config = |more: &str| {
        let kept = format!("  kept: {{ command: {FAULTY:?}, era: modern }}\n");
        format!("limits: {{ grace: 20s }}\nservers:\n{kept}{more}")
    };
    // It goes on when its input ends, and does not hear SIGTERM.
    let old = format!("  old: {{ command: {FAULTY:?}, args: [--deaf], era: modern }}\n");
    let mut stage = Stage::open(&config(&old));
    stage.client().echoes("old__echo", 0);
    assert!(stage.gateway.status().get("draining").is_none());
    let mut late = stage.client().begin("old__late", &json!({ "ms": 1500 }));
    until("the call is under way", || {
        stage.gateway.upstream("old")["in_flight"] == 1
    });
    stage.replace(&config(""));
    let draining = || stage.gateway.status()["draining"].clone();
    let seen = draining();
    assert_eq!(seen[0]["name"], "old", "{seen}");
    assert_eq!(
        (&seen[0]["reason"], &seen[0]["in_flight"]),
        (&json!("calls"), &json!(1))
    );
    assert!(
        seen[0]["since"].as_str() < seen[0]["until"].as_str(),
        "{seen}"
    );
    assert_eq!(late.reply().unwrap().code(), "");
    until("it is being ended", || draining()[0]["reason"] == "ending");
    until("it is gone", || draining().is_null());
    stage.gateway.stop();
}

/// The same server under each of these names.
fn named(names: &[&str], server: &str) -> String {
    let servers = names.iter().map(|name| format!("  {name}: {server}\n"));
    let servers: String = servers.collect();
    format!("endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\nservers:\n{servers}")
}

#[test]
fn a_process_that_goes_on_under_another_name_is_logged_under_that() {
    let server = format!("{{ command: {FAULTY:?}, era: modern }}");
    let mut stage = Stage::open(&named(&["first", "second"], &server));
    let mut caller = stage.client();
    caller.echoes("second.echo", 0);
    for name in ["second", "third"] {
        stage.replace(&named(&[name], &server));
        let label = format!("server={name} ");
        caller.call(&format!("{name}.late"), &json!({ "ms": 1 }));
        caller.fails(&format!("{name}.die"), &["MCPC9306"]);
        for event in [
            "late is with the server",
            "the process has ended",
            "the server is ready",
        ] {
            let line = format!("{} ", stage.gateway.hears(event));
            assert!(line.contains(&label), "{line}");
        }
    }
    stage.gateway.stop();
}

#[test]
fn replicas_that_go_on_under_another_name_are_logged_under_that_and_their_places() {
    let web = [(); 2].map(|()| HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap());
    let urls = web
        .each_ref()
        .map(|web| format!("http://{}/mcp", web.address));
    let server = format!(
        "{{ era: modern, breaker: {{ failures: 1, within: 1m, open_for: 1m }}, \
         replicas: [{{ url: {:?} }}, {{ url: {:?} }}] }}",
        urls[0], urls[1]
    );
    let mut stage = Stage::open(&named(&["first", "second"], &server));
    stage.client().echoes("second.echo", 0);
    stage.replace(&named(&["second"], &server));
    stage.client().fails("second.garbage", &["MCPC9307"]);
    let line = stage.gateway.hears("calls failed too often");
    let places = web.map(|web| format!("server=second@{}/mcp ", web.address));
    assert!(places.iter().any(|place| line.contains(place)), "{line}");
    stage.gateway.stop();
}
