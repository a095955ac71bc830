//! Batches: several messages in one POST, which servers of 2025-03-26 have to take (2025-03-26 Transports
//! §Sending Messages to the Server) and no other revision has.
//!
//! Owns taking a batch apart and putting the replies together. Each message goes through `pipeline::take`
//! at the same time as the others, as if it had come alone; the replies are one document.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use crate::body::Body;
use crate::call::Era;
use crate::inbound::{self, Accepts, Form};
use crate::join;
use crate::json;
use crate::legacy;
use crate::message::Message;
use crate::pipeline::{Plane, Trace, accepted, log_refused, take};
use crate::reply::LocalReply;
use crate::server::{Head, Response};
use crate::session::Revision;
use crate::snapshot::Served;

/// The most messages in one batch: each may be a call in flight.
const MESSAGES_MAX: usize = 64;

/// Replies are gathered, so none can be a stream.
const WHOLE: Accepts = Accepts {
    json: true,
    stream: false,
    resumes: false,
    rather: Form::Document,
};

/// Answers a batch of a client whose session is of the revision that has batches.
///
/// # Errors
/// [`LocalReply::Batch`] for every other client.
pub(crate) async fn answer(
    head: &Head,
    body: &Bytes,
    served: &Arc<Served>,
    plane: &Arc<Plane>,
) -> Result<Response, LocalReply> {
    let session = legacy::session(head, served, plane)?;
    if session.is_none_or(|session| session.grant.revision != Revision::R2025_03) {
        return Err(LocalReply::Batch);
    }
    let mut messages = Vec::new();
    json::elements(body, served.limits.nesting, |range| {
        messages.push(body.slice(range));
    })
    .map_err(|_| LocalReply::NotJson)?;
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        return Err(LocalReply::NotMessage);
    }
    let replies = messages
        .into_iter()
        .map(|message| -> join::Boxed<'_, _> { Box::pin(reply_to(head, message, served, plane)) });
    let replies = join::all(replies.collect()).await;
    let replies: Vec<Vec<u8>> = replies.into_iter().flatten().collect();
    if replies.is_empty() {
        return Ok(accepted());
    }
    let document = [b"[".as_slice(), &replies.join(&b','), b"]"].concat();
    Ok(Response::json(StatusCode::OK, Body::whole(document)))
}

/// What is said to one message; nothing to a notification or a response.
async fn reply_to(
    head: &Head,
    message: Bytes,
    served: &Arc<Served>,
    plane: &Arc<Plane>,
) -> Option<Vec<u8>> {
    let mut trace = Trace {
        era: Era::Legacy,
        id: None,
        correlation: plane.number(),
    };
    let taken = match inbound::read(&message, served.limits.nesting) {
        // The session that it begins would be named by a header of its own reply.
        Ok((Message::Request { id, method, .. }, _)) if method.as_ref() == b"initialize" => {
            trace.id = Some(id);
            Err(LocalReply::NotMessage)
        }
        Ok(read) => take(head, read, WHOLE, served, plane, &mut trace).await,
        Err((reply, id)) => {
            trace.id = id;
            Err(reply)
        }
    };
    match taken {
        Ok(response) => Some(response.into_body().into_whole()).filter(|reply| !reply.is_empty()),
        Err(reply) => {
            log_refused(&served.digest, &trace, &reply);
            let message = reply.message(trace.era, trace.id.as_deref(), trace.correlation);
            Some(message.into())
        }
    }
}
