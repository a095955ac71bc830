//! Two small MCP servers that ship with `mcpc`: something real to put behind a gateway at once.
//!
//! ```text
//! stdin ─► stdio::serve ─► Session (which era? which method?) ─► Demo (notes, clock) ─► Outbox ─► stdout
//! ```
//!
//! `session.rs`, `modern.rs` and `legacy.rs` are the protocol, shared by both; a [`Demo`] is only
//! what a server offers. Plain threads and blocking reads: there is one client, at the other end of
//! a pipe. Does not know the gateway, its configuration or its plan.

mod calendar;
mod clock;
mod legacy;
mod listen;
mod modern;
mod notes;
mod rpc;
mod session;
mod stdio;
mod turn;

use std::io;

use serde_json::{Map, Value};

use clock::Clock;
use notes::Notes;
use rpc::RpcError;
use turn::Turn;

/// Serves notes on standard input and output until the input ends.
///
/// # Errors
/// What the system says about standard input or output.
pub(crate) fn serve_notes() -> io::Result<()> {
    stdio::serve(Notes::default())
}

/// Serves the clock on standard input and output until the input ends.
///
/// # Errors
/// What the system says about standard input or output.
pub(crate) fn serve_clock() -> io::Result<()> {
    stdio::serve(Clock)
}

/// The named arguments of a tool or a prompt.
type Arguments = Map<String, Value>;

/// What one of the servers offers. Lists are whole: they are short, so there is never a next page.
trait Demo: Send + Sync + 'static {
    /// The server's name.
    const NAME: &'static str;
    /// The server's name for people.
    const TITLE: &'static str;
    /// What a model should know before it uses the server.
    const INSTRUCTIONS: &'static str;
    /// How long a client may keep what it has read, in milliseconds.
    const READ_TTL_MS: u64;

    /// The definitions of the tools.
    fn tools(&self) -> Vec<Value>;

    /// Whether a tool takes so long that others must be able to go on beside it.
    fn is_slow(&self, tool: &str) -> bool;

    /// Calls a tool.
    fn call(&self, tool: &str, arguments: &Arguments, turn: &Turn) -> Result<Called, RpcError>;

    /// The definitions of the prompts.
    fn prompts(&self) -> Vec<Value>;

    /// Fills in a prompt: its description and its text.
    fn prompt(
        &self,
        prompt: &str,
        arguments: &Arguments,
    ) -> Result<(&'static str, String), RpcError>;

    /// The definitions of the resources.
    fn resources(&self) -> Vec<Value>;

    /// The definitions of the resource templates.
    fn templates(&self) -> Vec<Value>;

    /// The text of a resource; nothing if there is none under this URI.
    fn read(&self, uri: &str) -> Option<String>;

    /// The values that an argument could take; nothing if it has none to offer.
    fn values_of(&self, of: &CompletionOf<'_>) -> Option<Vec<String>>;
}

/// The outcome of a tool call.
enum Called {
    /// It worked: what the model reads and what a program reads.
    Done { text: String, structured: Value },
    /// It did not, for a reason that the caller can do something about.
    Failed(String),
    /// The caller took the call back; nobody waits for an answer.
    Cancelled,
}

/// The argument that a client wants completed.
enum CompletionOf<'a> {
    /// An argument of a prompt.
    Prompt { name: &'a str, argument: &'a str },
    /// A variable of a resource template.
    Template { uri: &'a str, variable: &'a str },
}
