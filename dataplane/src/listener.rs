//! Accepts the connections of one thread.
//!
//! Owns binding, the accept loop, the bound on connections, and draining: what the kernel has
//! queued is still accepted, calls in flight finish, then the connections close. Every connection
//! is a task that this loop owns and joins. What happens on one is `server`'s; who answers is
//! the [`Door`]'s: the plane's for clients, `admin`'s for operators.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::descriptors::{self, Purpose};
use crate::pipeline::{self, Plane};
use crate::refusal::Refusal;
use crate::server::fault::HeadBounds;
use crate::server::{
    Answers, Connections, Fault, Head, IDLE_SECONDS, IDLE_SECONDS_PRESSED, Intake, Response,
    serve_connection,
};
use crate::shortage;
use crate::silence;
use crate::status::Stage;

/// How many connections may wait to be accepted on each listener.
const BACKLOG: u32 = 1024;

/// Slow clients are looked for this often; `server` counts in the same unit.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);

/// Room for those who wait to be accepted is made this often; `server` counts in the same unit.
const ROUND: Duration = Duration::from_millis(100);

/// While draining, an idle connection stays open this long: a request that was sent before its
/// client could know gets its answer.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

/// The last part of the grace of calls is for telling those that are still under way that they are cut off:
/// this, but no more than a quarter.
pub(crate) const FAREWELL: Duration = Duration::from_millis(500);

/// The pause after an accept that failed for want of something, doubled each time up to the most.
const PAUSE_LEAST: Duration = Duration::from_millis(10);
const PAUSE_MOST: Duration = Duration::from_secs(1);

/// Who answers behind a listener. A clone is a handle to the same one.
pub(crate) trait Door: Answers + Clone + 'static {
    /// The bounds for connections that are accepted now.
    fn bounds(&self) -> Bounds;

    /// How many connections are open, on all threads.
    fn open(&self) -> &AtomicU32;

    /// Whose connections these are, for who may take the last descriptors.
    fn purpose(&self) -> Purpose;

    /// Whether there is too little of something, so that who is idle has less time.
    fn is_pressed(&self) -> bool {
        false
    }

    /// Whether no connection is to be kept after a reply.
    fn is_brief(&self) -> bool {
        false
    }

    /// Whether somebody new takes the place of who is silent when there are as many as there may be.
    fn is_always_open(&self) -> bool {
        false
    }

    /// So many idle connections were closed for that.
    fn note_closed(&self, _connections: u64) {}

    /// Who answers somebody who connects from there.
    fn facing(&self, _peer: SocketAddr) -> Self {
        self.clone()
    }
}

/// What a listener bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The most connections, on all threads.
    pub(crate) connections: u32,
    /// The largest head of a request.
    pub(crate) head: HeadBounds,
    /// How long the system of a client may leave what is sent to it unacknowledged.
    pub(crate) silence: Duration,
}

/// The listener of one thread, and what it serves.
struct Accepting<D> {
    door: D,
    connections: Rc<Connections>,
    tasks: JoinSet<()>,
    pause: Duration,
    /// Until when nothing is accepted.
    resting: Option<Instant>,
    logged: Option<Instant>,
    /// How long a peer that is accepted may be silent, as the listener was told.
    silence: Option<Duration>,
}

/// One connection's place among those that the plan allows. Shared by all threads.
struct Slot<D: Door>(D);

