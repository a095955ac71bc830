//! Batches: several messages in one, which servers of 2025-03-26 have to take (2025-03-26 Transports §Sending
//! Messages to the Server) and no other revision has.
//!
//! Owns taking a batch apart and putting the replies together. Each message of a POST goes through
//! `pipeline::take` at the same time as the others, as if it had come alone; the replies are one document.
//! What comes on a channel is `channel`'s, by the same rules.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use crate::body::Body;
use crate::call::Era;
use crate::inbound::{self, Accepts, Form, Read};
use crate::join;
use crate::json;
use crate::legacy;
use crate::message::Message;
use crate::pipeline::{Plane, accepted, log_refused, take};
use crate::reply::{Ill, LocalReply, Refusable};
use crate::server::{Head, Response};
use crate::session::{Revision, Session};
use crate::snapshot::Served;

/// The most messages in one batch: each may be a call in flight.
const MESSAGES_MAX: usize = 64;

/// Replies are gathered, so none can be a stream.
pub(crate) const WHOLE: Accepts = Accepts {
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
    let messages = split(session.as_ref(), body, served)?;
    let replies = messages
        .into_iter()
        .map(|message| -> join::Boxed<'_, _> { Box::pin(reply_to(head, message, served, plane)) });
    let replies = join::all(replies.collect()).await;
    match gather(replies) {
        None => Ok(accepted()),
        Some(document) => Ok(Response::json(StatusCode::OK, Body::whole(document))),
    }
}

/// The messages of a batch, for a session that may send one.
///
/// # Errors
/// [`LocalReply::Batch`] for every other client; the batch is empty, too large, or no JSON.
pub(crate) fn split(
    session: Option<&Session>,
    body: &Bytes,
    served: &Served,
) -> Result<Vec<Bytes>, LocalReply> {
    if session.is_none_or(|session| session.grant.revision != Revision::R2025_03) {
        return Err(LocalReply::Batch);
    }
    let mut messages = Vec::new();
    json::elements(body, served.limits.nesting, |range| {
        messages.push(body.slice(range));
    })
    .map_err(|_| LocalReply::NotJson)?;
    if messages.is_empty() || messages.len() > MESSAGES_MAX {
        return Err(LocalReply::Ill(Ill::BatchSize));
    }
    Ok(messages)
}

/// The replies as one document, in the order of their requests; nothing if none of the messages has one.
pub(crate) fn gather(replies: Vec<Option<Bytes>>) -> Option<Bytes> {
    let replies: Vec<Bytes> = replies.into_iter().flatten().collect();
    if replies.is_empty() {
        return None;
    }
    Some(
        [b"[".as_slice(), &replies.join(&b','), b"]"]
            .concat()
            .into(),
    )
}

/// The id of a message that cannot be part of a batch: the session that `initialize` begins would be named
/// by the reply to it alone, and what stands beside it would be in none.
pub(crate) fn greets(message: &Message) -> Option<&Bytes> {
    match message {
        Message::Request { id, method, .. } if method.as_ref() == b"initialize" => Some(id),
        _ => None,
    }
}

/// What is said to one message; nothing to a notification or a response.
async fn reply_to(
    head: &Head,
    message: Bytes,
    served: &Arc<Served>,
    plane: &Arc<Plane>,
) -> Option<Bytes> {
    let mut refusable = Refusable {
        era: Era::Legacy,
        id: None,
        correlation: plane.number(),
    };
    let taken = match inbound::read(&message, served.limits.nesting) {
        Ok(Read::One(message, _)) if greets(&message).is_some() => {
            refusable.id = greets(&message).cloned();
            Err(LocalReply::Ill(Ill::BatchedGreeting))
        }
        Ok(Read::One(message, met)) => {
            take(head, message, met, WHOLE, served, plane, &mut refusable).await
        }
        Ok(Read::Batch) => Err(LocalReply::Batch),
        Err((reply, id)) => {
            refusable.id = id;
            Err(reply)
        }
    };
    match taken {
        Ok(response) => {
            let reply = response.into_body().into_whole();
            (!reply.is_empty()).then(|| reply.into())
        }
        Err(reply) => {
            log_refused(plane, &served.digest, refusable.correlation, &reply);
            Some(refusable.message(&reply))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_keep_their_order_and_what_has_none_leaves_no_gap() {
        let reply = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let gathered = gather(vec![None, reply("{\"id\":1}"), None, reply("{\"id\":2}")]);
        assert_eq!(gathered, reply("[{\"id\":1},{\"id\":2}]"));
        assert_eq!(gather(vec![reply("{}")]), reply("[{}]"));
        assert_eq!(gather(vec![None, None]), None);
    }

    #[test]
    fn only_a_greeting_cannot_be_part_of_a_batch() {
        let id = |text: &'static str| match inbound::read(&Bytes::from_static(text.as_bytes()), 8)
            .ok()?
        {
            Read::One(message, _) => greets(&message).cloned(),
            Read::Batch => None,
        };
        let greeting = r#"{"jsonrpc":"2.0","id":"g","method":"initialize"}"#;
        assert_eq!(id(greeting), Some(Bytes::from_static(b"\"g\"")));
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#), None);
        let told = r#"{"jsonrpc":"2.0","method":"initialize"}"#;
        assert_eq!(id(told), None);
    }
}
