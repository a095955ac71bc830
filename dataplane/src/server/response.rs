//! What goes back to a client: a status, what the body is, and the body.
//!
//! Owns the few fields that replies of this gateway have. Lengths, dates and `Connection` are the
//! connection's. Comes from `respond`, `reply`, `listen` and `admin`.

use bytes::Bytes;
use http::StatusCode;

use crate::body::Body;

/// A reply.
pub(crate) struct Response {
    status: StatusCode,
    content: Content,
    /// Fields that few replies have, in order; names in lower case.
    extra: Vec<(&'static str, Bytes)>,
    body: Body,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// There is none.
    None,
    /// One JSON document.
    Json,
    /// An event stream. Proxies in between are asked not to hold it back.
    Events,
}

impl Response {
    /// A reply without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            content: Content::None,
            extra: Vec::new(),
            body: Body::Empty,
        }
    }

    /// A reply of one JSON document.
    pub(crate) fn json(status: StatusCode, body: Body) -> Self {
        Self {
            status,
            content: Content::Json,
            extra: Vec::new(),
            body,
        }
    }

    /// A reply of one text of another kind.
    pub(crate) fn text(kind: &'static str, body: Body) -> Self {
        Self {
            status: StatusCode::OK,
            content: Content::None,
            extra: vec![("content-type", Bytes::from_static(kind.as_bytes()))],
            body,
        }
    }

    /// A reply that is an event stream.
    pub(crate) fn events(body: Body) -> Self {
        Self {
            status: StatusCode::OK,
            content: Content::Events,
            extra: Vec::new(),
            body,
        }
    }

    /// The same reply as an event stream, if it is a document, of which `body` makes events.
    pub(crate) fn into_events(self, body: impl FnOnce(Body) -> Body) -> Self {
        if self.content != Content::Json {
            return self;
        }
        Self {
            content: Content::Events,
            body: body(self.body),
            ..self
        }
    }

    /// With one more field. The name is in lower case; the value was not given by a peer.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Bytes>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// What the body is.
    pub(crate) fn content(&self) -> Content {
        self.content
    }

    /// The value of a field that was added.
    pub(crate) fn extra(&self, name: &str) -> Option<&Bytes> {
        let mut extra = self.extra.iter();
        extra.find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    /// The fields that were added.
    pub(crate) fn extras(&self) -> impl Iterator<Item = (&'static str, &Bytes)> {
        self.extra.iter().map(|(name, value)| (*name, value))
    }

    /// How many bytes the body has; nothing if only its end tells.
    pub(super) fn length(&self) -> Option<usize> {
        self.body.length()
    }

    /// The body.
    pub(crate) fn into_body(self) -> Body {
        self.body
    }
}
