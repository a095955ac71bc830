//! Replies to requests that no upstream sees: what the gateway knows itself.
//!
//! Owns what such a reply looks like in each era. Refusals are `reply`'s, the answers of upstreams `respond`'s.
//! Used by `serve`, `respond` and `subscriptions`.

use http::StatusCode;

use crate::body::Body;
use crate::call::Era;
use crate::frame::event;
use crate::inbound::{Accepts, Form};
use crate::message::write_response_head;
use crate::pipeline::accepted;
use crate::server::Response;

/// A result that the gateway made itself, for a client of either era: `members` are the members of
/// the result, without braces.
pub(crate) fn result(era: Era, id: &[u8], members: &[u8], cache: Option<Cache>) -> Response {
    let mut out = Vec::with_capacity(members.len() + id.len() + 256);
    write_response_head(&mut out, Some(id), "result");
    out.push(b'{');
    if era == Era::Modern {
        out.extend_from_slice(b"\"resultType\":\"complete\"");
        if let Some(cache) = cache {
            let scope = if cache.is_public { "public" } else { "private" };
            out.extend_from_slice(
                format!(",\"ttlMs\":{},\"cacheScope\":\"{scope}\"", cache.ttl_ms).as_bytes(),
            );
        }
        if !members.is_empty() {
            out.push(b',');
        }
    }
    out.extend_from_slice(members);
    out.extend_from_slice(b"}}");
    Response::json(StatusCode::OK, Body::whole(out))
}

/// An error that a legacy upstream gave to a request of the gateway's own, for a client of its era.
pub(crate) fn error(id: &[u8], error: &[u8]) -> Response {
    let mut out = Vec::with_capacity(error.len() + id.len() + 64);
    write_response_head(&mut out, Some(id), "error");
    out.extend_from_slice(error);
    out.push(b'}');
    Response::json(StatusCode::OK, Body::whole(out))
}

/// How long and by whom a result may be kept (2026-07-28 Caching).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cache {
    pub(crate) ttl_ms: u64,
    pub(crate) is_public: bool,
}

/// What the gateway answers itself, in the form that its client rather has. A stream of it is complete
/// at once, so there is nothing to come back for and no event that says so.
pub(crate) fn in_form(response: Response, takes: Accepts) -> Response {
    match takes.form() {
        Form::Document => response,
        Form::Stream => response.into_events(|body| Body::whole(event(&body.into_whole()))),
    }
}

/// The response to a request that its client has cancelled. It is a stream without an answer where it may be: 202 is
/// for what is no request (2025-11-25 Transports §Sending Messages).
pub(crate) fn unanswered(takes: Accepts) -> Response {
    if takes.stream {
        Response::events(Body::whole(Vec::new()))
    } else {
        accepted()
    }
}
