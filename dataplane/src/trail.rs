//! What the log says of a call: the number of its request, the plan, the server, and the place in the
//! configuration that its route comes from.
//!
//! Owns those lines, so that whichever way a call ends, an operator finds the same in all of them.
//! What a request is refused for before it has a route is `pipeline`'s.

use mcpc_plan::Digest;

use crate::failure::Failure;

/// What all calls to one member of an endpoint have in common. Made with the plan, and shared by the
/// calls, which may outlive it.
pub(crate) struct Trail {
    pub(crate) plan: Digest,
    /// The server's name.
    pub(crate) server: Box<str>,
    /// Where it was written: `mcpc.yaml:12`.
    pub(crate) place: Box<str>,
}

impl Trail {
    /// A call has found its server.
    pub(crate) fn routed(&self, method: &[u8], correlation: u64) {
        tracing::debug!(
            correlation = %format_args!("{correlation:016x}"),
            plan = self.plan.short(),
            server = %self.server,
            place = %self.place,
            method = %String::from_utf8_lossy(method),
            "call routed"
        );
    }

    /// It has been answered, by a result or an error of the server.
    pub(crate) fn answered(&self, correlation: u64, is_error: bool) {
        tracing::debug!(
            correlation = %format_args!("{correlation:016x}"),
            plan = self.plan.short(),
            server = %self.server,
            place = %self.place,
            with = if is_error { "error" } else { "result" },
            "call answered"
        );
    }

    /// It has no answer.
    pub(crate) fn failed(&self, correlation: u64, failure: Failure) {
        tracing::warn!(
            correlation = %format_args!("{correlation:016x}"),
            plan = self.plan.short(),
            server = %self.server,
            place = %self.place,
            code = failure.code(),
            ?failure,
            "call failed"
        );
    }

    /// A list lacks the part of the server. There is no number if nobody has asked for the list.
    pub(crate) fn missing(&self, list: &str, correlation: Option<u64>, failure: Failure) {
        let correlation = correlation.map(|it| tracing::field::display(format!("{it:016x}")));
        tracing::warn!(
            correlation,
            plan = self.plan.short(),
            server = %self.server,
            place = %self.place,
            list,
            code = failure.code(),
            ?failure,
            "list is missing a part"
        );
    }
}
