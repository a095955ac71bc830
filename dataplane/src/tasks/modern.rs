//! Tasks of 2026-07-28 (SEP-2663), for a client up to 2025-11-25, which knows none.
//!
//! Owns the way from the error that demands the extension to the result of the task. The extension is
//! declared for this one call, and only once the server has refused it without: no other call becomes a
//! task, as each would take longer then. Questions of a task go to the client by `rounds`, which comes back
//! here with the answers.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout_at};

use super::{Hold, PACE_FROM, Seen, Work, id_of};
use crate::call::{Answer, Call, Era, Reply};
use crate::extension::TASKS;
use crate::failure::Failure;
use crate::json::{self, error_code, member};
use crate::session::Asks;
use crate::snapshot::{Served, ServedMember};
use crate::upstream::Sent;

/// The member by which a question says for which task it is. It never leaves the gateway: `rounds` takes it.
pub(crate) const TASK: &[u8] = b"dev.mcpc/task";

/// The member that says when to look again.
const PACE_MEMBER: &str = "pollIntervalMs";

/// Whether a server refused a call of a client up to 2025-11-25 because it would have to know tasks.
pub(crate) fn is_demanded(call: &Call, answer: &Answer) -> bool {
    let Answer::Done(Reply::Error(error)) = answer else {
        return false;
    };
    call.era == Era::Legacy
        && error_code(error) == Some(b"-32021")
        && member(error, b"data")
            .and_then(|data| member(data, b"requiredCapabilities"))
            .and_then(|required| member(required, b"extensions"))
            .is_some_and(|extensions| member(extensions, TASKS).is_some())
}

/// Sends a call again as that of a client that knows tasks, and stays with what it begins.
pub(crate) async fn send(
    served: &Served,
    member: &ServedMember,
    mut call: Box<Call>,
    replica: usize,
) -> Result<Sent, Failure> {
    let can_be_asked = call.asks != Asks::default();
    call.asks = call.asks.and(Asks::TASKS);
    call.replica = Some(replica);
    let work = Work::of(served, member, &call, replica);
    let sent = member.replicas.send(call.clone(), work.permit).await?;
    let era = sent.era;
    let reply = sent.answer.into_reply().await?;
    let answer = match begun(&reply)? {
        Some((id, seen)) => {
            let hold = work.hold(&id)?;
            follow(&work, &id, seen.pace, hold, can_be_asked, &HashSet::new()).await?
        }
        None => Answer::Done(reply),
    };
    Ok(Sent {
        answer,
        replica,
        era,
    })
}

/// A task of which a client is asked something.
pub(crate) struct Asking {
    call: Box<Call>,
    /// One JSON text.
    id: Bytes,
}

impl Asking {
    pub(crate) fn of(call: &Call, id: Bytes) -> Self {
        let mut call = Box::new(call.clone());
        call.asks = call.asks.and(Asks::TASKS);
        Self { call, id }
    }

    /// Ends the task with its call, from the moment that its client is asked.
    pub(crate) fn hold(&self, served: &Served, member: &ServedMember) -> Result<Hold, Failure> {
        self.work(served, member).hold(&self.id)
    }

    /// Gives the task the answers, a member of params behind a comma, and stays with it. `answered` are the
    /// keys of all its questions so far.
    pub(crate) async fn go_on(
        &self,
        served: &Served,
        member: &ServedMember,
        answers: &[u8],
        answered: &HashSet<String>,
        hold: Hold,
    ) -> Result<Answer, Failure> {
        let work = self.work(served, member);
        let updated = async {
            work.ask(work.request("tasks/update", &self.id, answers)?)
                .await
        };
        if let Err(failure) = updated.await {
            hold.cancel();
            return Err(failure);
        }
        follow(&work, &self.id, PACE_FROM, hold, true, answered).await
    }

    fn work<'a>(&'a self, served: &Served, member: &'a ServedMember) -> Work<'a> {
        Work::of(served, member, &self.call, self.call.replica.unwrap_or(0))
    }
}

fn begun(reply: &Reply) -> Result<Option<(Vec<u8>, Seen)>, Failure> {
    let Reply::Result(result) = reply else {
        return Ok(None);
    };
    if member(result, b"resultType") != Some(b"\"task\"") {
        return Ok(None);
    }
    let id = id_of(result).ok_or(Failure::Garbage)?;
    Ok(Some((id, Seen::of(result, PACE_MEMBER)?)))
}

