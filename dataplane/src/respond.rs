//! Writes answers: one JSON document, or an event stream once something comes before the reply.
//!
//! Owns the client's view of a reply: its own id and progress token, the members that its era has
//! and the other has not. Large values are passed on as the bytes that they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::timeout;

use crate::ask::Way;
use crate::ask::gather::Turn;
use crate::ask::pages;
use crate::ask::parked::ParkedCall;
use crate::ask::rounds::{self, Rounds};
use crate::ask::stream::Conversation;
use crate::body::{Body, Frames};
use crate::call::{Answer, Era, Event, NextEvent, Reply};
use crate::carry::{carry_error, complete, strip_modern};
use crate::client::Client;
use crate::failure::Failure;
use crate::frame::event;
use crate::inbound::{Accepts, Form};
use crate::json;
use crate::level::Level;
use crate::local::{in_form, unanswered};
use crate::message::{Notification, add_beside, write_notification, write_response_head};
use crate::pulse;
use crate::replay::Audience;
use crate::reply::LocalReply;
use crate::server::Response;
use crate::session::InFlight;
use crate::trail::Trail;
use crate::upstream::{EventStream, Question};

/// Values up to this size are copied into one buffer with their envelope: one write instead of three.
const COPY_MAX: usize = 16 * 1024;

/// How long the head of a response waits for a server that goes on after a refused question.
const HEAD_PATIENCE: Duration = Duration::from_secs(1);

/// What the other side says when it does not wait for an answer any more.
const CANCELLED: &[u8] = b"notifications/cancelled";

/// What is needed to write the answer of one request.
pub(crate) struct Writer {
    pub(crate) id: Bytes,
    pub(crate) method: Bytes,
    /// What `Mcp-Name` says of the call: the server's own name, or a URI.
    pub(crate) name: Option<Bytes>,
    pub(crate) client: Era,
    pub(crate) upstream: Era,
    pub(crate) takes: Accepts,
    pub(crate) log_level: Option<Level>,
    pub(crate) progress_token: Option<Bytes>,
    pub(crate) flight: Option<InFlight>,
    pub(crate) way: Way,
    /// How the call goes on if a modern server asks a legacy client by its result.
    pub(crate) rounds: Option<Box<Rounds>>,
    /// The client, if it can come back for the rest of a stream.
    pub(crate) audience: Option<Audience>,
    pub(crate) correlation: u64,
    /// What the log says of the call.
    pub(crate) trail: Arc<Trail>,
}

impl Writer {
    /// For a request of a client, of which nothing is known yet but what it says itself.
    pub(crate) fn new(
        id: Bytes,
        method: &Bytes,
        client: Client,
        progress_token: Option<Bytes>,
        correlation: u64,
        trail: &Arc<Trail>,
    ) -> Self {
        Self {
            id,
            method: method.clone(),
            name: None,
            client: client.era,
            upstream: client.era,
            takes: client.accepts,
            log_level: client.log_level,
            progress_token,
            flight: client.flight,
            way: Way::None,
            rounds: None,
            audience: None,
            correlation,
            trail: Arc::clone(trail),
        }
    }

    /// The response for an upstream's answer.
    pub(crate) async fn answer(self, answer: Answer) -> Result<Response, LocalReply> {
        match answer {
            Answer::Done(reply) if self.rounds.is_none() => self.one_message(reply),
            Answer::Stream(events) if matches!(self.way, Way::Retry(_)) => {
                Box::pin(self.answer_or_ask(events)).await
            }
            answer if self.takes.stream => Ok(self.begin_stream(answer)),
            Answer::Done(reply) => self.one_message(reply),
            // Notifications cannot be carried in one JSON document; the reply can.
            Answer::Stream(events) => Box::pin(self.gather(events)).await,
        }
    }

    /// A response that is written while the call goes on.
    fn begin_stream(mut self, answer: Answer) -> Response {
        let audience = self.audience.take();
        stream_response(audience, |frames| self.stream(answer, frames))
    }

