//! Tools that a server only runs as tasks, for clients to which each is one ordinary call.
//!
//! ```text
//! server up to 2025-11-25   `taskSupport: required`   tools/call with `task` ─► tasks/get … ─► tasks/result
//! server of 2026-07-28      error -32021              tools/call again, with the extension ─► tasks/get …
//! ```
//!
//! Owns how often a task is looked at, what is asked about it, and that it does not outlive its call. A
//! client that knows the tasks of its server's own era drives them itself and does not come here. Comes
//! from `serve`; what a task asks goes to the client as any call's question does (`ask`).

mod hold;
pub(crate) mod legacy;
pub(crate) mod listed;
pub(crate) mod modern;

use std::time::Duration;

use bytes::Bytes;

use crate::call::{Call, Era, Leave, Reply};
use crate::failure::Failure;
use crate::json::{self, member};
use crate::params::Params;
use crate::policy::{self, Permit};
use crate::snapshot::{Served, ServedMember};
pub(crate) use hold::Hold;

/// How a call is put to its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it came.
    Call,
    /// As a task, because its server takes it in no other way.
    Task,
}

/// How often a task is looked at if its server does not say, and the bounds on what it may say: one that
/// says nothing sensible must neither be flooded nor keep its caller waiting.
const PACE: Duration = Duration::from_secs(1);
const PACE_FROM: Duration = Duration::from_millis(100);
const PACE_TO: Duration = Duration::from_secs(5);

/// Params that the gateway writes itself nest no deeper, but for answers, which were read before.
const NESTING: u32 = u32::MAX;

/// The call that a task is for, and who works on it.
struct Work<'a> {
    member: &'a ServedMember,
    permit: Permit,
    call: &'a Call,
    replica: usize,
}

/// What a server says of a task.
struct Seen {
    /// One JSON value: what is going on.
    status: Vec<u8>,
    pace: Duration,
}

impl<'a> Work<'a> {
    fn of(served: &Served, member: &'a ServedMember, call: &'a Call, replica: usize) -> Self {
        Self {
            member,
            permit: policy::permit(served.access),
            call,
            replica,
        }
    }

    /// A request about a task, with more members of its params, each behind a comma. `id` is one JSON text.
    fn request(
        &self,
        method: &'static str,
        id: &[u8],
        members: &[u8],
    ) -> Result<Box<Call>, Failure> {
        let name = json::text(id).map(|id| Bytes::copy_from_slice(id.as_bytes()));
        let params: Bytes = [b"{\"taskId\":".as_slice(), id, members, b"}"]
            .concat()
            .into();
        let mut request = Box::new(self.call.clone());
        request.method = Bytes::from_static(method.as_bytes());
        request.name = Some(name.ok_or(Failure::Garbage)?);
        request.params = Params::read(Some(params), NESTING).map_err(|_| Failure::Garbage)?;
        // What a modern server needs in `_meta` is written on the way.
        request.era = Era::Legacy;
        request.mirrored = Vec::new();
        request.log_level = None;
        request.is_repeatable = false;
        request.replica = Some(self.replica);
        request.leave = Leave::Cancels;
        Ok(request)
    }

    /// The result of a request about a task. A server that refuses one has lost the task.
    async fn ask(&self, request: Box<Call>) -> Result<Bytes, Failure> {
        let sent = self.member.replicas.send(request, self.permit).await?;
        match sent.answer.into_reply().await? {
            Reply::Result(result) => Ok(result.into_value()),
            Reply::Error(_) => Err(Failure::Refused),
        }
    }

    /// The error of a task, as its client may see it.
    fn masked(&self, error: Bytes) -> Bytes {
        match self.member.replicas.upstream(self.replica) {
            Some(upstream) => upstream.masked(error),
            None => error,
        }
    }

    /// What has become of a task.
    async fn look(&self, id: &[u8]) -> Result<Bytes, Failure> {
        self.ask(self.request("tasks/get", id, b"")?).await
    }

    /// Ends a task with its call.
    fn hold(&self, id: &[u8]) -> Result<Hold, Failure> {
        let replicas = &self.member.replicas;
        let own = replicas.own_now(self.call.party);
        let upstream = own.or_else(|| replicas.upstream(self.replica).cloned());
        let cancel = self.request("tasks/cancel", id, b"")?;
        let upstream = upstream.ok_or(Failure::Stopped)?;
        Ok(Hold::new(
            &upstream,
            cancel,
            self.permit,
            self.call.leave.clone(),
        ))
    }
}

impl Seen {
    /// Reads a description of a task; `pace` is the name of the member that says when to look again.
    fn of(task: &[u8], pace: &str) -> Result<Self, Failure> {
        let said = member(task, pace.as_bytes());
        let said = said.and_then(|said| std::str::from_utf8(said).ok()?.parse().ok());
        let wished = said.map_or(PACE, Duration::from_millis);
        Ok(Self {
            status: member(task, b"status").ok_or(Failure::Garbage)?.to_vec(),
            pace: wished.clamp(PACE_FROM, PACE_TO),
        })
    }
}

/// The id in a description of a task, one JSON text.
fn id_of(task: &[u8]) -> Option<Vec<u8>> {
    let id = member(task, b"taskId").filter(|id| json::text(id).is_some());
    id.map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_looked_at_as_often_as_it_says_within_bounds() {
        let pace = |text: &str| Seen::of(text.as_bytes(), "pollInterval").map(|seen| seen.pace);
        for (said, pace_ms) in [
            (r#"{"status":"working"}"#, 1_000),
            (r#"{"status":"working","pollInterval":250}"#, 250),
            (r#"{"status":"working","pollInterval":0}"#, 100),
            (r#"{"status":"working","pollInterval":-1}"#, 1_000),
            (
                r#"{"status":"working","pollInterval":18446744073709551615}"#,
                5_000,
            ),
            (r#"{"status":"working","pollInterval":"soon"}"#, 1_000),
        ] {
            assert_eq!(pace(said), Ok(Duration::from_millis(pace_ms)), "{said}");
        }
        assert_eq!(pace("{}"), Err(Failure::Garbage));
        assert_eq!(id_of(br#"{"taskId":7}"#), None);
        assert_eq!(id_of(br#"{"taskId":"7"}"#).as_deref(), Some(&b"\"7\""[..]));
    }
}
