//! Response bodies: nothing, a few pieces of known length, or a stream that is written while it is read.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::pulse::{KEEP_ALIVE, Moment};

/// The body of a response.
pub(crate) enum Body {
    /// No bytes.
    Empty,
    /// One piece.
    Whole(Vec<u8>),
    /// Three pieces in a row: the head of an envelope, a value that was not copied, and its end.
    Pieces(Box<[Bytes; 3]>),
    /// Written by a future that the connection polls.
    Stream(Box<Streaming>),
}

/// A future that writes frames, and the frames it has written. The future runs only while the
/// client takes frames, which is the back-pressure; it is dropped when the client leaves, which is
/// the cancellation.
pub(crate) struct Streaming {
    work: Option<Work>,
    frames: mpsc::Receiver<Written>,
    /// When there was a frame, or a comment in place of one.
    last: Moment,
}

/// A future that writes frames.
pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a future writes.
pub(crate) enum Written {
    /// One frame.
    Frame(Bytes),
    /// The client may leave and come back for the rest. Means nothing to one that cannot.
    HangUp,
}

/// Where a streaming body's future puts its frames.
#[derive(Clone)]
pub(crate) struct Frames(mpsc::Sender<Written>);

impl Frames {
    /// A place for frames, and where they come out.
    pub(crate) fn pair() -> (Self, mpsc::Receiver<Written>) {
        let (sender, frames) = mpsc::channel(1);
        (Self(sender), frames)
    }

    /// Hands over one frame, when there is room. After the client left nobody reads it.
    pub(crate) async fn send(&self, frame: impl Into<Bytes>) {
        // Whoever reads drops the future first, so the channel cannot be closed here.
        let _ = self.0.send(Written::Frame(frame.into())).await;
    }

    /// Lets the client go for now, if it can come back.
    pub(crate) async fn hang_up(&self) {
        let _ = self.0.send(Written::HangUp).await;
    }
}

impl Body {
    /// One piece.
    pub(crate) fn whole(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Whole(bytes.into())
    }

    /// Three pieces in a row.
    pub(crate) fn pieces(pieces: [Bytes; 3]) -> Self {
        Self::Pieces(Box::new(pieces))
    }

    /// A stream; `work` gets the place for its frames.
    pub(crate) fn stream<F>(work: impl FnOnce(Frames) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (place, frames) = Frames::pair();
        Self::Stream(Box::new(Streaming {
            work: Some(Box::pin(work(place))),
            frames,
            last: Moment::now(),
        }))
    }

    /// A stream that somebody else writes. What it means when the client leaves is the writer's
    /// to say.
    pub(crate) fn reading(frames: mpsc::Receiver<Written>) -> Self {
        Self::Stream(Box::new(Streaming {
            work: None,
            frames,
            last: Moment::now(),
        }))
    }

    /// How many bytes it has; nothing if only its end tells.
    pub(crate) fn length(&self) -> Option<usize> {
        match self {
            Self::Empty => Some(0),
            Self::Whole(bytes) => Some(bytes.len()),
            Self::Pieces(pieces) => Some(pieces.iter().map(Bytes::len).sum()),
            Self::Stream(_) => None,
        }
    }

    /// A body of known length in one piece; of a stream, nothing.
    pub(crate) fn into_whole(self) -> Vec<u8> {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Pieces(pieces) => pieces.concat(),
            Self::Empty | Self::Stream(_) => Vec::new(),
        }
    }
}

impl Streaming {
    /// The next frame; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        poll_fn(|context| self.poll(context)).await
    }

    /// The next frame, if there is one now.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let mut written = self.frames.poll_recv(context);
            if let (Poll::Pending, Some(work)) = (&written, &mut self.work) {
                if work.as_mut().poll(context).is_ready() {
                    self.work = None;
                }
                // It may have written just now; the channel closes when the future is gone.
                written = self.frames.poll_recv(context);
            }
            match written {
                Poll::Ready(Some(Written::Frame(frame))) => {
                    self.last = Moment::now();
                    return Poll::Ready(Some(frame));
                }
                Poll::Ready(Some(Written::HangUp)) => {}
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if self.last.is_long_ago() => {
                    self.last = Moment::now();
                    return Poll::Ready(Some(Bytes::from_static(KEEP_ALIVE)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
