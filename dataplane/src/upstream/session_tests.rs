//! What an upstream over Streamable HTTP does beyond one answer: leaving, losing, resuming, stopping.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use mcpc_plan::Era as PlanEra;

use super::fake::{Scripted, Server, crowd, permit, tool_call, upstream};
use super::tests::{PARAMS, done, legacy, modern, modern_server, result, send, text};
use crate::call::{Era, Flight, Leave};
use crate::failure::Failure;
use crate::status::UpstreamState;

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
                    Scripted::json(r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"m"}}"#)
                        .with_status(404),
                )
            } else {
                Some(Scripted::json(result(seen, "{}")))
            }
        })
    });
    let upstream = upstream(&server, PlanEra::Legacy);
    let calls: Vec<_> = (0..64)
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
async fn a_ping_is_answered_and_a_question_that_nobody_takes_is_refused() {
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
    let answer = upstream.send(call, permit()).await.unwrap();
    let reply = answer.into_reply().await.unwrap();
    assert_eq!(text(&reply), "{}");
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
            r#"{"jsonrpc":"2.0","error":{"code":-32022,"message":"m"}}"#,
            Err(Failure::Handshake),
        ),
        (
            404,
            r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"m"}}"#,
            Ok(Era::Modern),
        ),
        (
            200,
            r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"m"}}"#,
            Ok(Era::Legacy),
        ),
        (404, "not found", Ok(Era::Legacy)),
        (
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"m"}}"#,
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

