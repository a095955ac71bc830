//! Tests of the registry: bounds, expiry, take-over, calls in flight. Time is virtual.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

const IDLE: Duration = Duration::from_secs(60);
const NOBODY: [u8; 16] = [0; 16];

fn limits(sessions: u32) -> Limits {
    Limits {
        body_bytes: 1,
        reply_bytes: 1,
        head_bytes: 1,
        headers: 1,
        nesting: 1,
        sessions,
        session_idle_ms: u64::try_from(IDLE.as_millis()).unwrap(),
        private_upstreams: Limits::PRIVATE_UPSTREAMS,
        calls: Limits::CALLS,
        starts: Limits::STARTS,
        memory_bytes: None,
        unacknowledged_ms: Limits::UNACKNOWLEDGED_MS,
        connections: 1,
        streams: 1,
        list_pages: 1,
        list_items: 1,
        grace_ms: 1,
    }
}

fn seal() -> Seal {
    Seal::new(&SessionKeys::new([7; 32], Vec::new()))
}

fn registry(sessions: u32) -> Arc<Sessions> {
    let seal = seal();
    let wall = UNIX_EPOCH + Duration::from_secs(1_785_196_800);
    Sessions::new(seal, &limits(sessions), Instant::now(), wall).unwrap()
}

fn grant() -> Grant {
    Grant {
        revision: Revision::R2025_11,
        asks: Asks::SAMPLE,
        principal: NOBODY,
    }
}

fn begin(sessions: &Sessions) -> (String, Session) {
    sessions
        .begin(grant(), "/mcp", Instant::now())
        .ok()
        .unwrap()
}

fn find(sessions: &Sessions, token: &str) -> Option<Session> {
    sessions.find(token.as_bytes(), "/mcp", NOBODY, Instant::now())
}

