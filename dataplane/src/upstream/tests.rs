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

use super::Upstream;
use super::fake::{Scripted, Seen, Server, permit, tool_call, upstream};
use crate::call::{Answer, Era, Event, Flight, Leave, Reply};
use crate::failure::Failure;
use crate::status::UpstreamState;

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

/// A modern server whose calls are answered by a script.
fn modern_server(
    script: impl Fn(&Seen) -> Option<Scripted> + Send + Sync + 'static,
) -> Arc<Server> {
    Server::new(move |seen| modern(seen).or_else(|| script(seen))).0
}

async fn send(upstream: &Arc<Upstream>) -> Result<Answer, Failure> {
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
                Ok(Event::Notify(_)) => {}
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
    assert_eq!(upstream.state().connections_opened, 1);
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
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32602}}}}"#,
                seen.body["id"]
            );
            Some(Scripted::json(body).with_status(status))
        });
        let reply = done(send(&upstream(&server, PlanEra::Modern)).await);
        assert!(matches!(&reply, Reply::Error(_)), "{status}");
        assert_eq!(text(&reply), r#"{"code":-32602}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_a_modern_call_closes_its_connection() {
    let server = modern_server(|_| None);
    let upstream = upstream(&server, PlanEra::Modern);
    upstream
        .profile(tokio::time::Instant::now() + Duration::from_secs(1))
        .await
        .unwrap();
    let left = tokio::time::timeout(Duration::from_secs(1), send(&upstream)).await;
    assert!(left.is_err());
    while server.open_connections.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(upstream.state().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_client_only_left_goes_on_and_is_cancelled_when_told() {
    for is_told in [false, true] {
        let server = modern_server(|_| Some(Scripted::events(&[": stalls\n\n"]).without_end()));
        let upstream = upstream(&server, PlanEra::Modern);
        let flight = Arc::new(Flight::default());
        let leave = Leave::AsTold(Arc::clone(&flight));
        let sending = upstream.send(tool_call(Era::Legacy, leave, PARAMS), permit());
        let left = tokio::time::timeout(Duration::from_secs(1), sending);
        if is_told {
            flight.cancel();
        }
        assert!(left.await.is_err());
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let open = server.open_connections.load(Ordering::SeqCst);
        assert_eq!(open, usize::from(!is_told), "told: {is_told}");
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_a_legacy_call_cancels_it_with_our_id() {
    let (server, mut record) = Server::new(|seen| legacy(seen, "s1"));
    let upstream = upstream(&server, PlanEra::Legacy);
    let call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
    let left = tokio::time::timeout(Duration::from_secs(1), upstream.send(call, permit())).await;
    assert!(left.is_err());
    let mut id = serde_json::Value::Null;
    loop {
        let seen = record.recv().await.unwrap();
        match seen.method() {
            "tools/call" => id = seen.body["id"].clone(),
            "notifications/cancelled" => {
                assert_eq!(seen.body["params"]["requestId"], id);
                assert_eq!(seen.header("mcp-session-id"), "s1");
                return;
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_is_renewed_once_for_all_calls_that_met_the_loss() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&sessions);
    let (server, _record) = Server::new(move |seen| {
        if seen.method() == "initialize" {
            opened.fetch_add(1, Ordering::SeqCst);
        }
        let current = format!("s{}", opened.load(Ordering::SeqCst));
        legacy(seen, &current).or_else(|| {
            // The first session is forgotten as soon as it is used.
            if seen.header("mcp-session-id") == "s1" {
                Some(
                    Scripted::json(r#"{"jsonrpc":"2.0","error":{"code":-32001}}"#).with_status(404),
                )
            } else {
                Some(Scripted::json(result(seen, "{}")))
            }
        })
    });
    let upstream = upstream(&server, PlanEra::Legacy);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let upstream = Arc::clone(&upstream);
            tokio::spawn(async move {
                let call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
                text(&done(upstream.send(call, permit()).await))
            })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), "{}");
    }
    assert_eq!(sessions.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_again_and_again_fails_its_caller() {
    let (server, _record) =
        Server::new(|seen| legacy(seen, "s1").or_else(|| Some(Scripted::status(404))));
    let upstream = upstream(&server, PlanEra::Legacy);
    let call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
    let failure = upstream.send(call, permit()).await.err();
    assert_eq!(failure, Some(Failure::SessionLost));
}

#[tokio::test(start_paused = true)]
async fn an_unreachable_server_fails_at_once_and_serves_when_it_is_back() {
    let server = modern_server(|seen| Some(Scripted::json(result(seen, "{}"))));
    server.refuses.store(true, Ordering::SeqCst);
    let upstream = upstream(&server, PlanEra::Auto);
    let began = tokio::time::Instant::now();
    assert_eq!(send(&upstream).await.err(), Some(Failure::Unreachable));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(upstream.state().condition, UpstreamState::Failing);
    server.refuses.store(false, Ordering::SeqCst);
    done(send(&upstream).await);
    assert_eq!(upstream.state().condition, UpstreamState::Ready);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_asks_is_answered_by_the_gateway() {
    let (server, mut record) = Server::new(|seen| {
        legacy(seen, "s1").or_else(|| {
            if seen.body.get("method").is_none() {
                return Some(Scripted::status(202));
            }
            let end = format!("data: {}\n\n", result(seen, "{}"));
            Some(Scripted::events(&[
                "data: {\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}\n\n",
                "data: {\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"sampling/createMessage\",\"params\":{}}\n\n",
                &end,
            ]))
        })
    });
    let upstream = upstream(&server, PlanEra::Legacy);
    let call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
    assert_eq!(text(&done(upstream.send(call, permit()).await)), "{}");
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let seen = record.recv().await.unwrap();
        if seen.body.get("method").is_none() && seen.http_method == "POST" {
            answers.push(seen.body);
        }
    }
    answers.sort_by_key(|answer| answer["id"].is_string());
    assert_eq!(answers[0]["id"], 5);
    assert_eq!(answers[0]["error"]["code"], -32601);
    assert_eq!(answers[1]["id"], "p");
    assert_eq!(answers[1]["result"], serde_json::json!({}));
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_calls_in_flight_and_ends_the_session() {
    let (server, mut record) = Server::new(|seen| {
        if seen.http_method == "DELETE" {
            return Some(Scripted::status(405));
        }
        legacy(seen, "s1")
    });
    let upstream = upstream(&server, PlanEra::Legacy);
    let mut call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
    call.timeouts.first_byte_ms = 3_000;
    let calling = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.send(call, permit()).await.err() }
    });
    while record.recv().await.unwrap().method() != "tools/call" {}
    let began = tokio::time::Instant::now();
    upstream.stop(Duration::from_secs(30)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_eq!(calling.await.unwrap(), Some(Failure::FirstByteTimeout));
    let mut methods = Vec::new();
    while let Ok(seen) = record.try_recv() {
        methods.push(seen.http_method);
    }
    assert!(methods.contains(&"DELETE".to_owned()), "{methods:?}");
    assert_eq!(send(&upstream).await.err(), Some(Failure::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_changed_list_is_heard_on_the_notification_stream_of_either_era() {
    const CHANGED: &str =
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/prompts/list_changed\"}\n\n";
    let (modern, _record) = Server::new(|seen| match seen.method() {
        "server/discover" => Some(Scripted::json(result(
            seen,
            r#"{"supportedVersions":["2026-07-28"],"capabilities":{"prompts":{"listChanged":true}}}"#,
        ))),
        "subscriptions/listen"
            if seen.body["params"]["notifications"]["promptsListChanged"] == true =>
        {
            Some(Scripted::events(&[CHANGED]).without_end())
        }
        _ => None,
    });
    let (legacy, _record) = Server::new(|seen| match seen.method() {
        "initialize" => Some(Scripted::json(result(
            seen,
            r#"{"protocolVersion":"2025-11-25","capabilities":{"prompts":{"listChanged":true}}}"#,
        ))),
        "" if seen.http_method == "GET" => Some(Scripted::events(&[CHANGED]).without_end()),
        _ => Some(Scripted::status(202)),
    });
    for (server, era) in [(modern, PlanEra::Modern), (legacy, PlanEra::Legacy)] {
        let upstream = upstream(&server, era);
        let mut changes = upstream.changes();
        let heard = changes.wait_for(|changes| changes.prompts == 1);
        let heard = tokio::time::timeout(Duration::from_secs(5), heard).await;
        assert!(heard.is_ok(), "{era:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_no_header_value_is_encoded() {
    let (server, mut record) =
        Server::new(|seen| modern(seen).or_else(|| Some(Scripted::json(result(seen, "{}")))));
    let upstream = upstream(&server, PlanEra::Modern);
    for (name, expected) in [
        ("file:///a b", "file:///a b"),
        ("\u{e9}", "=?base64?w6k=?="),
        (" a", "=?base64?IGE=?="),
        ("=?base64?x?=", "=?base64?PT9iYXNlNjQ/eD89?="),
        ("a\r\nb: c", "=?base64?YQ0KYjogYw==?="),
    ] {
        let mut call = tool_call(Era::Modern, Leave::Cancels, PARAMS);
        call.name = Some(bytes::Bytes::from_static(name.as_bytes()));
        done(upstream.send(call, permit()).await);
        let mut seen = record.recv().await.unwrap();
        if seen.method() == "server/discover" {
            seen = record.recv().await.unwrap();
        }
        assert_eq!(seen.header("mcp-name"), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_era_is_proved_by_recognised_errors_only() {
    for (status, body, expected) in [
        (
            400,
            r#"{"jsonrpc":"2.0","error":{"code":-32022}}"#,
            Err(Failure::Handshake),
        ),
        (
            404,
            r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601}}"#,
            Ok(Era::Modern),
        ),
        (
            200,
            r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601}}"#,
            Ok(Era::Legacy),
        ),
        (404, "not found", Ok(Era::Legacy)),
        (
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000}}"#,
            Ok(Era::Legacy),
        ),
        (401, "{}", Err(Failure::Unauthorized)),
        (503, "{}", Err(Failure::Status(503))),
    ] {
        let (server, _record) = Server::new(move |seen| match seen.method() {
            "server/discover" => Some(Scripted::json(body).with_status(status)),
            _ => legacy(seen, "s1"),
        });
        let upstream = upstream(&server, PlanEra::Auto);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(1);
        let found = upstream.profile(deadline).await.map(|profile| profile.era);
        assert_eq!(found, expected, "{status} {body}");
    }
}
