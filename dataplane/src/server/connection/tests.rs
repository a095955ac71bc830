//! Deadlines and draining of connections, over in-memory pipes. Seconds are counted by hand.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::future::Future;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::Notify;

use super::*;
use crate::body::Body;
use crate::server::Response;
use crate::server::link::{
    BODY_SECONDS, END_SECONDS, HEAD_SECONDS, IDLE_SECONDS, Link, STALLED_SECONDS,
    WHOLE_BODY_SECONDS,
};
use crate::server::tests::{By, fine};
use crate::server::wire::Wire;

const BOUNDS: HeadBounds = HeadBounds {
    bytes: 4096,
    fields: 20,
};
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Runs a client against a server that answers at once.
async fn against<C: Future<Output = ()>>(client: impl FnOnce(DuplexStream, Rc<Connections>) -> C) {
    serving(1024, async |_, _| fine(), client).await;
}

/// Runs a client against a server, over a pipe that holds so many bytes.
async fn serving<F, C>(
    pipe_bytes: usize,
    service: F,
    client: impl FnOnce(DuplexStream, Rc<Connections>) -> C,
) where
    F: AsyncFn(&Head, Intake<'_>) -> Response,
    C: Future<Output = ()>,
{
    let connections = Rc::new(Connections::new());
    let (near, far) = duplex(pipe_bytes);
    let service = By(service);
    let server = serve_connection(far, &service, BOUNDS, &connections);
    tokio::join!(client(near, Rc::clone(&connections)), server);
}

/// Lets the server do what it can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn seconds(connections: &Connections, count: u32) {
    for _ in 0..count {
        connections.sweep(IDLE_SECONDS);
        settle().await;
    }
}

