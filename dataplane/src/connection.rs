//! One client connection, and all of a thread's connections.
//!
//! Owns hyper's settings, the answer to a refused request, deadlines for slow clients and the end
//! of connections when the gateway stops. Deadlines come from one coarse sweep per thread instead
//! of timers per request (`docs/decisions/0012-framing-guard.md`). Does not accept connections
//! (`listener`) or judge bytes (`guard`). Goes to the service that is handed in.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::body::Body;
use crate::call::Era;
use crate::guard::Guarded;
use crate::reply::LocalReply;
use crate::server::fault::{Fault, HeadBounds};
use crate::server::{Answers, Head, Intake, Response};

/// The connections of one thread.
#[derive(Default)]
pub(crate) struct Connections {
    /// Seconds, as counted by [`Connections::sweep`].
    tick: Rc<Cell<u32>>,
    draining: Cell<bool>,
    links: RefCell<Vec<Weak<Link>>>,
}

/// What guard, service and sweep know of one connection.
pub(crate) struct Link {
    tick: Rc<Cell<u32>>,
    /// Requests that hyper handed to the service.
    calls: Cell<u64>,
    /// The refused request, counted from one, and why.
    fault: Cell<Option<(u64, Fault)>>,
    /// A response is due or on its way.
    busy: Cell<bool>,
    owes: Cell<Owes>,
    /// Since which tick, for a body and for nothing: since the last sign of life.
    since: Cell<u32>,
    /// Whether the last read found nothing, so that it is the client who keeps us waiting.
    waiting: Cell<bool>,
    /// Since which tick the client has taken nothing of what is there for it.
    stalled: Cell<Option<u32>>,
    order: Cell<Order>,
    waker: RefCell<Option<Waker>>,
}

/// What the client has to send next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owes {
    /// A request, if it likes.
    Nothing,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// The end of the connection, after its last reply.
    End,
}

/// What a connection is told. Later ones are stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    GoOn,
    /// The next response is the last one.
    Drain,
    /// Close now if idle, else after the response.
    Finish,
    /// Close at once.
    Cut,
}

/// How long a client may take, in seconds.
const HEAD_SECONDS: u32 = 30;
const BODY_SECONDS: u32 = 30;
const IDLE_SECONDS: u32 = 75;
const STALLED_SECONDS: u32 = 60;
const END_SECONDS: u32 = 2;

/// hyper grows its reads up to this; larger ones bought nothing at 1 MiB bodies.
const READ_BYTES_MAX: usize = 256 * 1024;

/// Serves one connection until it ends. The stream may be a socket, a TLS stream or a pipe.
pub(crate) async fn serve_connection<I, S>(
    stream: I,
    service: &S,
    bounds: HeadBounds,
    connections: &Connections,
) where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Answers,
{
    let link = connections.open();
    let guarded = Guarded::new(stream, bounds, Rc::clone(&link));
    let gate = service_fn(|request| gate(Rc::clone(&link), request, service));
    let mut http = http1::Builder::new();
    // No timer, so no header timeout either: the sweep keeps it for less.
    http.half_close(false)
        .pipeline_flush(false)
        .header_read_timeout(None)
        .max_buf_size(READ_BYTES_MAX.max(bounds.bytes * 2));
    // The guard keeps the bound; hyper has room for a hundred without being asked, and an allocation
    // per request beyond that.
    if bounds.fields > 100 {
        http.max_headers(bounds.fields);
    }
    let mut connection = pin!(http.serve_connection(TokioIo::new(guarded), gate));
    let mut finishing = false;
    poll_fn(|context| {
        link.listen(context);
        loop {
            // An error here is the client's departure or its broken bytes: the end either way.
            if connection.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            let finish = match link.order.get() {
                Order::GoOn => false,
                Order::Drain => link.busy.get(),
                Order::Finish => true,
                Order::Cut => return Poll::Ready(()),
            };
            if !finish || finishing {
                return Poll::Pending;
            }
            finishing = true;
            connection.as_mut().graceful_shutdown();
        }
    })
    .await;
}

/// Hands a request to the service, or refuses it if it is the one that the guard did not let pass.
async fn gate<S: Answers>(
    link: Rc<Link>,
    request: Request<Incoming>,
    service: &S,
) -> Result<hyper::Response<Tracked>, Infallible> {
    let ordinal = link.begin();
    let mut answer = None;
    if link.fault_of(ordinal).is_none() {
        let (parts, body) = request.into_parts();
        let head = head_of(&parts);
        answer = Some(service.answer(&head, Intake::of(body)).await);
    }
    // A body may prove broken while the service reads it; then it cannot have acted on it.
    let response = match (link.fault_of(ordinal), answer) {
        (None, Some(response)) => response,
        (Some(fault), _) => refusal(fault),
        (None, None) => refusal(Fault::RequestLine),
    };
    Ok(written(response).map(|body| Tracked { body, link }))
}