    /// Goes on with a call that was parked, now that its client has answered. If nothing comes for long,
    /// the response begins without it.
    pub(crate) async fn resume(
        mut self,
        mut call: ParkedCall,
        answers: &[u8],
    ) -> Result<Response, LocalReply> {
        call.answer(answers);
        if let (Way::Retry(retry), false) = (&mut self.way, call.questions.is_empty()) {
            retry.gathered.questions = call.questions;
            let result = retry.park(call.events)?;
            return Ok(self.asking_document(result));
        }
        let mut opening = Box::pin(call.events.into_answer());
        let answer = tokio::select! {
            biased;
            () = cancelled(self.flight.as_ref()) => return Ok(unanswered(self.takes)),
            answer = &mut opening => answer?,
            () = pulse::quiet(), if self.takes.stream => {
                return Ok(stream_response(None, |frames| async move {
                    let answer = tokio::select! {
                        biased;
                        () = cancelled(self.flight.as_ref()) => return,
                        answer = opening => answer,
                    };
                    match answer {
                        Ok(answer) => self.stream(answer, frames).await,
                        Err(failure) => self.fail(failure, frames).await,
                    }
                }));
            }
        };
        self.answer(answer).await
    }

    /// The response of a call whose client can be asked by the result. What is known soon comes as
    /// a document: its status says if the request lacks something.
    async fn answer_or_ask(mut self, mut events: Box<EventStream>) -> Result<Response, LocalReply> {
        while let Way::Retry(retry) = &mut self.way {
            let next = retry.next(&mut events);
            let turn = if self.takes.stream {
                match timeout(HEAD_PATIENCE, next).await {
                    Ok(turn) => turn?,
                    Err(_) => break,
                }
            } else {
                next.await?
            };
            match turn {
                Turn::Notify(notification) if self.takes.stream => {
                    events.put_back(Event::Notify(notification));
                    break;
                }
                // One JSON document has no room for it.
                Turn::Notify(_) => {}
                Turn::Done(reply) => return self.one_message(reply),
                Turn::Ask => {
                    let result = retry.park(events)?;
                    return Ok(self.asking_document(result));
                }
            }
        }
        Ok(Response::events(Body::stream(|frames| {
            self.stream(Answer::Stream(events), frames)
        })))
    }

    /// Waits for the reply, for a client that takes one JSON document: it has no room for
    /// notifications, and there is no way to ask. A question that nobody takes refuses itself.
    async fn gather(self, mut events: Box<EventStream>) -> Result<Response, LocalReply> {
        loop {
            if let Event::Done(reply) = events.next().await? {
                return self.document(reply);
            }
        }
    }

    /// A result that asks, in the form that the client takes.
    fn asking_document(&self, result: Bytes) -> Response {
        let message = self.wrap("result", result);
        in_form(Response::json(StatusCode::OK, message), self.takes)
    }

    /// The reply and nothing before it, in the form that the client rather has.
    fn one_message(self, reply: Reply) -> Result<Response, LocalReply> {
        if self.takes.form() == Form::Document {
            return self.document(reply);
        }
        if self.takes.json && status_of(&reply, self.client) != StatusCode::OK {
            // A stream has no status but 200, and no wish for one outweighs what a status says.
            return self.document(reply);
        }
        if self.audience.is_some() {
            return Ok(self.begin_stream(Answer::Done(reply)));
        }
        if self.takes.json {
            let message = self.envelope(reply)?;
            return Ok(Response::events(Body::whole(event(&message.into_whole()))));
        }
        Ok(Response::events(Body::whole(self.last_frame(reply))))
    }

    /// The reply as one JSON document.
    fn document(&self, reply: Reply) -> Result<Response, LocalReply> {
        let status = status_of(&reply, self.client);
        Ok(Response::json(status, self.envelope(reply)?))
    }

    /// Writes a whole answer, and those of the calls that it makes necessary.
    pub(crate) async fn stream(mut self, answer: Answer, frames: Frames) {
        let outcome = tokio::select! {
            biased;
            outcome = self.write(answer, &frames) => outcome,
            () = pulse::stopped() => return frames.send(self.cut_off()).await,
        };
        match outcome {
            Some(Ok(reply)) => frames.send(self.last_frame(reply)).await,
            Some(Err(failure)) => frames.send(self.failure_frame(failure)).await,
            None => {}
        }
    }

    /// Writes all but the end, and gives that; nothing if there is none to be written.
    async fn write(&mut self, answer: Answer, frames: &Frames) -> Option<Result<Reply, Failure>> {
        let mut rounds = self.rounds.take();
        let mut outcome = self.relay(answer, frames).await;
        while let (Some(Ok(reply)), Some(rounds)) = (&outcome, &mut rounds) {
            let Some(result) = rounds::asks(reply) else {
                break;
            };
            let next = tokio::select! {
                biased;
                () = cancelled(self.flight.as_ref()) => return None,
                next = rounds.next(result, frames) => next,
            };
            outcome = match next {
                Ok(answer) => self.relay(answer, frames).await,
                Err(failure) => Some(Err(failure)),
            };
        }
        outcome
    }

