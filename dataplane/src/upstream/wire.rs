//! One HTTP exchange with an upstream: request in, head and body stream out.
//!
//! Owns connecting, the choice of a connection, and what is believed of a response's framing and
//! size. Does not know JSON-RPC: `http` does. The rest of the crate sees hyper's client only here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    TRANSFER_ENCODING, USER_AGENT,
};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use mcpc_plan::HttpTransport;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::pool::{self, Lease};
use crate::failure::Failure;
use crate::reach::{Reach, Target};

/// The most bytes of an upstream's response head.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Sites are numbered, so that a thread's pool can tell them apart without text.
static SITES: AtomicU64 = AtomicU64::new(0);

/// Where one upstream's requests go, and what they all carry.
pub(super) struct Site {
    number: u64,
    alive: Arc<()>,
    target: Target,
    path: Uri,
    base: HeaderMap,
    reach: Arc<dyn Reach>,
    closing: watch::Sender<bool>,
}

/// What a response's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Events,
    Other,
}

/// A response whose body is still to be read.
pub(super) struct Exchange {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Incoming,
    pub(super) lease: Lease,
}

impl Site {
    /// A site; nothing if its path or authority cannot stand in a request.
    pub(super) fn new(
        transport: &HttpTransport,
        secrets: Vec<(HeaderName, HeaderValue)>,
        reach: Arc<dyn Reach>,
    ) -> Option<Self> {
        let mut base = HeaderMap::with_capacity(secrets.len() + 12);
        base.insert(HOST, HeaderValue::from_str(&transport.authority).ok()?);
        base.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        base.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        base.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("mcpc/", env!("CARGO_PKG_VERSION"))),
        );
        base.extend(secrets);
        Some(Self {
            number: SITES.fetch_add(1, Ordering::Relaxed),
            alive: Arc::new(()),
            target: Target {
                scheme: transport.scheme,
                host: transport.host.clone(),
                port: transport.port,
            },
            path: Uri::try_from(transport.path.as_ref()).ok()?,
            base,
            reach,
            closing: watch::Sender::new(false),
        })
    }

    /// The headers that every request carries.
    pub(super) fn base(&self) -> &HeaderMap {
        &self.base
    }

    /// Closes all connections, also those in the pools of other threads.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Sends a request and waits for the head of its response. `connect_by` bounds only the making
    /// of a connection; the caller bounds the whole.
    pub(super) async fn exchange(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
        connect_by: Instant,
    ) -> Result<Exchange, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        if let Some(mut lease) = pool::checkout(self.number).await {
            match lease.sender.try_send_request(request).await {
                Ok(response) => return Exchange::read_head(response, lease),
                // The upstream closed the connection while it was idle. The request comes back only
                // if nothing of it was written, so sending it again cannot execute it twice.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failure_of(error.error())),
                },
            }
        }
        // Rare, and larger than everything else in here.
        let mut lease = Box::pin(self.connect(connect_by)).await?;
        match lease.sender.try_send_request(request).await {
            Ok(response) => Exchange::read_head(response, lease),
            Err(error) if error.message().is_some() => Err(Failure::Unreachable),
            Err(error) => Err(failure_of(error.error())),
        }
    }

    async fn connect(&self, connect_by: Instant) -> Result<Lease, Failure> {
        let stream = timeout_at(connect_by, self.reach.connect(&self.target))
            .await
            .map_err(|_| Failure::ConnectTimeout)?
            .map_err(|error| {
                // The one place that knows the reason: refused, no such host, no trusted certificate.
                tracing::debug!(host = %self.target.host, port = self.target.port, %error, "no connection");
                Failure::Unreachable
            })?;
        let (sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| Failure::Unreachable)?;
        let mut closing = self.closing.subscribe();
        // Owned by the lease: dropping that aborts the task. A plain spawn suffices, because every
        // runtime here has one thread.
        let task = tokio::spawn(async move {
            tokio::select! {
                _ended = connection => {}
                _closing = closing.wait_for(|closing| *closing) => {}
            }
        });
        Ok(Lease::new(
            sender,
            task.abort_handle(),
            self.number,
            &self.alive,
        ))
    }
}

