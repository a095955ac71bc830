//! A client that has one channel for everything: messages come in on it, messages go out on it.
//!
//! Owns what HTTP does for other clients: which message belongs to which request, several requests
//! in flight or in one batch, the session that comes with the channel, the notifications that nobody asked for by a
//! stream of their own, and the bounds on all of that. Does not know how messages are cut out of
//! bytes: `stdio` and `sse` do. A request takes the same path as over HTTP, from the client adapters
//! (`modern`, `legacy`) on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::batch;
use crate::body::Body;
use crate::call::{Era, Flight, Reply, Said};
use crate::client::{Asked, Client};
use crate::extension;
use crate::frame::message_of;
use crate::inbound::{self, Accepts, Form, Read, SESSION_HEADER};
use crate::join;
use crate::legacy::{self, Caller};
use crate::listen;
use crate::message::{Message, Notification};
use crate::modern::{self, Mirrors};
use crate::outbox::{Outbox, Outgoing};
use crate::params::{Met, Params};
use crate::pipeline::{Plane, log_refused};
use crate::reply::{Ill, LocalReply, Refusable};
use crate::serve;
use crate::server::Response;
use crate::session::{Hold, Session};
use crate::snapshot::{InUse, Served};

/// How many requests of one channel may be in flight. HTTP bounds them by connections.
const REQUESTS_MAX: usize = 256;

/// How many of the largest messages the requests in flight may take up together.
const BODIES_MAX: u64 = 4;

/// After its client left, a channel's calls are cancelled; upstreams are told within this time.
const FAREWELL: Duration = Duration::from_secs(1);

/// A channel takes back whatever there is; it has no events that a client could name afterwards.
const ACCEPTS: Accepts = Accepts {
    json: true,
    stream: true,
    resumes: false,
    rather: Form::Document,
};

/// One client's channel.
pub(crate) struct Channel {
    plane: Arc<Plane>,
    /// The endpoint it is on.
    path: Box<str>,
    /// Its own session until `initialize` begins another one: requests are found in it by their ids.
    session: Session,
    /// Keeps the session from expiring, as a channel that is open is not idle.
    hold: Hold,
    outgoing: Outbox,
    /// Requests in flight; each task gives back what it took up.
    calls: JoinSet<Load>,
    load: Load,
    /// What the client is told until it leaves.
    streams: JoinSet<()>,
}

/// A channel that is dropped without [`Channel::finish`] has lost its client: what that has asked is of no
/// use to anybody.
impl Drop for Channel {
    fn drop(&mut self) {
        self.plane.sessions.end(&self.session.live);
    }
}

/// What requests in flight take up.
#[derive(Clone, Copy, Default)]
struct Load {
    requests: usize,
    bytes: u64,
}

/// One request, with what it needs to be answered beside others.
struct Request {
    served: Arc<Served>,
    /// Until the server has the call.
    in_use: Option<Arc<InUse>>,
    id: Bytes,
    method: Bytes,
    params: Params,
    beside: Box<[u8]>,
    client: Client,
    session: Option<Session>,
    correlation: u64,
}

impl Channel {
    /// A channel on an endpoint, and the messages that it sends.
    ///
    /// # Errors
    /// The endpoint is not there, or there are as many sessions as there may be.
    pub(crate) fn open(
        plane: Arc<Plane>,
        path: &str,
    ) -> Result<(Self, mpsc::Receiver<Outgoing>), LocalReply> {
        let served = plane.live.load().endpoint(path).cloned();
        served.ok_or(LocalReply::NoSuchPath)?;
        let grant = legacy::grant(&Params::empty());
        let begun = plane.sessions.begin(grant, path, Instant::now());
        let (_, session) = begun.map_err(|_| LocalReply::SessionsFull)?;
        let (outgoing, messages) = Outbox::new();
        let channel = Self {
            hold: plane.sessions.hold(&session.live),
            session,
            plane,
            path: path.into(),
            outgoing,
            calls: JoinSet::new(),
            load: Load::default(),
            streams: JoinSet::new(),
        };
        Ok((channel, messages))
    }

    /// The largest message that may come in now, in bytes.
    pub(crate) fn message_bytes_max(&self) -> u64 {
        self.plane.live.load().limits.body_bytes
    }

    /// Takes one message. Waits for no call; if the client reads nothing, for the client.
    pub(crate) async fn take(&mut self, message: Bytes) {
        let mut refusable = self.refusable();
        if let Err(reply) = self.try_take(message, &mut refusable).await {
            self.refuse_as(&reply, &refusable).await;
        }
    }

    /// Answers what could not be read.
    pub(crate) async fn refuse(&self, reply: &LocalReply) {
        self.refuse_as(reply, &self.refusable()).await;
    }

