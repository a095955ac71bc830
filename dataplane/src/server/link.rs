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
    /// For how many rounds others have waited while nobody here was idle.
    busy_rounds: Cell<u32>,
    links: RefCell<Vec<Weak<Link>>>,
}

/// Time, as far as connections need it.
struct Clock {
    /// Seconds, as counted by [`Connections::sweep`].
    tick: Cell<u32>,
    date: Cell<[u8; Timestamp::HTTP_BYTES]>,
    /// How often room was made for those who wait.
    round: Cell<u32>,
    /// Whether no connection is kept after a reply.
    is_brief: Cell<bool>,
}

/// What a connection and the sweep know of it.
pub(super) struct Link {
    clock: Rc<Clock>,
    /// A response is due or on its way.
    busy: Cell<bool>,
    owes: Cell<Owes>,
    /// Since which tick, for a body and for nothing: since the last sign of life.
    since: Cell<u32>,
    /// Since which tick it is owed.
    owed: Cell<u32>,
    /// Since which round of making room nothing was asked.
    round: Cell<u32>,
    /// Whether anything was ever asked.
    has_asked: Cell<bool>,
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

/// How long a client may take for the whole of a body, however often a piece of it comes: as long as a
/// call may take. The largest one comes in time at 14 kilobytes a second.
pub(super) const WHOLE_BODY_SECONDS: u32 = 300;
pub(crate) const IDLE_SECONDS: u32 = 75;
/// The same for an idle one while the gateway is under pressure.
pub(crate) const IDLE_SECONDS_PRESSED: u32 = 5;
/// While others wait to be accepted, time goes by in rounds of a tenth of a second. How many of them a
/// client has that never asked for anything, one that has, and one in the middle of a head.
const SILENT_ROUNDS: u32 = 2;
const IDLE_ROUNDS: u32 = 10;
const HEAD_ROUNDS: u32 = 20;
/// After so many rounds in which nobody was idle, those who are busy make room as well.
const BUSY_ROUNDS: u32 = 20;
/// How long a client may take for the rest of a request when the gateway stops. It may have just begun, or
/// have begun long ago and hold up the end.
const LAST_SECONDS: u32 = 1;
pub(super) const STALLED_SECONDS: u32 = 60;
pub(super) const END_SECONDS: u32 = 2;

impl Connections {
    /// None yet.
    pub(crate) fn new() -> Self {
        let clock = Clock {
            tick: Cell::new(0),
            date: Cell::new(Timestamp::now().http()),
            round: Cell::new(0),
            is_brief: Cell::new(false),
        };
        Self {
            clock: Rc::new(clock),
            draining: Cell::new(false),
            busy_rounds: Cell::new(0),
            links: RefCell::default(),
        }
    }

    /// One more second has gone by: connections whose clients are too slow are ended, and those that
    /// were idle for so many seconds.
    pub(crate) fn sweep(&self, idle: u32) -> u64 {
        let mut idled = 0;
        let tick = self.clock.tick.get().wrapping_add(1);
        self.clock.tick.set(tick);
        pulse::beat();
        self.clock.date.set(Timestamp::now().http());
        self.links.borrow_mut().retain(|link| match link.upgrade() {
            Some(link) => {
                let order = link.judge(tick, idle);
                idled += u64::from(link.tell(order) && order == Order::Finish);
                link.remind(tick);
                true
            }
            None => false,
        });
        idled
    }

    /// Others wait to be accepted: one more round has gone by, and who is silent makes room. Gives how
    /// many those are. If there is none such for long, those who are busy take turns with those who wait:
    /// no connection is kept after a reply.
    pub(crate) fn make_room(&self) -> u64 {
        let round = self.clock.round.get().wrapping_add(1);
        self.clock.round.set(round);
        let (mut closed, mut has_idle) = (0, false);
        for link in self.links.borrow().iter().filter_map(Weak::upgrade) {
            has_idle |= link.is_idle(round);
            closed += u64::from(link.tell(link.makes_room(round)));
        }
        // Who is idle may be on another thread, which makes room as well.
        let busy = self.busy_rounds.get().saturating_add(1);
        self.busy_rounds.set(if has_idle { 0 } else { busy });
        self.clock
            .is_brief
            .set(self.busy_rounds.get() >= BUSY_ROUNDS);
        closed
    }

