//! Whose question it is, when a legacy upstream asks without saying for which call.
//!
//! Owns the list of calls that a server may be asking for, on a pipe or on its general stream, and
//! the order in which callers get the floor at a server that is known to ask so. A question belongs
//! to a client only if it can belong to no other one
//! (`docs/decisions/0019-asking-the-client.md`). Does not reach the client: `stream` hands
//! the question to whoever serves the call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::question::{Question, Unaskable};
use crate::ask::can_ask;
use crate::call::Party;

/// How long a call waits for the others to end or to ask, before it goes on beside them.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a call that has asked may still ask more. From then on it is taken to wait, and others need
/// not wait for it.
const HEARING: Duration = Duration::from_millis(50);

/// How long a call that was left may still ask: its server has to hear of it first.
const AFTERMATH: Duration = Duration::from_secs(2);

/// How long a question waits that may also be one of a call that was taken to wait. It is for as long as a call
/// may go on that has not asked: one that has waits for its answer.
const DOUBT: Duration = Duration::from_millis(200);

/// The most questions that a call has not been given yet.
const QUESTIONS_MAX: usize = 8;

/// The calls at one upstream that it may ask for.
pub(super) struct Floor {
    seats: papaya::HashMap<u64, Arc<Seat>>,
    /// One caller at a time looks whether the floor is free, in the order of arrival.
    entrance: Semaphore,
    moved: Notify,
    /// Whether the server was ever heard to ask without saying for which call.
    has_asked: AtomicBool,
    /// Whether the server was ever heard to ask on while all its calls waited for their clients.
    asks_on: AtomicBool,
    /// Whether the server has a general stream that is heard, if it is reached over HTTP.
    is_heard: AtomicBool,
    began: Instant,
}

/// One call, as the floor sees it.
pub(super) struct Seat {
    number: u64,
    party: Party,
    questions: mpsc::Sender<Given>,
    /// Since when it waits for its client, and since when nobody waits for it: milliseconds on the
    /// floor's clock, or [`NEVER`].
    waits_since: AtomicU64,
    left_at: AtomicU64,
    /// How many answers of its client are held back until the floor is free.
    answers: AtomicU32,
}

const NEVER: u64 = u64::MAX;

/// What a call may be doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Its server may be working on it, and may ask.
    Active,
    /// It has asked and has no answer yet. Calls of others go on beside it.
    Waiting,
    /// It was left long ago.
    Over,
}

/// A question on its way to a call.
struct Given {
    question: Box<Question>,
    /// Until when it may turn out not to be this call's.
    doubted_until: Option<Instant>,
}

/// The call that a question seems to be for.
struct Speaker {
    seat: Arc<Seat>,
    /// Whether it may be for another client's call as well, which was taken to wait.
    is_doubted: bool,
}

/// A call's place, held by whoever reads its events.
pub(super) struct Place {
    floor: Arc<Floor>,
    seat: Arc<Seat>,
    questions: mpsc::Receiver<Given>,
    /// The next question, if its time has not come.
    next: Option<Given>,
}

