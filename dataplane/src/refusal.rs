//! What comes of handing a plan to the gateway: why it was refused, or what it changed.
//!
//! Owns the terms alone, and imports nothing: whoever starts or prepares a part of the gateway says by them
//! why it could not, and `gateway` hands them out.

use std::io;

/// Why the gateway did not start, or why a plan was refused. Each has a code of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code, for example `MCPC9601`.
    pub code: &'static str,
    /// The reason, without secrets.
    pub reason: String,
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The plan is the live one already, and so are the values of its secrets.
    Unchanged,
    /// The plan is live.
    Live {
        /// Upstreams that kept their processes and sessions.
        kept: usize,
        /// Upstreams that are new.
        started: usize,
        /// Upstreams that drain.
        stopped: usize,
    },
}

impl Refusal {
    pub(crate) fn new(code: &'static str, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }

    /// The system does not do what is needed.
    #[must_use]
    pub fn system(what: &str, error: &io::Error) -> Self {
        Self::new("MCPC9605", format!("the system cannot {what}: {error}"))
    }
}