    /// The last frame of a call that the end of the gateway has cut off.
    pub(crate) fn cut_off(&self) -> Vec<u8> {
        self.frame(Err(LocalReply::CutOff(Failure::CutOff)))
    }

    /// Writes events until the reply or the failure; nothing is left to be written if the client has
    /// cancelled its call, or was asked by the result.
    async fn relay(&mut self, answer: Answer, frames: &Frames) -> Option<Result<Reply, Failure>> {
        match answer {
            Answer::Done(reply) => Some(Ok(reply)),
            Answer::Stream(events) if matches!(self.way, Way::Retry(_)) => {
                self.relay_or_ask(events, frames).await
            }
            Answer::Stream(events) => self.converse(events, frames).await,
        }
    }

    /// To a client that is asked by the result.
    async fn relay_or_ask(
        &mut self,
        mut events: Box<EventStream>,
        frames: &Frames,
    ) -> Option<Result<Reply, Failure>> {
        while let Way::Retry(retry) = &mut self.way {
            let turn = tokio::select! {
                biased;
                () = cancelled(self.flight.as_ref()) => return None,
                turn = retry.next(&mut events) => turn,
            };
            match turn {
                Ok(Turn::Notify(notification)) => {
                    if let Some(frame) = self.notification(&notification) {
                        frames.send(frame).await;
                    }
                }
                Ok(Turn::Ask) => {
                    let result = retry.park(events);
                    let message = result.map(|result| self.wrap("result", result));
                    frames.send(self.frame(message)).await;
                    return None;
                }
                Ok(Turn::Done(reply)) => return Some(Ok(reply)),
                Err(failure) => return Some(Err(failure)),
            }
        }
        None
    }

    /// To a client that is asked on its stream, if there is a way to ask it at all.
    async fn converse(
        &mut self,
        mut events: Box<EventStream>,
        frames: &Frames,
    ) -> Option<Result<Reply, Failure>> {
        let mut asked: Option<Conversation<Question>> = None;
        loop {
            let next = tokio::select! {
                biased;
                () = cancelled(self.flight.as_ref()) => return None,
                next = next_event(&mut events, &mut asked) => next,
            };
            match next {
                Ok(Event::Notify(notification)) => {
                    let frame = match asked.as_mut() {
                        Some(asked) if notification.method.as_ref() == CANCELLED => {
                            withdrawn(asked, &notification)
                        }
                        _ => self.notification(&notification),
                    };
                    if let Some(frame) = frame {
                        frames.send(frame).await;
                    }
                }
                Ok(Event::Ask(question)) => {
                    if asked.is_none() {
                        asked = self.way.take_stream().map(Conversation::with);
                    }
                    // A question that nobody takes refuses itself.
                    let message = asked.as_mut().and_then(|asked| asked.ask(question));
                    if let Some(message) = message {
                        frames.send(event(&message)).await;
                    }
                }
                Ok(Event::Pause) => frames.hang_up().await,
                Ok(Event::Done(reply)) => {
                    take_back(asked, frames).await;
                    return Some(Ok(reply));
                }
                Err(failure) => {
                    take_back(asked, frames).await;
                    return Some(Err(failure));
                }
            }
        }
    }

    fn last_frame(&self, reply: Reply) -> Vec<u8> {
        self.frame(self.envelope(reply))
    }

    fn frame(&self, message: Result<Body, LocalReply>) -> Vec<u8> {
        match message {
            Ok(body) => event(&body.into_whole()),
            Err(reply) => event(&reply.message(self.client, Some(&self.id), self.correlation)),
        }
    }

    /// Writes why there is no answer.
    pub(crate) async fn fail(self, failure: Failure, frames: Frames) {
        frames.send(self.failure_frame(failure)).await;
    }

    fn failure_frame(&self, failure: Failure) -> Vec<u8> {
        self.frame(self.without_answer(failure))
    }