    /// Resolves when nobody takes messages any more.
    pub(crate) async fn closed(&self) {
        self.outgoing.closed().await;
    }

    /// The client sends nothing any more: what is in flight is answered within the grace, the rest
    /// is cancelled.
    pub(crate) async fn finish(mut self, grace: Duration) {
        // Those of a gateway that stops end by themselves, and some with a last message.
        if self.plane.streams.is_closing() {
            let _in_vain = timeout(FAREWELL.min(grace), drained(&mut self.streams)).await;
        }
        self.streams.shutdown().await;
        let outgoing = self.outgoing.clone();
        tokio::select! {
            _ = timeout(grace, drained(&mut self.calls)) => {}
            () = outgoing.closed() => {}
        }
        self.plane.sessions.end(&self.session.live);
        // A cancelled call only has to say so.
        let _in_vain = timeout(FAREWELL, drained(&mut self.calls)).await;
    }

    fn refusable(&self) -> Refusable {
        Refusable {
            era: Era::Legacy,
            id: None,
            correlation: self.plane.number(),
        }
    }

    async fn refuse_as(&self, reply: &LocalReply, refusable: &Refusable) {
        log_refused(
            &self.plane,
            &self.plane.live.load().digest,
            refusable.correlation,
            reply,
        );
        let message = refusable.message(reply);
        let _left = self.outgoing.send(message).await;
    }

    async fn try_take(&mut self, body: Bytes, refusable: &mut Refusable) -> Result<(), LocalReply> {
        while let Some(ended) = self.calls.try_join_next() {
            // A call that panicked keeps its share of the bound: that is a bug, and stays bounded.
            self.release(ended.unwrap_or_default());
        }
        let snapshot = self.plane.live.load_full();
        let served = snapshot
            .endpoint(&self.path)
            .ok_or(LocalReply::NoSuchPath)?;
        let read = match inbound::read(&body, served.limits.nesting) {
            Ok(Read::One(message, met)) => (message, met),
            Ok(Read::Batch) => return self.take_batch(&body, served).await,
            Err((reply, id)) => {
                refusable.id = id;
                return Err(reply);
            }
        };
        let Some(request) = self.receive(served, read, ACCEPTS, refusable)? else {
            return Ok(());
        };
        let load = self.admit(served, body.len())?;
        if request.client.era == Era::Legacy && request.method.as_ref() == b"initialize" {
            // Nothing is read until it is answered.
            self.release(load);
            return self.initialize(request).await;
        }
        self.spawn(request, load);
        Ok(())
    }

    /// Takes a batch: each message as if it had come alone, and one message with all replies.
    async fn take_batch(&mut self, body: &Bytes, served: &Arc<Served>) -> Result<(), LocalReply> {
        let messages = batch::split(Some(&self.session), body, served)?;
        let mut load = Load::default();
        let mut replies: Vec<join::Boxed<'static, _>> = Vec::with_capacity(messages.len());
        for message in messages {
            let mut refusable = self.refusable();
            let bytes = message.len();
            match self.take_part(&message, served, &mut refusable) {
                Ok(Some(request)) => {
                    load.requests += 1;
                    load.bytes += bytes as u64;
                    let plane = Arc::clone(&self.plane);
                    replies.push(Box::pin(async move { request.reply(&plane).await }));
                }
                Ok(None) => {}
                Err(reply) => {
                    log_refused(&self.plane, &served.digest, refusable.correlation, &reply);
                    let message = refusable.message(&reply);
                    replies.push(Box::pin(async move { Some(message) }));
                }
            }
        }
        let outgoing = self.outgoing.clone();
        let answering = async move {
            if let Some(document) = batch::gather(join::all(replies).await) {
                let _left = outgoing.send(one_line(&document)).await;
            }
            load
        };
        // What was only refused counts for no bound, so there must not be more of it than the client reads.
        if load.requests == 0 {
            answering.await;
        } else {
            self.calls.spawn(answering);
        }
        Ok(())
    }

    /// Takes one message of a batch.
    fn take_part(
        &mut self,
        message: &Bytes,
        served: &Arc<Served>,
        refusable: &mut Refusable,
    ) -> Result<Option<Request>, LocalReply> {
        let read = match inbound::read(message, served.limits.nesting) {
            Ok(Read::One(message, met)) => (message, met),
            Ok(Read::Batch) => return Err(LocalReply::Batch),
            Err((reply, id)) => {
                refusable.id = id;
                return Err(reply);
            }
        };
        if let Some(id) = batch::greets(&read.0) {
            refusable.id = Some(id.clone());
            return Err(LocalReply::Ill(Ill::BatchedGreeting));
        }
        let request = self.receive(served, read, batch::WHOLE, refusable)?;
        if request.is_some() {
            self.admit(served, message.len())?;
        }
        Ok(request)
    }

