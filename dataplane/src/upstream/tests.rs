//! What an upstream does over Streamable HTTP, against scripted servers in both eras.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test code"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mcpc_plan::Era as PlanEra;

use super::fake::{Scripted, Seen, Server, permit, tool_call, upstream};
use crate::call::{Answer, Era, Event, Leave, Reply};
use crate::failure::Failure;

const PARAMS: &str = r#"{"name":"echo","_meta":{"progressToken":"abc","x":1}}"#;

fn result(seen: &Seen, result: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
        seen.body["id"]
    )
}

/// The handshake of a modern server.
fn modern(seen: &Seen) -> Option<Scripted> {
    (seen.method() == "server/discover").then(|| {
        Scripted::json(result(
            seen,
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"instructions":"hi"}"#,
        ))
    })
}

/// The handshake of a legacy server with sessions.
fn legacy(seen: &Seen, session: &str) -> Option<Scripted> {
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

fn done(answer: Result<Answer, Failure>) -> Reply {
    match answer {
        Ok(Answer::Done(reply)) => reply,
        Ok(Answer::Stream(_)) => panic!("a stream"),
        Err(failure) => panic!("{failure:?}"),
    }
}

fn text(reply: &Reply) -> String {
    let (Reply::Result(bytes) | Reply::Error(bytes)) = reply;
    String::from_utf8(bytes.to_vec()).unwrap()
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
