//! What an upstream does over Streamable HTTP, against scripted servers in both eras.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mcpc_plan::Era as PlanEra;

use super::Upstream;
use super::fake::{Scripted, Seen, Server, permit, tool_call, upstream};
use crate::call::{Answer, Era, Event, Leave, Reply};
use crate::failure::Failure;

pub(super) const PARAMS: &str = r#"{"name":"echo","_meta":{"progressToken":"abc","x":1}}"#;

pub(super) fn result(seen: &Seen, result: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{}}}"#,
        seen.body["id"],
        object(result)
    )
}

/// A result that says no more than this. Those of MCP are objects.
pub(super) fn object(value: &str) -> String {
    if value.starts_with('{') {
        return value.to_owned();
    }
    format!(r#"{{"is":{value}}}"#)
}

/// What such a result says.
pub(super) fn plain(result: &[u8]) -> String {
    let text = std::str::from_utf8(result).unwrap();
    let inner = text.strip_prefix(r#"{"is":"#);
    let inner = inner.and_then(|text| text.strip_suffix('}'));
    inner.unwrap_or(text).to_owned()
}

/// The handshake of a modern server.
pub(super) fn modern(seen: &Seen) -> Option<Scripted> {
    (seen.method() == "server/discover").then(|| {
        Scripted::json(result(
            seen,
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"instructions":"hi"}"#,
        ))
    })
}

/// The handshake of a legacy server with sessions.
pub(super) fn legacy(seen: &Seen, session: &str) -> Option<Scripted> {
    match seen.method() {
        "server/discover" => Some(
            Scripted::json(
                r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"no"}}"#,
            )
            .with_status(400),
        ),
        "initialize" => Some(
            Scripted::json(result(
                seen,
                r#"{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{}}"#,
            ))
            .with_header("mcp-session-id", session),
        ),
        method if method.starts_with("notifications/") => Some(Scripted::status(202)),
        _ => None,
    }
}

pub(super) fn done(answer: Result<Answer, Failure>) -> Reply {
    match answer {
        Ok(Answer::Done(reply)) => reply,
        Ok(Answer::Stream(_)) => panic!("a stream"),
        Err(failure) => panic!("{failure:?}"),
    }
}

pub(super) fn text(reply: &Reply) -> String {
    let (Reply::Result(bytes) | Reply::Error(bytes)) = reply;
    plain(bytes)
}

