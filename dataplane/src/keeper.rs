//! The keeper: one thread that owns what outlives a request and belongs to no worker.
//!
//! Owns the thread, its runtime, and the bounds on what runs there: child processes, upstream
//! sessions, notification streams. Does not know any of them: `upstream` spawns its tasks here.
//! The thread lives as long as the gateway, because a child's parent-death signal is bound to the
//! thread that started it (prctl(2), `PR_SET_PDEATHSIG`), not to the process.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};

/// How many upstreams may be starting at the same time (requirements S6).
const STARTS_AT_ONCE: usize = 4;

/// How many HTTP upstreams may be negotiated with at the same time: a plan can hold thousands, the
/// system's descriptors cannot.
const HANDSHAKES_AT_ONCE: usize = 128;

/// How many short farewells (cancellations, session ends) may be under way at the same time.
const ERRANDS_AT_ONCE: usize = 1024;

/// A handle to the keeper's thread.
#[derive(Clone)]
pub(crate) struct Keeper {
    handle: Handle,
    starts: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    errands: Arc<Semaphore>,
}

/// The thread itself. Everything that was spawned on it ends when it is shut down or dropped.
pub(crate) struct KeeperThread {
    keeper: Keeper,
    quit: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl KeeperThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread or no event queue.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let keeper = Keeper::on(runtime.handle().clone());
        let (quit, quitting) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("mcpc-keeper".into())
            .spawn(move || {
                // A dropped sender ends the thread as well.
                let _ended = runtime.block_on(quitting);
            })?;
        Ok(Self {
            keeper,
            quit: Some(quit),
            thread: Some(thread),
        })
    }

    /// A handle for those who have work for it.
    pub(crate) fn keeper(&self) -> Keeper {
        self.keeper.clone()
    }

    /// Ends the thread and whatever still runs on it. Stop the upstreams first.
    pub(crate) fn shutdown(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.quit.take());
        if let Some(thread) = self.thread.take() {
            // The keeper's tasks do not panic; if one did, there is nothing left to save here.
            let _joined = thread.join();
        }
    }
}

impl Drop for KeeperThread {
    fn drop(&mut self) {
        self.end();
    }
}

impl Keeper {
    fn on(handle: Handle) -> Self {
        Self {
            handle,
            starts: Arc::new(Semaphore::new(STARTS_AT_ONCE)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE)),
            errands: Arc::new(Semaphore::new(ERRANDS_AT_ONCE)),
        }
    }

    /// A keeper on the caller's own runtime, so that a test's clock is the keeper's clock.
    #[cfg(any(test, feature = "rehearsal"))]
    pub(crate) fn here() -> Self {
        Self::on(Handle::current())
    }

    /// Runs a task until it ends or the keeper does. Its owner bounds how many there are.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    /// Runs a short task whose outcome nobody waits for. Beyond the bound it is not run:
    /// a lost farewell costs an upstream some work, an unbounded queue costs the gateway its life.
    pub(crate) fn errand(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Ok(slot) = Arc::clone(&self.errands).try_acquire_owned() {
            self.handle.spawn(async move {
                task.await;
                drop(slot);
            });
        }
    }

    /// The right to start a process; held until it has started or failed.
    pub(crate) fn starts(&self) -> &Semaphore {
        &self.starts
    }

    /// The right to negotiate with an HTTP upstream; held until it has succeeded or failed.
    pub(crate) fn handshakes(&self) -> &Semaphore {
        &self.handshakes
    }
}
