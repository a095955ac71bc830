//! All connections of a thread, and what each of them is told.
//!
//! Owns deadlines for slow clients and the end of connections when the gateway stops. Deadlines come
//! from one coarse sweep per thread instead of timers per request (`docs/decisions/0022-server-leg.md`);
//! so does the date that replies carry. Does not read or write: `wire` does.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

use crate::pulse;
use crate::timestamp::Timestamp;

/// The connections of one thread.
pub(crate) struct Connections {
    clock: Rc<Clock>,
    draining: Cell<bool>,
    links: RefCell<Vec<Weak<Link>>>,
}

/// Time, as far as connections need it.
struct Clock {
    /// Seconds, as counted by [`Connections::sweep`].
    tick: Cell<u32>,
    date: Cell<[u8; Timestamp::HTTP_BYTES]>,
}

/// What a connection and the sweep know of it.
pub(super) struct Link {
    clock: Rc<Clock>,
    /// A response is due or on its way.
    busy: Cell<bool>,
    owes: Cell<Owes>,
    /// Since which tick, for a body and for nothing: since the last sign of life.
    since: Cell<u32>,
    /// Whether the last read found nothing, so that it is the client who keeps us waiting.
    waiting: Cell<bool>,
    /// Since which tick the client has taken nothing of what is there for it.
    stalled: Cell<Option<u32>>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
}

/// What the client has to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owes {
    /// A request, if it likes.
    Nothing,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The end of the connection, after its last reply.
    End,
}

/// What a connection is told. Later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    GoOn,
    /// The next response is the last one.
    Drain,
    /// Close now if idle, else after the response.
    Finish,
    /// Close at once.
    Cut,
}

/// How long a client may take, in seconds.
pub(super) const HEAD_SECONDS: u32 = 30;
pub(super) const BODY_SECONDS: u32 = 30;
pub(crate) const IDLE_SECONDS: u32 = 75;
/// The same for an idle one while no more connections can be accepted.
pub(crate) const IDLE_SECONDS_CROWDED: u32 = 5;
pub(super) const STALLED_SECONDS: u32 = 60;
pub(super) const END_SECONDS: u32 = 2;

impl Connections {
    /// None yet.
    pub(crate) fn new() -> Self {
        let clock = Clock {
            tick: Cell::new(0),
            date: Cell::new(Timestamp::now().http()),
        };
        Self {
            clock: Rc::new(clock),
            draining: Cell::new(false),
            links: RefCell::default(),
        }
    }

    /// One more second has gone by: connections whose clients are too slow are ended, and those that
    /// were idle for so many seconds.
    pub(crate) fn sweep(&self, idle: u32) {
        let tick = self.clock.tick.get().wrapping_add(1);
        self.clock.tick.set(tick);
        pulse::beat();
        self.clock.date.set(Timestamp::now().http());
        self.links.borrow_mut().retain(|link| match link.upgrade() {
            Some(link) => {
                link.tell(link.judge(tick, idle));
                link.remind(tick);
                true
            }
            None => false,
        });
    }

    /// The gateway stops: every connection's next response is its last one. Idle ones stay open
    /// for now, so that a request that is on its way is still answered.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.tell_all(Order::Drain);
    }

    /// Closes idle connections, and the others after their response.
    pub(crate) fn finish(&self) {
        self.tell_all(Order::Finish);
    }

    fn tell_all(&self, order: Order) {
        for link in self.links.borrow().iter().filter_map(Weak::upgrade) {
            link.tell(order);
        }
    }

    pub(super) fn open(&self) -> Rc<Link> {
        let link = Rc::new(Link::new(Rc::clone(&self.clock)));
        if self.draining.get() {
            link.tell(Order::Drain);
        }
        self.links.borrow_mut().push(Rc::downgrade(&link));
        link
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.links.borrow().len()
    }
}

impl Link {
    fn new(clock: Rc<Clock>) -> Self {
        let since = Cell::new(clock.tick.get());
        Self {
            clock,
            busy: Cell::new(false),
            owes: Cell::new(Owes::Nothing),
            since,
            waiting: Cell::new(false),
            stalled: Cell::new(None),
            order: Cell::new(Order::GoOn),
            waker: RefCell::new(None),
        }
    }

    /// What must come now. The rest of a head has its deadline from its first byte on.
    pub(super) fn owes(&self, owes: Owes) {
        if self.owes.replace(owes) != owes {
            self.since.set(self.clock.tick.get());
        }
    }

    /// Something was read.
    pub(super) fn heard(&self) {
        self.waiting.set(false);
        if self.owes.get() != Owes::Head {
            self.since.set(self.clock.tick.get());
        }
    }

    /// There is nothing to be read.
    pub(super) fn waits_for_client(&self) {
        self.waiting.set(true);
    }

    /// Something could, or could not, be written.
    pub(super) fn wrote(&self, done: bool) {
        if done {
            self.stalled.set(None);
        } else if self.stalled.get().is_none() {
            self.stalled.set(Some(self.clock.tick.get()));
        }
    }

    /// A request is being answered.
    pub(super) fn begin(&self) {
        self.busy.set(true);
    }

    /// It was answered.
    pub(super) fn end(&self) {
        self.busy.set(false);
        self.since.set(self.clock.tick.get());
    }

    /// What it was told last.
    pub(super) fn order(&self) -> Order {
        self.order.get()
    }

    /// The date for a reply.
    pub(super) fn date(&self) -> [u8; Timestamp::HTTP_BYTES] {
        self.clock.date.get()
    }

    /// Whether the client is too slow.
    fn judge(&self, tick: u32, idle: u32) -> Order {
        let more_than = |since: u32, seconds: u32| tick.wrapping_sub(since) > seconds;
        let since = self.since.get();
        let (waiting, busy) = (self.waiting.get(), self.busy.get());
        let stalled = self.stalled.get();
        if stalled.is_some_and(|since| more_than(since, STALLED_SECONDS)) {
            return Order::Cut;
        }
        match self.owes.get() {
            Owes::End if more_than(since, END_SECONDS) => Order::Cut,
            Owes::Body if waiting && more_than(since, BODY_SECONDS) => Order::Cut,
            Owes::Head if waiting && !busy && more_than(since, HEAD_SECONDS) => Order::Cut,
            Owes::Nothing if !busy && more_than(since, idle) => Order::Finish,
            Owes::End | Owes::Body | Owes::Head | Owes::Nothing => Order::GoOn,
        }
    }

    fn tell(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            self.wake();
        }
    }

    /// Lets what is quiet for long look at the time, now and then.
    fn remind(&self, tick: u32) {
        let quiet = tick.wrapping_sub(self.since.get());
        if self.busy.get() && quiet.is_multiple_of(pulse::WAKE_SECONDS) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Keeps the waker of the connection's task, for [`Link::tell`].
    pub(super) fn listen(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }
}
