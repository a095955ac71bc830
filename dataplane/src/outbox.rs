//! What goes out on a client's channel, in order, until the client has taken it.
//!
//! Owns the bounds on what waits, in messages and in bytes: whoever has more waits with it. Used by `channel`,
//! emptied by `stdio` and `sse`.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How many messages may wait to go out, and how many bytes of them. Whoever has another one waits with it.
const OUTGOING_MAX: usize = 16;
const OUTGOING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A message on its way out, and the room that it takes up until it is written.
pub(crate) struct Outgoing {
    pub(crate) message: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Where messages go out. A clone is a handle to the same place.
#[derive(Clone)]
pub(crate) struct Outbox {
    messages: mpsc::Sender<Outgoing>,
    room: Arc<Semaphore>,
}

/// Nobody takes messages any more.
pub(crate) struct Left;

impl Outbox {
    /// An empty one, and where its messages are taken.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Outgoing>) {
        let (messages, outgoing) = mpsc::channel(OUTGOING_MAX);
        let room = Arc::new(Semaphore::new(OUTGOING_BYTES_MAX));
        (Self { messages, room }, outgoing)
    }

    /// Hands over a message, when there is room. One that is larger than all room has it for itself.
    pub(crate) async fn send(&self, message: Bytes) -> Result<(), Left> {
        let size = message.len().min(OUTGOING_BYTES_MAX);
        let size = u32::try_from(size).map_err(|_| Left)?;
        let room = Arc::clone(&self.room).acquire_many_owned(size).await;
        let outgoing = Outgoing {
            message,
            _room: room.map_err(|_| Left)?,
        };
        self.messages.send(outgoing).await.map_err(|_| Left)
    }

    /// Resolves when nobody takes messages any more.
    pub(crate) async fn closed(&self) {
        self.messages.closed().await;
    }
}