impl Floor {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            seats: papaya::HashMap::new(),
            entrance: Semaphore::new(1),
            moved: Notify::new(),
            has_asked: AtomicBool::new(false),
            asks_on: AtomicBool::new(false),
            is_heard: AtomicBool::new(false),
            began: Instant::now(),
        })
    }

    /// Whether the general stream of an HTTP server is open.
    pub(super) fn hear(&self, is_heard: bool) {
        self.is_heard.store(is_heard, Ordering::Relaxed);
    }

    pub(super) fn is_heard(&self) -> bool {
        self.is_heard.load(Ordering::Relaxed)
    }

    /// A place for a call. At a server that asks without saying for which call, it is given once no
    /// other party's call can be meant, or after a while in any case.
    pub(super) async fn enter(self: &Arc<Self>, number: u64, party: Party) -> Place {
        let (sender, questions) = mpsc::channel(QUESTIONS_MAX);
        let seat = Arc::new(Seat {
            number,
            party,
            questions: sender,
            waits_since: AtomicU64::new(NEVER),
            left_at: AtomicU64::new(NEVER),
            answers: AtomicU32::new(0),
        });
        if self.has_asked.load(Ordering::Relaxed) {
            let _turn = Box::pin(self.turn(&seat)).await;
            self.seats.pin().insert(number, Arc::clone(&seat));
        } else {
            self.seats.pin().insert(number, Arc::clone(&seat));
        }
        Place {
            floor: Arc::clone(self),
            seat,
            questions,
            next: None,
        }
    }

    /// A call's client has answered: its server will work on it again.
    pub(super) async fn regain(&self, seat: &Seat) {
        seat.answers.fetch_add(1, Ordering::Relaxed);
        let _turn = self.turn(seat).await;
        seat.go_on();
        seat.answers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Waits until no other party's call is active, but not for ever.
    async fn turn(&self, seat: &Seat) -> Option<tokio::sync::SemaphorePermit<'_>> {
        if self.is_free_for(seat) && self.entrance.available_permits() > 0 {
            return self.entrance.try_acquire().ok();
        }
        let until = Instant::now() + PATIENCE;
        let turn = timeout_at(until, self.entrance.acquire()).await;
        while Instant::now() < until && !self.is_free_for(seat) {
            // Time alone can make the floor free.
            let look_again = (Instant::now() + HEARING).min(until);
            let _moved = timeout_at(look_again, self.moved.notified()).await;
        }
        turn.ok()?.ok()
    }

    fn is_free_for(&self, seat: &Seat) -> bool {
        let now = self.now();
        let seats = self.seats.pin();
        seats.values().all(|other| {
            other.number == seat.number
                || other.party.is(&seat.party)
                || other.standing(now) != Standing::Active
        })
    }

    /// Gives a question to the call that it belongs to; refuses it if it may belong to calls of more
    /// than one party.
    pub(super) fn ask(&self, question: Question) {
        match self.speaker() {
            Some(Speaker { seat, is_doubted }) if seat.left_at.load(Ordering::Relaxed) == NEVER => {
                seat.ask(Given {
                    question: Box::new(question),
                    doubted_until: is_doubted.then(|| Instant::now() + DOUBT),
                });
            }
            Some(_) => question.refuse(Unaskable::Undeclared),
            None => question.refuse(Unaskable::Ambiguous),
        }
    }

    /// The call that is meant, if all that can be meant are one party's. One that waits for its client
    /// can be meant as well, as servers may go on asking; but a call that waits for a client without a
    /// session is often never heard of again, so until its client is back it only counts at servers that
    /// were seen to do so.
    fn speaker(&self) -> Option<Speaker> {
        let now = self.now();
        let seats = self.seats.pin();
        if !seats.is_empty() {
            self.has_asked.store(true, Ordering::Relaxed);
        }
        let stands = |seat: &Seat, standing| seat.standing(now) == standing;
        if !seats.values().any(|seat| stands(seat, Standing::Active))
            && seats.values().any(|seat| stands(seat, Standing::Waiting))
        {
            self.asks_on.store(true, Ordering::Relaxed);
        }
        let asks_on = self.asks_on.load(Ordering::Relaxed);
        let mut meant = seats.values().filter(|seat| match seat.standing(now) {
            Standing::Active => true,
            Standing::Waiting => {
                asks_on || seat.is_answered() || matches!(seat.party, Party::Session(_))
            }
            Standing::Over => false,
        });
        let first = meant.next().map(Arc::clone)?;
        let seat = meant.try_fold(first, |likeliest, seat| {
            let is_same = seat.party.is(&likeliest.party);
            is_same.then(|| {
                if seat.rank(now) > likeliest.rank(now) {
                    Arc::clone(seat)
                } else {
                    likeliest
                }
            })
        })?;
        let is_doubted = seats.values().any(|other| {
            other.number != seat.number
                && !other.party.is(&seat.party)
                && stands(other, Standing::Waiting)
        });
        Some(Speaker { seat, is_doubted })
    }

    /// The server has answered a call that nobody waits for any more.
    pub(super) fn end(&self, number: u64) {
        if self.seats.pin().remove(&number).is_some() {
            self.moved.notify_one();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NEVER - 1)
    }
}

impl Seat {
    fn standing(&self, now: u64) -> Standing {
        let left_at = self.left_at.load(Ordering::Relaxed);
        if left_at != NEVER {
            let is_over = has_passed(left_at, AFTERMATH, now);
            return if is_over {
                Standing::Over
            } else {
                Standing::Active
            };
        }
        let since = self.waits_since.load(Ordering::Relaxed);
        if since != NEVER && has_passed(since, HEARING, now) {
            Standing::Waiting
        } else {
            Standing::Active
        }
    }

    /// Who is still there comes before who has left, who does not wait for the client before who
    /// does, the younger before the older.
    fn rank(&self, now: u64) -> (bool, bool, u64) {
        let is_there = self.left_at.load(Ordering::Relaxed) == NEVER;
        let is_active = self.standing(now) == Standing::Active;
        (is_there, is_active, self.number)
    }

    /// Whether its client is back, and its server does not know yet.
    fn is_answered(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
    }

