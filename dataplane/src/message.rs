//! JSON-RPC messages as bytes: what the envelope says, and where its parts are.
//!
//! Owns reading an envelope by borrowing (one validating pass, duplicate keys refused) and writing
//! a call's message for its upstream hop. Does not build values: what nobody changes stays bytes.

use bytes::Bytes;

use crate::call::{Call, Era};

/// A JSON-RPC message. Every part is a slice of the bytes that were read; nothing was copied.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// Expects an answer.
    Request {
        id: Bytes,
        method: Bytes,
        params: Option<Bytes>,
    },
    /// Expects none.
    Notification {
        method: Bytes,
        params: Option<Bytes>,
    },
    /// A successful answer.
    Result { id: Bytes, result: Bytes },
    /// A failed answer; without an id the request could not be read.
    Error { id: Option<Bytes>, error: Bytes },
}

/// Why bytes are not a JSON-RPC message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// Not valid JSON, or nested too deeply.
    NotJson,
    /// An array: a batch.
    Batch,
    /// JSON, but not a JSON-RPC 2.0 message, or a key of the envelope stands twice.
    NotMessage,
}

/// The params of a call, and what changes in them on the way.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub(crate) text: Bytes,
}

/// Reads one message.
pub(crate) fn read(_bytes: &Bytes, _nesting: u32) -> Result<Message, Malformed> {
    Err(Malformed::NotJson)
}

impl Call {
    /// Writes the message for a hop: own id, own progress token (the id, if the client asked for
    /// progress), and the `_meta` that the upstream's era asks for.
    pub(crate) fn write_message(&self, out: &mut Vec<u8>, id: u64, era: Era) {
        let _ = (out, id, era);
    }

    /// Whether the client asked for progress.
    pub(crate) fn wants_progress(&self) -> bool {
        false
    }
}
