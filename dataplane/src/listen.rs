//! Notification streams: a legacy client's GET, and `subscriptions/listen` of a modern one.
//!
//! Owns what is sent on them: that a list of the endpoint has changed, and comments that keep quiet
//! streams alive. Both watch the endpoint's `hub`, so a stream survives a swap of the plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::body::{Body, Frames};
use crate::client::Asked;
use crate::inbound::Accepts;
use crate::json;
use crate::legacy as legacy_client;
use crate::message::{write_notification, write_response_head};
use crate::pipeline::Plane;
use crate::reply::LocalReply;
use crate::respond::event;
use crate::server::{Head, Response};
use crate::session::{Hold, Session};
use crate::snapshot::Served;
use crate::upstream::Changes;

/// A quiet stream sends a comment this often, so that nothing in between takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many notification streams are open, and whether they shall end.
pub(crate) struct Streams {
    open: Arc<AtomicU32>,
    closing: watch::Sender<bool>,
}

/// One open stream; it counts until it is dropped.
struct Open(Arc<AtomicU32>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Streams {
    /// None is open.
    pub(crate) fn new() -> Self {
        Self {
            open: Arc::default(),
            closing: watch::Sender::new(false),
        }
    }

    /// Ends all streams: the gateway stops.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Whether the gateway stops.
    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    fn open(&self, limit: u32) -> Result<Open, LocalReply> {
        let open = Open(Arc::clone(&self.open));
        if self.open.fetch_add(1, Ordering::Relaxed) >= limit {
            return Err(LocalReply::StreamsFull);
        }
        Ok(open)
    }
}

/// Which changes a stream tells, and how they are spelled there.
struct Wish {
    tools: bool,
    prompts: bool,
    resources: bool,
    /// The id of the listen request, one JSON value: on every frame of a modern stream.
    subscription: Option<Bytes>,
}

/// The GET stream of a legacy session.
pub(crate) fn legacy(
    head: &Head,
    served: &Arc<Served>,
    plane: &Plane,
) -> Result<Response, LocalReply> {
    if !Accepts::of(head).stream {
        return Err(LocalReply::NotAcceptable);
    }
    // Without a session there is nobody to keep a stream for (2025-11-25 Transports: 405).
    let Some(session) = legacy_client::session(head, served, plane)? else {
        return Err(LocalReply::MethodNotAllowed);
    };
    of_session(&session, served, plane)
}

/// What a legacy session is told of, for as long as it lives.
pub(crate) fn of_session(
    session: &Session,
    served: &Arc<Served>,
    plane: &Plane,
) -> Result<Response, LocalReply> {
    let hold = plane.sessions.hold(&session.live);
    let wish = Wish {
        tools: true,
        prompts: true,
        resources: true,
        subscription: None,
    };
    let first = Bytes::from_static(b": open\n\n");
    start(served, plane, wish, first, Some(hold))
}

/// The stream of `subscriptions/listen` (2026-07-28 Subscriptions). Updates of single resources are
/// not offered, so they are not among what is acknowledged.
pub(crate) fn modern(asked: &Asked<'_>, plane: &Plane) -> Result<Response, LocalReply> {
    if !asked.client.accepts.stream {
        return Err(LocalReply::NotAcceptable);
    }
    let filter = asked.params.notifications().ok_or(LocalReply::BadParams)?;
    let mut wish = Wish {
        tools: false,
        prompts: false,
        resources: false,
        subscription: Some(asked.id.clone()),
    };
    json::members(&filter, asked.served.limits.nesting, |member| {
        let wanted = filter.get(member.value) == Some(b"true");
        match member.key {
            b"toolsListChanged" => wish.tools = wanted,
            b"promptsListChanged" => wish.prompts = wanted,
            b"resourcesListChanged" => wish.resources = wanted,
            _ => {}
        }
    })
    .map_err(|_| LocalReply::BadParams)?;
    let acknowledged = wish.acknowledged();
    start(asked.served, plane, wish, acknowledged.into(), None)
}

fn start(
    served: &Arc<Served>,
    plane: &Plane,
    wish: Wish,
    first: Bytes,
    session: Option<Hold>,
) -> Result<Response, LocalReply> {
    let open = plane.streams.open(served.limits.streams)?;
    let changes = served.hub.watch();
    let mut closing = plane.streams.closing.subscribe();
    if *closing.borrow_and_update() {
        return Err(LocalReply::Stopping);
    }
    Ok(Response::events(Body::stream(|frames| async move {
        let _open = open;
        frames.send(first).await;
        tokio::select! {
            () = run(&wish, changes, closing, &frames) => {}
            () = session_ended(session.as_ref()) => {}
        }
        if let Some(end) = wish.end() {
            frames.send(end).await;
        }
    })))
}

/// Resolves when the session of a stream has ended; never, if it has none.
async fn session_ended(session: Option<&Hold>) {
    match session {
        Some(session) => session.ended().await,
        None => std::future::pending().await,
    }
}

/// Tells changes until the streams are closed.
async fn run(
    wish: &Wish,
    mut changes: watch::Receiver<Changes>,
    mut closing: watch::Receiver<bool>,
    frames: &Frames,
) {
    let mut last = *changes.borrow_and_update();
    loop {
        tokio::select! {
            told = changes.changed() => {
                if told.is_err() {
                    return;
                }
                let now = *changes.borrow_and_update();
                for frame in wish.frames(last, now) {
                    frames.send(frame).await;
                }
                last = now;
            }
            // Closing happens once; the sender lives as long as the gateway.
            _ = closing.changed() => return,
            () = tokio::time::sleep(KEEP_ALIVE) => frames.send(Bytes::from_static(b": keep-alive\n\n")).await,
        }
    }
}

impl Wish {
    fn frames(&self, last: Changes, now: Changes) -> Vec<Vec<u8>> {
        let kinds = [
            (
                self.tools && last.tools != now.tools,
                "notifications/tools/list_changed",
            ),
            (
                self.prompts && last.prompts != now.prompts,
                "notifications/prompts/list_changed",
            ),
            (
                self.resources && last.resources != now.resources,
                "notifications/resources/list_changed",
            ),
        ];
        kinds
            .into_iter()
            .filter(|(changed, _)| *changed)
            .map(|(_, method)| self.frame(method, b""))
            .collect()
    }

    /// One notification; `members` are those of its params, with a comma in front.
    fn frame(&self, method: &str, members: &[u8]) -> Vec<u8> {
        let params = self.subscription.as_ref().map(|id| {
            let mut params = b"{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":".to_vec();
            params.extend_from_slice(id);
            params.push(b'}');
            params.extend_from_slice(members);
            params.push(b'}');
            params
        });
        let mut out = Vec::with_capacity(192);
        write_notification(&mut out, method, params.as_deref());
        event(&out)
    }

    fn acknowledged(&self) -> Vec<u8> {
        let honoured: Vec<_> = [
            (self.tools, "\"toolsListChanged\":true"),
            (self.prompts, "\"promptsListChanged\":true"),
            (self.resources, "\"resourcesListChanged\":true"),
        ]
        .into_iter()
        .filter_map(|(wanted, text)| wanted.then_some(text))
        .collect();
        let members = format!(",\"notifications\":{{{}}}", honoured.join(","));
        self.frame(
            "notifications/subscriptions/acknowledged",
            members.as_bytes(),
        )
    }

    /// The result that ends a modern stream; a legacy one just ends.
    fn end(&self) -> Option<Vec<u8>> {
        let id = self.subscription.as_ref()?;
        let mut out = Vec::with_capacity(160);
        write_response_head(&mut out, Some(id), "result");
        out.extend_from_slice(
            b"{\"resultType\":\"complete\",\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":",
        );
        out.extend_from_slice(id);
        out.extend_from_slice(b"}}}");
        Some(event(&out))
    }
}