/// Binds a listener that shares its port with those of the other threads. `first` says that no
/// thread has bound the address yet: if somebody else has, that is an error, not company.
///
/// # Errors
/// Whatever the system says.
pub(crate) fn bind(address: SocketAddr, first: First) -> io::Result<TcpListener> {
    if first == First::Yes && address.port() != 0 {
        // A socket that does not share fails where another gateway listens; a shared one would not.
        socket(address)?.bind(address)?;
    }
    let socket = socket(address)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Why there is no listener at a place, which `flags` give. Another place is no remedy where descriptors are short.
pub(crate) fn unbound(place: &str, flags: &str, error: &io::Error) -> Refusal {
    let (code, remedy) = if shortage::is_of_descriptors(error) {
        (
            "MCPC9615",
            "raise the limit of descriptors, `ulimit -n`".to_owned(),
        )
    } else {
        ("MCPC9603", format!("give another address with {flags}"))
    };
    Refusal::new(code, format!("cannot listen on {place}: {error}; {remedy}"))
}

/// Whether a listener is the first one of its gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Yes,
    No,
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// Accepts until `stop` holds a grace, then drains within it. Must run on a runtime for local tasks.
pub(crate) async fn run<D: Door>(
    listener: TcpListener,
    door: D,
    mut stop: watch::Receiver<Option<Duration>>,
) {
    let mut accepting = Accepting {
        door,
        connections: Rc::new(Connections::new()),
        tasks: JoinSet::new(),
        pause: PAUSE_LEAST,
        resting: None,
        logged: None,
        silence: None,
    };
    accepting.bound_silence(&listener);
    let mut sweep = interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = interval(ROUND);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            accepted = listener.accept(), if accepting.resting.is_none() => match accepted {
                Ok((stream, peer)) => {
                    accepting.open(stream, peer);
                    if accepting.door.is_always_open() {
                        // Of a crowd, each is there before the next one may take its place, and who was evicted
                        // is gone.
                        yield_now().await;
                    }
                }
                Err(error) => accepting.failed(&error),
            },
            () = sleep_until(accepting.rests_until()), if accepting.resting.is_some() => {
                accepting.look_again();
            }
            _ = sweep.tick() => {
                accepting.sweep();
                accepting.bound_silence(&listener);
            }
            _ = round.tick(), if accepting.resting.is_some() => accepting.make_room(),
            Some(_) = accepting.tasks.join_next() => accepting.look_again(),
            // A gateway that was dropped, not shut down, gives no grace.
            _ = stop.wait_for(Option::is_some) => break,
        }
    }
    let grace = stop.borrow().unwrap_or_default();
    accepting.accept_queued(listener);
    accepting.drain(grace).await;
}

impl<D: Door> Accepting<D> {
    /// Serves a connection, or closes it at once if there are too many.
    fn open(&mut self, stream: TcpStream, peer: SocketAddr) {
        if descriptors::is_beyond(&stream, self.door.purpose()) {
            // It is served, as the last one for now.
            self.lacks_descriptors(&Errno::MFILE.into());
        } else {
            self.pause = PAUSE_LEAST;
        }
        let bounds = self.door.bounds();
        let facing = || self.door.facing(peer);
        let slot = Slot::take(facing(), bounds.connections).or_else(|| {
            let has_room = self.door.is_always_open() && self.connections.evict();
            // Who was evicted is gone when it is looked at next.
            has_room.then(|| Slot::take(facing(), bounds.connections.saturating_mul(2)))?
        });
        let Some(slot) = slot else {
            self.log(
                "a connection was closed: there are as many as there may be",
                None,
            );
            return;
        };
        // It costs latency if it fails, and nothing else.
        let _set = stream.set_nodelay(true);
        let connections = Rc::clone(&self.connections);
        self.tasks.spawn_local(async move {
            serve_connection(stream, &slot.0, bounds.head, &connections).await;
        });
    }

    /// After an accept that failed. A client that left while it was queued costs nothing; for want
    /// of descriptors or memory the loop pauses, so that it does not spin on what cannot succeed.
    fn failed(&mut self, error: &io::Error) {
        if is_of_one_connection(error) {
            return;
        }
        if shortage::is_of_descriptors(error) {
            self.lacks_descriptors(error);
            return;
        }
        self.log("no connection can be accepted", Some(error));
        self.rest();
    }

    fn lacks_descriptors(&mut self, error: &io::Error) {
        shortage::DESCRIPTORS.meet(error);
        self.rest();
    }