    /// It does not wait for its client any more.
    pub(super) fn go_on(&self) {
        self.waits_since.store(NEVER, Ordering::Relaxed);
    }

    fn ask(&self, question: Given) {
        if let Err(refused) = self.questions.try_send(question) {
            refused.into_inner().question.refuse(Unaskable::Full);
        }
    }
}

impl Place {
    /// The next question that belongs to this call. Nothing is lost if this is dropped before it is done.
    pub(super) async fn asked(&mut self) -> Question {
        loop {
            let Some(given) = &self.next else {
                match self.questions.recv().await {
                    Some(given) => self.next = Some(given),
                    // The seat holds a sender.
                    None => std::future::pending().await,
                }
                continue;
            };
            if let Some(until) = given.doubted_until {
                sleep_until(until).await;
            }
            if let Some(given) = self.next.take() {
                return *given.question;
            }
        }
    }

    /// From now on the call waits for its client.
    pub(super) fn wait(&self) {
        let now = self.floor.now();
        self.seat.waits_since.store(now, Ordering::Relaxed);
    }

    /// What an answer has to pass by on its way to the server.
    pub(super) fn way_back(&self) -> (Arc<Floor>, Arc<Seat>) {
        (Arc::clone(&self.floor), Arc::clone(&self.seat))
    }

    /// Nobody will read the call's events, and its server works on until `deadline`.
    pub(super) fn leave_running(&self, deadline: Instant) {
        let ends = deadline.saturating_duration_since(self.floor.began);
        let ends = ends.saturating_sub(AFTERMATH);
        let left_at = u64::try_from(ends.as_millis()).unwrap_or(NEVER - 1);
        self.seat.left_at.store(left_at, Ordering::Relaxed);
    }

