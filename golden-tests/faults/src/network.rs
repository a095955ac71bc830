//! A network that misbehaves: it stands between two TCP peers and does to their bytes what it is told to.
//!
//! ```text
//! client ─► Network ─► server      Way::ToServer: what the client sends
//!        ◄─         ◄─             Way::ToClient: what the server sends
//! ```
//!
//! Owns the harms and when they end. Knows no protocol: what a harm means to a gateway is for a test to
//! say. A harm begins with the bytes after it is ordered, on every connection, also on those that are
//! open; which bytes are corrupted is decided by a seed. Whoever waits here waits for the end of the harm as
//! well, so that healing takes no time.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Which bytes are harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What the client sends.
    ToServer,
    /// What the server sends.
    ToClient,
}

/// What happens to the bytes of one way. `after` so many of them it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Each piece comes so much later.
    Delay(Duration),
    /// Both ways end, for both peers.
    Cut {
        /// The bytes that still arrive.
        after: usize,
    },
    /// This way ends and the other one goes on.
    HalfClose {
        /// The bytes that still arrive.
        after: usize,
    },
    /// So many bytes arrive at a time.
    Drip {
        /// How many.
        bytes: usize,
        /// The time between.
        pause: Duration,
    },
    /// The first byte, and about every eighth after it, has its highest bit turned over.
    Corrupt {
        /// The bytes that arrive as they are.
        after: usize,
    },
    /// Nothing arrives until the harm ends. Then everything does, as after a loss that TCP repairs.
    BlackHole {
        /// The bytes that still arrive.
        after: usize,
    },
}

/// A network with one server behind it.
pub struct Network {
    /// Where clients connect.
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    order: Mutex<Order>,
    changed: Condvar,
    /// How many ways are in a black hole.
    held: AtomicUsize,
    seed: u64,
}

/// The harm that is in force.
#[derive(Clone, Copy, Debug)]
struct Order {
    harm: Option<(Way, Harm)>,
    /// Counts the orders, so that one is told from the next.
    number: u64,
    /// Whether the network is gone.
    is_over: bool,
}

/// One way of one connection.
struct Pipe {
    way: Way,
    to: TcpStream,
    state: Arc<State>,
    /// The order that `seen` is counted for.
    order: u64,
    /// The bytes since that order.
    seen: usize,
    dice: u64,
}

/// Whether the rest of a way is carried.
#[derive(PartialEq, Eq)]
enum After {
    Carry,
    Swallow,
    End,
}

impl Network {
    /// Starts a network in front of a server.
    ///
    /// # Errors
    /// There is no address to be had.
    pub fn start(server: SocketAddr, seed: u64) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        let order = Order {
            harm: None,
            number: 0,
            is_over: false,
        };
        let state = Arc::new(State {
            order: Mutex::new(order),
            changed: Condvar::new(),
            held: AtomicUsize::new(0),
            seed,
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.order().is_over {
                    return;
                }
                // A server that is gone is a connection that is closed at once.
                if let Ok(server) = TcpStream::connect(server) {
                    let _closed = carry(&client, &server, &shared);
                }
            }
        });
        Ok(Self { address, state })
    }

    /// From the next byte on, this happens to one way.
    pub fn harm(&self, way: Way, harm: Harm) {
        self.state.put(Some((way, harm)), false);
    }

    /// Whether bytes are in a black hole.
    pub fn holds(&self) -> bool {
        self.state.held.load(Ordering::SeqCst) > 0
    }

    /// The harm ends.
    pub fn heal(&self) {
        self.state.put(None, false);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.state.put(None, true);
        // The thread that accepts looks at the next connection.
        let _gone_already = TcpStream::connect(self.address);
    }
}

