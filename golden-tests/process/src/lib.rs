//! Gateways in processes of their own: what they say, what they answer, what they use.
//!
//! Owns starting one, hearing its log, signals to it, raw exchanges over its sockets, and the
//! system's figures about it. For tests of `mcpc`, `mcpcd` and the fault corpus. Does not know any
//! configuration or plan: the caller brings the command.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a failed step fails the test"
)]

mod exchange;
mod first;
mod pages;
mod running;
mod system;
mod vanish;

use std::time::{Duration, Instant};

pub use exchange::{Client, Reply, call_message, exchange, post};
pub use first::{as_first_process, first_of, zombies};
pub use pages::Page;
pub use running::{Running, Stream};
pub use system::{
    alive, arguments, children, cpu_time, descendants, descriptors, memory, peak_memory,
    reset_peak_memory,
};

pub use vanish::vanish;

/// Nothing here takes this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something holds, and fails the test if it never does.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never held: {what}");
        std::thread::yield_now();
    }
}