    /// The response of a call whose server gave no answer.
    pub(crate) fn refuse(&self, failure: Failure) -> Result<Response, LocalReply> {
        let message = self.without_answer(failure)?;
        Ok(in_form(Response::json(StatusCode::OK, message), self.takes))
    }

    /// The message of a tool that asked its client in vain; of any other failure there is none but the error.
    fn without_answer(&self, failure: Failure) -> Result<Body, LocalReply> {
        self.trail.failed(self.correlation, failure);
        let result = self.asked_in_vain(failure);
        let result = result.ok_or_else(|| {
            // Servers end with the gateway, which is nothing that they did.
            if pulse::has_stopped() {
                LocalReply::CutOff(failure)
            } else {
                LocalReply::Upstream(failure)
            }
        })?;
        Ok(self.wrap("result", result))
    }

    /// A tool of a modern server that wants of a legacy client what it does not get has failed as tools do,
    /// with a result that the client's model reads (protocol bridging, elicitation).
    fn asked_in_vain(&self, failure: Failure) -> Option<Bytes> {
        let is_it = self.client == Era::Legacy
            && self.method.as_ref() == b"tools/call"
            && matches!(failure, Failure::AskRefused | Failure::AsksTooOften);
        is_it.then(|| LocalReply::Upstream(failure).tool_result(self.correlation))
    }

    /// The client's message for an upstream's reply.
    fn envelope(&self, mut reply: Reply) -> Result<Body, LocalReply> {
        if let Way::Retry(retry) = &self.way {
            retry.blamed(&reply)?;
        }
        let is_error = matches!(reply, Reply::Error(_));
        self.trail.answered(self.correlation, is_error);
        let beside = reply.take_beside();
        let (member, value) = match reply {
            Reply::Result(result) if self.client == self.upstream => match &self.way {
                Way::Retry(retry) => ("result", retry.seal_result(result.into_value())?),
                Way::None | Way::Stream(_) => ("result", result.into_value()),
            },
            Reply::Result(result) => match self.carry_result(&result) {
                Err(LocalReply::Upstream(failure)) => return self.without_answer(failure),
                carried => ("result", carried?),
            },
            Reply::Error(error) if self.client == self.upstream => ("error", error.into_value()),
            Reply::Error(error) => match self.sent_to_pages(&error)? {
                Some(result) => ("result", result),
                None => ("error", carry_error(&error, self.client, self.reads())),
            },
        };
        Ok(self.wrap_with(member, value, &beside))
    }

    /// The URI of the resource that is read, if one is.
    fn reads(&self) -> Option<&Bytes> {
        let name = self.name.as_ref();
        name.filter(|_| self.method.as_ref() == b"resources/read")
    }

    /// The result that asks the client, for an error that asks it in the older era.
    fn sent_to_pages(&self, error: &Bytes) -> Result<Option<Bytes>, LocalReply> {
        match &self.way {
            Way::Retry(retry) if pages::are_required(error) => retry.send_to_pages(error),
            Way::Retry(_) | Way::None | Way::Stream(_) => Ok(None),
        }
    }

    fn wrap(&self, member: &str, value: Bytes) -> Body {
        self.wrap_with(member, value, b"")
    }

    /// The same with what else the message says.
    fn wrap_with(&self, member: &str, value: Bytes, beside: &[u8]) -> Body {
        let mut out = Vec::with_capacity(64 + self.id.len() + value.len().min(COPY_MAX));
        write_response_head(&mut out, Some(&self.id), member);
        if value.len() <= COPY_MAX {
            out.extend_from_slice(&value);
            out.extend_from_slice(beside);
            out.push(b'}');
            return Body::whole(out);
        }
        let end = if beside.is_empty() {
            Bytes::from_static(b"}")
        } else {
            [beside, b"}"].concat().into()
        };
        Body::pieces([out.into(), value, end])
    }

    /// A result of the other era: members that the client's era has not are left out, those that
    /// it needs are added (protocol bridging, result fields).
    fn carry_result(&self, result: &Bytes) -> Result<Bytes, LocalReply> {
        match self.client {
            Era::Modern => Ok(complete(result, self.method.as_ref() == b"resources/read")),
            Era::Legacy => strip_modern(result),
        }
    }

