//! A child process that misbehaves: its caller is told at once, it is started again, and nothing of
//! it is left behind.

use mcpc_process::{alive, descendants, peak_memory, reset_peak_memory, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::stage::{FAULTY, Stage, TIMEOUTS, Traffic, text_of};

const REPLY: &str = "2MiB";
const GROWTH_MAX: u64 = 24 << 20;

/// A gateway with the misbehaving server, and a second one that behaves.
fn config(era: &str, arguments: &str) -> String {
    let restart = "{ at_most: 5, within: 10m, backoff: { from: 50ms, to: 1s } }";
    format!(
        "limits: {{ reply: {REPLY}, grace: 1s }}\n\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n\
         \x20 bad: {{ command: {FAULTY:?}, args: [{arguments}], era: {era}, timeouts: {TIMEOUTS}, restart: {restart} }}\n\
         \x20 good: {{ command: {FAULTY:?}, era: {era} }}\n"
    )
}

fn serve(era: &str, arguments: &str) -> Stage {
    Stage::open(&config(era, arguments))
}

fn process_of(stage: &Stage, server: &str) -> u32 {
    let id = stage.gateway.upstream(server).get("pid").cloned();
    let id = id.as_ref().and_then(Value::as_u64);
    u32::try_from(id.unwrap()).unwrap()
}

/// All faults of a call that leave the process as it is, at once.
fn all_at_once(era: &str) {
    let faults: [(&str, &[&str]); 4] = [
        ("bad.garbage", &["MCPC9303"]),
        ("bad.wrong_id", &["MCPC9303"]),
        ("bad.silence", &["MCPC9303"]),
        ("bad.huge", &["MCPC9309"]),
    ];
    let stage = serve(era, "");
    let mut other = stage.client();
    other.echoes("bad.echo", 0);
    let process = process_of(&stage, "bad");
    reset_peak_memory(stage.gateway.id());
    let before = peak_memory(stage.gateway.id());
    let traffic = Traffic::begin();
    std::thread::scope(|scope| {
        let over = traffic.over();
        let others = scope.spawn(|| traffic.echoes(&mut other, &["good.echo", "bad.echo"]));
        let failing = faults.map(|(tool, codes)| {
            let mut caller = stage.client();
            scope.spawn(move || caller.fails(tool, codes))
        });
        for failed in failing {
            failed.join().unwrap();
        }
        drop(over);
        assert!(others.join().unwrap() > 0);
    });
    let mut caller = stage.client();
    for mark in 0..20 {
        caller.echoes("bad.twice", mark);
        caller.echoes("bad.unasked", mark + 100);
        caller.echoes("bad.echo", mark + 200);
    }
    caller.echoes("bad.flood", 1);
    caller.echoes("bad.echo", 2);
    let grown = peak_memory(stage.gateway.id()).saturating_sub(before);
    assert!(grown < GROWTH_MAX, "it grew by {} MiB", grown >> 20);
    assert_eq!(process_of(&stage, "bad"), process, "the same process");
    stage.gateway.stop();
}

#[test]
fn a_modern_child_that_misbehaves_costs_nobody_but_its_caller() {
    all_at_once("modern");
}

#[test]
fn a_legacy_child_that_misbehaves_costs_nobody_but_its_caller() {
    all_at_once("legacy");
}

#[test]
fn an_answer_after_the_deadline_is_nobodys() {
    let stage = serve("modern", "");
    let mut caller = stage.client();
    let reply = caller.call("bad.late", &json!({ "ms": 2600 }));
    assert_eq!(reply.code(), "MCPC9303", "{reply:?}");
    let reply = caller.call("bad.late", &json!({ "ms": 1200 }));
    assert_eq!(text_of(&reply), json!({ "ms": 1200 }).to_string());
    stage.gateway.stop();
}

/// Ends it in each way, with others waiting for it.
fn ends_and_starts_again(arguments: &str) {
    let mut stage = serve("modern", arguments);
    let mut caller = stage.client();
    caller.echoes("bad.echo", 0);
    let mut before = process_of(&stage, "bad");
    let ends = ["bad.die", "bad.cut_body", "kill"];
    for end in ends {
        let left = descendants(before);
        // Others wait for the same process meanwhile, and are told at once, long before a deadline.
        let mut waiting = stage.client();
        std::thread::scope(|scope| {
            let told = scope.spawn(move || waiting.fails("bad.silence", &["MCPC9306"]));
            stage.gateway.hears("silence is with the server");
            if end == "kill" {
                let process = Pid::from_raw(i32::try_from(before).unwrap()).unwrap();
                kill_process(process, Signal::KILL).unwrap();
            } else {
                caller.fails(end, &["MCPC9306"]);
            }
            told.join().unwrap();
        });
        caller.echoes("good.echo", 1);
        // The pause before the start is shorter than a caller's patience.
        caller.echoes("bad.echo", 2);
        let now = process_of(&stage, "bad");
        assert_ne!(now, before);
        assert!(!alive(before));
        assert!(!left.iter().any(|id| alive(*id)), "{left:?}");
        before = now;
    }
    let restarts = &stage.gateway.upstream("bad")["restarts"];
    assert_eq!(*restarts, ends.len(), "each start was the first attempt");
    stage.gateway.stop();
}

#[test]
fn a_child_that_dies_or_is_killed_fails_its_callers_and_is_started_again() {
    ends_and_starts_again("");
}

#[test]
fn what_a_dead_child_leaves_behind_is_gone_before_the_next_one_starts() {
    ends_and_starts_again("--alone, --family");
}

#[test]
fn a_server_that_bears_no_second_one_beside_it_starts_though_it_is_first_asked_what_it_speaks() {
    for habits in ["", ", --deaf, --family"] {
        let stage = serve("auto", &format!("--old, --alone{habits}"));
        stage.client().echoes("bad.echo", 1);
        assert_eq!(stage.gateway.upstream("bad")["restarts"], 0);
        stage.gateway.stop();
    }
}

#[test]
fn a_call_that_changes_nothing_is_sent_again_to_the_next_process() {
    let with = |retry: &str| {
        format!(
            "servers:\n  bad:\n    command: {FAULTY:?}\n    era: modern\n\
             \x20   restart: {{ backoff: {{ from: 1ms, to: 1ms }} }}\n{retry}"
        )
    };
    for (retry, tool, outcome) in [
        ("    retry: { attempts: 2, budget: 100% }\n", "late", None),
        (
            "    retry: { attempts: 2, budget: 100% }\n",
            "silence",
            Some("MCPC9306"),
        ),
        ("", "late", Some("MCPC9306")),
    ] {
        let stage = Stage::open(&with(retry));
        let mut caller = stage.client();
        // Which tools change nothing is told by the list.
        caller.echoes("echo", 1);
        let before = process_of(&stage, "bad");
        let mut waiting = stage.client().begin(tool, &json!({ "ms": 500 }));
        until("the call is with the process", || {
            stage.gateway.upstream("bad")["in_flight"] == 1
        });
        let process = Pid::from_raw(i32::try_from(before).unwrap()).unwrap();
        kill_process(process, Signal::KILL).unwrap();
        let reply = waiting.reply().unwrap();
        match outcome {
            None => assert_eq!(text_of(&reply), json!({ "ms": 500 }).to_string()),
            Some(code) => assert_eq!(reply.code(), code, "{reply:?}"),
        }
        caller.echoes("echo", 2);
        assert_ne!(process_of(&stage, "bad"), before);
        stage.gateway.stop();
    }
}

#[test]
fn a_child_that_ends_too_often_is_left_alone_until_a_reload_is_asked_for() {
    let mut stage = serve("modern", "");
    let mut caller = stage.client();
    caller.echoes("bad.echo", 0);
    for _ in 0..6 {
        caller.fails("bad.die", &["MCPC9306"]);
    }
    let line = stage.gateway.hears("the server ended too often");
    assert!(line.contains("MCPC9314"), "{line}");
    let reply = caller.call("bad.echo", &json!({}));
    assert_eq!(reply.code(), "MCPC9314", "{reply:?}");
    let after = reply.message()["error"]["data"]["retryAfter"].as_u64();
    assert!(after.is_some_and(|after| after > 60), "{reply:?}");
    assert!(reply.head.to_lowercase().contains("retry-after: "));
    caller.echoes("good.echo", 1);

    // An edit of something else says nothing of it.
    stage.edit(&config("modern", "").replace("grace: 1s", "grace: 2s"));
    caller.fails("bad.echo", &["MCPC9314"]);
    let outcome = stage.reload();
    assert_eq!(outcome["verdict"], "unchanged");
    assert_eq!(outcome["tried_again"], json!(["bad"]));
    stage
        .gateway
        .hears("servers that were down are tried again");
    caller.echoes("bad.echo", 2);
    assert_eq!(stage.reload().get("tried_again"), None);
    stage.gateway.stop();
}

#[test]
fn a_child_that_hangs_is_replaced_when_it_leaves_the_plan() {
    let mut stage = serve("modern", "--deaf, --family");
    let mut caller = stage.client();
    caller.echoes("bad.fork", 0);
    caller.fails("bad.hang", &["MCPC9303"]);
    caller.fails("bad.echo", &["MCPC9303"]);
    caller.echoes("good.echo", 1);
    let good = process_of(&stage, "good");
    let bad = process_of(&stage, "bad");
    let family: Vec<u32> = descendants(bad).into_iter().chain([bad]).collect();
    assert_eq!(family.len(), 3, "{family:?}");
    stage.replace(&config("modern", "--family"));
    // A modern endpoint answers with the new process while the ladder of signals is climbed.
    caller.echoes("bad.echo", 2);
    until("the old tree has ended", || {
        !family.iter().any(|id| alive(*id))
    });
    assert_eq!(process_of(&stage, "good"), good);
    stage.gateway.stop();
}

#[test]
fn no_process_is_left_behind_however_the_gateway_ends() {
    for signal in [Signal::TERM, Signal::KILL] {
        let mut stage = serve("modern", "--deaf, --family");
        let mut caller = stage.client();
        caller.echoes("bad.fork", 0);
        caller.echoes("good.echo", 0);
        let tree = descendants(stage.gateway.id());
        assert!(tree.len() >= 4, "{tree:?}");
        stage.gateway.signal(signal);
        let code = stage.gateway.ended();
        assert_eq!(code, (signal == Signal::TERM).then_some(0));
        until("nothing is left", || !tree.iter().any(|id| alive(*id)));
    }
}

#[test]
fn a_child_that_never_says_a_word_holds_up_only_its_callers() {
    let stage = serve("modern", "--silent");
    let mut caller = stage.client();
    caller.echoes("good.echo", 1);
    caller.fails("bad.echo", &["MCPC9302"]);
    caller.echoes("good.echo", 2);
    stage.gateway.stop();
}