impl State {
    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, harm: Option<(Way, Harm)>, is_over: bool) {
        let mut order = self.order();
        *order = Order {
            harm,
            number: order.number + 1,
            is_over,
        };
        self.changed.notify_all();
    }

    /// Waits for this long, or until there is another order; without a time, for that alone.
    fn wait(&self, order: u64, time: Option<Duration>) {
        let until = time.map(|time| Instant::now() + time);
        let mut now = self.order();
        while now.number == order {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            now = match left {
                Some(Duration::ZERO) => return,
                Some(left) => {
                    let waited = self.changed.wait_timeout(now, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(now);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }
}

/// Carries both ways of a connection, each on a thread of its own.
fn carry(client: &TcpStream, server: &TcpStream, state: &Arc<State>) -> io::Result<()> {
    let ways = [
        (Way::ToServer, client.try_clone()?, server.try_clone()?),
        (Way::ToClient, server.try_clone()?, client.try_clone()?),
    ];
    for (way, mut from, to) in ways {
        to.set_nodelay(true)?;
        let mut pipe = Pipe {
            way,
            to,
            state: Arc::clone(state),
            order: 0,
            seen: 0,
            dice: state.seed ^ u64::from(way == Way::ToClient),
        };
        std::thread::spawn(move || {
            if pipe.run(&mut from).is_err() {
                let _closed = from.shutdown(Shutdown::Both);
                let _closed = pipe.to.shutdown(Shutdown::Both);
            }
        });
    }
    Ok(())
}

impl Pipe {
    fn run(&mut self, from: &mut TcpStream) -> io::Result<()> {
        let mut piece = vec![0; 16 << 10];
        let mut after = After::Carry;
        loop {
            let read = from.read(&mut piece)?;
            let bytes = piece.get_mut(..read).unwrap_or_default();
            if bytes.is_empty() {
                return self.to.shutdown(Shutdown::Write);
            }
            if after == After::Carry {
                after = self.pass(bytes)?;
            }
            if after == After::End {
                from.shutdown(Shutdown::Both)?;
                return self.to.shutdown(Shutdown::Both);
            }
        }
    }

    /// Hands a piece on, as the order of the moment wants it.
    fn pass(&mut self, bytes: &mut [u8]) -> io::Result<After> {
        let order = *self.state.order();
        if order.number != self.order {
            (self.order, self.seen) = (order.number, 0);
        }
        let seen = self.seen;
        self.seen += bytes.len();
        let harm = order.harm.filter(|(way, _)| *way == self.way);
        let Some((_, harm)) = harm else {
            return self.to.write_all(bytes).map(|()| After::Carry);
        };
        match harm {
            Harm::Delay(time) => self.state.wait(self.order, Some(time)),
            Harm::Drip { bytes: size, pause } => {
                for drop in bytes.chunks(size.max(1)) {
                    self.to.write_all(drop)?;
                    self.state.wait(self.order, Some(pause));
                }
                return Ok(After::Carry);
            }
            Harm::Corrupt { after } => {
                let from = after.saturating_sub(seen).min(bytes.len());
                let (_, harmed) = bytes.split_at_mut(from);
                for (index, byte) in harmed.iter_mut().enumerate() {
                    let is_first = seen + from + index == after;
                    if is_first | self.roll().is_multiple_of(8) {
                        *byte ^= 0x80;
                    }
                }
            }
            Harm::Cut { after } | Harm::HalfClose { after } | Harm::BlackHole { after } => {
                let whole = bytes.len();
                let (passed, held) = bytes.split_at(after.saturating_sub(seen).min(whole));
                self.to.write_all(passed)?;
                if seen + whole < after {
                    return Ok(After::Carry);
                }
                return self.end_in(harm, held);
            }
        }
        self.to.write_all(bytes).map(|()| After::Carry)
    }

    /// What becomes of a way after its last byte, and of those that are held back.
    fn end_in(&mut self, harm: Harm, held: &[u8]) -> io::Result<After> {
        match harm {
            Harm::Cut { .. } => Ok(After::End),
            Harm::HalfClose { .. } => {
                self.to.shutdown(Shutdown::Write)?;
                Ok(After::Swallow)
            }
            _ => {
                self.state.held.fetch_add(1, Ordering::SeqCst);
                self.state.wait(self.order, None);
                self.state.held.fetch_sub(1, Ordering::SeqCst);
                self.to.write_all(held).map(|()| After::Carry)
            }
        }
    }

    /// A small linear congruential generator (Knuth's constants).
    fn roll(&mut self) -> u64 {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.dice >> 33
    }
}