    fn notification(&self, notification: &Notification) -> Option<Vec<u8>> {
        let params = notification.params.as_deref().unwrap_or(b"{}");
        let mut out = Vec::with_capacity(params.len() + 128);
        match notification.method.as_ref() {
            b"notifications/progress" => {
                let token = self.progress_token.as_ref()?;
                let params = with_member(params, b"progressToken", token)?;
                write_notification(&mut out, "notifications/progress", Some(&params));
            }
            b"notifications/message" => {
                let level = json::member(params, b"level").and_then(json::text);
                let level = level.and_then(|level| Level::parse(level.as_bytes()))?;
                if self.log_level.is_none_or(|wanted| level < wanted) {
                    return None;
                }
                write_notification(&mut out, "notifications/message", Some(params));
            }
            // It is about a request that this client was never sent, or a task that it was not offered.
            CANCELLED | b"notifications/tasks/status" => return None,
            // Elicitations have no ids in 2026-07-28, so nothing can be said of one.
            b"notifications/elicitation/complete" if self.client == Era::Modern => return None,
            other => write_notification(&mut out, std::str::from_utf8(other).ok()?, Some(params)),
        }
        add_beside(&mut out, &notification.beside);
        Some(event(&out))
    }
}

/// A response that is written by a future, for a client that may come back or for any other.
pub(crate) fn stream_response<F>(
    audience: Option<Audience>,
    work: impl FnOnce(Frames) -> F,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    Response::events(match audience {
        Some(audience) => audience.stream(work),
        None => Body::stream(work),
    })
}

/// Waits until the client cancels its call; for ever, if it cannot.
pub(crate) async fn cancelled(flight: Option<&InFlight>) {
    match flight {
        Some(flight) => flight.flight().cancelled().await,
        None => std::future::pending().await,
    }
}

/// The next event of a call. What its client answers in the meantime goes to the upstream.
async fn next_event(
    events: &mut EventStream,
    asked: &mut Option<Conversation<Question>>,
) -> NextEvent {
    let next = events.next();
    let Some(asked) = asked else {
        return next.await;
    };
    tokio::pin!(next);
    loop {
        tokio::select! {
            biased;
            (question, reply) = asked.answered() => question.answer(&reply),
            next = &mut next => return next,
        }
    }
}

/// The upstream does not wait for an answer any more: the client is told, if it was asked.
fn withdrawn(asked: &mut Conversation<Question>, notification: &Notification) -> Option<Vec<u8>> {
    let params = notification.params.as_deref()?;
    let id = json::member(params, b"requestId")?;
    asked.withdraw(id).map(|message| event(&message))
}

/// The call has ended: the client need not answer what it was asked for it.
async fn take_back(asked: Option<Conversation<Question>>, frames: &Frames) {
    for message in asked
        .into_iter()
        .flat_map(|mut asked| asked.take_back_all())
    {
        frames.send(event(&message)).await;
    }
}

/// The status that an upstream's reply has for the client: 200, but for the errors that say in
/// 2026-07-28 that the request as such was wrong (Transports §Error handling). The upstream's own
/// status does not count: over stdio there is none, and an older server answers 200 to everything.
fn status_of(reply: &Reply, client: Era) -> StatusCode {
    match reply {
        Reply::Error(error) if client == Era::Modern => match json::error_code(error) {
            Some(b"-32601") => StatusCode::NOT_FOUND,
            Some(b"-32020" | b"-32021" | b"-32022") => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        },
        Reply::Error(_) | Reply::Result(_) => StatusCode::OK,
    }
}

/// An object with another value for one of its members; nothing if it has no such member.
fn with_member(object: &[u8], key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let span = json::place_of(object, key)?;
    Some([object.get(..span.start)?, value, object.get(span.end..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstreams_error_has_the_status_that_the_clients_era_gives_it() {
        let status = |text: &'static str, client| {
            let error = Bytes::from_static(text.as_bytes());
            status_of(&Reply::Error(error.into()), client).as_u16()
        };
        for (code, modern) in [
            (r#"{"code":-32601}"#, 404),
            (r#"{"message":"m", "code": -32021 }"#, 400),
            (r#"{"code":-32602}"#, 200),
            (r#"{"message":"-32601"}"#, 200),
        ] {
            assert_eq!(status(code, Era::Modern), modern, "{code}");
            assert_eq!(status(code, Era::Legacy), 200, "{code}");
        }
    }

    #[test]
    fn an_event_is_one_line_of_data() {
        assert_eq!(
            event(b"{\n\"a\":\r\n1}"),
            b"event: message\ndata: { \"a\":  1}\n\n"
        );
    }
}
