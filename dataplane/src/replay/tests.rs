//! What a client gets that comes back, and what is kept for it. Time is virtual.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::SystemTime;

use mcpc_plan::Limits;
use tokio::time::{Instant, sleep};

use super::*;
use crate::inbound::Form;
use crate::session::{Asks, Grant, Seal, SessionKeys, Sessions};

const EVENT: &[u8] = b"data: 1\n\n";

fn sessions() -> Arc<Sessions> {
    let limits = Limits {
        body_bytes: 1,
        reply_bytes: 1,
        head_bytes: 1,
        headers: 1,
        nesting: 1,
        sessions: 9,
        session_idle_ms: 3_600_000,
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
    };
    let seal = Seal::new(&SessionKeys::new([7; 32], Vec::new()));
    Sessions::new(seal, &limits, Instant::now(), SystemTime::now()).unwrap()
}

fn session(sessions: &Sessions, revision: Revision) -> Session {
    let grant = Grant {
        revision,
        asks: Asks::default(),
        principal: [0; 16],
    };
    sessions
        .begin(grant, "/mcp", Instant::now())
        .ok()
        .unwrap()
        .1
}

fn audience(session: &Session, replays: &Arc<Replays>) -> Audience {
    let accepts = Accepts {
        json: true,
        stream: true,
        resumes: true,
        rather: Form::Document,
    };
    Audience::of(Some(session), accepts, replays).unwrap()
}

async fn next(body: &mut Body) -> Option<String> {
    let Body::Stream(stream) = body else {
        return None;
    };
    let frame = stream.next().await?;
    Some(String::from_utf8(frame.to_vec()).unwrap())
}

async fn all(mut body: Body) -> Vec<String> {
    let mut frames = Vec::new();
    while let Some(frame) = next(&mut body).await {
        frames.push(frame);
    }
    frames
}

/// The id in a frame.
fn id(frame: &str) -> &str {
    frame
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
}

/// Lets every task run as far as it can.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn only_the_session_that_called_can_come_back() {
    let (sessions, replays) = (sessions(), Replays::new().unwrap());
    let mine = session(&sessions, Revision::R2025_11);
    let foreign = session(&sessions, Revision::R2025_11);
    let mut body =
        audience(&mine, &replays).stream(|frames| async move { frames.send(EVENT).await });
    let first = next(&mut body).await.unwrap();
    assert!(first.ends_with("-0\nretry: 1000\ndata: \n\n"), "{first}");
    drop(body);
    settle().await;
    let last = id(&first).as_bytes();
    let refused = replays.resume(&foreign.live, last).await;
    assert_eq!(refused.err(), Some(LocalReply::EventUnknown));
    let rest = all(replays.resume(&mine.live, last).await.ok().unwrap()).await;
    assert_eq!(rest.len(), 1);
    assert!(rest.iter().all(|frame| frame.ends_with("-1\ndata: 1\n\n")));
}

#[tokio::test(start_paused = true)]
async fn earlier_revisions_have_ids_and_no_priming_event() {
    let (sessions, replays) = (sessions(), Replays::new().unwrap());
    let session = session(&sessions, Revision::R2025_06);
    let body = audience(&session, &replays).stream(|frames| async move {
        frames.send(EVENT).await;
        frames.hang_up().await;
        frames.send(EVENT).await;
    });
    let frames = all(body).await;
    let ends: Vec<_> = frames.iter().map(|frame| id(frame)).collect();
    assert_eq!(ends.len(), 2, "{frames:?}");
    assert!(
        ends.iter()
            .zip(1..)
            .all(|(id, number)| id.ends_with(&format!("-{number}")))
    );
}