fn failure_of(error: &hyper::Error) -> Failure {
    if error.is_parse() || error.is_parse_too_large() {
        Failure::Garbage
    } else {
        Failure::Closed
    }
}

impl Exchange {
    /// Believes a response only if its framing has one meaning (RFC 9112 §6.3).
    fn read_head(response: hyper::Response<Incoming>, lease: Lease) -> Result<Self, Failure> {
        let (head, body) = response.into_parts();
        let mut encodings = head.headers.get_all(TRANSFER_ENCODING).iter();
        if let Some(encoding) = encodings.next() {
            let is_plain = encoding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && encodings.next().is_none()
                && !head.headers.contains_key(CONTENT_LENGTH);
            if !is_plain {
                return Err(Failure::Garbage);
            }
        }
        Ok(Self {
            status: head.status,
            headers: head.headers,
            body,
            lease,
        })
    }

    /// What the body is, by its media type.
    pub(super) fn kind(&self) -> Kind {
        let value = self.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let essence = value
            .and_then(|value| value.split(|byte| *byte == b';').next())
            .map(<[u8]>::trim_ascii)
            .unwrap_or_default();
        if essence.eq_ignore_ascii_case(b"application/json") {
            Kind::Json
        } else if essence.eq_ignore_ascii_case(b"text/event-stream") {
            Kind::Events
        } else {
            Kind::Other
        }
    }

    /// The whole body. One chunk stays as it is; several are joined in a buffer of the announced
    /// size. The connection goes back to the pool.
    pub(super) async fn collect(
        mut self,
        bytes_max: usize,
        idle: Duration,
        deadline: Instant,
    ) -> Result<Bytes, Failure> {
        let announced = self.body.size_hint().lower();
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > bytes_max {
            return Err(Failure::TooLarge);
        }
        let first = next_chunk(&mut self.body, idle, deadline).await?;
        let first = first.unwrap_or_default();
        if first.len() > bytes_max {
            return Err(Failure::TooLarge);
        }
        if self.body.is_end_stream() {
            self.lease.give_back(None);
            return Ok(first);
        }
        let mut whole = Joined::One(first);
        while let Some(chunk) = next_chunk(&mut self.body, idle, deadline).await? {
            whole = whole.and(&chunk, announced);
            if whole.len() > bytes_max {
                return Err(Failure::TooLarge);
            }
            if self.body.is_end_stream() {
                break;
            }
        }
        self.lease.give_back(None);
        Ok(whole.into_bytes())
    }
}

/// Chunks so far: copied only when there is a second one.
enum Joined {
    One(Bytes),
    Many(BytesMut),
}

impl Joined {
    fn and(self, chunk: &[u8], announced: usize) -> Self {
        let mut joined = match self {
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity(announced.max(first.len() + chunk.len()));
                joined.extend_from_slice(&first);
                joined
            }
            Self::Many(joined) => joined,
        };
        joined.extend_from_slice(chunk);
        Self::Many(joined)
    }

    fn len(&self) -> usize {
        match self {
            Self::One(bytes) => bytes.len(),
            Self::Many(bytes) => bytes.len(),
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes.freeze(),
        }
    }
}

/// The next bytes of a body; nothing at its end. A timer is armed only if nothing is there yet.
pub(super) async fn next_chunk(
    body: &mut Incoming,
    idle: Duration,
    deadline: Instant,
) -> Result<Option<Bytes>, Failure> {
    loop {
        let idle_end = Instant::now() + idle;
        let frame = timeout_at(idle_end.min(deadline), body.frame())
            .await
            .map_err(|_| {
                if idle_end < deadline {
                    Failure::IdleTimeout
                } else {
                    Failure::TotalTimeout
                }
            })?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => return Err(Failure::Closed),
            // Trailers carry nothing that an MCP message needs.
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(Some(data));
                }
            }
        }
    }
}
