//! The keeper: one thread that owns what outlives a request and belongs to no worker.
//!
//! Owns the thread, its runtime, and the bounds on what runs there: child processes, upstream
//! sessions, notification streams. Does not know any of them: `upstream` spawns its tasks here. How
//! many processes start at once is the live plan's to say, and is told by `engine`.
//! The thread lives as long as the gateway, because a child's parent-death signal is bound to the
//! thread that started it (prctl(2), `PR_SET_PDEATHSIG`), not to the process.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mcpc_plan::Limits;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// How long a start counts among them. One that takes longer mostly waits for something, and a few
/// servers that never answer would keep all the others from starting.
const TURN: Duration = Duration::from_secs(2);

/// How many HTTP upstreams may be negotiated with at the same time: a plan can hold thousands, the
/// system's descriptors cannot.
const HANDSHAKES_AT_ONCE: usize = 128;

/// How many short farewells (cancellations, session ends) may be under way at the same time.
const ERRANDS_AT_ONCE: usize = 1024;

/// How many calls may go on without their callers while somebody listens for their ends.
const LEFT_AT_ONCE: u32 = 1024;

/// A handle to the keeper's thread.
#[derive(Clone)]
pub(crate) struct Keeper {
    handle: Handle,
    starts: Arc<Starts>,
    handshakes: Arc<Semaphore>,
    errands: Arc<Semaphore>,
    left: Arc<Semaphore>,
}

/// The turns of processes that start.
struct Starts {
    /// Each takes one.
    all: Places,
    /// Those that nobody waits for take one of these before, and leave a place free for one that somebody does.
    unwanted: Places,
}

/// So many at once.
struct Places {
    free: Arc<Semaphore>,
    /// How many there are, or will be when those too many have come back.
    most: AtomicU32,
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
            starts: Arc::new(Starts {
                all: Places::new(Limits::STARTS),
                unwanted: Places::new(beside_one(Limits::STARTS)),
            }),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_AT_ONCE)),
            errands: Arc::new(Semaphore::new(ERRANDS_AT_ONCE)),
            left: Arc::new(Semaphore::new(LEFT_AT_ONCE as usize)),
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
        self.spawn_within(&self.errands, task);
    }

    /// Attends to a call that goes on without its caller. Beyond the bound nobody does.
    pub(crate) fn see_out(&self, call: impl Future<Output = ()> + Send + 'static) {
        self.spawn_within(&self.left, call);
    }

    /// Waits until the calls that go on without their callers have ended.
    pub(crate) async fn all_seen_out(&self) {
        // A closed semaphore would mean that the keeper is gone.
        let _all = self.left.acquire_many(LEFT_AT_ONCE).await;
    }

    fn spawn_within(
        &self,
        bound: &Arc<Semaphore>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Ok(slot) = Arc::clone(bound).try_acquire_owned() {
            self.handle.spawn(async move {
                task.await;
                drop(slot);
            });
        }
    }

    /// So many processes may be starting at once from now on. What has begun goes on, and counts.
    pub(crate) fn let_start(&self, most: u32) {
        self.starts.all.resize(most, &self.handle);
        let unwanted = beside_one(most);
        self.starts.unwanted.resize(unwanted, &self.handle);
    }

    /// Starts a process when it is its turn; nothing if nobody needs it any more before that. Until `wanted` ends,
    /// others go before it. A start that has begun is never dropped: what it has started has to be ended by it.
    pub(crate) async fn start_in_turn<T>(
        &self,
        start: impl Future<Output = T>,
        wanted: impl Future<Output = ()>,
        unneeded: impl Future<Output = ()>,
    ) -> Option<T> {
        let turn = tokio::select! {
            turn = self.starts.turn(wanted) => turn,
            () = unneeded => return None,
        };
        let mut start = std::pin::pin!(start);
        if let Ok(started) = timeout(TURN, &mut start).await {
            return Some(started);
        }
        drop(turn);
        Some(start.await)
    }

    /// The right to negotiate with an HTTP upstream; held until it has succeeded or failed.
    pub(crate) fn handshakes(&self) -> &Semaphore {
        &self.handshakes
    }
}

/// So many of the places may be taken by what nobody waits for: all but one, if there is more than one.
fn beside_one(places: u32) -> u32 {
    places.saturating_sub(1).max(1)
}

impl Starts {
    /// Waits for a turn, which ends when what this gives is dropped. A closed semaphore would mean that the keeper is
    /// gone, and the caller's task with it.
    async fn turn(&self, wanted: impl Future<Output = ()>) -> impl Sized + '_ {
        let beside = tokio::select! {
            biased;
            () = wanted => None,
            place = self.unwanted.free.acquire() => place.ok(),
        };
        (self.all.free.acquire().await, beside)
    }
}

