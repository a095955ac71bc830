//! Streams that a legacy client can come back to (2025-11-25 Transports §Resumability and Redelivery).
//!
//! ```text
//! call ─► Frames ─► performance (numbers, keeps) ─► the reader of the moment ─► connection
//!                        ▲
//!                   GET with Last-Event-ID
//! ```
//!
//! Owns the table in which a `Last-Event-ID` is found, the bounds on what is kept for clients that
//! may come back, and who may come back: the session that made the call. A stream belongs to a task
//! of its own ([`performance`]), so that the call goes on without its reader, and a reader that comes
//! on another thread needs no lock. Replies of one document never get here.

mod log;
mod performance;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::body::{Body, Frames, Written};
use crate::call::Leave;
use crate::inbound::Accepts;
use crate::reply::LocalReply;
use crate::session::{Live, NoRandomness, Revision, Session, random_u64};
use log::{Log, event_id};
use performance::Performance;

/// The most streams that can be come back to.
const STREAMS_MAX: usize = 4096;

/// The most bytes that are kept for clients that may come back: of one stream but for its newest
/// event, of one session, of all.
const STREAM_BYTES_MAX: usize = 1024 * 1024;
const SESSION_BYTES_MAX: usize = 4 * 1024 * 1024;
const TOTAL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long a stream that has ended is kept: one whose end nobody has read, and one whose end went
/// out, which may still be lost on its way.
const UNREAD_KEPT: Duration = Duration::from_secs(300);
const READ_KEPT: Duration = Duration::from_secs(30);

/// How long a client shall wait before it comes back.
const RETRY_MS: u32 = 1000;

/// All streams that can be come back to.
pub(crate) struct Replays {
    /// Begins at a random number: ids of another process mean nothing here.
    numbers: AtomicU64,
    count: AtomicUsize,
    bytes: AtomicUsize,
    streams: papaya::HashMap<u64, Known>,
}

/// A stream, as the table knows it.
struct Known {
    session: u128,
    readers: mpsc::Sender<Reader>,
}

/// Somebody who reads a stream from some event on.
struct Reader {
    /// The number of the last event that it has.
    after: u64,
    place: mpsc::Sender<Written>,
    /// Told when the stream goes on for this reader; dropped if it does not.
    taken: oneshot::Sender<()>,
}

/// A client whose streams are kept, and how they begin.
pub(crate) struct Audience {
    replays: Arc<Replays>,
    live: Arc<Live>,
    revision: Revision,
}

/// One stream's entry in the table, and its share of the bounds. Both end when this is dropped.
struct Share {
    number: u64,
    live: Arc<Live>,
    replays: Arc<Replays>,
    bytes: usize,
}

impl Audience {
    /// The client of a request, if it can come back.
    pub(crate) fn of(
        session: Option<&Session>,
        accepts: Accepts,
        replays: &Arc<Replays>,
    ) -> Option<Self> {
        let session = session.filter(|_| accepts.resumes && accepts.stream)?;
        Some(Self {
            replays: Arc::clone(replays),
            live: Arc::clone(&session.live),
            revision: session.grant.revision,
        })
    }

    /// A stream that this client can come back to; `work` gets the place for its frames. It runs to
    /// its end, whoever reads. If there are too many such streams this one is like any other.
    pub(crate) fn stream<F>(self, work: impl FnOnce(Frames) -> F) -> Body
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (readers, arriving) = mpsc::channel(1);
        let Some(share) = self.replays.enter(&self.live, readers) else {
            return Body::stream(work);
        };
        let is_primed = is_primed(self.revision);
        let (place, reading) = mpsc::channel(1);
        if is_primed {
            let _there_is_room = place.try_send(Written::Frame(priming(share.number)));
        }
        let (frames, written) = Frames::pair();
        let performance = Performance {
            log: Log::new(share),
            reader: Some(place),
            arriving,
            written,
            pauses: is_primed,
        };
        tokio::spawn(performance.run(Box::pin(work(frames))));
        Body::reading(reading)
    }
}