    /// The call has ended at its server. What it has asked a moment ago, if it was this call's, it does not want
    /// to know any more; if not, the server does not wait before it asks on, and is not relied on from now on.
    pub(super) fn end(mut self) {
        self.floor.end(self.seat.number);
        while let Some(given) = self.next.take().or_else(|| self.questions.try_recv().ok()) {
            if given.doubted_until.is_some() {
                self.floor.asks_on.store(true, Ordering::Relaxed);
                given.question.refuse(Unaskable::Ambiguous);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (floor, now) = (&self.floor, self.floor.now());
        let seats = floor.seats.pin();
        if seats.get(&self.seat.number).is_none() {
            return;
        }
        // The server does not know yet that nobody waits.
        let left_at = &self.seat.left_at;
        let _before = left_at.compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
        seats.retain(|_, seat| seat.standing(now) != Standing::Over);
    }
}

fn has_passed(since: u64, span: Duration, now: u64) -> bool {
    u128::from(now.saturating_sub(since)) >= span.as_millis()
}

/// Whether a legacy server may ask while it works on a request. What a task asks comes while its result is
/// waited for.
pub(super) fn may_ask_on(method: &[u8]) -> bool {
    can_ask(method) || method == b"tasks/result"
}

#[cfg(test)]
mod tests {
    use super::super::question::Asker;
    use super::super::stdio::{Link, Outgoing};
    use super::*;
    use crate::keeper::Keeper;
    use tokio::time::advance;

    const HERS: Party = Party::Session(1);
    const HIS: Party = Party::Session(2);

    struct Server {
        floor: Arc<Floor>,
        link: Arc<Link>,
        told: mpsc::Receiver<Outgoing>,
    }

    impl Server {
        fn new() -> Self {
            let (link, told) = Link::new();
            let floor = Floor::new();
            Self { floor, link, told }
        }

        fn ask(&self) {
            let (id, method) = (b"\"q\"".as_slice().into(), b"roots/list".as_slice().into());
            let asker = Asker::Process(Arc::clone(&self.link));
            let question = Question::new(id, method, None, asker, &Keeper::here());
            self.floor.ask(question);
        }

        async fn is_refused(&mut self) -> bool {
            self.ask();
            // Nobody else would be asked later.
            let told = timeout_at(Instant::now() + DOUBT, self.told.recv()).await;
            told.ok().flatten().is_some_and(|told| {
                told.message()
                    .starts_with(b"{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"error\"")
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_goes_to_the_only_party_and_to_nobody_else() {
        let mut server = Server::new();
        assert!(server.is_refused().await);
        let mut first = server.floor.enter(1, HERS).await;
        server.ask();
        assert_eq!(first.asked().await.method.as_ref(), b"roots/list");
        let mut second = server.floor.enter(2, HERS).await;
        server.ask();
        assert_eq!(second.asked().await.method.as_ref(), b"roots/list");
        drop(server.told.recv().await);
        let _his = server.floor.enter(3, HIS).await;
        while server.told.try_recv().is_ok() {}
        assert!(server.is_refused().await);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_that_cannot_be_told_apart_are_not_taken_for_one() {
        let mut server = Server::new();
        let _one = server.floor.enter(1, Party::Unknown).await;
        let _other = server.floor.enter(2, Party::Unknown).await;
        assert!(server.is_refused().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_waits_for_its_client_stands_in_nobodys_way() {
        let server = Server::new();
        let hers = server.floor.enter(1, HERS).await;
        server.floor.has_asked.store(true, Ordering::Relaxed);
        hers.wait();
        let began = Instant::now();
        let his = server.floor.enter(2, HIS).await;
        assert_eq!(began.elapsed(), HEARING);
        // An answer for her waits until he is done, and no longer.
        let (floor, seat) = hers.way_back();
        let regaining = tokio::spawn(async move { floor.regain(&seat).await });
        advance(PATIENCE / 4).await;
        assert!(!regaining.is_finished());
        his.end();
        assert!(regaining.await.is_ok());
        assert!(began.elapsed() < PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_question_of_a_call_that_waits_goes_to_nobody_else() {
        let mut server = Server::new();
        let mut hers = server.floor.enter(1, HERS).await;
        server.ask();
        drop(hers.asked().await);
        drop(server.told.recv().await);
        hers.wait();
        advance(HEARING * 2).await;
        let his = server.floor.enter(2, HIS).await;
        assert!(server.is_refused().await, "it may be hers or his");
        his.end();
        server.ask();
        assert!(hers.asked().await.has_id(b"\"q\""));
        let mut her_other = server.floor.enter(3, HERS).await;
        server.ask();
        assert!(her_other.asked().await.has_id(b"\"q\""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_was_seen_to_ask_on_asks_no_other_client() {
        let mut server = Server::new();
        let mut parked = server.floor.enter(1, Party::Unknown).await;
        parked.wait();
        advance(HEARING).await;
        let mut other = server.floor.enter(2, Party::Unknown).await;
        server.ask();
        assert!(other.asked().await.has_id(b"\"q\""), "it seems to wait");
        other.end();
        server.ask();
        assert!(parked.asked().await.has_id(b"\"q\""), "it does not");
        while server.told.try_recv().is_ok() {}
        let _other = server.floor.enter(3, Party::Unknown).await;
        assert!(server.is_refused().await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_answer_is_held_back_may_be_the_one_that_asks_on() {
        let mut server = Server::new();
        let parked = server.floor.enter(1, Party::Unknown).await;
        parked.wait();
        advance(HEARING).await;
        let other = server.floor.enter(2, Party::Unknown).await;
        let (floor, seat) = parked.way_back();
        let answering = tokio::spawn(async move { floor.regain(&seat).await });
        advance(PATIENCE / 4).await;
        assert!(!answering.is_finished());
        assert!(server.is_refused().await, "its client is there");
        other.end();
        assert!(answering.await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_ends_with_a_question_open_has_not_asked_it() {
        let mut server = Server::new();
        let parked = server.floor.enter(1, Party::Unknown).await;
        parked.wait();
        advance(HEARING).await;
        let mut other = server.floor.enter(2, Party::Unknown).await;
        server.ask();
        server.ask();
        let asked = timeout_at(Instant::now() + DOUBT / 2, other.asked()).await;
        assert!(asked.is_err(), "it may be the other one's");
        other.end();
        for _ in 0..2 {
            let told = server.told.recv().await;
            let told = told.map(|told| String::from_utf8_lossy(told.message()).into_owned());
            assert!(told.is_some_and(|told| told.contains("-32600")));
        }
        let _third = server.floor.enter(3, Party::Unknown).await;
        assert!(server.is_refused().await, "it is not relied on any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_can_be_nobody_elses_is_asked_at_once() {
        let server = Server::new();
        let mut first = server.floor.enter(1, Party::Unknown).await;
        server.ask();
        let began = Instant::now();
        drop(first.asked().await);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_left_counts_until_its_server_must_know() {
        let mut server = Server::new();
        let left = server.floor.enter(1, HERS).await;
        let mut stays = server.floor.enter(2, HIS).await;
        drop(left);
        assert!(server.is_refused().await);
        advance(AFTERMATH).await;
        server.ask();
        assert!(stays.asked().await.has_id(b"\"q\""));
        drop(stays);
        advance(AFTERMATH).await;
        drop(server.floor.enter(3, HIS).await);
        assert_eq!(
            server.floor.seats.len(),
            1,
            "what was left long ago is not kept"
        );
    }
}