    /// Somebody new takes the place of who has been silent for longest. Gives whether anybody was.
    pub(crate) fn evict(&self) -> bool {
        let tick = self.clock.tick.get();
        let links = self.links.borrow();
        let silent = links.iter().rev().filter_map(Weak::upgrade);
        let silent = silent.filter(|link| link.is_silent());
        let longest = silent.max_by_key(|link| tick.wrapping_sub(link.since.get()));
        longest.is_some_and(|link| link.tell(Order::Cut))
    }

    /// Nobody waits to be accepted. Connections are kept after a reply, or they are not.
    pub(crate) fn be_brief(&self, is_brief: bool) {
        self.busy_rounds.set(0);
        self.clock.is_brief.set(is_brief);
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

    /// The grace of calls is over: each is answered with that now.
    pub(crate) fn stop_calls(&self) {
        pulse::stop();
        for link in self.links.borrow().iter().filter_map(Weak::upgrade) {
            link.wake();
        }
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
        let owed = since.clone();
        let round = Cell::new(clock.round.get());
        Self {
            clock,
            busy: Cell::new(false),
            owes: Cell::new(Owes::Nothing),
            since,
            owed,
            round,
            has_asked: Cell::new(false),
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
            self.owed.set(self.clock.tick.get());
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
        self.has_asked.set(true);
    }

    /// It was answered.
    pub(super) fn end(&self) {
        self.busy.set(false);
        self.since.set(self.clock.tick.get());
        self.round.set(self.clock.round.get());
    }

    /// Whether the connection may be kept after this reply.
    pub(super) fn may_stay(&self) -> bool {
        self.order.get() == Order::GoOn && !self.clock.is_brief.get()
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
        let (head, body) = match self.order.get() {
            Order::GoOn => (HEAD_SECONDS, BODY_SECONDS),
            Order::Drain | Order::Finish | Order::Cut => (LAST_SECONDS, LAST_SECONDS),
        };
        let stalled = self.stalled.get();
        if stalled.is_some_and(|since| more_than(since, STALLED_SECONDS)) {
            return Order::Cut;
        }
        match self.owes.get() {
            Owes::End if more_than(since, END_SECONDS) => Order::Cut,
            Owes::Body if waiting && more_than(since, body) => Order::Cut,
            Owes::Body if waiting && more_than(self.owed.get(), WHOLE_BODY_SECONDS) => Order::Cut,
            Owes::Head if waiting && !busy && more_than(since, head) => Order::Cut,
            Owes::Nothing if !busy && more_than(since, idle) => Order::Finish,
            Owes::End | Owes::Body | Owes::Head | Owes::Nothing => Order::GoOn,
        }
    }

    /// Whether nothing is asked for, so that it makes room sooner or later.
    fn is_idle(&self, round: u32) -> bool {
        let quiet = round.wrapping_sub(self.round.get());
        let is_silent = !self.has_asked.get() || quiet >= SILENT_ROUNDS;
        !self.busy.get() && self.owes.get() == Owes::Nothing && is_silent
    }

    /// Whether nothing is being answered, and nothing was asked in full.
    fn is_silent(&self) -> bool {
        let is_silent = matches!(self.owes.get(), Owes::Nothing | Owes::Head | Owes::End);
        !self.busy.get() && is_silent && self.order.get() < Order::Cut
    }

    /// Whether a client is in the way of those who wait.
    fn makes_room(&self, round: u32) -> Order {
        let quiet = round.wrapping_sub(self.round.get());
        let silent = if self.has_asked.get() {
            IDLE_ROUNDS
        } else {
            SILENT_ROUNDS
        };
        match self.owes.get() {
            _ if self.busy.get() => Order::GoOn,
            Owes::Nothing if quiet >= silent => Order::Finish,
            Owes::Head if self.waiting.get() && quiet >= HEAD_ROUNDS => Order::Cut,
            Owes::End | Owes::Body | Owes::Head | Owes::Nothing => Order::GoOn,
        }
    }

    /// Gives whether that is something new.
    fn tell(&self, order: Order) -> bool {
        let is_new = order > self.order.get();
        if is_new {
            self.order.set(order);
            self.wake();
        }
        is_new
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