    fn rest(&mut self) {
        self.resting = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MOST);
    }

    fn rests_until(&self) -> Instant {
        self.resting.unwrap_or_else(Instant::now)
    }

    /// After a pause, or when a connection has ended: clients wait in the kernel's queue until there is
    /// a descriptor for one.
    fn look_again(&mut self) {
        if self.resting.is_none() {
            return;
        }
        if descriptors::has_room(self.door.purpose()) {
            self.resting = None;
        } else {
            self.lacks_descriptors(&Errno::MFILE.into());
        }
    }

    /// One more second has gone by. Under pressure, who is idle has less time.
    fn sweep(&mut self) {
        if self.resting.is_none() {
            self.connections.be_brief(self.door.is_brief());
        }
        if self.resting.is_some() || self.door.is_pressed() {
            let closed = self.connections.sweep(IDLE_SECONDS_PRESSED);
            self.door.note_closed(closed);
        } else {
            self.connections.sweep(IDLE_SECONDS);
        }
        shortage::look();
    }

    /// What is accepted from now on gets the bound of the live plan. Set on the listener, it costs nothing for
    /// each connection.
    fn bound_silence(&mut self, listener: &TcpListener) {
        let silence = self.door.bounds().silence;
        if self.silence.replace(silence) == Some(silence) {
            return;
        }
        if let Err(error) = silence::bound(listener, silence) {
            tracing::warn!(%error, "clients that vanish are noticed late: the system sets no bound");
        }
    }

    /// Others wait in the kernel's queue: who has nothing to say makes room for them.
    fn make_room(&mut self) {
        let closed = self.connections.make_room();
        self.door.note_closed(closed);
    }

    /// At most one line a second, however many fail.
    fn log(&mut self, what: &str, error: Option<&io::Error>) {
        let now = Instant::now();
        let due = self
            .logged
            .is_none_or(|logged| now - logged >= Duration::from_secs(1));
        if due {
            self.logged = Some(now);
            tracing::warn!(error = error.map(tracing::field::display), "{what}");
        }
    }

    /// Takes what the kernel has queued on this listener; closing it would reset those clients.
    fn accept_queued(&mut self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else {
            return;
        };
        // The listener does not block: the first `WouldBlock` ends this, and so does any other error.
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.open(stream, peer);
            }
        }
    }

    /// Lets connections finish within the grace, then answers the rest with that, and cuts who does not take it.
    async fn drain(&mut self, grace: Duration) {
        self.connections.drain();
        let farewell = FAREWELL.min(grace / 4);
        let mut deadline = pin!(sleep(grace.saturating_sub(farewell)));
        let mut quiet = pin!(sleep_until(Instant::now() + QUIET.min(grace)));
        let mut finishing = false;
        let mut sweep = interval(SWEEP);
        loop {
            tokio::select! {
                joined = self.tasks.join_next() => if joined.is_none() { return },
                () = &mut quiet, if !finishing => {
                    finishing = true;
                    self.connections.finish();
                }
                _ = sweep.tick() => {
                    self.connections.sweep(IDLE_SECONDS);
                }
                () = &mut deadline => break,
            }
        }
        self.connections.stop_calls();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _out_of_time = timeout(farewell, all).await;
        self.tasks.shutdown().await;
    }
}

/// Whether an accept failed because of the connection, not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
            | io::ErrorKind::TimedOut
    )
}

impl<D: Door> Slot<D> {
    fn take(door: D, most: u32) -> Option<Self> {
        let more = |open| (open < most).then_some(open + 1);
        let taken = door
            .open()
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Self(door))
    }
}

impl<D: Door> Drop for Slot<D> {
    fn drop(&mut self) {
        self.0.open().fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counted by thread: all threads share the plane, and a counter that every request of every thread
/// changes would travel between their caches.
impl Door for Rc<Arc<Plane>> {
    fn bounds(&self) -> Bounds {
        let limits = &self.live.load().limits;
        Bounds {
            connections: limits.connections,
            head: HeadBounds::of(limits),
            silence: Duration::from_millis(limits.unacknowledged_ms),
        }
    }

    fn open(&self) -> &AtomicU32 {
        &self.connections
    }

    fn purpose(&self) -> Purpose {
        Purpose::Clients
    }

    fn is_pressed(&self) -> bool {
        self.pressure.stage() >= Stage::Connections
    }

    fn is_brief(&self) -> bool {
        self.pressure.is_brief()
    }

    fn note_closed(&self, connections: u64) {
        self.pressure.note_closed(connections);
    }
}

impl Answers for Rc<Arc<Plane>> {
    fn answer(&self, head: &Head, intake: Intake<'_>) -> impl Future<Output = Response> {
        pipeline::handle(head, intake, self)
    }

    fn refuse(&self, fault: Fault) -> Response {
        pipeline::refuse(fault, self)
    }
}

#[cfg(test)]
mod tests;
