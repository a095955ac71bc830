//! How servers start, and what status tells of those that end or never get ready.

use std::fmt::Write;
use std::time::{Duration, Instant};

use mcpc_process::{children, descriptors, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::legacy::LegacyCaller;
use crate::stage::{FAULTY, Stage};

const HEAD: &str = "endpoints: { main: { path: /mcp, prefix: \"{server}.\" } }\nservers:\n";

fn pid(stage: &Stage, server: &str) -> Option<u32> {
    let pid = stage.gateway.upstream(server)["pid"].as_u64()?;
    u32::try_from(pid).ok()
}

#[test]
fn eager_servers_start_with_the_gateway_and_lazy_ones_with_their_first_call() {
    let stage = Stage::open(&format!(
        "{HEAD}  eager: {{ command: {FAULTY:?}, era: modern }}\n  \
         lazy: {{ command: {FAULTY:?}, era: modern, start: {{ when: lazy }} }}\n"
    ));
    until("the eager one runs", || pid(&stage, "eager").is_some());
    let eager = pid(&stage, "eager");
    assert_eq!(stage.gateway.upstream("lazy")["state"], "idle");
    assert_eq!(children(stage.gateway.id()).len(), 1, "one warden");
    let mut caller = stage.client();
    caller.echoes("lazy.echo", 0);
    assert!(pid(&stage, "lazy").is_some());
    caller.echoes("eager.echo", 1);
    assert_eq!(pid(&stage, "eager"), eager);
    stage.gateway.stop();
}

#[test]
fn a_greeting_starts_lazy_servers_before_their_first_call() {
    let stage = Stage::open(&format!(
        "{HEAD}  lazy: {{ command: {FAULTY:?}, era: legacy, start: {{ when: lazy }} }}\n"
    ));
    assert_eq!(stage.gateway.upstream("lazy")["state"], "idle");
    let _client = LegacyCaller::greet(stage.gateway.address);
    until("it is ready", || {
        stage.gateway.upstream("lazy")["state"] == "ready"
    });
    stage.gateway.stop();
}

#[test]
fn servers_that_never_get_ready_keep_no_other_from_starting() {
    // Each of them would have a turn for half a minute. Were they the same, they would share one process.
    let mut text = format!("limits: {{ grace: 2s }}\n{HEAD}");
    for number in 0..6 {
        let name = format!("a{number}");
        let start = "start: { timeout: 30s }";
        let _infallible = writeln!(
            text,
            "  {name}: {{ command: {FAULTY:?}, args: [--silent, {name}], era: legacy, {start} }}"
        );
    }
    let stage = Stage::open(&format!(
        "{text}  good: {{ command: {FAULTY:?}, era: legacy, start: {{ when: lazy }} }}\n"
    ));
    let began = Instant::now();
    stage.client().echoes("good.echo", 0);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(9), "{took:?}");
    stage.gateway.stop();
}

#[test]
fn so_many_servers_start_at_once_as_the_live_plan_says() {
    // Each of them has a turn of two seconds: all of them two at a time would take six.
    let text = |starts: usize| {
        let mut text = format!("limits: {{ grace: 1s, starts: {starts} }}\n{HEAD}");
        for number in 0..8 {
            let name = format!("a{number}");
            let start = "start: { timeout: 30s }";
            let _infallible = writeln!(
                text,
                "  {name}: {{ command: {FAULTY:?}, args: [--silent, {name}], era: legacy, {start} }}"
            );
        }
        text
    };
    let mut stage = Stage::open(&text(2));
    let wardens = || children(stage.gateway.id()).len();
    until("two have begun", || wardens() >= 2);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        assert_eq!(wardens(), 2);
    }
    stage.replace(&text(8));
    let wardens = || children(stage.gateway.id()).len();
    until("all have begun", || wardens() == 8);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    stage.gateway.stop();
}

