//! The worker threads: one per core, each with a runtime, a listener and connections of its own.
//!
//! Owns the threads and their end. What happens on a connection is `listener`'s and `pipeline`'s.
//! Threads share the plan and counters, never a connection (`docs/decisions/0013-listeners.md`).

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

use crate::listener::{self, First};
use crate::pipeline::Plane;
use crate::refusal::Refusal;
use crate::silence;

/// Running worker threads.
pub(crate) struct Workers {
    address: SocketAddr,
    stop: watch::Sender<Option<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts the threads; each binds the address for itself. The first one settles the port.
    ///
    /// # Errors
    /// The address cannot be bound, or the system gives no thread.
    pub(crate) fn start(
        address: SocketAddr,
        count: usize,
        plane: &Arc<Plane>,
    ) -> Result<Self, Refusal> {
        let (stop, _) = watch::channel(None);
        let mut workers = Self {
            address,
            stop,
            threads: Vec::new(),
        };
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let count = if count == 0 { cores } else { count };
        for number in 0..count {
            match workers.start_one(number, plane) {
                Ok(bound) => workers.address = bound,
                Err(refusal) => {
                    workers.stop(Duration::ZERO);
                    return Err(refusal);
                }
            }
        }
        Ok(workers)
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn start_one(&mut self, number: usize, plane: &Arc<Plane>) -> Result<SocketAddr, Refusal> {
        let (bound, binding) = mpsc::sync_channel(1);
        let (address, plane, stop) = (self.address, Arc::clone(plane), self.stop.subscribe());
        let first = if number == 0 { First::Yes } else { First::No };
        let thread = std::thread::Builder::new()
            .name(format!("mcpc-worker-{number}"))
            .spawn(move || {
                let mut builder = Builder::new_current_thread();
                // Connections are tasks that never leave their thread.
                let runtime = match builder.enable_all().build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(bound.send(Err(error))),
                };
                runtime.block_on(async move {
                    let listener = listener::bind(address, first);
                    let listener = listener.inspect(|listener| bound_silence(listener, &plane));
                    match listener.and_then(|listener| Ok((listener.local_addr()?, listener))) {
                        Ok((address, listener)) => {
                            drop(bound.send(Ok(address)));
                            listener::run(listener, Rc::new(plane), stop).await;
                        }
                        Err(error) => drop(bound.send(Err(error))),
                    }
                });
            })
            .map_err(|error| Refusal::system("start a thread", &error))?;
        self.threads.push(thread);
        match binding.recv() {
            Ok(Ok(address)) => Ok(address),
            Ok(Err(error)) => Err(listener::unbound(
                &format!("{address} for clients"),
                "`--listen` or `listen.address`",
                &error,
            )),
            Err(_) => Err(Refusal::new("MCPC9605", "a thread ended while it started")),
        }
    }

    /// Stops accepting, lets connections finish within the grace, and ends the threads.
    pub(crate) fn stop(&mut self, grace: Duration) {
        self.begin_stop(grace);
        self.join();
    }

    /// The same without waiting for the threads.
    pub(crate) fn begin_stop(&self, grace: Duration) {
        self.stop.send_replace(Some(grace));
    }

    /// Waits for the threads, which were told to stop.
    pub(crate) fn join(&mut self) {
        for thread in self.threads.drain(..) {
            // A worker that panicked has ended, which is what is asked of it here.
            let _ended = thread.join();
        }
    }
}

/// Before anybody knows the address: who connects at once is bounded as well.
fn bound_silence(listener: &TcpListener, plane: &Plane) {
    let silence = Duration::from_millis(plane.live.load().limits.unacknowledged_ms);
    // It is tried again, and told, when the listener runs.
    let _tried = silence::bound(listener, silence);
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}
