//! A server that answers no attempt to connect, as one behind a firewall or with a full queue: nothing is refused, and
//! nothing comes.
//!
//! Owns the door of such a server. While nobody accepts, one connection fills its queue, and the system drops
//! what else knocks.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mcpc_faults::HttpServer;
use mcpc_process::until;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
use serde_json::json;

use crate::stage::{Caller, Stage, all_beside};

/// Longer than a connection on this machine takes, and shorter than the system waits before it knocks again.
const KNOCK: Duration = Duration::from_millis(300);

/// How many callers there are at once.
const CALLERS: usize = 16;

/// The longest that a call may take that waits two seconds for a connection, on a busy machine.
const CALL_MAX: Duration = Duration::from_secs(8);

struct Door {
    listener: TcpListener,
    address: SocketAddr,
    behind: SocketAddr,
    /// What was let in.
    inside: Arc<Mutex<Vec<TcpStream>>>,
    /// What stands in the queue and is not let in.
    queue: Vec<TcpStream>,
    porter: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Door {
    /// A door to a server that nobody opens yet.
    fn shut(behind: SocketAddr) -> Self {
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        );
        let socket = socket.unwrap();
        bind(&socket, &SocketAddrV4::new([127, 0, 0, 1].into(), 0)).unwrap();
        listen(&socket, 0).unwrap();
        let listener = TcpListener::from(socket);
        let mut door = Self {
            address: listener.local_addr().unwrap(),
            listener,
            behind,
            inside: Arc::default(),
            queue: Vec::new(),
            porter: None,
        };
        door.fill();
        door
    }

    /// Knocks until nobody answers.
    fn fill(&mut self) {
        while let Ok(knocking) = TcpStream::connect_timeout(&self.address, KNOCK) {
            self.queue.push(knocking);
            assert!(self.queue.len() < 16, "a queue of no length has an end");
        }
    }

    fn open(&mut self) {
        self.queue.clear();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let (listener, behind) = (self.listener.try_clone().unwrap(), self.behind);
        let inside = Arc::clone(&self.inside);
        let porter = std::thread::spawn(move || {
            while let Ok((outer, _)) = listener.accept() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let inner = TcpStream::connect(behind).unwrap();
                let ends = [&outer, &inner].map(|end| end.try_clone().unwrap());
                inside.lock().unwrap().extend(ends);
                join(&outer, &inner);
                join(&inner, &outer);
            }
        });
        self.porter = Some((is_over, porter));
    }

    /// Nobody is let in any more, and who is in is sent away.
    fn close(&mut self) {
        if let Some((is_over, porter)) = self.porter.take() {
            is_over.store(true, Ordering::SeqCst);
            drop(TcpStream::connect(self.address));
            porter.join().unwrap();
        }
        self.fill();
        for end in self.inside.lock().unwrap().drain(..) {
            let _closed_already = end.shutdown(Shutdown::Both);
        }
    }

    /// How many knock and wait (proc(5), `/proc/net/tcp`: state 02 is SYN-SENT).
    fn knocking(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let port = format!(":{:04X}", self.address.port());
        let lines = table.lines().skip(1);
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields[2].ends_with(&port) && fields[3] == "02")
            .count()
    }
}

/// Takes what one end says to the other, until it says nothing more.
fn join(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        let _cut = copy(&mut from, &mut to);
        let _closed_already = to.shutdown(Shutdown::Write);
    });
}

/// All callers fail in time, with one of these codes; traffic beside them goes on.
#[track_caller]
fn all_fail(gateway: SocketAddr, codes: &[&str]) {
    all_beside(
        Caller::connect(gateway),
        "good.echo",
        &[(); CALLERS],
        |()| {
            let began = Instant::now();
            let reply = Caller::connect(gateway).call("bad.echo", &json!({}));
            assert!(codes.contains(&reply.code().as_str()), "{reply:?}");
            assert!(began.elapsed() < CALL_MAX, "{:?}", began.elapsed());
        },
    );
}

#[test]
fn a_server_that_answers_no_attempt_to_connect_costs_its_callers_their_time_and_nobody_else_any() {
    let behind = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let good = HttpServer::start(([127, 0, 0, 1], 0).into()).unwrap();
    let mut door = Door::shut(behind.address);
    let timeouts = "timeouts: { connect: 2s, first_byte: 2s, idle: 2s, total: 5s }";
    let breaker = "breaker: { failures: 3, within: 1m, open_for: 1s }";
    let stage = Stage::open(&format!(
        "servers:\n  good: {{ url: \"http://{}/mcp\", era: modern, {timeouts} }}\n  \
         bad: {{ url: \"http://{}/mcp\", era: modern, {timeouts}, {breaker} }}\n\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n",
        good.address, door.address
    ));
    let gateway = stage.gateway.address;
    // Nobody has ever reached it: one attempt for all who wait.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| all_fail(gateway, &["MCPC9302", "MCPC9320"]));
        let mut most = 0;
        while !waiting.is_finished() {
            most = most.max(door.knocking());
            std::thread::yield_now();
        }
        assert_eq!(most, 1, "one of {CALLERS} callers' attempts");
    });
    let is = |state: &str| stage.gateway.upstream("bad")["breaker"]["state"] == state;
    until("the breaker opens", || is("open"));
    door.open();
    until("the breaker closes", || is("closed"));
    stage.client().echoes("bad.echo", 1);
    // It was reached, and its connections are lost: each call attempts to make its own until the breaker opens.
    door.close();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| all_fail(gateway, &["MCPC9302", "MCPC9306", "MCPC9320"]));
        let mut most = 0;
        while !waiting.is_finished() {
            most = most.max(door.knocking());
            std::thread::yield_now();
        }
        assert!((1..=CALLERS).contains(&most), "{most} attempts at once");
    });
    until("the breaker opens", || is("open"));
    until("no attempt is left but the gateway's own", || {
        door.knocking() <= 1
    });
    door.open();
    until("the breaker closes", || is("closed"));
    stage.client().echoes("bad.echo", 2);
    stage.gateway.stop();
    door.close();
}