#[tokio::test(start_paused = true)]
async fn a_flood_that_nobody_reads_stays_within_the_bounds_and_the_reply_is_kept() {
    let (sessions, replays) = (sessions(), Replays::new().unwrap());
    let session = session(&sessions, Revision::R2025_11);
    let mut body = audience(&session, &replays).stream(|frames| async move {
        for _ in 0..100 {
            frames.send(vec![b'x'; STREAM_BYTES_MAX / 10]).await;
        }
        frames.send(vec![b'y'; 2 * STREAM_BYTES_MAX]).await;
    });
    let first = next(&mut body).await.unwrap();
    drop(body);
    settle().await;
    let kept = replays.bytes.load(Ordering::Relaxed);
    assert!(
        kept > 2 * STREAM_BYTES_MAX && kept <= SESSION_BYTES_MAX,
        "{kept}"
    );
    let rest = replays.resume(&session.live, id(&first).as_bytes()).await;
    let rest = all(rest.ok().unwrap()).await;
    assert!(rest.last().unwrap().ends_with("yyy"));
    assert!(id(rest.last().unwrap()).ends_with("-101"));
}

#[tokio::test(start_paused = true)]
async fn a_reply_for_which_there_is_no_room_ends_its_stream() {
    let (sessions, replays) = (sessions(), Replays::new().unwrap());
    let session = session(&sessions, Revision::R2025_11);
    let mut body = audience(&session, &replays)
        .stream(|frames| async move { frames.send(vec![b'x'; SESSION_BYTES_MAX]).await });
    let first = next(&mut body).await.unwrap();
    drop(body);
    settle().await;
    let refused = replays.resume(&session.live, id(&first).as_bytes()).await;
    assert_eq!(refused.err(), Some(LocalReply::EventUnknown));
    assert_eq!(replays.bytes.load(Ordering::Relaxed), 0);
    assert_eq!(session.live.kept_bytes().load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reader_gets_a_reply_that_is_too_large_to_be_kept() {
    let (sessions, replays) = (sessions(), Replays::new().unwrap());
    let session = session(&sessions, Revision::R2025_11);
    let body = audience(&session, &replays)
        .stream(|frames| async move { frames.send(vec![b'x'; 2 * SESSION_BYTES_MAX]).await });
    let frames = all(body).await;
    assert!(frames.last().unwrap().len() > 2 * SESSION_BYTES_MAX);
    settle().await;
    assert_eq!(replays.bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_slows_the_call() {
    let (sessions, replays) = (sessions(), Replays::new().unwrap());
    let session = session(&sessions, Revision::R2025_11);
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let mut body = audience(&session, &replays).stream(|frames| async move {
        loop {
            frames.send(EVENT).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    settle().await;
    let ahead = sent.load(Ordering::Relaxed);
    assert!(ahead <= 3, "{ahead} events that nobody reads");
    for _ in 0..10 {
        next(&mut body).await;
    }
    settle().await;
    let more = sent.load(Ordering::Relaxed) - ahead;
    assert!(
        (9..=11).contains(&more),
        "{more} more for ten that were read"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_goes_with_its_age_and_with_its_session() {
    let (sessions, replays) = (sessions(), Replays::new().unwrap());
    let session = session(&sessions, Revision::R2025_11);
    for wait in [UNREAD_KEPT, Duration::ZERO] {
        let body =
            audience(&session, &replays).stream(|frames| async move { frames.send(EVENT).await });
        drop(body);
        settle().await;
        assert_eq!(replays.count.load(Ordering::Relaxed), 1);
        sleep(wait).await;
        if wait.is_zero() {
            sessions.end(&session.live);
        }
        settle().await;
        assert_eq!(replays.count.load(Ordering::Relaxed), 0);
        assert!(replays.streams.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_session_cannot_come_back() {
    let (sessions, replays) = (sessions(), Replays::new().unwrap());
    let session = session(&sessions, Revision::R2025_11);
    let accepts = |resumes, stream| Accepts {
        json: true,
        stream,
        resumes,
        rather: Form::Document,
    };
    assert!(Audience::of(None, accepts(true, true), &replays).is_none());
    assert!(Audience::of(Some(&session), accepts(false, true), &replays).is_none());
    assert!(Audience::of(Some(&session), accepts(true, false), &replays).is_none());
}