/// What hyper has read, as the gateway reads it.
fn head_of(parts: &hyper::http::request::Parts) -> Head {
    let mut text = format!("{} {} HTTP/1.0\r\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        if matches!(name.as_str(), "connection" | "transfer-encoding") {
            continue;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    let bounds = HeadBounds {
        bytes: usize::MAX,
        fields: usize::MAX,
    };
    let mut head = Head::default();
    if head.read(&text, bounds).is_err() {
        head.clear();
    }
    head.keep(text.into());
    head
}

fn written(response: Response) -> hyper::Response<Body> {
    let mut out = hyper::Response::new(Body::Empty);
    *out.status_mut() = response.status();
    for (name, value) in response.content().fields() {
        let value = HeaderValue::from_static(value);
        out.headers_mut()
            .append(HeaderName::from_static(name), value);
    }
    for (name, value) in response.extras() {
        if let Ok(value) = HeaderValue::from_maybe_shared(value.clone()) {
            out.headers_mut()
                .append(HeaderName::from_static(name), value);
        }
    }
    out.map(|_| response.into_body())
}

fn refusal(fault: Fault) -> Response {
    tracing::debug!(?fault, "request refused: its framing is not sound");
    let reply = LocalReply::Framing(fault);
    let response = reply.into_response(Era::Modern, None, 0);
    response.with(CONNECTION.as_str(), "close")
}

impl Connections {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// One more second has gone by: connections whose clients are too slow are ended.
    pub(crate) fn sweep(&self) {
        let tick = self.tick.get().wrapping_add(1);
        self.tick.set(tick);
        self.links.borrow_mut().retain(|link| match link.upgrade() {
            Some(link) => {
                link.tell(link.judge(tick));
                true
            }
            None => false,
        });
    }

    /// The gateway stops: every connection's next response is its last one. Idle ones stay open
    /// for now, so that a request that is on its way is still answered.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.tell_all(Order::Drain);
    }

    /// Closes idle connections, and the others after their response.
    pub(crate) fn finish(&self) {
        self.tell_all(Order::Finish);
    }

    fn tell_all(&self, order: Order) {
        for link in self.links.borrow().iter().filter_map(Weak::upgrade) {
            link.tell(order);
        }
    }

    fn open(&self) -> Rc<Link> {
        let link = Rc::new(Link::new(Rc::clone(&self.tick)));
        if self.draining.get() {
            link.tell(Order::Drain);
        }
        self.links.borrow_mut().push(Rc::downgrade(&link));
        link
    }
}

impl Link {
    fn new(tick: Rc<Cell<u32>>) -> Self {
        let since = Cell::new(tick.get());
        Self {
            tick,
            calls: Cell::new(0),
            fault: Cell::new(None),
            busy: Cell::new(false),
            owes: Cell::new(Owes::Nothing),
            since,
            waiting: Cell::new(false),
            stalled: Cell::new(None),
            order: Cell::new(Order::GoOn),
            waker: RefCell::new(None),
        }
    }

    /// The guard refuses a request.
    pub(crate) fn refuse(&self, ordinal: u64, fault: Fault) {
        self.fault.set(Some((ordinal, fault)));
    }

    /// The guard has read something; this is what must come now.
    pub(crate) fn owes(&self, owes: Owes) {
        self.waiting.set(false);
        // The rest of a head has its deadline from its first byte on, a body from its last.
        if owes != Owes::Head || self.owes.get() != Owes::Head {
            self.since.set(self.tick.get());
        }
        self.owes.set(owes);
    }

    /// The guard wants to read, and nothing is there.
    pub(crate) fn waits_for_client(&self) {
        self.waiting.set(true);
    }

    /// The guard could, or could not, write something.
    pub(crate) fn wrote(&self, done: bool) {
        if done {
            self.stalled.set(None);
        } else if self.stalled.get().is_none() {
            self.stalled.set(Some(self.tick.get()));
        }
    }

    fn begin(&self) -> u64 {
        self.busy.set(true);
        let ordinal = self.calls.get() + 1;
        self.calls.set(ordinal);
        ordinal
    }

    fn fault_of(&self, ordinal: u64) -> Option<Fault> {
        let fault = self.fault.get().filter(|(refused, _)| *refused == ordinal);
        fault.map(|(_, fault)| fault)
    }

    fn end(&self) {
        self.busy.set(false);
        if self.owes.get() == Owes::Nothing {
            self.since.set(self.tick.get());
        }
    }

    /// Whether the client is too slow.
    fn judge(&self, tick: u32) -> Order {
        let more_than = |since: u32, seconds: u32| tick.wrapping_sub(since) > seconds;
        let since = self.since.get();
        let (waiting, busy) = (self.waiting.get(), self.busy.get());
        let stalled = self.stalled.get();
        if stalled.is_some_and(|since| more_than(since, STALLED_SECONDS)) {
            return Order::Cut;
        }
        match self.owes.get() {
            Owes::End if more_than(since, END_SECONDS) => Order::Cut,
            Owes::Body if waiting && more_than(since, BODY_SECONDS) => Order::Cut,
            Owes::Head if waiting && !busy && more_than(since, HEAD_SECONDS) => Order::Cut,
            Owes::Nothing if !busy && more_than(since, IDLE_SECONDS) => Order::Finish,
            Owes::End | Owes::Body | Owes::Head | Owes::Nothing => Order::GoOn,
        }
    }

    fn tell(&self, order: Order) {
        if order > self.order.get() {
            self.order.set(order);
            if let Some(waker) = self.waker.borrow().as_ref() {
                waker.wake_by_ref();
            }
        }
    }

    /// Keeps the waker of the connection's task, for [`Link::tell`].
    fn listen(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match waker.as_mut() {
            Some(waker) => waker.clone_from(context.waker()),
            None => *waker = Some(context.waker().clone()),
        }
    }
}

/// A response body that tells its connection when it is through, or given up.
struct Tracked {
    body: Body,
    link: Rc<Link>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.link.end();
    }
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = &mut self.get_mut().body;
        if let Body::Stream(frames) = body {
            return frames
                .poll(context)
                .map(|frame| frame.map(|bytes| Ok(Frame::data(bytes))));
        }
        let whole = std::mem::replace(body, Body::Empty).into_whole();
        Poll::Ready((!whole.is_empty()).then(|| Ok(Frame::data(whole.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.length() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.body.length();
        length.map_or_else(SizeHint::default, |length| {
            SizeHint::with_exact(length as u64)
        })
    }
}

#[cfg(test)]
mod tests;