impl Places {
    fn new(most: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most as usize)),
            most: AtomicU32::new(most),
        }
    }

    fn resize(&self, most: u32, handle: &Handle) {
        let before = self.most.swap(most, Ordering::Relaxed);
        if most > before {
            self.free.add_permits((most - before) as usize);
        }
        if most < before {
            let places = Arc::clone(&self.free);
            handle.spawn(async move {
                // Stands in line before every start that comes later, so none of them gets these.
                if let Ok(too_many) = places.acquire_many_owned(before - most).await {
                    too_many.forget();
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::AtomicUsize;

    use tokio::time::{Instant, sleep};

    use super::*;

    const QUICK: Duration = Duration::from_millis(100);

    /// Starts so many at once; how many of them were starting at the same time, and how long it took.
    async fn crowd(keeper: &Keeper, starts: usize) -> (usize, Duration) {
        let (now, most) = (Arc::default(), Arc::default());
        let began = Instant::now();
        let starts = (0..starts).map(|_| {
            let keeper = keeper.clone();
            let (now, most): (Arc<AtomicUsize>, Arc<AtomicUsize>) =
                (Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                let start = async {
                    let count = now.fetch_add(1, Ordering::Relaxed) + 1;
                    most.fetch_max(count, Ordering::Relaxed);
                    sleep(QUICK).await;
                    now.fetch_sub(1, Ordering::Relaxed);
                };
                keeper.start_in_turn(start, ready(()), pending()).await;
            })
        });
        for start in starts.collect::<Vec<_>>() {
            assert!(start.await.is_ok());
        }
        (most.load(Ordering::Relaxed), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_start_at_once_and_no_more() {
        let keeper = Keeper::here();
        assert_eq!(crowd(&keeper, 12).await, (4, QUICK * 3));
        for (most, rounds) in [(6, 2), (1, 12), (3, 4), (12, 1)] {
            keeper.let_start(most);
            // What is too many stands in line once its task has run.
            tokio::task::yield_now().await;
            assert_eq!(crowd(&keeper, 12).await, (most as usize, QUICK * rounds));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fewer_may_start_as_soon_as_those_that_have_begun_are_done() {
        let keeper = Keeper::here();
        let before = tokio::spawn({
            let keeper = keeper.clone();
            async move { crowd(&keeper, 4).await }
        });
        tokio::task::yield_now().await;
        keeper.let_start(1);
        tokio::task::yield_now().await;
        assert_eq!(crowd(&keeper, 3).await, (1, QUICK * 4));
        assert_eq!(before.await.ok(), Some((4, QUICK)));
    }

    #[tokio::test(start_paused = true)]
    async fn starts_that_never_end_let_others_have_their_turn() {
        let keeper = Keeper::here();
        for _ in 0..Limits::STARTS {
            let keeper = keeper.clone();
            tokio::spawn(async move {
                keeper
                    .start_in_turn(pending::<()>(), ready(()), pending())
                    .await
            });
        }
        tokio::task::yield_now().await;
        let began = Instant::now();
        let start = async { sleep(QUICK).await };
        keeper.start_in_turn(start, ready(()), pending()).await;
        assert_eq!(began.elapsed(), TURN + QUICK);
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_waits_for_goes_before_what_nobody_does() {
        let keeper = Keeper::here();
        let began = Instant::now();
        let start = |wanted: Duration| {
            let keeper = keeper.clone();
            tokio::spawn(async move {
                let work = async { sleep(QUICK).await };
                let started = keeper.start_in_turn(work, sleep(wanted), pending());
                started.await;
                began.elapsed()
            })
        };
        let never = Duration::from_secs(3600);
        let spares: Vec<_> = (0..24).map(|_| start(never)).collect();
        sleep(QUICK / 4).await;
        let taken = start(QUICK / 2);
        tokio::task::yield_now().await;
        assert_eq!(start(Duration::ZERO).await.ok(), Some(QUICK / 4 + QUICK));
        // One that was a spare, and is wanted by now.
        assert_eq!(taken.await.ok(), Some(QUICK * 2));
        let mut last = Duration::ZERO;
        for spare in spares {
            last = last.max(spare.await.unwrap_or_default());
        }
        assert_eq!(last, QUICK * 8 + QUICK / 4);
        keeper.let_start(1);
        tokio::task::yield_now().await;
        assert_eq!(
            start(never).await.ok(),
            Some(last + QUICK),
            "the only place"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_is_given_up_before_its_turn_and_never_after() {
        let keeper = Keeper::here();
        keeper.let_start(1);
        tokio::task::yield_now().await;
        let first = keeper.start_in_turn(sleep(QUICK), ready(()), sleep(QUICK / 2));
        let second = keeper.start_in_turn(async {}, ready(()), sleep(QUICK / 2));
        let began = Instant::now();
        assert_eq!(tokio::join!(first, second), (Some(()), None));
        assert_eq!(began.elapsed(), QUICK);
    }
}