    /// Acts on a message that is no request; a request is given back with all that it needs.
    fn receive(
        &mut self,
        served: &Arc<Served>,
        (message, met): (Message, Met),
        accepts: Accepts,
        refusable: &mut Refusable,
    ) -> Result<Option<Request>, LocalReply> {
        let (id, method, params, beside) = match message {
            Message::Request {
                id,
                method,
                params,
                beside,
            } => (id, method, params, beside),
            Message::Notification(told) => {
                let _nobody_to_tell = self.notified(served, told, met, refusable.correlation);
                return Ok(None);
            }
            Message::Result { id, result, beside } => {
                self.answered(Some(&id), Reply::Result(Said::new(result, beside)));
                return Ok(None);
            }
            Message::Error { id, error, beside } => {
                self.answered(id.as_ref(), Reply::Error(Said::new(error, beside)));
                return Ok(None);
            }
        };
        refusable.id = Some(id.clone());
        let params = Params::of(params, met).map_err(|_| LocalReply::BadParams)?;
        if params.has_meta_version() {
            refusable.era = Era::Modern;
        }
        let Caller { client, session } =
            self.caller(&method, &params, &id, refusable.era, accepts)?;
        Ok(Some(Request {
            served: Arc::clone(served),
            in_use: served.in_use(),
            id,
            method,
            params,
            beside,
            client,
            session,
            correlation: refusable.correlation,
        }))
    }

    /// Finds room for one more request.
    fn admit(&mut self, served: &Served, bytes: usize) -> Result<Load, LocalReply> {
        let one = Load {
            requests: 1,
            bytes: bytes as u64,
        };
        let most = BODIES_MAX * served.limits.body_bytes;
        if self.load.requests >= REQUESTS_MAX || self.load.bytes + one.bytes > most {
            return Err(LocalReply::ChannelFull);
        }
        self.load.requests += one.requests;
        self.load.bytes += one.bytes;
        Ok(one)
    }

    fn release(&mut self, load: Load) {
        self.load.requests -= load.requests;
        self.load.bytes -= load.bytes;
    }

    /// The client of a request, by the rules of its era; in both the request can be cancelled.
    fn caller(
        &self,
        method: &[u8],
        params: &Params,
        id: &Bytes,
        era: Era,
        accepts: Accepts,
    ) -> Result<Caller, LocalReply> {
        let mut client = match era {
            Era::Modern => Some(modern::read(Mirrors::None, method, params, accepts)?),
            Era::Legacy => None,
        };
        let mut caller = legacy::caller(Some(self.session()), &self.plane, id, accepts)?;
        if let Some(client) = &mut client {
            client.flight = caller.client.flight.take();
            // There is one client at the other end, whichever era it speaks.
            client.party = caller.client.party;
        }
        Ok(client.map_or(caller, Caller::stateless))
    }

    fn session(&self) -> Session {
        Session {
            grant: self.session.grant,
            live: Arc::clone(&self.session.live),
        }
    }

    /// Answers `initialize`. Nothing else is read meanwhile: what follows belongs to the session
    /// that begins here.
    async fn initialize(&mut self, request: Request) -> Result<(), LocalReply> {
        let served = Arc::clone(&request.served);
        let response = request.serve(&self.plane).await?;
        let token = response.extra(SESSION_HEADER);
        let begun = token.and_then(|token| legacy::session_of(token, &served, &self.plane));
        if let Some(session) = begun {
            self.streams.abort_all();
            let hold = self.plane.sessions.hold(&session.live);
            drop(std::mem::replace(&mut self.hold, hold));
            let before = std::mem::replace(&mut self.session, session);
            self.plane.sessions.end(&before.live);
        }
        deliver(response.into_body(), &self.outgoing).await;
        Ok(())
    }

    fn notified(
        &mut self,
        served: &Arc<Served>,
        told: Notification,
        met: Met,
        correlation: u64,
    ) -> Result<(), LocalReply> {
        if told.method.as_ref() == b"notifications/initialized" {
            // Over HTTP the client opens a stream for these; here it has one already.
            let stream = listen::of_session(&self.session, served, &self.plane)?;
            self.streams.abort_all();
            let outgoing = self.outgoing.clone();
            self.streams
                .spawn(async move { deliver(stream.into_body(), &outgoing).await });
            return Ok(());
        }
        legacy::notified(Some(&self.session), served, &self.plane, &told)?;
        if extension::may_pass(&told.method) {
            self.pass(served, told, met, correlation)?;
        }
        Ok(())
    }

