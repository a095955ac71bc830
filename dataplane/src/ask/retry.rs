//! A modern client is asked by the result of its call, and answers by calling again.
//!
//! Owns the seal on a modern server's `requestState`, and the parking of a legacy server's call
//! under one of the gateway's own (2026-07-28 MRTR). Comes from `respond`, goes to `parked`.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::gather::Gathered;
use super::parked::ParkedCall;
use super::state::{Binding, Content, ReplicaMark};
use crate::call::Reply;
use crate::failure::Failure;
use crate::json;
use crate::params::Params;
use crate::pipeline::Plane;
use crate::reply::{AskFault, LocalReply};
use crate::session::Asks;
use crate::snapshot::{Served, ServedMember};
use crate::upstream::{EventStream, Replicas};

/// A modern client, and what its states are bound to.
pub(crate) struct ByRetry {
    pub(crate) plane: Arc<Plane>,
    pub(crate) binding: Binding,
    /// What this call has declared.
    pub(crate) asks: Asks,
    /// The replica that has answered, if there are several.
    pub(crate) replica: Option<ReplicaMark>,
    /// What a server has asked for in vain.
    pub(crate) missing: Asks,
    /// What it asks for now.
    pub(crate) gathered: Gathered,
}

/// What a repeated call goes on with.
pub(crate) enum Resumed {
    /// A call to the upstream, with its own state, and the replica that it belongs to.
    Again(Option<usize>),
    /// The call that was parked, and the answers for it.
    Parked(ParkedCall, Bytes),
}

/// What a call's states are bound to.
pub(crate) fn bind(
    served: &Served,
    member: &ServedMember,
    method: &[u8],
    name: Option<&Bytes>,
    arguments: Option<&Bytes>,
    principal: [u8; 16],
) -> Binding {
    let arguments = arguments.map_or(b"{}".as_slice(), Bytes::as_ref);
    // The same client may write the same arguments in another order.
    let arguments = json::comparable(arguments).unwrap_or_else(|_| arguments.to_vec());
    let parts = [
        served.endpoint.path.as_bytes(),
        member.replicas.key().as_bytes(),
        method,
        name.map_or(b"", Bytes::as_ref),
        &arguments,
    ];
    Binding::new(principal, parts)
}

/// Opens the state of a repeated call: puts the upstream's own in its place, or takes the parked call.
pub(crate) async fn reopen(
    plane: &Plane,
    state: &[u8],
    binding: &Binding,
    replicas: &Replicas,
    params: &mut Params,
) -> Result<Resumed, LocalReply> {
    let opened = plane.states.open(state, binding, Instant::now());
    let content = opened.map_err(|refused| {
        end(plane, &refused.calls);
        LocalReply::Ask(refused.why)
    })?;
    match content {
        Content::Upstreams(own) => {
            params.replace_state(own.into());
            Ok(Resumed::Again(None))
        }
        Content::Replicas(mark, own) => {
            params.replace_state(own.into());
            // If it is not in the plan any more, another one may know what to do.
            Ok(Resumed::Again(replicas.marked(mark)))
        }
        Content::Parked(number) => {
            let answers = params
                .input_responses()
                .unwrap_or_else(|| Bytes::from_static(b"{}"));
            check_answers(&answers)?;
            let call = plane.parked.resume(number).await;
            Ok(Resumed::Parked(
                call.ok_or(LocalReply::Ask(AskFault::ParkedGone))?,
                answers,
            ))
        }
    }
}

/// A state came back with a request that cannot be its own.
pub(crate) fn misused(plane: &Plane, state: &[u8], principal: [u8; 16]) {
    end(plane, &plane.states.named(state, principal));
}

/// Who abuses a state does not get another chance with its call.
fn end(plane: &Plane, calls: &[u64]) {
    for number in calls {
        plane.parked.end(*number);
    }
}

/// `inputResponses` is an object of objects.
fn check_answers(answers: &Bytes) -> Result<(), LocalReply> {
    let mut is_sound = true;
    json::members(answers, u32::MAX, |member| {
        is_sound &= answers.get(member.value.start) == Some(&b'{');
    })
    .map_err(|_| LocalReply::BadParams)?;
    if is_sound {
        Ok(())
    } else {
        Err(LocalReply::BadParams)
    }
}

