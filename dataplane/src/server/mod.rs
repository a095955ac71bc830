//! HTTP/1.1 towards clients, by hand: heads and bodies come in, replies go out.
//!
//! Owns the terms in which the rest of the gateway speaks of a request ([`Head`], [`Intake`]) and of
//! its [`Response`]. Comes from `connection`, goes to `pipeline` and `admin`.

pub(crate) mod fault;
pub(crate) mod head;
pub(crate) mod intake;
pub(crate) mod response;

pub(crate) use head::{Field, Head, Method};
pub(crate) use intake::Intake;
pub(crate) use response::Response;

use std::future::Future;

/// Who answers requests.
pub(crate) trait Answers {
    /// Answers one request. Dropped when the client leaves.
    fn answer(&self, head: &Head, intake: Intake) -> impl Future<Output = Response>;
}

#[cfg(test)]
pub(crate) mod tests {
    //! A closure that answers, for the tests of connections and listeners.

    use super::*;

    /// Answers by a closure.
    pub(crate) struct By<F>(pub(crate) F);

    impl<F: AsyncFn(&Head, Intake) -> Response> Answers for By<F> {
        fn answer(&self, head: &Head, intake: Intake) -> impl Future<Output = Response> {
            (self.0)(head, intake)
        }
    }

    /// A short answer.
    pub(crate) fn fine() -> Response {
        Response::json(http::StatusCode::OK, crate::body::Body::whole("fine"))
    }
}
