//! What an upstream does over standard input and output: against scripted programs with a virtual
//! clock, and against real processes where the process is the point.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

use std::sync::Arc;
use std::time::Duration;

use mcpc_plan::{Era as PlanEra, StartWhen};
use serde_json::Value;
use tokio::time::Instant;

use super::Upstream;
use super::fake::{Act, Programs, permit, start, stdio, tool_call};
use crate::Reach;
use crate::call::{Answer, Era, Event, Leave, Reply};
use crate::failure::Failure;
use crate::status::UpstreamState;

const PARAMS: &str = r#"{"name":"echo"}"#;
const WITH_PROGRESS: &str = r#"{"name":"echo","_meta":{"progressToken":"abc"}}"#;

fn result(message: &Value, result: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
        message["id"]
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
        Answer::Done(Reply::Result(bytes) | Reply::Error(bytes)) => {
            Ok(String::from_utf8(bytes.to_vec()).unwrap())
        }
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
