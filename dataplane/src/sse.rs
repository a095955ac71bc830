//! The client transport of 2024-11-05 that has a network: one long GET on which everything goes out, and
//! POSTs that only bring messages (2024-11-05 §HTTP with SSE).
//!
//! Owns opening such a stream, the address that its messages go to, and its end: when its client leaves,
//! what it has asked is cancelled. What a message means is `channel`'s. A GET within a session is not such a
//! stream but the session's own (`listen`).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::body::{Body, Frames};
use crate::channel::Channel;
use crate::frame::event;
use crate::inbound;
use crate::outbox::Outgoing;
use crate::pipeline::{Plane, accepted};
use crate::reply::LocalReply;
use crate::server::{Field, Head, Intake, Response};
use crate::snapshot::Served;

/// How long a message waits until its stream can take it. A client that does not read what it is sent is
/// not listened to either.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the address of messages says which stream they are of with.
const PARAMETER: &str = "session_id=";

/// The open streams, by what only their clients know.
pub(crate) struct Channels(papaya::HashMap<Box<str>, Entrance>);

/// Where the messages of one stream go in.
#[derive(Clone)]
struct Entrance {
    /// The endpoint that the stream is on.
    path: Arc<str>,
    messages: mpsc::Sender<Bytes>,
}

/// The address of one stream's messages. It is nobody's once this is dropped.
struct Address {
    plane: Arc<Plane>,
    token: Box<str>,
}

impl Channels {
    /// None is open.
    pub(crate) fn new() -> Self {
        Self(papaya::HashMap::new())
    }
}

/// Whether a GET asks for such a stream: outside of a session, by a client that knows no revision yet.
/// A client of a later transport has one of both by then, and browsers ask for something else.
pub(crate) fn is_asked(head: &Head) -> bool {
    head.field(Field::Session).is_none()
        && head.field(Field::Version).is_none()
        && inbound::asks_for_events(head)
}

/// What a POST says of the stream that it belongs to.
pub(crate) fn token(head: &Head) -> Option<&str> {
    let mut parameters = head.query()?.split('&');
    parameters.find_map(|parameter| parameter.strip_prefix(PARAMETER))
}

/// Opens a stream.
pub(crate) fn open(served: &Arc<Served>, plane: &Arc<Plane>) -> Result<Response, LocalReply> {
    if plane.streams.is_closing() {
        return Err(LocalReply::Stopping);
    }
    let open = plane.streams.open(served.limits.streams)?;
    let (channel, outgoing) = Channel::open(Arc::clone(plane), &served.endpoint.path)?;
    // One message at a time: whoever brings the next one waits, and what waits is bounded as any body is.
    let (messages, incoming) = mpsc::channel(1);
    let entrance = Entrance {
        path: Arc::from(served.endpoint.path.as_ref()),
        messages,
    };
    let address = Address::new(plane, entrance)?;
    let first = format!(
        "event: endpoint\ndata: {}?{PARAMETER}{}\n\n",
        served.endpoint.path, address.token
    );
    Ok(Response::events(Body::stream(|frames| async move {
        let _open = open;
        frames.send(first).await;
        let reading = read(channel, incoming, &address.plane);
        tokio::join!(reading, write(outgoing, &frames));
    })))
}

/// Takes a message for a stream. What comes of it goes onto the stream.
pub(crate) async fn post(
    head: &Head,
    intake: Intake<'_>,
    served: &Served,
    plane: &Plane,
    token: &str,
) -> Result<Response, LocalReply> {
    let entrance = plane.channels.0.pin().get(token).cloned();
    let entrance = entrance.filter(|found| found.path.as_ref() == served.endpoint.path.as_ref());
    let entrance = entrance.ok_or(LocalReply::SessionUnknown)?;
    if !inbound::is_json(head) {
        return Err(LocalReply::UnsupportedMediaType);
    }
    let message = intake.collect(served.limits.body_bytes).await?;
    match timeout(PATIENCE, entrance.messages.send(message)).await {
        Ok(Ok(())) => Ok(accepted()),
        Ok(Err(_)) => Err(LocalReply::SessionUnknown),
        Err(_) => Err(LocalReply::ChannelFull),
    }
}

/// Takes messages until the gateway stops; then what is in flight is answered within the grace.
async fn read(mut channel: Channel, mut incoming: mpsc::Receiver<Bytes>, plane: &Plane) {
    loop {
        tokio::select! {
            biased;
            () = plane.streams.closed() => break,
            message = incoming.recv() => match message {
                Some(message) => channel.take(message).await,
                None => break,
            },
        }
    }
    let grace = Duration::from_millis(plane.live.load().limits.grace_ms);
    channel.finish(grace).await;
}

/// Writes messages until the channel ends.
async fn write(mut messages: mpsc::Receiver<Outgoing>, frames: &Frames) {
    while let Some(outgoing) = messages.recv().await {
        frames.send(event(&outgoing.message)).await;
    }
}

impl Address {
    fn new(plane: &Arc<Plane>, entrance: Entrance) -> Result<Self, LocalReply> {
        let mut secret = [0; 24];
        // Without randomness there are no sessions either, and the reply is the same.
        getrandom::fill(&mut secret).map_err(|_| LocalReply::SessionsFull)?;
        let token: Box<str> = URL_SAFE_NO_PAD.encode(secret).into();
        plane.channels.0.pin().insert(token.clone(), entrance);
        let plane = Arc::clone(plane);
        Ok(Self { plane, token })
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.plane.channels.0.pin().remove(&self.token);
    }
}
