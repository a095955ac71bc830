//! Calls over a child's standard input and output: one pipe, all calls.
//!
//! Owns the queue towards the child, bounded in bytes, and the sorting of what comes back: answers
//! by id, progress by token, the rest by what is known about it. Does not start or end a process
//! (`child`), nor cut its output into lines (`lines`). Workers register and write without a lock or
//! a detour; only the pipe's two ends are served by the keeper.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::events::{ACKNOWLEDGED, Step, progress_token, sort_notification, subscription_id};
use super::farewell::answer_to;
use super::http::number_of;
use super::lines::{Framer, Line, id_of_answer};
use super::question::{Asker, Question, is_question};
use super::{Clients, Upstream};
use crate::call::{Call, Era, Event, NextEvent, Reply, Said};
use crate::failure::Failure;
use crate::message::{self, Message, Notification};

/// The most bytes that wait to be read by the child.
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most messages that wait to be read by the child.
const QUEUE_MESSAGES_MAX: usize = 4096;

/// The most events that wait for one caller. The last place is kept for the answer, so that a slow
/// reader loses notifications and nothing else, and holds up nobody.
const EVENTS_MAX: usize = 65;

/// How long a call waits for room in the queue.
const ROOM_PATIENCE: Duration = Duration::from_secs(2);

/// The pipe to one process, as workers share it.
pub(super) struct Link {
    outbox: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
    waiting: papaya::HashMap<u64, Waiting>,
    is_closed: AtomicBool,
    /// How many lines the process has written.
    heard: AtomicU64,
    /// A call had no answer in time.
    silence: Notify,
}

/// A call that waits for its answer.
struct Waiting {
    events: mpsc::Sender<NextEvent>,
    takes: Takes,
}

/// Which messages a call can be sent besides its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Log messages too.
    Logs,
    /// None of the log: in 2026-07-28 that is said in each request, and this one did not ask for it.
    NoLogs,
    /// None but what names it: it is a stream of notifications, not a call.
    Named,
}

/// A line for the child, and the room it takes up.
pub(super) struct Outgoing {
    line: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl Outgoing {
    /// The message without its line break.
    pub(super) fn message(&self) -> &[u8] {
        self.line.strip_suffix(b"\n").unwrap_or(&self.line)
    }
}

/// The events of one call. Dropping it forgets the call; what still comes is ignored.
pub(super) struct StdioEvents {
    link: Arc<Link>,
    id: u64,
    events: mpsc::Receiver<NextEvent>,
    /// Until when something must come and what it means if nothing does; nothing until that is waited
    /// for. Kept here, not in the future that waits: whoever drops that one waits on for the same.
    until: Option<(Instant, Failure)>,
    idle: Duration,
    deadline: Instant,
}

impl Link {
    /// A pipe, and the end of it that the keeper serves.
    pub(super) fn new() -> (Arc<Self>, mpsc::Receiver<Outgoing>) {
        let (outbox, inbox) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let link = Self {
            outbox,
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            waiting: papaya::HashMap::new(),
            is_closed: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            silence: Notify::new(),
        };
        (Arc::new(link), inbox)
    }

    /// Sends a call. Its first event is still to be waited for.
    pub(super) async fn call(
        self: &Arc<Self>,
        call: &Call,
        era: Era,
        id: u64,
    ) -> Result<StdioEvents, Failure> {
        let mut line = Vec::new();
        call.write_message(&mut line, id, era);
        let asks_for_logs = call.log_level.is_some() || call.params.log_level().is_some();
        let takes = match era {
            Era::Modern if !asks_for_logs => Takes::NoLogs,
            Era::Modern | Era::Legacy => Takes::Logs,
        };
        let first_by = Instant::now() + Duration::from_millis(call.timeouts.first_byte_ms);
        let idle = Duration::from_millis(call.timeouts.idle_ms);
        let (events, waiting) = self.expect(id, first_by, idle, call.deadline, takes);
        self.waiting.pin().insert(id, waiting);
        self.write(line, call.deadline).await?;
        Ok(events)
    }

    /// Sends a request with an id of the gateway's.
    pub(super) async fn ask(
        self: &Arc<Self>,
        line: Vec<u8>,
        id: u64,
        first_by: Instant,
        idle: Duration,
        deadline: Instant,
    ) -> Result<StdioEvents, Failure> {
        let (events, waiting) = self.expect(id, first_by, idle, deadline, Takes::NoLogs);
        self.waiting.pin().insert(id, waiting);
        self.write(line, deadline).await?;
        Ok(events)
    }