/// Whether a future is ready when it is polled once.
async fn is_ready(future: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = future => true,
        () = std::future::ready(()) => false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_found_with_its_grant_and_keeps_its_state() {
    let sessions = registry(10);
    let (token, session) = begin(&sessions);
    assert_eq!(session.live.level(), None);
    session.live.set_level(Level::Error);
    let found = find(&sessions, &token).unwrap();
    assert_eq!(found.grant, grant());
    assert_eq!(found.live.level(), Some(Level::Error));
    assert!(Arc::ptr_eq(&found.live, &session.live));
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_or_principal_finds_nothing() {
    let sessions = registry(10);
    let (token, _) = begin(&sessions);
    let now = Instant::now();
    assert!(
        sessions
            .find(token.as_bytes(), "/other", NOBODY, now)
            .is_none()
    );
    assert!(
        sessions
            .find(token.as_bytes(), "/mcp", [1; 16], now)
            .is_none()
    );
    assert!(sessions.find(b"", "/mcp", NOBODY, now).is_none());
}

#[tokio::test(start_paused = true)]
async fn sessions_are_bounded_and_an_end_makes_room() {
    let sessions = registry(2);
    let (_, first) = begin(&sessions);
    begin(&sessions);
    let refused = sessions.begin(grant(), "/mcp", Instant::now());
    assert_eq!(refused.err(), Some(NotBegun::Full));
    sessions.end(&first.live);
    assert_eq!(sessions.count(), 1);
    begin(&sessions);
    assert_eq!(sessions.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_registry_makes_room_by_expiry() {
    let sessions = registry(1);
    let (token, _) = begin(&sessions);
    tokio::time::advance(IDLE + Duration::from_millis(1)).await;
    begin(&sessions);
    assert_eq!(sessions.count(), 1);
    assert!(find(&sessions, &token).is_none());
}

#[tokio::test(start_paused = true)]
async fn idle_sessions_expire_with_and_without_a_sweep() {
    let sessions = registry(10);
    let (token, _) = begin(&sessions);
    tokio::time::advance(IDLE).await;
    assert!(find(&sessions, &token).is_some(), "a use renews it");
    tokio::time::advance(IDLE).await;
    sessions.sweep(Instant::now());
    assert_eq!(sessions.count(), 1, "not a moment too early");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(find(&sessions, &token).is_none());
    sessions.sweep(Instant::now());
    assert_eq!(sessions.count(), 0);
    assert!(find(&sessions, &token).is_none(), "it does not come back");
}

#[tokio::test(start_paused = true)]
async fn a_session_with_a_call_or_stream_does_not_expire() {
    let sessions = registry(10);
    let (token, session) = begin(&sessions);
    let call = sessions.start(&session.live, b"1").unwrap();
    tokio::time::advance(IDLE * 3).await;
    sessions.sweep(Instant::now());
    drop(call);
    assert!(find(&sessions, &token).is_some(), "the call's end is a use");
    let stream = sessions.hold(&session.live);
    tokio::time::advance(IDLE * 3).await;
    sessions.sweep(Instant::now());
    drop(stream);
    tokio::time::advance(IDLE + Duration::from_millis(1)).await;
    sessions.sweep(Instant::now());
    assert_eq!(sessions.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_is_unknown_and_tells_its_streams_and_calls() {
    let sessions = registry(10);
    let (token, session) = begin(&sessions);
    let call = sessions.start(&session.live, b"1").unwrap();
    let (_, other) = begin(&sessions);
    let others_call = sessions.start(&other.live, b"1").unwrap();
    let stream = sessions.hold(&session.live);
    assert!(!is_ready(stream.ended()).await);
    sessions.end(&session.live);
    sessions.end(&session.live);
    assert!(is_ready(stream.ended()).await);
    assert!(is_ready(call.flight().cancelled()).await);
    assert!(!is_ready(others_call.flight().cancelled()).await);
    assert!(find(&sessions, &token).is_none());
    assert_eq!(sessions.count(), 1);
    let late = sessions.start(&session.live, b"2").unwrap();
    assert!(is_ready(late.flight().cancelled()).await);
}

#[tokio::test(start_paused = true)]
async fn cancelling_finds_the_call_of_this_session_only() {
    let sessions = registry(10);
    let (_, a) = begin(&sessions);
    let (_, b) = begin(&sessions);
    let long = [b'9'; 300];
    for id in [b"1".as_slice(), b"\"1\"", b"\"a-rather-long-id\"", &long] {
        let of_a = sessions.start(&a.live, id).unwrap();
        let of_b = sessions.start(&b.live, id).unwrap();
        assert!(sessions.cancel(&b.live, id));
        assert!(is_ready(of_b.flight().cancelled()).await);
        assert!(!is_ready(of_a.flight().cancelled()).await);
    }
    assert!(!sessions.cancel(&a.live, b"1"), "it is not in flight");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_left_is_found_until_it_is_over() {
    let sessions = registry(10);
    let (_, session) = begin(&sessions);
    for is_over_first in [false, true] {
        let call = sessions.start(&session.live, b"1").unwrap();
        let flight = Arc::clone(call.flight());
        flight.leave();
        if is_over_first {
            flight.end();
        }
        drop(call);
        assert_eq!(sessions.cancel(&session.live, b"1"), !is_over_first);
        assert_eq!(flight.is_cancelled(), !is_over_first);
        flight.end();
        assert!(!sessions.cancel(&session.live, b"1"), "it is over");
    }
    // Who asks again with the same id has given up the first.
    let first = sessions.start(&session.live, b"1").unwrap();
    let flight = Arc::clone(first.flight());
    flight.leave();
    drop(first);
    let second = sessions.start(&session.live, b"1").unwrap();
    flight.end();
    assert!(sessions.cancel(&session.live, b"1"));
    assert!(second.flight().is_cancelled() && !flight.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn an_id_in_flight_cannot_be_used_twice() {
    let sessions = registry(10);
    let (_, session) = begin(&sessions);
    let first = sessions.start(&session.live, b"1").unwrap();
    assert!(sessions.start(&session.live, b"1").is_none());
    assert!(sessions.start(&session.live, b"\"1\"").is_some());
    drop(first);
    assert!(sessions.start(&session.live, b"1").is_some());
}

#[tokio::test(start_paused = true)]
async fn another_process_takes_a_session_over_until_it_is_too_old() {
    let (before, after) = (registry(10), registry(10));
    let (token, _) = begin(&before);
    let found = find(&after, &token).unwrap();
    assert_eq!(found.grant, grant());
    assert_eq!(after.count(), 1);
    let again = find(&after, &token).unwrap();
    assert!(Arc::ptr_eq(&found.live, &again.live));

    let late = registry(10);
    tokio::time::advance(IDLE * 2 + Duration::from_secs(1)).await;
    let wall = UNIX_EPOCH + Duration::from_secs(1_785_196_800 + 121);
    let late_and_now = Sessions::new(seal(), &limits(10), Instant::now(), wall).unwrap();
    assert!(find(&late, &token).is_none());
    assert!(find(&late_and_now, &token).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_taken_over_and_ended_stays_ended() {
    let (before, after) = (registry(10), registry(10));
    let (token, _) = begin(&before);
    after.end(&find(&after, &token).unwrap().live);
    assert!(find(&after, &token).is_none());
    after.sweep(Instant::now());
    assert!(find(&after, &token).is_none());
    tokio::time::advance(IDLE * 2 + Duration::from_secs(1)).await;
    after.sweep(Instant::now());
    assert_eq!(after.count(), 0, "once too old, it is forgotten");
    assert!(find(&after, &token).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_new_plan_changes_the_bounds() {
    let sessions = registry(1);
    begin(&sessions);
    sessions.adopt(&limits(2));
    begin(&sessions);
    sessions.adopt(&limits(1));
    assert_eq!(
        sessions.begin(grant(), "/mcp", Instant::now()).err(),
        Some(NotBegun::Full)
    );
    assert_eq!(sessions.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn random_bytes_never_panic_and_never_open() {
    let sessions = registry(10);
    for len in 0..200_usize {
        let bytes: Vec<u8> = (0..len)
            .map(|at| u8::try_from((at * 37 + len * 11) % 256).unwrap())
            .collect();
        assert!(
            sessions
                .find(&bytes, "/mcp", NOBODY, Instant::now())
                .is_none()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn abandoned_sessions_go_by_themselves_and_the_sweeper_with_the_registry() {
    let sessions = registry(10);
    begin(&sessions);
    let sweeper = tokio::spawn(keep_swept(Arc::downgrade(&sessions)));
    tokio::time::sleep(IDLE).await;
    assert_eq!(sessions.count(), 1);
    tokio::time::sleep(SWEEP * 2).await;
    assert_eq!(sessions.count(), 0);
    drop(sessions);
    sweeper.await.unwrap();
}