/// What a client's departure means, if it may leave for a while in the middle of a call.
pub(crate) fn leave_of(leave: Leave, session: Option<&Session>, accepts: Accepts) -> Leave {
    let is_told = session.is_some_and(|session| is_primed(session.grant.revision));
    match leave {
        Leave::AsTold(flight) if is_told && accepts.resumes && accepts.stream => {
            Leave::Returns(flight)
        }
        leave => leave,
    }
}

/// Whether clients of a revision expect that a stream is closed before its answer.
fn is_primed(revision: Revision) -> bool {
    revision >= Revision::R2025_11
}

/// The event without content that gives a client something to come back with.
fn priming(stream: u64) -> Bytes {
    let mut out = event_id(stream, 0);
    out.extend_from_slice(format!("retry: {RETRY_MS}\ndata: \n\n").as_bytes());
    out.into()
}

impl Replays {
    /// None yet.
    pub(crate) fn new() -> Result<Arc<Self>, NoRandomness> {
        Ok(Arc::new(Self {
            numbers: AtomicU64::new(random_u64()?),
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            streams: papaya::HashMap::new(),
        }))
    }

    /// What followed an event, and what is still to come on its stream.
    ///
    /// # Errors
    /// [`LocalReply::EventUnknown`] if it was not an event of this session, or is none any more.
    pub(crate) async fn resume(&self, live: &Live, last: &[u8]) -> Result<Body, LocalReply> {
        let (stream, after) = log::parse_id(last).ok_or(LocalReply::EventUnknown)?;
        let is_theirs = |known: &&Known| known.session == live.number();
        let readers = {
            let streams = self.streams.pin();
            let known = streams.get(&stream).filter(is_theirs);
            known.map(|known| known.readers.clone())
        };
        let readers = readers.ok_or(LocalReply::EventUnknown)?;
        let (place, reading) = mpsc::channel(1);
        let (taken, is_taken) = oneshot::channel();
        let reader = Reader {
            after,
            place,
            taken,
        };
        let arrived = readers.send(reader).await;
        arrived.map_err(|_| LocalReply::EventUnknown)?;
        // Only the stream knows how far it has come.
        is_taken.await.map_err(|_| LocalReply::EventUnknown)?;
        Ok(Body::reading(reading))
    }

    fn enter(self: &Arc<Self>, live: &Arc<Live>, readers: mpsc::Sender<Reader>) -> Option<Share> {
        let share = Share {
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
            live: Arc::clone(live),
            replays: Arc::clone(self),
            bytes: 0,
        };
        // Taken first and given back by the drop, so that the bound holds at every moment.
        if self.count.fetch_add(1, Ordering::Relaxed) >= STREAMS_MAX {
            return None;
        }
        let session = live.number();
        let known = Known { session, readers };
        self.streams.pin().insert(share.number, known);
        Some(share)
    }

    /// Whether there is so much that what has been read need not be kept.
    fn is_tight(&self) -> bool {
        self.count.load(Ordering::Relaxed) > STREAMS_MAX / 2
            || self.bytes.load(Ordering::Relaxed) > TOTAL_BYTES_MAX / 2
    }
}

impl Share {
    fn take(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.live.kept_bytes().fetch_add(bytes, Ordering::Relaxed);
        self.replays.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.live.kept_bytes().fetch_sub(bytes, Ordering::Relaxed);
        self.replays.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether more is kept than may be, of the session or of all.
    fn is_over(&self) -> bool {
        self.live.kept_bytes().load(Ordering::Relaxed) > SESSION_BYTES_MAX
            || self.replays.bytes.load(Ordering::Relaxed) > TOTAL_BYTES_MAX
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes);
        self.replays.streams.pin().remove(&self.number);
        self.replays.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