#[tokio::test(start_paused = true)]
async fn a_server_that_has_no_general_stream_is_greeted_once() {
    let greetings = Arc::new(AtomicUsize::new(0));
    let greeted = Arc::clone(&greetings);
    let (server, _record) = Server::new(move |seen| {
        if seen.method() == "initialize" {
            greeted.fetch_add(1, Ordering::SeqCst);
        }
        let is_call = seen.method() == "tools/call";
        let answer = || Scripted::json(result(seen, "{}"));
        // Servers that only route POST say 404 to a GET.
        legacy(seen, "s1").or_else(|| {
            Some(if is_call {
                answer()
            } else {
                Scripted::status(404)
            })
        })
    });
    let upstream = upstream(&server, PlanEra::Legacy);
    for _ in 0..10 {
        done(send(&upstream).await);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(greetings.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_of_the_first_revision_is_called_over_streamable_http_as_well() {
    let (server, _record) = Server::new(|seen| {
        let first = r#"{"protocolVersion":"2024-11-05","capabilities":{"tools":{}}}"#;
        match seen.method() {
            "initialize" => Some(Scripted::json(result(seen, first))),
            "tools/call" => Some(Scripted::json(result(seen, "{}"))),
            _ => legacy(seen, "s1").or_else(|| Some(Scripted::status(405))),
        }
    });
    let upstream = upstream(&server, PlanEra::Auto);
    assert_eq!(text(&done(send(&upstream).await)), "{}");
}

#[tokio::test(start_paused = true)]
async fn trace_context_goes_with_a_call_of_either_era() {
    for era in [PlanEra::Legacy, PlanEra::Modern] {
        let (server, mut record) = Server::new(|seen| {
            let handshake = match seen.method() {
                "server/discover" => modern(seen),
                _ => legacy(seen, "s1"),
            };
            handshake.or_else(|| Some(Scripted::json(result(seen, "{}"))))
        });
        let upstream = upstream(&server, era);
        let mut call = tool_call(Era::Modern, Leave::Cancels, PARAMS);
        let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        call.trace.push((
            HeaderName::from_static("traceparent"),
            HeaderValue::from_static(context),
        ));
        done(upstream.send(call, permit()).await);
        loop {
            let seen = record.recv().await.unwrap();
            if seen.method() == "tools/call" {
                assert_eq!(seen.header("traceparent"), context);
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_changes_its_era_answers_the_call_that_meets_the_change() {
    let is_modern = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&is_modern);
    let (server, _record) = Server::new(move |seen| {
        if now.load(Ordering::SeqCst) == 0 {
            return legacy(seen, "s1").or_else(|| Some(Scripted::json(result(seen, "1"))));
        }
        if seen.header("mcp-protocol-version") == "2026-07-28" {
            return modern(seen).or_else(|| Some(Scripted::json(result(seen, "2"))));
        }
        Some(
            Scripted::json(r#"{"jsonrpc":"2.0","error":{"code":-32020,"message":"no header"}}"#)
                .with_status(400),
        )
    });
    let upstream = upstream(&server, PlanEra::Auto);
    assert_eq!(text(&done(send(&upstream).await)), "1");
    assert_eq!(upstream.era(), Some(Era::Legacy));
    is_modern.store(1, Ordering::SeqCst);
    assert_eq!(text(&done(send(&upstream).await)), "2");
    assert_eq!(upstream.era(), Some(Era::Modern));
}

#[tokio::test(start_paused = true)]
async fn sessions_that_come_and_go_do_not_prolong_what_is_believed_of_an_era() {
    let probes = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&probes);
    let (server, _record) = Server::new(move |seen| {
        if seen.method() == "server/discover" {
            asked.fetch_add(1, Ordering::SeqCst);
        }
        // Every call finds its session lost, so that every one is followed by a handshake.
        legacy(seen, "s1").or_else(|| Some(Scripted::status(404)))
    });
    let upstream = upstream(&server, PlanEra::Auto);
    for _minute in 0..25 {
        assert_eq!(send(&upstream).await.err(), Some(Failure::SessionLost));
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    // At the beginning, and whenever ten minutes have passed.
    assert_eq!(probes.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_legacy_stream_that_breaks_off_is_taken_up_where_it_ended() {
    let asked = Arc::new(AtomicU64::new(0));
    let (server, mut record) = Server::new(move |seen| {
        legacy(seen, "s1").or_else(|| {
            if seen.http_method == "POST" {
                asked.store(seen.body["id"].as_u64().unwrap(), Ordering::SeqCst);
                // The stream says how to go on, and ends.
                return Some(Scripted::events(&[
                    "id: 7\nretry: 1500\ndata:\n\n",
                    "data: {\"half",
                ]));
            }
            if seen.header("last-event-id").is_empty() {
                // The general stream.
                return Some(Scripted::status(405));
            }
            let id = asked.load(Ordering::SeqCst);
            let event =
                format!("id: 8\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}\n\n");
            Some(Scripted::events(&[&event]))
        })
    });
    let upstream = upstream(&server, PlanEra::Legacy);
    let began = tokio::time::Instant::now();
    let call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
    assert_eq!(text(&done(upstream.send(call, permit()).await)), "{}");
    assert_eq!(began.elapsed(), Duration::from_millis(1500));
    loop {
        let seen = record.recv().await.unwrap();
        if seen.http_method == "GET" && !seen.header("last-event-id").is_empty() {
            assert_eq!(seen.header("last-event-id"), "7");
            assert_eq!(seen.header("mcp-session-id"), "s1");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_callers_gets_its_own_answers_over_as_many_connections_as_callers() {
    let server = modern_server(|seen| {
        let number = &seen.body["params"]["arguments"];
        let reply = result(seen, &number.to_string());
        // Every third answer comes as an event stream.
        Some(if number.as_u64().unwrap() % 3 == 0 {
            Scripted::events(&[&format!("data: {reply}\n\n")])
        } else {
            Scripted::json(reply)
        })
    });
    let upstream = upstream(&server, PlanEra::Modern);
    assert_eq!(crowd(&upstream, Era::Modern).await, 2000);
    // One more for the handshake, which the keeper's thread made.
    assert!(server.connections.load(Ordering::SeqCst) <= 51);
}

#[tokio::test(start_paused = true)]
async fn a_state_tells_what_the_upstream_did_last() {
    let calls = AtomicU64::new(0);
    let server = modern_server(move |seen| {
        let is_bad = calls.fetch_add(1, Ordering::SeqCst) == 0;
        let good = || result(seen, "{}");
        Some(Scripted::json(if is_bad {
            "<html>".into()
        } else {
            good()
        }))
    });
    let upstream = upstream(&server, PlanEra::Modern);
    assert_eq!(send(&upstream).await.err(), Some(Failure::Garbage));
    let state = upstream.state();
    assert_eq!(state.condition, UpstreamState::Failing);
    assert_eq!(state.last_failure, Some(Failure::Garbage));
    done(send(&upstream).await);
    let state = upstream.state();
    assert_eq!(state.condition, UpstreamState::Ready);
    assert_eq!(state.last_failure, None);
}
