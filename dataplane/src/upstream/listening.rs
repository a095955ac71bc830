//! A stream of `subscriptions/listen` for resources, as a modern upstream keeps it (2026-07-28
//! Subscriptions).
//!
//! Owns opening one over either transport, hearing what is said on it, and ending it. Which resources
//! it is for is `subscribe`'s to say. List changes have a stream of their own (`intake`), which need not
//! be opened anew whenever a client wants another resource.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::events::{ACKNOWLEDGED, HttpEvents, Step};
use super::farewell;
use super::handshake::modern_meta;
use super::head::{Draft, Kind, Verb};
use super::http::{HttpSession, METHOD};
use super::stdio::{Link, StdioEvents};
use super::{Line, Session, Upstream};
use crate::call::Event;
use crate::failure::Failure;
use crate::json;
use crate::keeper::Keeper;
use crate::message::Notification;

/// How long an upstream may take to acknowledge.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long one stream may last.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3600);

/// An open stream. Dropping it ends it.
pub(super) enum Listening {
    Http(Box<HttpEvents>),
    Stdio(Piped),
}

/// The stream of a process: its messages come on the pipe, as all others do.
pub(super) struct Piped {
    id: u64,
    link: Arc<Link>,
    events: StdioEvents,
    keeper: Keeper,
}

impl Listening {
    /// Opens a stream for these resources. Gives those that the upstream will tell of.
    pub(super) async fn open(
        upstream: &Arc<Upstream>,
        session: &Session,
        uris: &BTreeSet<Box<str>>,
    ) -> Result<(Self, BTreeSet<Box<str>>), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let opening = async {
            let id = upstream.ids.fetch_add(1, Ordering::Relaxed);
            let message = message(id, uris);
            let mut listening = match &session.line {
                Line::Http(http) => over_http(upstream, http, message, id, deadline).await?,
                Line::Stdio(link) => over_stdio(upstream, link, message, id, deadline).await?,
            };
            let honoured = listening.acknowledged(upstream).await?;
            Ok((listening, honoured))
        };
        let opened = timeout_at(deadline, opening).await;
        opened.unwrap_or(Err(Failure::FirstByteTimeout))
    }

    /// Passes on what the upstream tells, until the stream ends.
    pub(super) async fn hear(&mut self, upstream: &Upstream) -> Failure {
        loop {
            if let Err(failure) = self.next(upstream).await {
                return failure;
            }
        }
    }

    async fn acknowledged(&mut self, upstream: &Upstream) -> Result<BTreeSet<Box<str>>, Failure> {
        loop {
            if let Some(params) = self.next(upstream).await? {
                return honoured(&params).ok_or(Failure::Garbage);
            }
        }
    }

    /// One step; the params, if it is an acknowledgement.
    async fn next(&mut self, upstream: &Upstream) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Http(events) => match events.next().await? {
                Step::Updated(params) => upstream.note_update(params.as_ref()),
                Step::Changed(method) => upstream.note_change(&method),
                Step::Acknowledged(params) => return Ok(params),
                Step::Event(Event::Done(_)) => return Err(Failure::Closed),
                // There are no requests in this era, and nothing else has a place here.
                Step::Asked(..) | Step::Event(Event::Notify(_) | Event::Ask(_) | Event::Pause) => {}
            },
            Self::Stdio(piped) => match piped.events.next().await? {
                Event::Notify(notification) => return Ok(acknowledgement(notification)),
                Event::Done(_) => return Err(Failure::Closed),
                Event::Ask(_) | Event::Pause => {}
            },
        }
        Ok(None)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let message = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{}}}}}",
            self.id
        );
        let link = Arc::clone(&self.link);
        self.keeper.errand(async move {
            let deadline = Instant::now() + farewell::PATIENCE;
            // A process that is gone has no streams either.
            let _told = link.write(message.into(), deadline).await;
        });
    }
}

async fn over_http(
    upstream: &Upstream,
    http: &HttpSession,
    message: Vec<u8>,
    id: u64,
    deadline: Instant,
) -> Result<Listening, Failure> {
    let mut request = Draft::new(Verb::Post, &http.preamble, message);
    let mirrored = request.field(METHOD, b"subscriptions/listen");
    debug_assert!(mirrored.is_ok(), "a constant of this file");
    let exchange = http.site.exchange(request.end(), deadline).await?;
    if !exchange.status.is_success() || exchange.kind != Kind::Events {
        return Err(Failure::Status(exchange.status.as_u16()));
    }
    let until = Instant::now() + STREAM_MAX;
    let events = HttpEvents::open(exchange, id, &upstream.bounds, STREAM_MAX, until);
    Ok(Listening::Http(Box::new(events)))
}

async fn over_stdio(
    upstream: &Upstream,
    link: &Arc<Link>,
    message: Vec<u8>,
    id: u64,
    deadline: Instant,
) -> Result<Listening, Failure> {
    let events = link.listen(message, id, deadline, STREAM_MAX).await?;
    Ok(Listening::Stdio(Piped {
        id,
        link: Arc::clone(link),
        events,
        keeper: upstream.keeper.clone(),
    }))
}

fn message(id: u64, uris: &BTreeSet<Box<str>>) -> Vec<u8> {
    let mut out = format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"subscriptions/listen\",\"params\":{{\"_meta\":{},\"notifications\":{{\"resourceSubscriptions\":",
        modern_meta()
    )
    .into_bytes();
    json::write_texts(&mut out, uris);
    out.extend_from_slice(b"}}}");
    out
}

fn acknowledgement(notification: Notification) -> Option<Bytes> {
    (notification.method.as_ref() == ACKNOWLEDGED)
        .then_some(notification.params)
        .flatten()
}

/// The resources in an acknowledgement.
fn honoured(params: &Bytes) -> Option<BTreeSet<Box<str>>> {
    let [filter] = json::members_of(params, u32::MAX, ["notifications"])?;
    let [uris] = json::members_of(&filter?, u32::MAX, ["resourceSubscriptions"])?;
    let mut honoured = BTreeSet::new();
    if let Some(uris) = uris {
        json::elements(&uris, u32::MAX, |element| {
            let uri = uris.get(element).and_then(json::text);
            honoured.extend(uri.map(|uri| Box::from(uri.as_ref())));
        })
        .ok()?;
    }
    Some(honoured)
}
