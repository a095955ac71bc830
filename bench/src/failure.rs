//! Why a run stopped.
//!
//! Owns the one error type of this program: a sentence for the person who ran it. Nothing here is
//! matched on; a measurement either stands or it does not.

use std::fmt;

/// A reason, in words.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// `what` completes "cannot ...".
    pub(crate) fn at(what: &str, cause: &dyn fmt::Display) -> Self {
        Self(format!("cannot {what}: {cause}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
