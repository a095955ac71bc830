//! HTTP/1.1 towards clients, by hand: heads and bodies come in, replies go out.
//!
//! Owns the terms in which the rest of the gateway speaks of a request ([`Head`], [`Intake`]) and of
//! its [`Response`]; how they come from bytes and become bytes is in `connection` and the files that it
//! uses (`docs/decisions/0022-server-leg.md`). Comes from `listener`, goes to `pipeline` and `admin`.

mod chunked;
mod connection;
pub(crate) mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod head;
mod intake;
mod link;
mod reply;
mod response;
mod wire;

use std::future::Future;

pub(crate) use connection::serve_connection;
pub(crate) use fault::Fault;
pub(crate) use head::{Field, Head, Method};
pub(crate) use intake::Intake;
pub(crate) use link::{Connections, IDLE_SECONDS, IDLE_SECONDS_PRESSED};
pub(crate) use response::Response;

/// Who answers requests.
pub(crate) trait Answers {
    /// Answers one request. Dropped when the client leaves.
    fn answer(&self, head: &Head, intake: Intake<'_>) -> impl Future<Output = Response>;

    /// Answers a request whose framing is not sound, as the last one of its connection.
    fn refuse(&self, fault: Fault) -> Response;
}

#[cfg(test)]
mod framing_cases;
#[cfg(test)]
mod framing_tests;
#[cfg(test)]
mod oracle_tests;

#[cfg(test)]
pub(crate) mod tests {
    //! A closure that answers, for the tests of connections and listeners.

    use super::*;
    use crate::call::Era;
    use crate::reply::LocalReply;

    /// Answers by a closure.
    pub(crate) struct By<F>(pub(crate) F);

    impl<F: AsyncFn(&Head, Intake<'_>) -> Response> Answers for By<F> {
        fn answer(&self, head: &Head, intake: Intake<'_>) -> impl Future<Output = Response> {
            (self.0)(head, intake)
        }

        fn refuse(&self, fault: Fault) -> Response {
            refused(fault)
        }
    }

    /// What a client gets for a fault.
    pub(crate) fn refused(fault: Fault) -> Response {
        LocalReply::Framing(fault).into_response(Era::Modern, None, 1)
    }

    /// A short answer.
    pub(crate) fn fine() -> Response {
        Response::json(http::StatusCode::OK, crate::body::Body::whole("fine"))
    }
}