impl ParkedCall {
    /// Gives the answers to the upstream; what was not answered stays.
    pub(crate) fn answer(&mut self, answers: &[u8]) {
        for (key, question) in std::mem::take(&mut self.questions) {
            match json::member(answers, key.as_bytes()) {
                Some(answer) => {
                    question.answer(&Reply::Result(Bytes::copy_from_slice(answer).into()));
                }
                None => self.questions.push((key, question)),
            }
        }
    }
}

impl ByRetry {
    /// Parks a call; the result that asks the client what was gathered.
    pub(crate) fn park(&mut self, events: Box<EventStream>) -> Result<Bytes, LocalReply> {
        events.wait_on();
        let questions = std::mem::take(&mut self.gathered).questions;
        let mut out = b"{\"resultType\":\"input_required\",\"inputRequests\":{".to_vec();
        for (index, (key, question)) in questions.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            json::write_text(&mut out, key);
            out.extend_from_slice(b":{\"method\":");
            json::write_text(
                &mut out,
                std::str::from_utf8(&question.method).unwrap_or(""),
            );
            if let Some(params) = &question.params {
                out.extend_from_slice(b",\"params\":");
                // 2026-07-28 has no ids of elicitations.
                out.extend_from_slice(&without(params, b"elicitationId"));
            }
            out.push(b'}');
        }
        let parked = self.plane.parked.park(ParkedCall { events, questions });
        let number = parked.ok_or(LocalReply::Ask(AskFault::ParkedFull))?;
        let state = self.seal(&Content::Parked(number))?;
        out.extend_from_slice(b"},\"requestState\":\"");
        out.extend_from_slice(state.as_bytes());
        out.extend_from_slice(b"\"}");
        Ok(out.into())
    }

    /// A result with its `requestState` under a seal, if it is one that asks.
    pub(crate) fn seal_result(&self, result: Bytes) -> Result<Bytes, LocalReply> {
        if !super::names_input_required(&result) {
            return Ok(result);
        }
        let (mut state, mut asks) = (None, false);
        json::members(&result, u32::MAX, |member| match member.key {
            b"requestState" => state = Some(member.value),
            b"resultType" => asks = result.get(member.value) == Some(b"\"input_required\""),
            _ => {}
        })
        .map_err(|_| LocalReply::Upstream(Failure::Garbage))?;
        let Some(at) = state.filter(|_| asks) else {
            return Ok(result);
        };
        let own = result.get(at.clone()).unwrap_or_default().to_vec();
        let sealed = self.seal(&match self.replica {
            None => Content::Upstreams(own),
            Some(mark) => Content::Replicas(mark, own),
        })?;
        let mut out = Vec::with_capacity(result.len() + sealed.len());
        out.extend_from_slice(result.get(..at.start).unwrap_or_default());
        out.push(b'"');
        out.extend_from_slice(sealed.as_bytes());
        out.push(b'"');
        out.extend_from_slice(result.get(at.end..).unwrap_or_default());
        Ok(out.into())
    }

    /// What a failed call means, if the server has asked in vain before it failed.
    pub(crate) fn blamed(&self, reply: &Reply) -> Result<(), LocalReply> {
        let has_failed = match reply {
            Reply::Error(_) => true,
            Reply::Result(result) => json::member(result, b"isError") == Some(b"true"),
        };
        if has_failed && self.missing != Asks::default() {
            return Err(LocalReply::Ask(AskFault::CapabilityMissing {
                required: self.missing,
            }));
        }
        Ok(())
    }

    fn seal(&self, content: &Content) -> Result<String, LocalReply> {
        let sealed = self
            .plane
            .states
            .seal(content, &self.binding, Instant::now());
        // Without randomness no session could begin, either.
        sealed.map_err(|_| LocalReply::Ask(AskFault::ParkedFull))
    }
}

/// An object without one of its members. What is no object has none.
pub(super) fn without(object: &[u8], key: &[u8]) -> Vec<u8> {
    json::retain(object, |other| other != key).unwrap_or_else(|_| b"{}".to_vec())
}
