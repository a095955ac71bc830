//! An MCP server that misbehaves on demand, over HTTP and stdio, in both eras.
//!
//! ```text
//! tools/call ─► Fault, by the tool's name ─► http: what goes over the socket
//!                                         └► stdio: what goes down the pipe, and the process itself
//! ```
//!
//! Owns the table of faults, what a healthy server would have said, what it was told (`ledger`), and a
//! network that does to bytes what servers do not do by themselves (`network`). For tests only: it does to its client whatever it is asked to do.

#![expect(
    clippy::expect_used,
    reason = "test code: a failed step fails the test"
)]

mod appetite;
mod fault;
mod healthy;
mod http;
mod ledger;
mod network;
mod process;
mod stdio;
mod trespass;

pub use fault::{Fault, HUGE_BYTES};
pub use http::HttpServer;
pub use network::{Harm, Network, Way};
pub use process::{Habits, linger};
pub use stdio::serve;
