//! Tests over loopback sockets: sharing a port, the bound on connections, draining.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream as StdStream};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use super::*;
use crate::server::tests::{fine, refused};

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers at once, but for `/slow`, which waits for a sign.
#[derive(Default)]
struct TestDoor {
    open: AtomicU32,
    connections: AtomicU32,
    arrived: Notify,
    go: Notify,
    gone: AtomicBool,
}

impl Door for Arc<TestDoor> {
    fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.connections.load(Ordering::Relaxed),
            head: HeadBounds {
                bytes: 4096,
                fields: 20,
            },
            silence: Duration::from_secs(30),
        }
    }

    fn open(&self) -> &AtomicU32 {
        &self.open
    }

    fn purpose(&self) -> Purpose {
        Purpose::Clients
    }
}

impl Answers for Arc<TestDoor> {
    async fn answer(&self, head: &Head, _: Intake<'_>) -> Response {
        if head.path() == "/slow" {
            self.arrived.notify_one();
            self.go.notified().await;
        }
        self.gone.store(true, Ordering::Relaxed);
        fine()
    }

    fn refuse(&self, fault: Fault) -> Response {
        refused(fault)
    }
}

/// A listener on a thread of its own.
struct Running {
    address: SocketAddr,
    door: Arc<TestDoor>,
    stop: watch::Sender<Option<Duration>>,
    thread: JoinHandle<()>,
}

impl Running {
    fn start(connections: u32) -> Self {
        let door = Arc::new(TestDoor::default());
        door.connections.store(connections, Ordering::Relaxed);
        let (stop, stopped) = watch::channel(None);
        let (sender, receiver) = mpsc::sync_channel(1);
        let served = Arc::clone(&door);
        let thread = std::thread::spawn(move || {
            let mut builder = Builder::new_current_thread();
            let runtime = builder.enable_all().build_local(LocalOptions::default());
            runtime.unwrap().block_on(async {
                let listener = bind(LOOPBACK, First::Yes).unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                run(listener, served, stopped).await;
            });
        });
        Self {
            address: receiver.recv().unwrap(),
            door,
            stop,
            thread,
        }
    }

    fn connect(&self) -> StdStream {
        let stream = StdStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// Tells the listener to stop and waits for its thread.
    fn stop(self, grace: Duration) -> Arc<TestDoor> {
        self.stop.send_replace(Some(grace));
        self.thread.join().unwrap();
        self.door
    }

    /// Waits until a slow request has arrived.
    fn wait_for_arrival(&self) {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(self.door.arrived.notified());
    }
}

/// Sends a request and reads one whole reply.
fn ask(stream: &mut StdStream) -> String {
    stream.write_all(REQUEST).unwrap();
    read_reply(stream)
}

fn read_reply(stream: &mut StdStream) -> String {
    let mut text = String::new();
    while !text.ends_with("fine") {
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(buffer.get(..read).unwrap()).unwrap());
    }
    text
}

#[test]
fn connections_are_kept_alive_and_counted() {
    let running = Running::start(10);
    let mut streams = [running.connect(), running.connect()];
    for _ in 0..3 {
        for stream in &mut streams {
            assert!(ask(stream).starts_with("HTTP/1.1 200 "));
        }
    }
    assert_eq!(running.door.open.load(Ordering::Relaxed), 2);
    let door = running.stop(Duration::from_secs(10));
    assert_eq!(door.open.load(Ordering::Relaxed), 0);
}

#[test]
fn connections_over_the_bound_are_closed_and_the_others_go_on() {
    let running = Running::start(1);
    let mut first = running.connect();
    ask(&mut first);
    let mut second = running.connect();
    let closed = second.read(&mut [0; 1]);
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    ask(&mut first);
    running.door.connections.store(2, Ordering::Relaxed);
    ask(&mut running.connect());
    running.stop(Duration::ZERO);
}

#[test]
fn a_stop_lets_a_call_finish_and_closes_what_is_idle() {
    let running = Running::start(10);
    let mut idle = running.connect();
    ask(&mut idle);
    let mut busy = running.connect();
    busy.write_all(SLOW).unwrap();
    running.wait_for_arrival();
    running.stop.send_replace(Some(Duration::from_secs(60)));
    assert_eq!(idle.read(&mut [0; 1]).unwrap(), 0);
    assert!(StdStream::connect(running.address).is_err());
    running.door.go.notify_one();
    let reply = read_reply(&mut busy);
    assert!(reply.contains("connection: close\r\n"), "{reply}");
    running.stop(Duration::from_secs(60));
}

#[test]
fn a_stop_answers_what_was_queued_before_it() {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default());
    let runtime = runtime.unwrap();
    let door = Arc::new(TestDoor::default());
    door.connections.store(1000, Ordering::Relaxed);
    let listener = runtime.block_on(async { bind(LOOPBACK, First::Yes).unwrap() });
    let address = listener.local_addr().unwrap();
    // Connected and sent, but not accepted: nothing has run the listener yet.
    let mut streams: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = StdStream::connect(address).unwrap();
            stream.write_all(REQUEST).unwrap();
            stream
        })
        .collect();
    let (_stop, stopped) = watch::channel(Some(Duration::from_secs(60)));
    runtime.block_on(run(listener, Arc::clone(&door), stopped));
    for stream in &mut streams {
        assert!(read_reply(stream).starts_with("HTTP/1.1 200 "));
    }
    assert_eq!(door.open.load(Ordering::Relaxed), 0);
}

#[test]
fn a_reply_that_does_not_wait_for_the_body_reaches_a_client_that_is_still_sending() {
    let running = Running::start(10);
    let mut stream = running.connect();
    let body = vec![b'x'; 2_000_000];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body).unwrap();
    let reply = read_reply(&mut stream);
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    // The end, not a reset.
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    running.stop(Duration::ZERO);
}

#[test]
fn a_call_that_outlasts_the_grace_is_cut() {
    let running = Running::start(10);
    let mut busy = running.connect();
    busy.write_all(SLOW).unwrap();
    running.wait_for_arrival();
    let door = running.stop(Duration::from_millis(1));
    assert!(!door.gone.load(Ordering::Relaxed));
    assert!(matches!(busy.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn threads_of_one_gateway_share_a_port_and_strangers_do_not() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _context = runtime.enter();
    let first = bind(LOOPBACK, First::Yes).unwrap();
    let address = first.local_addr().unwrap();
    let second = bind(address, First::No).unwrap();
    assert_eq!(second.local_addr().unwrap(), address);
    let stranger = bind(address, First::Yes).unwrap_err();
    assert_eq!(stranger.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn only_errors_of_one_connection_are_passed_over() {
    assert!(is_of_one_connection(
        &io::ErrorKind::ConnectionAborted.into()
    ));
    // EMFILE, ENFILE and ENOBUFS last until somebody closes something.
    for code in [24, 23, 105] {
        assert!(!is_of_one_connection(&io::Error::from_raw_os_error(code)));
    }
}
