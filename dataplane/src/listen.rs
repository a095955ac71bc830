//! Notification streams: a legacy client's GET, and `subscriptions/listen` of a modern one.
//!
//! Owns what is sent on them: that a list of the endpoint has changed, that a resource was updated. Both
//! watch the endpoint's hubs (`hub`), so a stream survives a swap of the plan; what it has subscribed to is
//! attached anew then. What keeps a quiet stream alive is every stream's, in `body`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::sync::watch;

use crate::body::{Body, Frames};
use crate::call::Party;
use crate::changes::Changes;
use crate::client::Asked;
use crate::frame::event;
use crate::inbound::Accepts;
use crate::json;
use crate::legacy as legacy_client;
use crate::message::{write_notification, write_response_head};
use crate::pipeline::Plane;
use crate::reply::LocalReply;
use crate::server::{Field, Head, Response};
use crate::session::{Hold, InFlight, Live, Session};
use crate::snapshot::Served;
use crate::subscriptions::{self, Subscriptions};

/// How many notification streams are open, and whether they shall end.
pub(crate) struct Streams {
    open: Arc<AtomicU32>,
    closing: watch::Sender<bool>,
}

/// One open stream; it counts until it is dropped.
pub(crate) struct Open(Arc<AtomicU32>);

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

    /// How many are open.
    pub(crate) fn count(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Ends all streams: the gateway stops.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Whether the gateway stops.
    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Resolves when the gateway stops.
    pub(crate) async fn closed(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives in `self`, so it cannot be gone.
        let _closed = closing.wait_for(|closing| *closing).await;
    }

    /// One more stream, if there may be one.
    pub(crate) fn open(&self, limit: u32) -> Result<Open, LocalReply> {
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

/// The GET stream of a legacy session, or the rest of a stream that broke off.
pub(crate) async fn legacy(
    head: &Head,
    served: &Arc<Served>,
    plane: &Arc<Plane>,
) -> Result<Response, LocalReply> {
    if !Accepts::of(head).stream {
        return Err(LocalReply::NotAcceptable);
    }
    // Without a session there is nobody to keep a stream for (2025-11-25 Transports: 405).
    let Some(session) = legacy_client::session(head, served, plane)? else {
        return Err(LocalReply::MethodNotAllowed { allow: "POST" });
    };
    if let Some(last) = head.field(Field::LastEvent) {
        let rest = plane.replays.resume(&session.live, last).await?;
        return Ok(Response::events(rest));
    }
    of_session(&session, served, plane)
}

/// What a legacy session is told of, for as long as it lives.
pub(crate) fn of_session(
    session: &Session,
    served: &Arc<Served>,
    plane: &Arc<Plane>,
) -> Result<Response, LocalReply> {
    let hold = plane.sessions.hold(&session.live);
    let wish = Wish {
        tools: true,
        prompts: true,
        resources: true,
        subscription: None,
    };
    let first = Bytes::from_static(b": open\n\n");
    let subscriptions = Arc::clone(session.live.subscriptions());
    let party = Party::Session(session.live.number());
    let audience = Audience::of(party, Some(&session.live));
    start(
        served,
        plane,
        wish,
        first,
        (subscriptions, audience),
        Some(hold),
    )
}

/// The stream of `subscriptions/listen` (2026-07-28 Subscriptions). Resources that do not tell when they
/// are updated are not among what is acknowledged.
pub(crate) async fn modern(asked: &Asked<'_>, plane: &Arc<Plane>) -> Result<Response, LocalReply> {
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
    let mut resources = None;
    json::members(&filter, asked.served.limits.nesting, |member| {
        if member.key == b"resourceSubscriptions" {
            resources = filter.get(member.value);
            return;
        }
        let wanted = filter.get(member.value) == Some(b"true");
        match member.key {
            b"toolsListChanged" => wish.tools = wanted,
            b"promptsListChanged" => wish.prompts = wanted,
            b"resourcesListChanged" => wish.resources = wanted,
            _ => {}
        }
    })
    .map_err(|_| LocalReply::BadParams)?;
    let resources = resources.map_or(Ok(Vec::new()), texts)?;
    let subscriptions =
        subscriptions::of_stream(asked.served, resources, asked.client.party).await?;
    let acknowledged = wish.acknowledged(&subscriptions.uris());
    let entry = asked.client.flight.as_ref();
    let audience = Audience::of(asked.client.party, entry.map(InFlight::live));
    start(
        asked.served,
        plane,
        wish,
        acknowledged.into(),
        (subscriptions, audience),
        None,
    )
}

/// The elements of an array of texts.
fn texts(array: &[u8]) -> Result<Vec<Box<str>>, LocalReply> {
    let mut texts = Vec::new();
    let walk = json::elements(array, u32::MAX, |element| {
        let text = array.get(element).and_then(json::text);
        texts.push(text.map(|text| Box::from(text.as_ref())));
    });
    let texts: Option<Vec<_>> = texts.into_iter().collect();
    texts.filter(|_| walk.is_ok()).ok_or(LocalReply::BadParams)
}

fn start(
    served: &Arc<Served>,
    plane: &Arc<Plane>,
    wish: Wish,
    first: Bytes,
    (subscriptions, audience): (Arc<Subscriptions>, Audience),
    session: Option<Hold>,
) -> Result<Response, LocalReply> {
    let open = plane.streams.open(served.limits.streams)?;
    let source = Source {
        of_all: Watched::by(served.hubs.all.watch()),
        of_private: Watched::by(served.hubs.private.watch()),
        subscriptions,
        audience,
        plane: Arc::clone(plane),
        path: served.endpoint.path.clone(),
    };
    let mut closing = plane.streams.closing.subscribe();
    if *closing.borrow_and_update() {
        return Err(LocalReply::Stopping);
    }
    Ok(Response::events(Body::stream(|frames| async move {
        let _open = open;
        frames.send(first).await;
        tokio::select! {
            () = run(&wish, source, &frames) => {}
            // Closing happens once; the sender lives as long as the gateway.
            _ = closing.changed() => {}
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

/// Changes of lists, from the moment on at which the stream was asked for.
struct Watched {
    changes: watch::Receiver<Changes>,
    told: Changes,
}

impl Watched {
    fn by(mut changes: watch::Receiver<Changes>) -> Self {
        let told = *changes.borrow_and_update();
        Self { changes, told }
    }

    /// The counts before a change and after it; nothing if there can be none any more.
    async fn changed(&mut self) -> Option<(Changes, Changes)> {
        self.changes.changed().await.ok()?;
        let now = *self.changes.borrow_and_update();
        Some((std::mem::replace(&mut self.told, now), now))
    }
}

/// Whose stream it is, as far as that can be told.
struct Audience {
    party: Party,
    /// What servers that its session has to itself say of their lists.
    own: Option<Watched>,
}

impl Audience {
    fn of(party: Party, live: Option<&Live>) -> Self {
        Self {
            party,
            own: live.map(|live| Watched::by(live.changes())),
        }
    }

    /// What has changed of a server that the session has to itself, before and after.
    async fn changed(&mut self) -> (Changes, Changes) {
        if let Some(own) = &mut self.own
            && let Some(changed) = own.changed().await
        {
            return changed;
        }
        std::future::pending().await
    }
}

/// Where a stream's news come from.
struct Source {
    of_all: Watched,
    /// What the shared ones tell of servers that the client may have to itself.
    of_private: Watched,
    subscriptions: Arc<Subscriptions>,
    audience: Audience,
    plane: Arc<Plane>,
    /// The endpoint that it is on.
    path: Box<str>,
}

impl Source {
    /// The plan may be another one than that under which the client has subscribed.
    async fn reattach(&self) {
        let served = self.plane.live.load().endpoint(&self.path).cloned();
        let party = self.audience.party;
        self.subscriptions.reattach(served.as_ref(), party).await;
    }

    /// Whether the client has to itself what others share.
    fn is_apart(&self) -> bool {
        let live = self.plane.live.load();
        let served = live.endpoint(&self.path);
        served.is_some_and(|served| served.is_apart(self.audience.party))
    }
}

/// Tells what is new until nothing can be any more, or until more was acknowledged than can be held: the
/// client opens another stream then, and is acknowledged what there is (2026-07-28 Subscriptions). There is
/// nothing that a session could be told.
async fn run(wish: &Wish, mut source: Source, frames: &Frames) {
    let mut updates = source.subscriptions.inbox().listen();
    source.reattach().await;
    loop {
        tokio::select! {
            // Lists first: what was updated may be in one that is new.
            biased;
            told = source.of_all.changed() => {
                let Some((last, now)) = told else {
                    return;
                };
                for frame in wish.frames(last, now) {
                    frames.send(frame).await;
                }
                if now.plans != last.plans {
                    source.reattach().await;
                }
            }
            told = source.of_private.changed() => {
                let Some((last, now)) = told else {
                    return;
                };
                if source.is_apart() {
                    continue;
                }
                for frame in wish.frames(last, now) {
                    frames.send(frame).await;
                }
            }
            (last, now) = source.audience.changed() => {
                for frame in wish.frames(last, now) {
                    frames.send(frame).await;
                }
            }
            told = updates.changed() => {
                if told.is_err() {
                    return;
                }
                let mail = source.subscriptions.inbox().take();
                for uri in &mail.updated {
                    frames.send(wish.update(uri)).await;
                }
                let is_stream = wish.subscription.is_some();
                if is_stream && mail.is_refused && source.subscriptions.has_refused() {
                    return;
                }
            }
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

    /// One notification; `members` are those of its params.
    fn frame(&self, method: &str, members: &[u8]) -> Vec<u8> {
        let mut params = b"{".to_vec();
        if let Some(id) = &self.subscription {
            params.extend_from_slice(b"\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
            params.extend_from_slice(id);
            params.push(b'}');
            if !members.is_empty() {
                params.push(b',');
            }
        }
        params.extend_from_slice(members);
        params.push(b'}');
        let mut out = Vec::with_capacity(params.len() + 96);
        let params = (params != b"{}").then_some(params);
        write_notification(&mut out, method, params.as_deref());
        event(&out)
    }

    fn update(&self, uri: &str) -> Vec<u8> {
        let mut members = b"\"uri\":".to_vec();
        json::write_text(&mut members, uri);
        self.frame("notifications/resources/updated", &members)
    }

    fn acknowledged(&self, resources: &[Box<str>]) -> Vec<u8> {
        let honoured: Vec<_> = [
            (self.tools, "\"toolsListChanged\":true"),
            (self.prompts, "\"promptsListChanged\":true"),
            (self.resources, "\"resourcesListChanged\":true"),
        ]
        .into_iter()
        .filter_map(|(wanted, text)| wanted.then_some(text))
        .collect();
        let mut members = format!("\"notifications\":{{{}", honoured.join(",")).into_bytes();
        if !resources.is_empty() {
            if !honoured.is_empty() {
                members.push(b',');
            }
            members.extend_from_slice(b"\"resourceSubscriptions\":");
            json::write_texts(&mut members, resources);
        }
        members.push(b'}');
        self.frame("notifications/subscriptions/acknowledged", &members)
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