    /// Passes on what the gateway does not know. It waits for its server beside the requests in flight,
    /// and counts as one of them.
    fn pass(
        &mut self,
        served: &Arc<Served>,
        told: Notification,
        met: Met,
        correlation: u64,
    ) -> Result<(), LocalReply> {
        let bytes = told.params.as_ref().map_or(0, Bytes::len);
        let params = Params::of(told.params.clone(), met).map_err(|_| LocalReply::BadParams)?;
        let client = if params.has_meta_version() {
            Era::Modern
        } else {
            Era::Legacy
        };
        let load = self.admit(served, bytes)?;
        let (served, party) = (Arc::clone(served), legacy::party(Some(&self.session)));
        self.calls.spawn(async move {
            extension::pass(&served, told, client, party, correlation).await;
            load
        });
        Ok(())
    }

    /// Takes an answer of the client. What it was not asked, or has answered before, is ignored.
    fn answered(&self, id: Option<&Bytes>, reply: Reply) {
        let is_awaited = id.is_some_and(|id| {
            let asking = &self.plane.asking;
            asking.answer(&self.session.live, id, reply)
        });
        if !is_awaited {
            tracing::debug!("a client answered what it was not asked");
        }
    }

    /// Answers a request while others are read.
    fn spawn(&mut self, mut request: Request, load: Load) {
        let plane = Arc::clone(&self.plane);
        let outgoing = self.outgoing.clone();
        // A stream of changes does not look for a cancellation itself: over HTTP it just closes.
        let listens = request.method.as_ref() == b"subscriptions/listen";
        let listening = request.client.flight.take_if(|_| listens);
        let answering = async move {
            let flight = listening.as_ref().map(|entry| Arc::clone(entry.flight()));
            tokio::select! {
                biased;
                () = cancelled(flight) => {}
                () = answer(request, &plane, &outgoing) => {}
            }
        };
        if listens {
            self.release(load);
            self.streams.spawn(answering);
        } else {
            self.calls.spawn(async move {
                answering.await;
                load
            });
        }
    }
}

impl Request {
    async fn serve(self, plane: &Arc<Plane>) -> Result<Response, LocalReply> {
        let asked = Asked {
            served: &self.served,
            id: self.id,
            method: self.method,
            params: self.params,
            beside: self.beside,
            client: self.client,
            correlation: self.correlation,
        };
        let answer = serve::answer(asked, self.session, plane).await;
        drop(self.in_use);
        answer
    }

    /// The reply as a part of a batch; nothing if the request was cancelled.
    async fn reply(self, plane: &Arc<Plane>) -> Option<Bytes> {
        let (era, id, correlation) = (self.client.era, self.id.clone(), self.correlation);
        let served = Arc::clone(&self.served);
        match self.serve(plane).await {
            Ok(response) => {
                let reply = response.into_body().into_whole();
                (!reply.is_empty()).then(|| reply.into())
            }
            Err(reply) => {
                log_refused(plane, &served.digest, correlation, &reply);
                Some(reply.message(era, Some(&id), correlation))
            }
        }
    }
}

/// Waits for the cancellation of a request, or for ever if it looks for one itself.
async fn cancelled(flight: Option<Arc<Flight>>) {
    match flight {
        Some(flight) => flight.cancelled().await,
        None => std::future::pending().await,
    }
}

async fn drained<T: 'static>(tasks: &mut JoinSet<T>) {
    while tasks.join_next().await.is_some() {}
}

/// Answers one request on the channel.
async fn answer(request: Request, plane: &Arc<Plane>, outgoing: &Outbox) {
    let (era, id, correlation) = (request.client.era, request.id.clone(), request.correlation);
    let served = Arc::clone(&request.served);
    match request.serve(plane).await {
        Ok(response) => deliver(response.into_body(), outgoing).await,
        Err(reply) => {
            log_refused(plane, &served.digest, correlation, &reply);
            let message = reply.message(era, Some(&id), correlation);
            let _left = outgoing.send(message).await;
        }
    }
}

/// Sends what the body of a response holds, as messages.
async fn deliver(mut body: Body, outgoing: &Outbox) {
    let Body::Stream(frames) = &mut body else {
        let message = body.into_whole();
        if !message.is_empty() {
            let _left = outgoing.send(one_line(&message)).await;
        }
        return;
    };
    while let Some(frame) = frames.next().await {
        if let Some(message) = message_of(&frame)
            && outgoing.send(message).await.is_err()
        {
            return;
        }
    }
}

/// A message on one line. Raw line breaks can only be blanks between tokens of a valid message.
fn one_line(message: &[u8]) -> Bytes {
    let blank = |byte: &u8| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    };
    message.iter().map(blank).collect()
}
