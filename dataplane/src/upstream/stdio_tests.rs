//! What an upstream does over standard input and output: against scripted programs with a virtual
//! clock, and against real processes where the process is the point.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mcpc_plan::{Era as PlanEra, StartWhen, Transport};
use serde_json::Value;
use tokio::time::Instant;

use super::Upstream;
use super::fake::{Act, Programs, crowd, permit, start, stdio, tool_call};
use super::stdio::one_line;
use super::tests::{object, plain};
use crate::Reach;
use crate::call::{Answer, Era, Event, Leave, Reply};
use crate::failure::Failure;
use crate::status::UpstreamState;

const PARAMS: &str = r#"{"name":"echo"}"#;
const WITH_PROGRESS: &str = r#"{"name":"echo","_meta":{"progressToken":"abc"}}"#;

fn result(message: &Value, result: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#,
        message["id"],
        object(result)
    )
}

/// The handshake of a legacy server that knows nothing of the modern question.
fn legacy(message: &Value) -> Option<Act> {
    match message["method"].as_str()? {
        "initialize" => Some(Act::say(result(
            message,
            r#"{"protocolVersion":"2024-11-05","capabilities":{"tools":{}}}"#,
        ))),
        "server/discover" => Some(Act::say(format!(
            r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32602,"message":"no"}}}}"#,
            message["id"]
        ))),
        method if method.starts_with("notifications/") => Some(Act::silent()),
        _ => None,
    }
}

fn modern(message: &Value) -> Option<Act> {
    match message["method"].as_str()? {
        "server/discover" => Some(Act::say(result(
            message,
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}"#,
        ))),
        _ => None,
    }
}

fn fake(programs: &Arc<Programs>, era: PlanEra) -> Arc<Upstream> {
    let reach: Arc<dyn Reach> = programs.clone();
    start(stdio("fake", &[], StartWhen::Lazy), era, &reach)
}