#[test]
fn a_server_that_never_gets_ready_in_time_takes_nothing_with_it() {
    let restart = "{ at_most: 1000, within: 1h, backoff: { from: 1ms, to: 1ms } }";
    let stage = Stage::open(&format!(
        "{HEAD}  good: {{ command: {FAULTY:?}, era: modern }}\n  \
         mute: {{ command: {FAULTY:?}, args: [--silent], era: legacy, start: {{ timeout: 20ms }}, restart: {restart} }}\n"
    ));
    let mut caller = stage.client();
    caller.echoes("good.echo", 0);
    let tried = |times: u64| {
        let restarts = stage.gateway.upstream("mute")["restarts"].as_u64();
        restarts.is_some_and(|restarts| restarts >= times)
    };
    // At any moment a few are still being ended.
    let most = |measure: &dyn Fn() -> usize| (0..20).map(|_| measure()).max().unwrap();
    let files = || most(&|| descriptors(stage.gateway.id()));
    let wardens = || most(&|| children(stage.gateway.id()).len());
    until("it was tried 20 times", || tried(20));
    let before = (files(), wardens());
    until("it was tried 100 times", || tried(100));
    let after = (files(), wardens());
    assert!(
        after.0 < before.0 + 20 && after.1 < before.1 + 4,
        "{before:?} {after:?}"
    );
    let mute = stage.gateway.upstream("mute");
    let ends = mute["ends"].as_array().unwrap();
    assert_eq!(ends.len(), 16, "the last ones only: {mute:#}");
    for end in ends {
        assert_eq!(end["how"], "not_ready", "{end}");
        assert_eq!(end["error"], "MCPC9302", "{end}");
        assert_eq!(end["lived_ms"], Value::Null, "{end}");
    }
    caller.echoes("good.echo", 1);
    stage.gateway.stop();
}

#[test]
fn status_tells_how_the_processes_of_a_server_ended_and_when_there_is_another() {
    let restart = "{ at_most: 2, within: 1h, backoff: { from: 1ms, to: 1ms } }";
    let stage = Stage::open(&format!(
        "{HEAD}  bad: {{ command: {FAULTY:?}, era: modern, restart: {restart} }}\n  \
         gone: {{ command: no-such-program, era: modern, start: {{ when: lazy }} }}\n"
    ));
    let mut caller = stage.client();
    caller.echoes("bad.echo", 0);
    assert_eq!(stage.gateway.upstream("bad")["ends"], Value::Null);

    let first = pid(&stage, "bad").unwrap();
    caller.fails("bad.die", &["MCPC9306"]);
    caller.echoes("bad.echo", 1);
    let second = pid(&stage, "bad").unwrap();
    let id = Pid::from_raw(i32::try_from(second).unwrap()).unwrap();
    kill_process(id, Signal::KILL).unwrap();
    until("there is a third one", || {
        pid(&stage, "bad").is_some_and(|pid| pid != second)
            && stage.gateway.upstream("bad")["state"] == "ready"
    });
    let bad = stage.gateway.upstream("bad");
    let [killed, died] = &bad["ends"].as_array().unwrap()[..] else {
        unreachable!("two have ended: {bad:#}");
    };
    let of = |end: &Value| ["how", "number", "pid", "error"].map(|key| end[key].clone());
    let expected = [Value::from("signalled"), 9.into(), second.into()];
    assert_eq!(of(killed)[..3], expected);
    assert_eq!(
        of(died),
        [
            "exited".into(),
            3.into(),
            Value::from(first),
            "MCPC9306".into()
        ]
    );
    assert!(killed["at"].as_str() > died["at"].as_str(), "newest first");
    assert!(died["lived_ms"].is_u64());

    // A third end is one too many within the window: it is left alone until the first has left it.
    caller.fails("bad.die", &["MCPC9306"]);
    until("it is left alone", || {
        stage.gateway.upstream("bad")["state"] == "down"
    });
    let bad = stage.gateway.upstream("bad");
    assert_eq!(bad["ends"].as_array().unwrap().len(), 3);
    let next = bad["next_start"].as_str().unwrap();
    assert!(next > died["at"].as_str().unwrap(), "{bad:#}");

    caller.fails("gone.echo", &["MCPC9301"]);
    let gone = stage.gateway.upstream("gone");
    assert_eq!(gone["ends"][0]["how"], "not_executed", "{gone:#}");
    stage.gateway.stop();
}
