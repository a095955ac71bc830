//! One stream that goes on whoever reads it: the call writes, a log keeps, a reader gets.
//!
//! Owns the task and its end. Reads no further than its reader does, so that a slow client slows
//! its upstream and nothing piles up; without a reader it goes on, and the log's bounds hold.

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::log::Log;
use super::{READ_KEPT, Reader, UNREAD_KEPT};
use crate::body::{Work, Written};

/// A stream and those around it.
pub(super) struct Performance {
    pub(super) log: Log,
    /// Who reads now.
    pub(super) reader: Option<mpsc::Sender<Written>>,
    /// Who comes back.
    pub(super) arriving: mpsc::Receiver<Reader>,
    /// What the call writes.
    pub(super) written: mpsc::Receiver<Written>,
    /// Whether the reader is let go of when the upstream lets go.
    pub(super) pauses: bool,
}

/// What happens next.
enum Step {
    Arrived(Reader),
    Given,
    Left,
    Wrote(Option<Written>),
    Over,
}

impl Performance {
    /// Runs the call to its end, and keeps what it wrote for a while after that.
    pub(super) async fn run(mut self, work: Work) {
        let mut work = Some(work);
        let mut kept_until: Option<Instant> = None;
        loop {
            match self.step(&mut work, kept_until).await {
                Step::Arrived(reader) => {
                    // Whoever names an event that was not sent hears so by the drop of `taken`; whoever
                    // has left before it was heard takes nobody's place.
                    if self.log.go_behind(reader.after) && reader.taken.send(()).is_ok() {
                        self.reader = Some(reader.place);
                    }
                }
                Step::Given => self.log.note_given(),
                Step::Left => self.let_go(),
                Step::Wrote(Some(Written::Frame(frame))) => {
                    self.log.push(&frame, self.reader.is_some());
                }
                Step::Wrote(Some(Written::HangUp)) => {
                    if self.pauses {
                        self.let_go();
                    }
                }
                Step::Wrote(None) => kept_until = Some(Instant::now() + UNREAD_KEPT),
                Step::Over => return,
            }
            if kept_until.is_some() && self.log.has_lost_the_end() {
                return;
            }
            let is_at_end = kept_until.is_some() && self.log.due().is_none();
            if is_at_end && self.reader.take().is_some() {
                if self.log.share().replays.is_tight() {
                    return;
                }
                let read = Instant::now() + READ_KEPT;
                kept_until = kept_until.map(|until| until.min(read));
            }
        }
    }

    fn let_go(&mut self) {
        self.reader = None;
        self.log.note_left();
    }

    async fn step(&mut self, work: &mut Option<Work>, kept_until: Option<Instant>) -> Step {
        let due = self.log.due();
        let is_awaited = kept_until.is_none() && (self.reader.is_none() || due.is_none());
        tokio::select! {
            biased;
            Some(reader) = self.arriving.recv() => Step::Arrived(reader),
            // A call that still runs is cancelled by the end of its session, and ends by itself.
            () = self.log.share().live.ended(), if kept_until.is_some() => Step::Over,
            step = give(self.reader.as_ref(), due) => step,
            written = self.written.recv(), if is_awaited => Step::Wrote(written),
            never = perform(work) => match never {},
            () = until(kept_until) => Step::Over,
        }
    }
}

/// Gives the reader what is due, or notices that it has left.
async fn give(reader: Option<&mpsc::Sender<Written>>, due: Option<bytes::Bytes>) -> Step {
    let Some(reader) = reader else {
        return std::future::pending().await;
    };
    let Some(due) = due else {
        reader.closed().await;
        return Step::Left;
    };
    match reader.reserve().await {
        Ok(place) => {
            place.send(Written::Frame(due));
            Step::Given
        }
        Err(_) => Step::Left,
    }
}

/// Lets the call write. What it has written comes out elsewhere.
async fn perform(work: &mut Option<Work>) -> std::convert::Infallible {
    if let Some(running) = work {
        running.as_mut().await;
        *work = None;
    }
    std::future::pending().await
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
