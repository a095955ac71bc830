//! A modern server asks a legacy client: its `input_required` becomes requests on the stream of the
//! client's call, and their answers become `inputResponses` of the call, sent again.
//!
//! Owns one round of this and the bound on how many there are. All requests of a round are open at
//! the same time. Comes from `respond`, which writes what goes to the client.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcpc_plan::MemberId;
use tokio::time::{sleep, timeout_at};

use super::stream::{Conversation, OnStream};
use crate::body::Frames;
use crate::call::{Answer, Call, Reply};
use crate::failure::Failure;
use crate::frame::event;
use crate::json;
use crate::serve;
use crate::snapshot::{InUse, Served};
use crate::tasks::Manner;
use crate::tasks::modern::{Asking, TASK};

/// The most rounds of one call: a server that never has enough is a server that does not work.
const ROUNDS_MAX: u32 = 8;

/// A server that asks for nothing but to be called again is called again after this pause.
const PAUSE: Duration = Duration::from_millis(250);

/// A call that can be sent again with answers.
pub(crate) struct Rounds {
    pub(crate) client: OnStream,
    pub(crate) call: Box<Call>,
    pub(crate) served: Arc<Served>,
    /// Between two rounds the server has no call that would keep it from leaving.
    pub(crate) _in_use: Option<Arc<InUse>>,
    /// Which member of the endpoint the call goes to.
    pub(crate) member: MemberId,
    /// The tool, as clients name it.
    pub(crate) tool: Option<Bytes>,
    pub(crate) count: u32,
    /// The keys of what its task has asked, if it has become one.
    pub(crate) answered: HashSet<String>,
}

/// What a result asks for. Ranges are those of the result.
#[derive(Default)]
struct Asked {
    requests: Vec<(String, Bytes)>,
    state: Option<Range<usize>>,
    /// The task that asks, one JSON text.
    task: Option<Bytes>,
}

impl Rounds {
    /// Asks the client what the result asks for, and sends the call again with the answers.
    pub(crate) async fn next(
        &mut self,
        result: &Bytes,
        frames: &Frames,
    ) -> Result<Answer, Failure> {
        let asked = read(result)?;
        if let Some(task) = &asked.task {
            let task = Asking::of(&self.call, task.clone());
            return self.next_of_task(&task, &asked, result, frames).await;
        }
        let members = self.answers_in_time(&asked, result, frames).await?;
        let mut call = self.call.clone();
        call.params = call.params.with(&members).ok_or(Failure::AskRefused)?;
        let member = self.served.member(self.member);
        let member = member.ok_or(Failure::Stopped)?;
        let sent = serve::send(&self.served, member, call, self.tool.clone(), Manner::Call).await?;
        Ok(sent.answer)
    }

    /// The same for a call that has become a task, which is given the answers.
    async fn next_of_task(
        &mut self,
        task: &Asking,
        asked: &Asked,
        result: &Bytes,
        frames: &Frames,
    ) -> Result<Answer, Failure> {
        let served = Arc::clone(&self.served);
        let member = served.member(self.member).ok_or(Failure::Stopped)?;
        let hold = task.hold(&served, member)?;
        match self.answers_in_time(asked, result, frames).await {
            Ok(answers) => {
                let keys = asked.requests.iter().map(|(key, _)| key.clone());
                self.answered.extend(keys);
                task.go_on(&served, member, &answers, &self.answered, hold)
                    .await
            }
            Err(failure) => {
                hold.cancel();
                Err(failure)
            }
        }
    }

    async fn answers_in_time(
        &mut self,
        asked: &Asked,
        result: &Bytes,
        frames: &Frames,
    ) -> Result<Vec<u8>, Failure> {
        self.count += 1;
        if self.count > ROUNDS_MAX {
            return Err(Failure::AsksTooOften);
        }
        let answers = self.answers(asked, result, frames);
        let answers = timeout_at(self.call.deadline, answers).await;
        answers.map_err(|_| Failure::TotalTimeout)?
    }

    /// The members that the repeated call has besides its own.
    async fn answers(
        &self,
        asked: &Asked,
        result: &Bytes,
        frames: &Frames,
    ) -> Result<Vec<u8>, Failure> {
        let mut members = Vec::new();
        if asked.requests.is_empty() {
            sleep(PAUSE).await;
        } else {
            members.extend_from_slice(b",\"inputResponses\":{");
            self.ask(&asked.requests, frames, &mut members).await?;
            members.push(b'}');
        }
        if let Some(state) = &asked.state {
            members.extend_from_slice(b",\"requestState\":");
            members.extend_from_slice(result.get(state.clone()).unwrap_or_default());
        }
        Ok(members)
    }

    async fn ask(
        &self,
        requests: &[(String, Bytes)],
        frames: &Frames,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let mut conversation = Conversation::with(self.client.clone());
        for (key, request) in requests {
            let found = json::members_of(request, u32::MAX, ["method", "params"]);
            let [method, params] = found.ok_or(Failure::Garbage)?;
            let method = method.as_deref().and_then(json::text);
            let method = method.ok_or(Failure::Garbage)?;
            // Nothing is asked in part: the server would not get on with some of the answers.
            if !conversation.can(method.as_bytes(), params.as_ref()) {
                return Err(Failure::AskRefused);
            }
            let params = params.map(|params| self.client.with_elicitation_id(&params));
            let message = conversation.open(&method, params.as_deref(), key.as_str());
            let message = message.map_err(|_| Failure::Overloaded)?;
            frames.send(event(&message)).await;
        }
        for index in 0..requests.len() {
            let (key, reply) = conversation.answered().await;
            let Reply::Result(answer) = reply else {
                for message in conversation.take_back_all() {
                    frames.send(event(&message)).await;
                }
                return Err(Failure::AskRefused);
            };
            if index > 0 {
                out.push(b',');
            }
            json::write_text(out, key);
            out.push(b':');
            out.extend_from_slice(&answer);
        }
        Ok(())
    }
}

/// Whether a result asks. Read in full only if it looks as if it did.
pub(crate) fn asks(reply: &Reply) -> Option<&Bytes> {
    let Reply::Result(result) = reply else {
        return None;
    };
    let is_asking = super::names_input_required(result)
        && json::member(result, b"resultType") == Some(b"\"input_required\"");
    is_asking.then_some(result)
}

fn read(result: &Bytes) -> Result<Asked, Failure> {
    let mut asked = Asked::default();
    let mut requests = None;
    json::members(result, u32::MAX, |member| match member.key {
        b"requestState" => asked.state = Some(member.value),
        b"inputRequests" => requests = Some(member.value),
        TASK => asked.task = Some(result.slice(member.value)),
        _ => {}
    })
    .map_err(|_| Failure::Garbage)?;
    if let Some(range) = requests {
        let requests = result.slice(range);
        json::members(&requests, u32::MAX, |member| {
            let key = String::from_utf8_lossy(member.key).into_owned();
            asked.requests.push((key, requests.slice(member.value)));
        })
        .map_err(|_| Failure::Garbage)?;
    }
    Ok(asked)
}