async fn call(upstream: &Arc<Upstream>, params: &'static str) -> Result<String, Failure> {
    let call = tool_call(Era::Legacy, Leave::Cancels, params);
    match upstream.send(call, permit()).await? {
        Answer::Done(Reply::Result(bytes) | Reply::Error(bytes)) => Ok(plain(&bytes)),
        Answer::Stream(_) => panic!("a stream"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_legacy_program_is_probed_in_a_process_of_its_own() {
    let (programs, mut record) = Programs::new(|number, message| {
        legacy(message).unwrap_or_else(|| Act::say(result(message, &number.to_string())))
    });
    let upstream = fake(&programs, PlanEra::Auto);
    assert_eq!(call(&upstream, PARAMS).await.unwrap(), "2");
    assert_eq!(call(&upstream, PARAMS).await.unwrap(), "2");
    assert_eq!(upstream.era(), Some(Era::Legacy));
    let mut seen = Vec::new();
    while let Ok((number, message)) = record.try_recv() {
        seen.push(format!("{number} {}", message["method"].as_str().unwrap()));
    }
    assert_eq!(
        seen,
        [
            "1 server/discover",
            "2 initialize",
            "2 notifications/initialized",
            "2 tools/call",
            "2 tools/call"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_program_that_hangs_is_replaced_and_one_that_is_busy_is_not() {
    for era in [PlanEra::Legacy, PlanEra::Modern] {
        for (is_busy, launched) in [(false, 2), (true, 1)] {
            let greetings = AtomicU32::new(0);
            let (programs, _record) = Programs::new(move |number, message| {
                let method = message["method"].as_str().unwrap_or_default();
                let is_greeting = ["initialize", "server/discover"].contains(&method);
                let is_first = is_greeting && greetings.fetch_add(1, Ordering::SeqCst) == 0;
                match method {
                    _ if number == 1 && !is_first && !is_busy => Act::silent(),
                    "initialize" => legacy(message).unwrap(),
                    "server/discover" => modern(message).unwrap(),
                    "ping" => Act::say(result(message, "{}")),
                    "tools/call" if number > 1 => Act::say(result(message, "2")),
                    _ => Act::silent(),
                }
            });
            let upstream = fake(&programs, era);
            assert!(call(&upstream, PARAMS).await.is_err());
            tokio::time::sleep(2 * super::hang::PATIENCE).await;
            assert_eq!(programs.launched(), launched, "{era:?}, busy: {is_busy}");
            let after = call(&upstream, PARAMS).await;
            assert_eq!(after.is_ok(), !is_busy, "{after:?}");
            upstream.stop(Duration::ZERO).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_modern_program_needs_one_process() {
    let (programs, _record) = Programs::new(|number, message| {
        modern(message).unwrap_or_else(|| Act::say(result(message, &number.to_string())))
    });
    let upstream = fake(&programs, PlanEra::Auto);
    assert_eq!(call(&upstream, PARAMS).await.unwrap(), "1");
    assert_eq!(upstream.era(), Some(Era::Modern));
    assert_eq!(programs.launched(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_changes_its_era_is_found_at_its_second_start() {
    let (programs, _record) = Programs::new(|number, message| {
        // The second process is the first one's sibling, which has answered the probe.
        if number <= 2 {
            return legacy(message).unwrap_or_else(Act::die);
        }
        let refused = format!(
            r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32022,"message":"no"}}}}"#,
            message["id"]
        );
        match message["method"].as_str() {
            Some("initialize") => Act::say(refused),
            _ => modern(message).unwrap_or_else(|| Act::say(result(message, "7"))),
        }
    });
    let upstream = fake(&programs, PlanEra::Auto);
    assert_eq!(call(&upstream, PARAMS).await, Err(Failure::Closed));
    let mut answered = None;
    for _ in 0..10 {
        answered = call(&upstream, PARAMS).await.ok();
        if answered.is_some() {
            break;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(answered.as_deref(), Some("7"));
    assert_eq!(upstream.era(), Some(Era::Modern));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_while_a_program_ends_waits_for_the_next_one() {
    let (programs, mut record) = Programs::new(|number, message| match legacy(message) {
        Some(act) => act,
        None if number == 1 => Act::hang_up(),
        None => Act::say(result(message, &number.to_string())),
    });
    let upstream = fake(&programs, PlanEra::Legacy);
    let in_flight = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { call(&upstream, PARAMS).await }
    });
    while record.recv().await.unwrap().1["method"] != "tools/call" {}
    let began = Instant::now();
    assert_eq!(in_flight.await.unwrap(), Err(Failure::Closed));
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "it can say nothing any more"
    );
    assert_eq!(call(&upstream, PARAMS).await.as_deref(), Ok("2"));
}

#[tokio::test(start_paused = true)]
async fn a_lazy_program_is_not_started_before_it_is_needed() {
    let (programs, _record) = Programs::new(|_, message| legacy(message).unwrap());
    let upstream = fake(&programs, PlanEra::Legacy);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(programs.launched(), 0);
    assert_eq!(upstream.state().condition, UpstreamState::Idle);
    let deadline = Instant::now() + Duration::from_secs(1);
    let profile = upstream.profile(deadline).await.unwrap();
    assert_eq!(profile.revision.as_ref(), "2024-11-05");
    assert_eq!(upstream.state().pid, Some(1));
}

/// A legacy program whose calls are answered by a script.
fn answering(
    script: impl Fn(u32, &Value) -> Act + Send + Sync + 'static,
) -> (Arc<Programs>, Arc<Upstream>) {
    let (programs, _record) = Programs::new(move |number, message| match legacy(message) {
        Some(act) => act,
        None => script(number, message),
    });
    let upstream = fake(&programs, PlanEra::Legacy);
    (programs, upstream)
}

#[tokio::test(start_paused = true)]
async fn a_silent_program_is_taken_for_legacy() {
    let (programs, _record) = Programs::new(|number, message| {
        if message["method"] == "server/discover" {
            return Act::silent();
        }
        legacy(message).unwrap_or_else(|| Act::say(result(message, &number.to_string())))
    });
    let upstream = fake(&programs, PlanEra::Auto);
    let began = Instant::now();
    assert_eq!(call(&upstream, PARAMS).await.unwrap(), "2");
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_never_answers_fails_its_start_in_time() {
    let (programs, _record) = Programs::new(|_, _| Act::silent());
    let upstream = fake(&programs, PlanEra::Legacy);
    let began = Instant::now();
    assert_eq!(call(&upstream, PARAMS).await, Err(Failure::ConnectTimeout));
    assert_eq!(began.elapsed(), Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_death_fails_its_calls_at_once_and_the_next_call_has_a_new_process() {
    let (programs, upstream) = answering(|number, message| {
        if number == 1 {
            Act::die()
        } else {
            Act::say(result(message, &number.to_string()))
        }
    });
    let began = Instant::now();
    assert_eq!(call(&upstream, PARAMS).await, Err(Failure::Closed));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(call(&upstream, PARAMS).await.unwrap(), "2");
    assert!(began.elapsed() <= Duration::from_millis(100));
    assert_eq!(programs.launched(), 2);
    assert_eq!(upstream.state().restarts, 1);
    assert_eq!(upstream.state().pid, Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_call_in_a_long_pause_is_told_that_nothing_was_sent_and_when_to_come_back() {
    let (programs, mut record) = Programs::new(|number, message| match legacy(message) {
        Some(act) => act,
        None if number == 1 => Act::die(),
        None => Act::say(result(message, &number.to_string())),
    });
    let mut definition = stdio("fake", &[], StartWhen::Lazy);
    if let Transport::Stdio(program) = &mut definition {
        (
            program.restart.backoff_from_ms,
            program.restart.backoff_to_ms,
        ) = (8_000, 8_000);
    }
    let reach: Arc<dyn Reach> = programs.clone();
    let upstream = start(definition, PlanEra::Legacy, &reach);
    assert_eq!(call(&upstream, PARAMS).await, Err(Failure::Closed));
    tokio::time::sleep(Duration::from_secs(1)).await;
    while record.try_recv().is_ok() {}
    let Err(Failure::Between(seconds)) = call(&upstream, PARAMS).await else {
        panic!("it had no process to be sent to");
    };
    assert!((5..=7).contains(&seconds), "{seconds}");
    assert!(record.try_recv().is_err(), "nothing was sent");
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    assert_eq!(call(&upstream, PARAMS).await.as_deref(), Ok("2"));
}

#[tokio::test(start_paused = true)]
async fn a_program_that_always_dies_is_left_alone_until_its_window_has_passed() {
    let (programs, upstream) = answering(|_, _| Act::die());
    for _ in 0..4 {
        assert_eq!(call(&upstream, PARAMS).await, Err(Failure::Closed));
    }
    assert_eq!(call(&upstream, PARAMS).await, Err(Failure::Degraded(60)));
    assert_eq!(upstream.state().condition, UpstreamState::Down);
    assert_eq!(programs.launched(), 4);
    assert_eq!(
        upstream.state().restarts,
        3,
        "the last end is followed by no start"
    );
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(call(&upstream, PARAMS).await, Err(Failure::Closed));
    assert_eq!(upstream.state().restarts, 4);
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_down_and_roused_is_started_at_once_as_if_it_had_never_ended() {
    let (programs, _record) = Programs::new(|_, message| legacy(message).unwrap_or_else(Act::die));
    let upstream = fake(&programs, PlanEra::Legacy);
    // While it waits, rests or works, nothing is to be had.
    upstream.rouse();
    for launched in [4, 8] {
        for _ in 0..4 {
            assert_eq!(call(&upstream, PARAMS).await, Err(Failure::Closed));
        }
        assert_eq!(call(&upstream, PARAMS).await, Err(Failure::Degraded(60)));
        assert_eq!(programs.launched(), launched);
        assert!(upstream.rests());
        upstream.rouse();
        assert!(!upstream.rests(), "a call waits for the start");
    }
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_nobody_is_counted_and_the_call_is_cancelled_in_time() {
    let (programs, mut record) = Programs::new(|_, message| {
        legacy(message).unwrap_or_else(|| Act {
            lines: vec![
                "Server listening...".into(),
                "{\"half\":".into(),
                r#"{"jsonrpc":"2.0","id":999,"result":{}}"#.into(),
                r#"{"jsonrpc":"2.0","id":"1","result":{}}"#.into(),
                r#"[{"jsonrpc":"2.0","id":1,"result":{}}]"#.into(),
            ],
            dies: false,
            ..Act::silent()
        })
    });
    let upstream = fake(&programs, PlanEra::Legacy);
    assert_eq!(
        call(&upstream, PARAMS).await,
        Err(Failure::FirstByteTimeout)
    );
    assert_eq!(upstream.state().ignored_lines, 5);
    let mut id = Value::Null;
    loop {
        let (_, message) = record.recv().await.unwrap();
        if message["method"] == "tools/call" {
            id = message["id"].clone();
        }
        if message["method"] == "notifications/cancelled" {
            assert_eq!(message["params"]["requestId"], id);
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_oversized_answer_fails_its_call_and_no_other() {
    let (programs, upstream) = answering(|number, message| {
        let size = if message["params"]["name"] == "huge" {
            2 << 20
        } else {
            1
        };
        let text = "x".repeat(size);
        Act::say(result(
            message,
            &format!("{{\"process\":{number},\"text\":\"{text}\"}}"),
        ))
    });
    let huge = call(&upstream, r#"{"name":"huge"}"#);
    let (huge, small) = tokio::join!(huge, call(&upstream, PARAMS));
    assert_eq!(huge, Err(Failure::TooLarge));
    assert_eq!(small.unwrap(), r#"{"process":1,"text":"x"}"#);
    assert!(call(&upstream, PARAMS).await.is_ok());
    assert_eq!(programs.launched(), 1);
}

#[tokio::test(start_paused = true)]
async fn notifications_reach_their_owner_and_nobody_else() {
    let (_programs, upstream) = answering(|_, message| {
        if message["params"]["name"] == "stuck" {
            return Act::silent();
        }
        let id = &message["id"];
        let note = |method: &str, params: String| {
            format!(r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{params}}}"#)
        };
        Act {
            lines: vec![
                note("message", r#"{"level":"info","data":"whose?"}"#.into()),
                note(
                    "progress",
                    format!(r#"{{"progressToken":{id},"progress":1}}"#),
                ),
                note("progress", r#"{"progressToken":"abc","progress":2}"#.into()),
                note("resources/list_changed", "{}".into()),
                result(message, "{}"),
            ],
            dies: false,
            ..Act::silent()
        }
    });
    for (is_alone, expected) in [
        (
            true,
            vec!["notifications/message", "notifications/progress"],
        ),
        (false, vec!["notifications/progress"]),
    ] {
        let other = (!is_alone).then(|| {
            let upstream = Arc::clone(&upstream);
            tokio::spawn(async move { call(&upstream, r#"{"name":"stuck"}"#).await })
        });
        tokio::task::yield_now().await;
        let call = tool_call(Era::Legacy, Leave::Cancels, WITH_PROGRESS);
        let Ok(Answer::Stream(mut stream)) = upstream.send(call, permit()).await else {
            panic!("no stream");
        };
        let mut methods = Vec::new();
        while let Event::Notify(note) = stream.next().await.unwrap() {
            methods.push(String::from_utf8(note.method.to_vec()).unwrap());
        }
        assert_eq!(methods, expected);
        if let Some(other) = other {
            other.abort();
        }
    }
    assert!(upstream.changes().borrow().resources >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_loses_notifications_and_still_gets_its_answer() {
    let (_programs, upstream) = answering(|_, message| {
        let id = &message["id"];
        let note = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{id}}}}}"#
        );
        let mut lines = vec![note; 500];
        lines.push(result(message, "{}"));
        Act {
            lines,
            ..Act::silent()
        }
    });
    let slow = tool_call(Era::Legacy, Leave::Cancels, WITH_PROGRESS);
    let Ok(Answer::Stream(mut stream)) = upstream.send(slow, permit()).await else {
        panic!("no stream");
    };
    // Another call is served while nobody reads the first one's events.
    let call = tool_call(Era::Legacy, Leave::Cancels, WITH_PROGRESS);
    let Ok(Answer::Stream(other)) = upstream.send(call, permit()).await else {
        panic!("no stream");
    };
    drop(other);
    let mut notes = 0;
    while let Event::Notify(_) = stream.next().await.unwrap() {
        notes += 1;
    }
    assert!((1..500).contains(&notes), "{notes}");
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_client_went_away_is_under_way_until_it_is_answered() {
    const AT_WORK: Duration = Duration::from_secs(3);
    let held = ArcSwapOption::empty();
    let (_programs, upstream) = answering(move |_, message| {
        if message["params"]["name"] == "slow" {
            held.store(Some(Arc::new(result(message, "{}"))));
            return Act::silent();
        }
        let slow = held.swap(None).map(|slow| slow.to_string());
        Act {
            lines: slow.into_iter().chain([result(message, "{}")]).collect(),
            ..Act::silent()
        }
    });
    let leave = Leave::AsTold(Arc::default());
    let slow = upstream.send(
        tool_call(Era::Legacy, leave, r#"{"name":"slow"}"#),
        permit(),
    );
    let gone = tokio::time::timeout(Duration::from_secs(1), slow).await;
    assert!(gone.is_err(), "it takes longer");
    assert_eq!(upstream.state().in_flight, 1);
    let began = Instant::now();
    let stopping = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.stop(Duration::from_secs(20)).await }
    });
    tokio::time::sleep(AT_WORK).await;
    assert!(!stopping.is_finished(), "it is let finish");
    assert!(call(&upstream, PARAMS).await.is_ok());
    stopping.await.unwrap();
    assert_eq!(began.elapsed(), AT_WORK);
    assert_eq!(upstream.state().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn leaving_a_call_cancels_it_unless_the_client_only_went_away() {
    for is_told in [true, false] {
        let (programs, mut record) =
            Programs::new(|_, message| legacy(message).unwrap_or_else(Act::silent));
        let upstream = fake(&programs, PlanEra::Legacy);
        let flight = Arc::new(crate::call::Flight::default());
        let leave = Leave::AsTold(Arc::clone(&flight));
        let sending = upstream.send(tool_call(Era::Legacy, leave, PARAMS), permit());
        let left = tokio::time::timeout(Duration::from_secs(1), sending);
        if is_told {
            flight.cancel();
        }
        assert!(left.await.is_err());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut cancelled = 0;
        while let Ok((_, message)) = record.try_recv() {
            cancelled += usize::from(message["method"] == "notifications/cancelled");
        }
        assert_eq!(cancelled, usize::from(is_told));
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_does_not_read_fails_its_callers_in_time() {
    let (stuck, _unread) = super::stdio::Link::new();
    let big = vec![b' '; 5 * 1024 * 1024];
    let began = Instant::now();
    let deadline = began + Duration::from_secs(10);
    assert_eq!(stuck.write(big.clone(), deadline).await, Ok(()));
    assert_eq!(stuck.write(big, deadline).await, Err(Failure::Overloaded));
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    assert_eq!(stuck.write(vec![b' '], deadline).await, Ok(()));
}

/// With each kind of line break, the last of which only some servers take for one.
const LINES_IN_PARAMS: &str = concat!(
    r#"{"name":"echo","arguments":{"x":["#,
    "\n",
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"denied"}}"#,
    "\r\n",
    r#",{"jsonrpc":"2.0","id":2,"result":{}}"#,
    "\r",
    "]}}"
);

#[tokio::test(start_paused = true)]
async fn a_message_of_several_lines_is_one_message_to_a_program() {
    let (_programs, upstream) = answering(|_, message| {
        assert_eq!(message["params"]["name"], "echo");
        Act::say(result(message, &message["params"]["arguments"].to_string()))
    });
    let seen = call(&upstream, LINES_IN_PARAMS).await.unwrap();
    let sent: Value = serde_json::from_str(LINES_IN_PARAMS).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&seen).unwrap(),
        sent["arguments"]
    );
    let line = one_line(LINES_IN_PARAMS.into());
    let breaks = line.iter().filter(|byte| matches!(byte, b'\n' | b'\r'));
    assert_eq!((breaks.count(), line.last()), (1, Some(&b'\n')));
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_callers_gets_its_own_answers_over_one_pipe() {
    let (programs, upstream) = answering(|_, message| {
        Act::say(result(message, &message["params"]["arguments"].to_string()))
    });
    assert_eq!(crowd(&upstream, Era::Legacy).await, 2000);
    assert_eq!(programs.launched(), 1);
}