/// Stays with a task until it has ended or asks what it has not asked before, if its client can be asked.
async fn follow(
    work: &Work<'_>,
    id: &[u8],
    pace: Duration,
    hold: Hold,
    can_be_asked: bool,
    answered: &HashSet<String>,
) -> Result<Answer, Failure> {
    let watching = watch(work, id, pace, answered);
    let watched = timeout_at(work.call.deadline, watching).await;
    let next = match watched.unwrap_or(Err(Failure::TotalTimeout)) {
        Ok(Next::Questions(_)) if !can_be_asked => Err(Failure::AskRefused),
        next => next,
    };
    match next {
        Ok(Next::Questions(result)) => {
            // From here on `rounds` holds it.
            hold.release();
            Ok(Answer::Done(Reply::Result(result.into())))
        }
        Ok(Next::Ended(reply)) => {
            hold.release();
            Ok(Answer::Done(reply))
        }
        Err(failure) => {
            hold.cancel();
            Err(failure)
        }
    }
}

/// What a task comes to.
enum Next {
    Ended(Reply),
    /// The result by which its client is asked.
    Questions(Bytes),
}

async fn watch(
    work: &Work<'_>,
    id: &[u8],
    mut pace: Duration,
    answered: &HashSet<String>,
) -> Result<Next, Failure> {
    loop {
        sleep(pace).await;
        let task = work.look(id).await?;
        let seen = Seen::of(&task, PACE_MEMBER)?;
        pace = seen.pace;
        let outcome = |key: &[u8]| {
            let range = json::place_of(&task, key).ok_or(Failure::Garbage)?;
            Ok(task.slice(range))
        };
        match seen.status.as_slice() {
            b"\"completed\"" => return Ok(Next::Ended(Reply::Result(outcome(b"result")?.into()))),
            b"\"failed\"" => {
                let error = work.masked(outcome(b"error")?);
                return Ok(Next::Ended(Reply::Error(error.into())));
            }
            // By somebody else: nobody else knows its id.
            b"\"cancelled\"" => return Err(Failure::Refused),
            b"\"input_required\"" => {
                if let Some(result) = questions(&task, id, answered) {
                    return Ok(Next::Questions(result));
                }
            }
            _ => {}
        }
    }
}

/// The result that asks what a task asks and was not told yet; nothing if it knows all that it asked for,
/// and only has not looked at it.
fn questions(task: &[u8], id: &[u8], answered: &HashSet<String>) -> Option<Bytes> {
    let requests = member(task, b"inputRequests")?;
    let is_new = |key: &[u8]| std::str::from_utf8(key).is_ok_and(|key| !answered.contains(key));
    let left = json::retain(requests, is_new).ok()?;
    if left == b"{}" {
        return None;
    }
    let parts: [&[u8]; 5] = [
        b"{\"resultType\":\"input_required\",\"dev.mcpc/task\":",
        id,
        b",\"inputRequests\":",
        &left,
        b"}",
    ];
    Some(parts.concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_asks_each_question_once() {
        let task = br#"{"status":"input_required","inputRequests":{"a":{"x":1},"b":{}}}"#;
        let left = |answered: &[&str]| {
            let answered = answered.iter().map(|key| (*key).to_owned()).collect();
            questions(task, b"\"t\"", &answered)
        };
        assert_eq!(
            left(&["a"]).as_deref(),
            Some(
                &br#"{"resultType":"input_required","dev.mcpc/task":"t","inputRequests":{"b":{}}}"#
                    [..]
            )
        );
        assert_eq!(left(&["a", "b"]), None);
    }

    #[test]
    fn only_the_extension_is_declared_on_demand() {
        let demanded = |era, code: i32, data: &str| {
            let mut call = crate::list::call(
                crate::list_kind::Kind::Tools,
                None,
                mcpc_plan::Timeouts::all(Duration::from_millis(1)),
                tokio::time::Instant::now(),
            );
            call.era = era;
            let error = format!(r#"{{"code":{code},"message":"m","data":{data}}}"#);
            is_demanded(
                &call,
                &Answer::Done(Reply::Error(Bytes::from(error).into())),
            )
        };
        let tasks =
            r#"{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
        let other = r#"{"requiredCapabilities":{"extensions":{"x/y":{}},"sampling":{}}}"#;
        assert!(demanded(Era::Legacy, -32021, tasks));
        assert!(!demanded(Era::Modern, -32021, tasks), "it drives its own");
        assert!(!demanded(Era::Legacy, -32021, other));
        assert!(!demanded(Era::Legacy, -32603, tasks));
        assert!(!demanded(Era::Legacy, -32021, "1"));
    }
}