/// Reads until nothing more comes for now. Gives what came, and whether it was the end.
async fn read_now(client: &mut DuplexStream) -> (String, bool) {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    loop {
        settle().await;
        let read = tokio::select! {
            biased;
            read = client.read(&mut buffer) => read.unwrap(),
            () = std::future::ready(()) => return (text, false),
        };
        if read == 0 {
            return (text, true);
        }
        text.push_str(std::str::from_utf8(buffer.get(..read).unwrap()).unwrap());
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    against(|mut client, connections| async move {
        client.write_all(REQUEST).await.unwrap();
        seconds(&connections, IDLE_SECONDS).await;
        let (reply, ended) = read_now(&mut client).await;
        assert!(reply.starts_with("HTTP/1.1 200 ") && !ended, "{reply}");
        client.write_all(REQUEST).await.unwrap();
        settle().await;
        seconds(&connections, IDLE_SECONDS).await;
        assert!(!read_now(&mut client).await.1, "a request begins it anew");
        seconds(&connections, 1).await;
        assert!(read_now(&mut client).await.1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_too() {
    against(|mut client, connections| async move {
        settle().await;
        seconds(&connections, IDLE_SECONDS).await;
        assert!(!read_now(&mut client).await.1);
        seconds(&connections, 1).await;
        assert_eq!(read_now(&mut client).await, (String::new(), true));
    })
    .await;
}

/// Others wait to be accepted for so many rounds. Gives how many connections were closed for them.
async fn rounds(connections: &Connections, count: u32) -> u64 {
    let mut closed = 0;
    for _ in 0..count {
        closed += connections.make_room();
        settle().await;
    }
    closed
}

#[tokio::test]
async fn who_is_silent_makes_room_before_who_is_idle() {
    for (first_words, rounds_left) in [(b"".as_slice(), 2), (REQUEST, 10), (b"POST /mcp HT", 20)] {
        against(|mut client, connections| async move {
            client.write_all(first_words).await.unwrap();
            settle().await;
            assert_eq!(rounds(&connections, rounds_left - 1).await, 0);
            assert!(!read_now(&mut client).await.1, "{rounds_left}");
            assert_eq!(rounds(&connections, 1).await, 1);
            assert!(read_now(&mut client).await.1, "{rounds_left}");
        })
        .await;
    }
}

#[tokio::test]
async fn who_is_busy_keeps_its_connection_until_others_have_waited_for_long() {
    against(|mut client, connections| async move {
        for number in 0..40 {
            client.write_all(REQUEST).await.unwrap();
            settle().await;
            let (reply, ended) = read_now(&mut client).await;
            let is_last = number == 20;
            assert_eq!(reply.contains("connection: close"), is_last, "{number}");
            assert_eq!(ended, is_last, "{number}");
            if is_last {
                break;
            }
            assert_eq!(rounds(&connections, 1).await, 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_head_that_drips_is_cut_after_its_time() {
    against(|mut client, connections| async move {
        for _ in 0..HEAD_SECONDS {
            client.write_all(b"X").await.unwrap();
            settle().await;
            seconds(&connections, 1).await;
        }
        assert!(!read_now(&mut client).await.1);
        client.write_all(b"X").await.unwrap();
        settle().await;
        seconds(&connections, 1).await;
        assert!(read_now(&mut client).await.1);
    })
    .await;
}

#[tokio::test]
async fn a_body_may_be_slow_but_not_stop() {
    let service = async |_: &Head, intake: Intake<'_>| {
        let _body = intake.collect(10).await;
        fine()
    };
    serving(1024, service, |mut client, connections| async move {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
        client.write_all(head).await.unwrap();
        settle().await;
        for _ in 0..4 {
            seconds(&connections, BODY_SECONDS).await;
            client.write_all(b"x").await.unwrap();
            settle().await;
        }
        assert!(!read_now(&mut client).await.1);
        seconds(&connections, BODY_SECONDS + 1).await;
        assert!(read_now(&mut client).await.1);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_drips_is_cut_after_its_time() {
    let service = async |_: &Head, intake: Intake<'_>| {
        let _body = intake.collect(1000).await;
        fine()
    };
    serving(1024, service, |mut client, connections| async move {
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n";
        client.write_all(head).await.unwrap();
        settle().await;
        for _ in 0..WHOLE_BODY_SECONDS {
            seconds(&connections, 1).await;
            client.write_all(b"x").await.unwrap();
            settle().await;
        }
        assert!(!read_now(&mut client).await.1);
        seconds(&connections, 1).await;
        assert!(read_now(&mut client).await.1);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_one_that_waits_is_not() {
    let go = &Notify::new();
    let service = async |_: &Head, _: Intake<'_>| {
        go.notified().await;
        Response::json(http::StatusCode::OK, Body::whole("x".repeat(10_000)))
    };
    serving(64, service, |mut client, connections| async move {
        client.write_all(REQUEST).await.unwrap();
        settle().await;
        seconds(&connections, 1000).await;
        assert!(!read_now(&mut client).await.1, "a long call is not idle");
        go.notify_one();
        settle().await;
        seconds(&connections, STALLED_SECONDS + 1).await;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() < 10_000);
    })
    .await;
}

#[tokio::test]
async fn draining_answers_what_is_on_its_way_and_then_closes() {
    against(|mut client, connections| async move {
        connections.drain();
        settle().await;
        client.write_all(REQUEST).await.unwrap();
        let (reply, _) = read_now(&mut client).await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        connections.finish();
        settle().await;
        assert!(read_now(&mut client).await.1);
    })
    .await;
}

#[tokio::test]
async fn draining_lets_a_call_in_flight_finish_as_the_last_one() {
    let go = &Notify::new();
    let service = async |_: &Head, _: Intake<'_>| {
        go.notified().await;
        fine()
    };
    serving(1024, service, |mut client, connections| async move {
        client.write_all(REQUEST).await.unwrap();
        settle().await;
        connections.drain();
        connections.finish();
        settle().await;
        assert_eq!(read_now(&mut client).await, (String::new(), false));
        go.notify_one();
        let (reply, ended) = read_now(&mut client).await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        assert!(reply.contains("connection: close\r\n"), "{reply}");
        assert!(reply.ends_with("fine") && ended, "{reply}");
    })
    .await;
}

#[tokio::test]
async fn a_refused_client_that_does_not_leave_is_cut() {
    let connections = Rc::new(Connections::new());
    let (mut client, far) = duplex(1024);
    let service = By(async |_: &Head, _: Intake<'_>| fine());
    let server = serve_connection(far, &service, BOUNDS, &connections);
    let done = Cell::new(false);
    let talk = async {
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let (reply, ended) = read_now(&mut client).await;
        assert!(reply.starts_with("HTTP/1.1 400 ") && ended, "{reply}");
        seconds(&connections, END_SECONDS).await;
        assert!(!done.get());
        seconds(&connections, 1).await;
        assert!(done.get());
    };
    tokio::join!(talk, async {
        server.await;
        done.set(true);
    });
}

/// Remembers that it was dropped.
struct Flag(Rc<Cell<bool>>);

impl Drop for Flag {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[tokio::test]
async fn a_call_is_cancelled_when_its_client_leaves() {
    let connections = Rc::new(Connections::new());
    let (mut client, far) = duplex(1024);
    let dropped = Rc::new(Cell::new(false));
    let service = By(async |_: &Head, _: Intake<'_>| {
        let _flag = Flag(Rc::clone(&dropped));
        std::future::pending::<()>().await;
        fine()
    });
    let server = serve_connection(far, &service, BOUNDS, &connections);
    let talk = async {
        client.write_all(REQUEST).await.unwrap();
        settle().await;
        assert!(!dropped.get());
        drop(client);
    };
    tokio::join!(talk, server);
    assert!(dropped.get());
}

#[tokio::test]
async fn connections_that_ended_are_forgotten() {
    let connections = Rc::new(Connections::new());
    for _ in 0..3 {
        let (client, far) = duplex(1024);
        drop(client);
        let service = By(async |_: &Head, _: Intake<'_>| fine());
        serve_connection(far, &service, BOUNDS, &connections).await;
    }
    connections.sweep(IDLE_SECONDS);
    assert_eq!(connections.count(), 0);
}

#[test]
fn the_state_of_a_connection_stays_small() {
    // What an idle connection costs besides its socket, its buffer and the future of a request.
    assert!(size_of::<Link>() <= 80, "{}", size_of::<Link>());
    let wire = size_of::<Wire<DuplexStream>>() - size_of::<DuplexStream>();
    assert!(wire <= 160, "{wire}");
    assert!(size_of::<Head>() <= 320, "{}", size_of::<Head>());
}

/// What a client reads until nothing more comes, for requests that are answered at once.
async fn reply_to(request: &str) -> (String, bool) {
    let connections = Rc::new(Connections::new());
    let (mut client, far) = duplex(64 * 1024);
    let service = By(async |head: &Head, _: Intake<'_>| match head.path() {
        "/empty" => Response::empty(http::StatusCode::ACCEPTED),
        "/gone" => Response::empty(http::StatusCode::NO_CONTENT),
        "/stream" => Response::events(Body::stream(|frames| async move {
            for frame in ["one", "", "three"] {
                frames.send(frame).await;
            }
            frames.send("x".repeat(20_000)).await;
        })),
        "/large" => Response::json(http::StatusCode::OK, Body::whole("x".repeat(20_000))),
        "/pieces" => {
            let pieces = ["a", "bc", ""].map(bytes::Bytes::from);
            Response::json(http::StatusCode::OK, Body::pieces(pieces))
        }
        _ => fine().with("allow", "POST"),
    });
    let server = serve_connection(far, &service, BOUNDS, &connections);
    let talk = async {
        client.write_all(request.as_bytes()).await.unwrap();
        let reply = read_now(&mut client).await;
        drop(client);
        reply
    };
    tokio::join!(talk, server).0
}

/// Without the date, which is another one each time.
fn undated(reply: &str) -> String {
    let lines = reply.split_inclusive("\r\n");
    lines.filter(|line| !line.starts_with("date: ")).collect()
}

#[tokio::test]
async fn replies_say_how_they_end_and_whether_another_may_follow() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let old = |path: &str| format!("GET {path} HTTP/1.0\r\n\r\n");
    let json = "content-type: application/json\r\n";
    for (request, expected, closes) in [
        (
            get("/"),
            format!("HTTP/1.1 200 OK\r\n{json}allow: POST\r\ncontent-length: 4\r\n\r\nfine"),
            false,
        ),
        (
            get("/pieces"),
            format!("HTTP/1.1 200 OK\r\n{json}content-length: 3\r\n\r\nabc"),
            false,
        ),
        (
            get("/empty"),
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned(),
            false,
        ),
        (
            get("/gone"),
            "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
            false,
        ),
        (
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            format!("HTTP/1.1 200 OK\r\n{json}allow: POST\r\ncontent-length: 4\r\n\r\n"),
            false,
        ),
        (
            old("/"),
            format!(
                "HTTP/1.0 200 OK\r\n{json}allow: POST\r\nconnection: close\r\ncontent-length: 4\r\n\r\nfine"
            ),
            true,
        ),
        (
            "GET /empty HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n".to_owned(),
            "HTTP/1.0 202 Accepted\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n"
                .to_owned(),
            false,
        ),
        (
            "GET /empty HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n".to_owned(),
            "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
            true,
        ),
        (
            // A body that nobody reads and that is not there yet.
            "GET /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx".to_owned(),
            "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
            true,
        ),
    ] {
        let (reply, ended) = reply_to(&request).await;
        assert_eq!(undated(&reply), expected, "{request}");
        assert_eq!(ended, closes, "{request}");
        assert_eq!(reply.matches(" GMT\r\n").count(), 1, "{reply}");
    }
    let large = reply_to(&get("/large")).await.0;
    assert!(large.ends_with(&"x".repeat(20_000)) && large.contains("content-length: 20000\r\n"));
}

#[tokio::test]
async fn streams_go_out_in_chunks_or_until_the_end() {
    let filler = "x".repeat(20_000);
    let (reply, ended) = reply_to("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let events =
        "content-type: text/event-stream\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n";
    let chunks = format!("3\r\none\r\n5\r\nthree\r\n4e20\r\n{filler}\r\n0\r\n\r\n");
    let head = format!("HTTP/1.1 200 OK\r\n{events}transfer-encoding: chunked\r\n\r\n");
    assert!(undated(&reply) == head + &chunks, "{} bytes", reply.len());
    assert!(!ended);
    let (reply, ended) = reply_to("GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let head = format!("HTTP/1.0 200 OK\r\n{events}connection: close\r\n\r\n");
    assert!(
        undated(&reply) == head + "onethree" + &filler,
        "{} bytes",
        reply.len()
    );
    assert!(ended);
}

#[tokio::test]
async fn what_is_sent_ahead_waits_its_turn_and_is_no_departure() {
    let connections = Rc::new(Connections::new());
    let (mut client, far) = duplex(64 * 1024);
    let go = Notify::new();
    let service = By(async |_: &Head, _: Intake<'_>| {
        go.notified().await;
        fine()
    });
    let server = serve_connection(far, &service, BOUNDS, &connections);
    let talk = async {
        client.write_all(REQUEST).await.unwrap();
        settle().await;
        for _ in 0..200 {
            client.write_all(REQUEST).await.unwrap();
        }
        settle().await;
        assert_eq!(read_now(&mut client).await, (String::new(), false));
        for count in 1..=201 {
            go.notify_one();
            let (reply, ended) = read_now(&mut client).await;
            assert_eq!(reply.matches("HTTP/1.1 200 OK").count(), 1, "{count}");
            assert!(!ended, "{count}");
        }
        drop(client);
    };
    tokio::join!(talk, server);
}

#[tokio::test]
async fn a_stream_ends_when_its_client_leaves() {
    let connections = Rc::new(Connections::new());
    let (mut client, far) = duplex(1024);
    let (sender, mut dropped) = tokio::sync::mpsc::channel::<()>(1);
    let service = By(async |_: &Head, _: Intake<'_>| {
        let sender = sender.clone();
        Response::events(Body::stream(|frames| async move {
            frames.send("first").await;
            std::future::pending::<()>().await;
            drop(sender);
        }))
    });
    let server = serve_connection(far, &service, BOUNDS, &connections);
    let talk = async {
        client.write_all(REQUEST).await.unwrap();
        let (reply, ended) = read_now(&mut client).await;
        assert!(reply.ends_with("\r\n5\r\nfirst\r\n") && !ended, "{reply}");
        drop(client);
    };
    tokio::join!(talk, server);
    drop(sender);
    assert!(dropped.recv().await.is_none());
}