#[tokio::test(start_paused = true)]
async fn a_modern_server_is_recognised_and_called() {
    let (server, mut record) = Server::new(|seen| {
        modern(seen).or_else(|| Some(Scripted::json(result(seen, r#"{"ok":true}"#))))
    });
    let upstream = upstream(&server, PlanEra::Auto);
    let call = tool_call(Era::Modern, Leave::Cancels, PARAMS);
    let reply = done(upstream.send(call, permit()).await);
    assert_eq!(text(&reply), r#"{"ok":true}"#);
    assert_eq!(upstream.era(), Some(Era::Modern));

    assert_eq!(record.recv().await.unwrap().method(), "server/discover");
    let seen = record.recv().await.unwrap();
    assert_eq!(seen.header("mcp-protocol-version"), "2026-07-28");
    assert_eq!(seen.header("mcp-method"), "tools/call");
    assert_eq!(seen.header("mcp-name"), "echo");
    assert_eq!(seen.header("authorization"), "Bearer s3cret");
    assert_eq!(seen.header("host"), "upstream.test");
    assert_eq!(
        seen.body["params"]["_meta"]["progressToken"],
        seen.body["id"]
    );
    assert_eq!(seen.body["params"]["_meta"]["x"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_legacy_server_gets_one_handshake_for_all_calls() {
    let (server, mut record) = Server::new(|seen| {
        legacy(seen, "s1").or_else(|| Some(Scripted::json(result(seen, r#"{"ok":true}"#))))
    });
    let upstream = upstream(&server, PlanEra::Auto);
    for _ in 0..3 {
        let call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
        assert_eq!(
            text(&done(upstream.send(call, permit()).await)),
            r#"{"ok":true}"#
        );
    }
    let mut methods = Vec::new();
    while let Ok(seen) = record.try_recv() {
        if seen.method() == "tools/call" {
            assert_eq!(seen.header("mcp-session-id"), "s1");
            assert_eq!(seen.header("mcp-protocol-version"), "2025-06-18");
            assert_eq!(seen.header("mcp-method"), "");
        }
        methods.push(format!("{} {}", seen.http_method, seen.method()));
    }
    methods.retain(|method| method != "GET ");
    assert_eq!(
        methods,
        [
            "POST server/discover",
            "POST initialize",
            "POST notifications/initialized",
            "POST tools/call",
            "POST tools/call",
            "POST tools/call"
        ]
    );
}

/// A modern server whose calls are answered by a script.
pub(super) fn modern_server(
    script: impl Fn(&Seen) -> Option<Scripted> + Send + Sync + 'static,
) -> Arc<Server> {
    Server::new(move |seen| modern(seen).or_else(|| script(seen))).0
}

pub(super) async fn send(upstream: &Arc<Upstream>) -> Result<Answer, Failure> {
    let call = tool_call(Era::Modern, Leave::Cancels, PARAMS);
    upstream.send(call, permit()).await
}

async fn failure_of(script: impl Fn(&Seen) -> Option<Scripted> + Send + Sync + 'static) -> Failure {
    let server = modern_server(script);
    match send(&upstream(&server, PlanEra::Modern)).await {
        Err(failure) => failure,
        Ok(Answer::Done(reply)) => panic!("{reply:?}"),
        Ok(Answer::Stream(mut stream)) => loop {
            match stream.next().await {
                Ok(Event::Notify(_) | Event::Ask(_) | Event::Pause) => {}
                Ok(Event::Done(reply)) => panic!("{reply:?}"),
                Err(failure) => break failure,
            }
        },
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_calls_need_one_connection() {
    let server = modern_server(|seen| Some(Scripted::json(result(seen, "{}"))));
    let upstream = upstream(&server, PlanEra::Auto);
    for _ in 0..1000 {
        done(send(&upstream).await);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_event_streams_need_one_connection() {
    let server = modern_server(|seen| {
        let event = format!("data: {}\n\n", result(seen, "{}"));
        Some(Scripted::events(&[": hello\n\n", &event]))
    });
    let upstream = upstream(&server, PlanEra::Auto);
    for _ in 0..1000 {
        done(send(&upstream).await);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_closed_while_idle_is_replaced_unnoticed() {
    let server = modern_server(|seen| {
        Some(Scripted::json(result(seen, "{}")).with_header("connection", "close"))
    });
    let upstream = upstream(&server, PlanEra::Auto);
    for _ in 0..10 {
        done(send(&upstream).await);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 10);
}

#[tokio::test(start_paused = true)]
async fn events_come_in_order_and_progress_only_with_our_token() {
    let server = modern_server(|seen| {
        let id = &seen.body["id"];
        let note = |method: &str, params: String| {
            format!(
                "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{method}\",\"params\":{params}}}\r\n\r\n"
            )
        };
        Some(Scripted::events(&[
            &note(
                "progress",
                format!("{{\"progressToken\":{id},\"progress\":1}}"),
            ),
            &note(
                "progress",
                "{\"progressToken\":99999,\"progress\":1}".into(),
            ),
            &note("tools/list_changed", "{}".into()),
            &note("message", "{\"level\":\"info\",\"data\":1}".into()),
            &format!("event: message\ndata: {}\n\n", result(seen, "{\"end\":1}")),
        ]))
    });
    let upstream = upstream(&server, PlanEra::Modern);
    let before = upstream.changes().borrow().tools;
    let Ok(Answer::Stream(mut stream)) = send(&upstream).await else {
        panic!("no stream");
    };
    let mut methods = Vec::new();
    let end = loop {
        match stream.next().await.unwrap() {
            Event::Notify(note) => methods.push(note.method),
            Event::Ask(question) => methods.push(question.method.clone()),
            Event::Pause => methods.push("pause".into()),
            Event::Done(reply) => break text(&reply),
        }
    };
    assert_eq!(methods, ["notifications/progress", "notifications/message"]);
    assert_eq!(end, r#"{"end":1}"#);
    assert_eq!(upstream.changes().borrow().tools, before + 1);
    assert_eq!(upstream.state().in_flight, 1);
    drop(stream);
    assert_eq!(upstream.state().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn every_bad_answer_is_a_failure_of_its_own() {
    let big = || "x".repeat(2 << 20);
    assert_eq!(failure_of(|_| None).await, Failure::FirstByteTimeout);
    assert_eq!(
        failure_of(|_| Some(Scripted::json("<html>"))).await,
        Failure::Garbage
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::json("[]"))).await,
        Failure::Garbage
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::json(
            r#"{"jsonrpc":"2.0","id":77777,"result":{}}"#
        )))
        .await,
        Failure::WrongId
    );
    assert_eq!(
        failure_of(move |_| Some(Scripted::json(big()))).await,
        Failure::TooLarge
    );
    assert_eq!(
        failure_of(move |_| Some(Scripted::events(&["data: ", &big(), "\n\n"]))).await,
        Failure::TooLarge
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::events(&["data: {}\n\n"]))).await,
        Failure::Garbage
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::events(&[": nothing\n\n"]))).await,
        Failure::Closed
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::events(&[": stalls\n\n"]).without_end())).await,
        Failure::IdleTimeout
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::status(202))).await,
        Failure::Status(202)
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::status(502))).await,
        Failure::Status(502)
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::json("{}").with_status(503))).await,
        Failure::Status(503)
    );
    assert_eq!(
        failure_of(|_| Some(Scripted::status(401))).await,
        Failure::Unauthorized
    );
}

#[tokio::test(start_paused = true)]
async fn progress_does_not_extend_a_call_beyond_its_whole_time() {
    let server = modern_server(|seen| {
        let id = &seen.body["id"];
        let note = format!(
            "data: {{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{id}}}}}\n\n"
        );
        Some(Scripted::events(&[&note]).without_end())
    });
    let upstream = upstream(&server, PlanEra::Modern);
    let mut call = tool_call(Era::Modern, Leave::Cancels, PARAMS);
    call.deadline = tokio::time::Instant::now() + Duration::from_secs(2);
    let Ok(Answer::Stream(mut stream)) = upstream.send(call, permit()).await else {
        panic!("no stream");
    };
    assert!(matches!(stream.next().await, Ok(Event::Notify(_))));
    assert!(matches!(stream.next().await, Err(Failure::TotalTimeout)));
}

#[tokio::test(start_paused = true)]
async fn an_error_counts_whatever_status_carries_it() {
    for status in [200, 400, 404, 500] {
        let server = modern_server(move |seen| {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32602,"message":"m"}}}}"#,
                seen.body["id"]
            );
            Some(Scripted::json(body).with_status(status))
        });
        let reply = done(send(&upstream(&server, PlanEra::Modern)).await);
        assert!(matches!(&reply, Reply::Error(_)), "{status}");
        assert_eq!(text(&reply), r#"{"code":-32602,"message":"m"}"#);
    }
}
