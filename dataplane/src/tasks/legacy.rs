//! Tasks of 2025-11-25: a tool whose server runs it as a task only (`execution.taskSupport: required`).
//!
//! Owns the way from the call to the result: the call with `task`, `tasks/get` until the task has ended or
//! asks, then `tasks/result`, on whose stream the questions of the task come (2025-11-25 Tasks §Input
//! Required Status). From there on it is a call like others. Which tools are meant is `listed`'s.

use tokio::time::{sleep, timeout_at};

use super::{Seen, Work, id_of};
use crate::call::{Answer, Call, Reply};
use crate::failure::Failure;
use crate::json::member;
use crate::snapshot::{Served, ServedMember};
use crate::upstream::Sent;

/// For how long a server is asked to keep a task beyond its call, in milliseconds: nobody comes for it later.
const SLACK_MS: u64 = 60_000;

/// A task that a server has begun.
struct Begun {
    id: Vec<u8>,
    seen: Seen,
}

/// Sends a call as a task and stays with it until there is its result, or a question on the way to it.
pub(crate) async fn send(
    served: &Served,
    member: &ServedMember,
    call: Box<Call>,
) -> Result<Sent, Failure> {
    let ttl_ms = call.timeouts.total_ms.saturating_add(SLACK_MS);
    let params = call
        .params
        .with(format!(",\"task\":{{\"ttl\":{ttl_ms}}}").as_bytes());
    let mut create = call.clone();
    create.params = params.ok_or(Failure::AskRefused)?;
    // Twice the call would be two tasks.
    create.is_repeatable = false;
    let work = Work::of(served, member, &call, 0);
    let sent = member.replicas.send(create, work.permit).await?;
    let (replica, era) = (sent.replica, sent.era);
    let reply = sent.answer.into_reply().await?;
    let answer = match begun(&reply)? {
        Some(task) => {
            let work = Work { replica, ..work };
            let hold = work.hold(&task.id)?;
            let following = follow(&work, task);
            let answer = timeout_at(call.deadline, following).await;
            match answer.unwrap_or(Err(Failure::TotalTimeout)) {
                Ok(Answer::Done(reply)) => {
                    hold.release();
                    Answer::Done(reply)
                }
                Ok(Answer::Stream(mut events)) => {
                    events.end_with(hold);
                    Answer::Stream(events)
                }
                Err(failure) => {
                    hold.cancel();
                    return Err(failure);
                }
            }
        }
        // It has an answer at once after all.
        None => Answer::Done(reply),
    };
    Ok(Sent {
        answer,
        replica,
        era,
    })
}

/// The task that an answer says has begun; nothing if the answer is one to the call itself.
fn begun(reply: &Reply) -> Result<Option<Begun>, Failure> {
    let task = match reply {
        Reply::Result(result) => member(result, b"task"),
        Reply::Error(_) => None,
    };
    let Some(task) = task else { return Ok(None) };
    Ok(Some(Begun {
        id: id_of(task).ok_or(Failure::Garbage)?,
        seen: Seen::of(task, "pollInterval")?,
    }))
}

async fn follow(work: &Work<'_>, task: Begun) -> Result<Answer, Failure> {
    let Begun { id, mut seen } = task;
    loop {
        let asks = match seen.status.as_slice() {
            b"\"completed\"" | b"\"failed\"" | b"\"cancelled\"" => false,
            b"\"input_required\"" => true,
            // What this build does not know has not ended, either; the call has its deadline.
            _ => {
                sleep(seen.pace).await;
                seen = Seen::of(&work.look(&id).await?, "pollInterval")?;
                continue;
            }
        };
        let mut fetch = work.request("tasks/result", &id, b"")?;
        fetch.leave = work.call.leave.clone();
        if asks {
            // It goes on working behind its questions, and is not held to a first byte by them.
            fetch.timeouts.first_byte_ms = fetch.timeouts.total_ms;
            fetch.timeouts.idle_ms = fetch.timeouts.total_ms;
        }
        let sent = work.member.replicas.send(fetch, work.permit).await?;
        return Ok(sent.answer);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn only_what_names_a_task_is_one() {
        let of =
            |text: &'static str| begun(&Reply::Result(Bytes::from_static(text.as_bytes()).into()));
        assert!(matches!(of(r#"{"content":[]}"#), Ok(None)));
        assert!(matches!(
            of(r#"{"task":{"taskId":"a","status":"working"}}"#),
            Ok(Some(Begun { id, .. })) if id == b"\"a\""
        ));
        for broken in [
            r#"{"task":{"status":"working"}}"#,
            r#"{"task":{"taskId":1,"status":"working"}}"#,
            r#"{"task":{"taskId":"a"}}"#,
            r#"{"task":"a"}"#,
        ] {
            assert!(matches!(of(broken), Err(Failure::Garbage)), "{broken}");
        }
    }
}