    /// Opens a stream of notifications.
    pub(super) async fn listen(
        self: &Arc<Self>,
        line: Vec<u8>,
        id: u64,
        first_by: Instant,
        idle: Duration,
    ) -> Result<StdioEvents, Failure> {
        let until = Instant::now() + idle;
        let (events, waiting) = self.expect(id, first_by, idle, until, Takes::Named);
        self.waiting.pin().insert(id, waiting);
        self.write(line, first_by).await?;
        Ok(events)
    }

    /// The two ends of what a call waits for. The drop of the first one takes the second one off the
    /// list again.
    fn expect(
        self: &Arc<Self>,
        id: u64,
        first_by: Instant,
        idle: Duration,
        deadline: Instant,
        takes: Takes,
    ) -> (StdioEvents, Waiting) {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let events = StdioEvents {
            link: Arc::clone(self),
            id,
            events,
            until: Some((first_by, Failure::FirstByteTimeout)),
            idle,
            deadline,
        };
        let waiting = Waiting {
            events: sender,
            takes,
        };
        (events, waiting)
    }

    /// Puts a message in the queue; fails if the child does not make room for it.
    /// [`Failure::SessionLost`] says that it was not even queued, because the child is gone.
    pub(super) async fn write(&self, message: Vec<u8>, deadline: Instant) -> Result<(), Failure> {
        let line = one_line(message);
        let size = line.len().min(QUEUE_BYTES_MAX);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let until = deadline.min(Instant::now() + ROOM_PATIENCE);
        let queued = timeout_at(until, async {
            let room = Arc::clone(&self.room).acquire_many_owned(size).await;
            let room = room.map_err(|_| Failure::SessionLost)?;
            let outgoing = Outgoing { line, _room: room };
            let sent = self.outbox.send(outgoing).await;
            sent.map_err(|_| Failure::SessionLost)
        });
        queued.await.map_err(|_| Failure::Overloaded)??;
        // The process may have ended between the look at its session and now: who registered
        // before the end is told by `close`, who comes after it is told here.
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Failure::Closed);
        }
        Ok(())
    }

    /// Fails every call that still waits, and those to come.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.room.close();
        let waiting = self.waiting.pin();
        for (_, call) in &waiting {
            // One place is always free, see `EVENTS_MAX`.
            let _told = call.events.try_send(Err(Failure::Closed));
        }
        waiting.clear();
    }

    /// How many lines the process has written so far.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Waits until a call had no answer in time.
    pub(super) async fn silence(&self) {
        self.silence.notified().await;
    }

    /// Gives an answer to the call that waits for it; false if there is none.
    fn finish(&self, id: u64, event: NextEvent) -> bool {
        let waiting = self.waiting.pin();
        waiting
            .remove(&id)
            .is_some_and(|call| call.events.try_send(event).is_ok())
    }

    /// Gives an event to a call; false if nobody waits for it.
    fn notify(&self, id: u64, event: Event) -> bool {
        let waiting = self.waiting.pin();
        let Some(call) = waiting.get(&id) else {
            return false;
        };
        if call.events.capacity() > 1 {
            let _told = call.events.try_send(Ok(event));
        }
        true
    }

    /// The one call that something can belong to, if it is only one.
    fn only_one(&self, can_be: impl Fn(&Waiting) -> bool) -> Option<u64> {
        let waiting = self.waiting.pin();
        let is_call = |call: &Waiting| call.takes != Takes::Named;
        let mut calls = waiting
            .iter()
            .filter(|(_, call)| is_call(call) && can_be(call));
        let (first, _) = calls.next()?;
        calls.next().is_none().then_some(*first)
    }

    /// Whose a notification without a token is. A line of the pipe does not say for which call it was
    /// written, and a guess could show one caller what another one does
    /// (`docs/decisions/0018-log-messages-of-shared-processes.md`). Where all calls are one client's, the
    /// youngest that takes it has it.
    fn owner(&self, event: &Event, clients: Clients) -> Option<u64> {
        let is_log = matches!(event, Event::Notify(notification)
            if notification.method.as_ref() == b"notifications/message");
        let takes = |call: &Waiting| !is_log || call.takes == Takes::Logs;
        match clients {
            Clients::All => self.only_one(takes),
            Clients::One => self.youngest(takes),
        }
    }

    fn youngest(&self, can_be: impl Fn(&Waiting) -> bool) -> Option<u64> {
        let waiting = self.waiting.pin();
        let is_it = |call: &Waiting| call.takes != Takes::Named && can_be(call);
        let calls = waiting.iter().filter(|(_, call)| is_it(call));
        calls.map(|(id, _)| *id).max()
    }

    /// Takes one message; what belongs to nobody is counted.
    pub(super) fn take(self: &Arc<Self>, line: Line, upstream: &Upstream) {
        self.heard.fetch_add(1, Ordering::Relaxed);
        if !self.sort(line, upstream) {
            upstream
                .health
                .ignored_lines
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sorts one line; false if it belongs to nobody.
    fn sort(self: &Arc<Self>, line: Line, upstream: &Upstream) -> bool {
        let bytes = match line {
            Line::Oversized(id) => {
                return id.is_some_and(|id| self.finish(id, Err(Failure::TooLarge)));
            }
            Line::Whole(bytes) => bytes,
        };
        let Ok(message) = message::read_of_server(&bytes, upstream.bounds.nesting) else {
            // Whoever waits for this answer need not wait until nothing else comes.
            let answered = id_of_answer(&bytes);
            return bytes.is_empty()
                || answered.is_some_and(|id| self.finish(id, Err(Failure::Garbage)));
        };
        match message {
            Message::Result { id, result, beside } => number_of(&id).is_some_and(|id| {
                let is_awaited = self.finish(
                    id,
                    Ok(Event::Done(Reply::Result(Said::new(result, beside)))),
                );
                if !is_awaited {
                    upstream.floor.end(id);
                }
                is_awaited
            }),
            Message::Error { id, error, beside } => {
                let owner = match id {
                    Some(id) => number_of(&id),
                    None => self.only_one(|_| true),
                };
                owner.is_some_and(|id| {
                    self.finish(id, Ok(Event::Done(Reply::Error(Said::new(error, beside)))))
                })
            }
            Message::Request {
                id, method, params, ..
            } => {
                if is_question(&method) && upstream.era() == Some(Era::Legacy) {
                    upstream.floor.ask(Question::new(
                        id,
                        method,
                        params,
                        Asker::Process(Arc::clone(self)),
                        &upstream.keeper,
                    ));
                } else {
                    self.answer(&id, &method, upstream);
                }
                true
            }
            Message::Notification(told) => self.hear(told, upstream),
        }
    }

    /// Sorts a notification; false if it belongs to nobody.
    fn hear(&self, told: Notification, upstream: &Upstream) -> bool {
        let token = progress_token(told.params.as_ref());
        match sort_notification(told, |token| token.is_some()) {
            Some(Step::Changed(method)) => {
                upstream.note_change(&method);
                true
            }
            Some(Step::Updated(params)) => {
                upstream.note_update(params.as_ref());
                true
            }
            Some(Step::Acknowledged(params)) => {
                self.acknowledge(params);
                true
            }
            Some(Step::Event(event)) => token
                .or_else(|| self.owner(&event, upstream.clients))
                .is_some_and(|id| self.notify(id, event)),
            Some(Step::Asked(..)) | None => true,
        }
    }

    /// Tells a stream that it is open. That for list changes does not wait for it.
    fn acknowledge(&self, params: Option<Bytes>) {
        let Some(id) = params.as_ref().and_then(subscription_id) else {
            return;
        };
        let notification = Notification {
            method: Bytes::from_static(ACKNOWLEDGED),
            params,
            beside: Box::default(),
        };
        self.notify(id, Event::Notify(notification));
    }

    fn answer(self: &Arc<Self>, id: &Bytes, method: &Bytes, upstream: &Upstream) {
        let message = answer_to(id, method);
        let link = Arc::clone(self);
        upstream.keeper.errand(async move {
            let deadline = Instant::now() + ROOM_PATIENCE;
            // A child that asks and does not read gets no answer.
            let _written = link.write(message, deadline).await;
        });
    }
}

impl StdioEvents {
    /// The next event, within the deadlines. Nothing is lost if this is dropped before it is done.
    pub(super) async fn next(&mut self) -> NextEvent {
        self.next_within(None).await
    }

    /// The next event; `idle` is another bound on how long the process may be silent, because it has
    /// asked something: that was a sign of life, and the usual bound begins anew afterwards.
    pub(super) async fn next_within(&mut self, idle: Option<Duration>) -> NextEvent {
        let now = Instant::now();
        let (until, too_late) = match idle {
            Some(idle) => {
                self.until = None;
                (now + idle, Failure::IdleTimeout)
            }
            None => *self
                .until
                .get_or_insert((now + self.idle, Failure::IdleTimeout)),
        };
        match timeout_at(until.min(self.deadline), self.events.recv()).await {
            Ok(Some(event)) => {
                self.until = None;
                event
            }
            Ok(None) => Err(Failure::Closed),
            Err(_) => {
                self.link.silence.notify_one();
                let is_last = until >= self.deadline;
                Err(if is_last {
                    Failure::TotalTimeout
                } else {
                    too_late
                })
            }
        }
    }
}

impl Drop for StdioEvents {
    fn drop(&mut self) {
        self.link.waiting.pin().remove(&self.id);
    }
}

/// A message as one line. Params go to servers as clients wrote them, and JSON allows line breaks between
/// tokens: a server would take what follows one for a message of its own, which no rule has seen. Inside
/// strings there is none, since that is no JSON. Some servers end lines at a carriage return as well.
pub(super) fn one_line(mut message: Vec<u8>) -> Vec<u8> {
    for byte in &mut message {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    message.push(b'\n');
    message
}

/// Serves the child's input until it breaks. Aborting it closes the pipe.
pub(super) async fn write_all(
    mut stdin: Box<dyn AsyncWrite + Send + Unpin>,
    mut inbox: mpsc::Receiver<Outgoing>,
) {
    while let Some(outgoing) = inbox.recv().await {
        if stdin.write_all(&outgoing.line).await.is_err() || stdin.flush().await.is_err() {
            return;
        }
    }
}

/// Serves the child's output until it ends.
pub(super) async fn read_all(
    mut stdout: Box<dyn AsyncRead + Send + Unpin>,
    link: Arc<Link>,
    upstream: Arc<Upstream>,
) {
    let mut framer = Framer::new(upstream.bounds.reply_bytes);
    while let Ok(1..) = stdout.read_buf(framer.room()).await {
        while let Some(line) = framer.next() {
            link.take(line, &upstream);
        }
        // A firehose must not keep the keeper from its other children.
        tokio::task::consume_budget().await;
    }
    if let Some(line) = framer.rest() {
        link.take(line, &upstream);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn progress() -> Event {
        Event::Notify(Notification {
            method: Bytes::from_static(b"notifications/progress"),
            params: None,
            beside: Box::default(),
        })
    }

    /// Drops the wait at its await point again and again; how long it took to end, and its end.
    async fn pieces(events: &mut StdioEvents) -> (Duration, Option<Failure>) {
        let begun = Instant::now();
        loop {
            if let Ok(event) = timeout(STEP, events.next()).await {
                return (begun.elapsed(), event.err());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_dropped_loses_neither_its_deadline_nor_an_event() {
        let seconds = Duration::from_secs;
        let (link, _inbox) = Link::new();
        let expect = |id| {
            let (now, idle) = (Instant::now(), seconds(2));
            link.expect(id, now + seconds(5), idle, now + seconds(60), Takes::Logs)
        };

        let (mut events, _waiting) = expect(1);
        let timed_out = (seconds(5), Some(Failure::FirstByteTimeout));
        assert_eq!(pieces(&mut events).await, timed_out);

        let (mut events, waiting) = expect(2);
        // What comes between two waits is there in the next one.
        assert!(timeout(STEP, events.next()).await.is_err());
        assert!(waiting.events.try_send(Ok(progress())).is_ok());
        assert_eq!(pieces(&mut events).await, (Duration::ZERO, None));
        // From then on the silence counts, from the first wait on.
        assert!(timeout(STEP, events.next()).await.is_err());
        advance(seconds(1)).await;
        let rest = seconds(1).saturating_sub(STEP);
        assert_eq!(
            pieces(&mut events).await,
            (rest, Some(Failure::IdleTimeout))
        );

        let (mut events, _waiting) = expect(3);
        // While somebody else is waited for, silence means nothing.
        let asked = events.next_within(Some(seconds(50)));
        assert!(timeout(seconds(10), asked).await.is_err());
        let timed_out = (seconds(2), Some(Failure::IdleTimeout));
        assert_eq!(pieces(&mut events).await, timed_out);
    }
}
