//! Response bodies: nothing, a few pieces of known length, or a stream that is written while it is read.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::mpsc;

/// The body of a response.
pub(crate) enum Body {
    /// No bytes.
    Empty,
    /// Up to three pieces: the head of an envelope, a value that was not copied, and its end.
    Pieces([Bytes; 3], usize),
    /// Written by a future that the connection polls.
    Stream(Box<Streaming>),
}

/// A future that writes frames, and the frames it has written. The future runs only while the
/// client takes frames, which is the back-pressure; it is dropped when the client leaves, which is
/// the cancellation.
pub(crate) struct Streaming {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    frames: mpsc::Receiver<Bytes>,
}

/// Where a streaming body's future puts its frames.
#[derive(Clone)]
pub(crate) struct Frames(mpsc::Sender<Bytes>);

impl Frames {
    /// Hands over one frame, when there is room. After the client left nobody reads it.
    pub(crate) async fn send(&self, frame: impl Into<Bytes>) {
        // The body owns both ends and drops the future first, so the channel cannot be closed here.
        let _ = self.0.send(frame.into()).await;
    }
}

impl Body {
    /// One piece.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Pieces([bytes.into(), Bytes::new(), Bytes::new()], 0)
    }

    /// Three pieces in a row.
    pub(crate) fn pieces(pieces: [Bytes; 3]) -> Self {
        Self::Pieces(pieces, 0)
    }

    /// A stream; `work` gets the place for its frames.
    pub(crate) fn stream<F>(work: impl FnOnce(Frames) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, frames) = mpsc::channel(1);
        Self::Stream(Box::new(Streaming {
            work: Some(Box::pin(work(Frames(sender)))),
            frames,
        }))
    }

    fn rest_bytes(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Pieces(pieces, next) => pieces
                .iter()
                .skip(*next)
                .map(|piece| u64::try_from(piece.len()).ok())
                .sum(),
            Self::Stream(_) => None,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Pieces(pieces, next) => {
                while let Some(piece) = pieces.get_mut(*next) {
                    *next += 1;
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(std::mem::take(piece)))));
                    }
                }
                Poll::Ready(None)
            }
            Self::Stream(stream) => stream
                .poll(context)
                .map(|frame| frame.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest_bytes() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest_bytes()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Streaming {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Poll::Ready(Some(frame)) = self.frames.poll_recv(context) {
            return Poll::Ready(Some(frame));
        }
        if let Some(work) = &mut self.work
            && work.as_mut().poll(context).is_ready()
        {
            self.work = None;
        }
        // The future may have written a frame just now; the channel closes when the future is gone.
        self.frames.poll_recv(context)
    }
}
