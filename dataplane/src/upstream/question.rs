//! A request of a legacy upstream to the client of a call, until it is answered.
//!
//! Owns the way back: the answer goes to the session or process that asked, under the id that it
//! gave. A question that nobody answers refuses itself when it is dropped, so no upstream waits for
//! a client that was never asked. Does not reach the client: `ask` does.

use std::sync::Arc;

use bytes::Bytes;

use super::Session;
use super::farewell::PATIENCE;
use super::floor::{Floor, Seat};
use super::stdio::Link;
use crate::call::Reply;
use crate::keeper::Keeper;
use crate::message::write_response_head;

/// What an upstream asks in the middle of a call.
pub(crate) struct Question {
    /// The method, for example `elicitation/create`.
    pub(crate) method: Bytes,
    /// The params, one JSON object, or nothing.
    pub(crate) params: Option<Bytes>,
    /// The upstream's id, one JSON value.
    id: Bytes,
    /// Where the answer goes; nothing once it is on its way.
    asker: Option<Asker>,
    keeper: Keeper,
    /// Held while the question is open, so that its call knows that the client is being waited for.
    waits: Option<Arc<()>>,
    /// Where the call has to be let on again before it gets an answer.
    way_back: Option<(Arc<Floor>, Arc<Seat>)>,
}

/// Who asks.
pub(super) enum Asker {
    /// An HTTP server within a session.
    Session(Arc<Session>),
    /// A process.
    Process(Arc<Link>),
}

/// Why a client was not asked. The upstream is told as by a client that cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unaskable {
    /// The client did not declare what the question needs, or nothing leads back to it.
    Undeclared,
    /// It is not known for which of several calls the question is.
    Ambiguous,
    /// There are as many open questions as there may be.
    Full,
}

impl Unaskable {
    fn error(self) -> &'static [u8] {
        match self {
            Self::Undeclared => {
                b"{\"code\":-32601,\"message\":\"the client of this call cannot be asked for this\"}"
            }
            Self::Ambiguous => {
                b"{\"code\":-32600,\"message\":\"it is not known which call this request belongs to\"}"
            }
            Self::Full => b"{\"code\":-32603,\"message\":\"there are too many open requests\"}",
        }
    }
}

/// Whether a method is a question to the client rather than to the other end of the connection.
pub(super) fn is_question(method: &[u8]) -> bool {
    matches!(
        method,
        b"elicitation/create" | b"sampling/createMessage" | b"roots/list"
    )
}

impl Question {
    pub(super) fn new(
        id: Bytes,
        method: Bytes,
        params: Option<Bytes>,
        asker: Asker,
        keeper: &Keeper,
    ) -> Self {
        Self {
            method,
            params,
            id,
            asker: Some(asker),
            keeper: keeper.clone(),
            waits: None,
            way_back: None,
        }
    }

    /// Makes the call wait for the client as long as the question is open.
    pub(super) fn hold(&mut self, waits: &Arc<()>) {
        self.waits = Some(Arc::clone(waits));
    }

    /// Makes the answer wait until the server can work on the call again.
    pub(super) fn come_back_by(&mut self, way_back: (Arc<Floor>, Arc<Seat>)) {
        self.way_back = Some(way_back);
    }

    /// Whether this is the upstream's id of it.
    pub(crate) fn has_id(&self, id: &[u8]) -> bool {
        self.id == id
    }

    /// How much room it takes up.
    pub(crate) fn bytes(&self) -> usize {
        self.method.len() + self.id.len() + self.params.as_ref().map_or(0, Bytes::len)
    }

    /// Gives the client's answer to the upstream.
    pub(crate) fn answer(mut self, reply: &Reply) {
        let (member, said) = match reply {
            Reply::Result(result) => ("result", result),
            Reply::Error(error) => ("error", error),
        };
        self.send(member, &[said.as_ref(), &said.beside].concat());
    }

    /// Tells the upstream that its question does not reach anybody.
    pub(crate) fn refuse(mut self, reason: Unaskable) {
        self.go_on();
        self.send("error", reason.error());
    }

    /// The upstream does not want to know any more.
    pub(crate) fn forget(mut self) {
        self.asker = None;
    }

    /// The server has not to wait for the client.
    fn go_on(&mut self) {
        if let Some((_, seat)) = self.way_back.take() {
            seat.go_on();
        }
    }

    fn send(&mut self, member: &str, value: &[u8]) {
        let Some(asker) = self.asker.take() else {
            return;
        };
        let mut message = Vec::with_capacity(value.len() + self.id.len() + 40);
        write_response_head(&mut message, Some(&self.id), member);
        message.extend_from_slice(value);
        message.push(b'}');
        // As many as there are open questions, which are bounded by those who hold them.
        let way_back = self.way_back.take();
        self.keeper.spawn(async move {
            if let Some((floor, seat)) = way_back {
                floor.regain(&seat).await;
            }
            asker.tell(message).await;
        });
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.go_on();
        self.send("error", Unaskable::Undeclared.error());
    }
}

impl Asker {
    /// Best effort: an upstream that is gone has lost its call as well.
    async fn tell(self, message: Vec<u8>) {
        match self {
            Self::Session(session) => session.tell(message).await,
            Self::Process(link) => {
                let deadline = tokio::time::Instant::now() + PATIENCE;
                let _written = link.write(message, deadline).await;
            }
        }
    }
}
