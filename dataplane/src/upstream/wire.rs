//! One HTTP exchange with an upstream: request in, head and body out.
//!
//! Owns connecting, the choice of a connection, and what a lost connection means for a request.
//! Does not know JSON-RPC: `http` does. Heads are `head`'s, bodies are `body`'s. Everything is
//! polled by the caller's own task: a call costs no task switch and no channel
//! (`docs/decisions/0016-upstream-leg.md`).

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http::StatusCode;
use http::{HeaderName, HeaderValue};
use mcpc_plan::HttpTransport;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::body::Body;
use super::head::{self, Head, Kind, Preamble, Request};
use super::lease::Lease;
use super::pool;
use crate::failure::Failure;
use crate::reach::{Dialed, Reach, Target};
use crate::shortage;

/// The most interim responses (1xx) in front of an answer.
const INTERIM_MAX: u32 = 8;

/// Sites are numbered, so that a thread's pool can tell them apart without text.
static SITES: AtomicU64 = AtomicU64::new(0);

/// Where one upstream's requests go, and what they all carry.
pub(super) struct Site {
    number: u64,
    target: Target,
    preamble: Preamble,
    reach: Arc<dyn Reach>,
    closing: watch::Sender<bool>,
}

/// A response whose body is still to be read.
pub(super) struct Exchange {
    pub(super) status: StatusCode,
    pub(super) kind: Kind,
    pub(super) session_id: Option<Box<[u8]>>,
    pub(super) body: Body,
}

/// Why there is no response.
enum Lost {
    /// Nothing of the request was written, so sending it again cannot execute it twice.
    Unsent,
    /// Something was.
    Failed(Failure),
}

impl Site {
    /// A site; nothing if its path or authority cannot stand in a request.
    pub(super) fn new(
        transport: &HttpTransport,
        secrets: &[(HeaderName, HeaderValue)],
        reach: Arc<dyn Reach>,
    ) -> Option<Self> {
        Some(Self {
            number: SITES.fetch_add(1, Ordering::Relaxed),
            target: Target::of(transport),
            preamble: Preamble::new(transport, secrets)?,
            reach,
            closing: watch::Sender::new(false),
        })
    }

    /// What every request carries.
    pub(super) fn preamble(&self) -> &Preamble {
        &self.preamble
    }

    /// Where it is.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Closes all connections, also those in the pools of other threads.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Sends a request and waits for the head of its response. `connect_by` bounds only the making
    /// of a connection; the caller bounds the whole.
    pub(super) async fn exchange(
        &self,
        request: Request,
        connect_by: Instant,
    ) -> Result<Exchange, Failure> {
        if let Some(lease) = pool::checkout(self.number).await {
            match converse(lease, &request).await {
                Ok(exchange) => return Ok(exchange),
                // The upstream closed the connection while it was idle.
                Err(Lost::Unsent) => {}
                Err(Lost::Failed(failure)) => return Err(failure),
            }
        }
        // Rare, and larger than everything else in here.
        let lease = Box::pin(self.connect(connect_by)).await?;
        converse(lease, &request).await.map_err(|lost| match lost {
            Lost::Unsent => Failure::Unreachable,
            Lost::Failed(failure) => failure,
        })
    }

    async fn connect(&self, connect_by: Instant) -> Result<Lease, Failure> {
        let stream = timeout_at(connect_by, self.reach.connect(&self.target))
            .await
            .map_err(|_| Failure::ConnectTimeout)?
            .map_err(|error| {
                // The one place that knows the reason: refused, no such host, no trusted certificate.
                tracing::debug!(host = %self.target.host, port = self.target.port, %error, "no connection");
                shortage::of_descriptors(&error).unwrap_or(Failure::Unreachable)
            })?;
        Ok(Lease::new(stream, self.number, self.closing.subscribe()))
    }
}

/// One exchange over a connection that is nobody's else, before or after.
pub(super) async fn once(
    stream: Box<dyn Dialed>,
    request: Request,
    closing: watch::Receiver<bool>,
) -> Result<Exchange, Failure> {
    let number = SITES.fetch_add(1, Ordering::Relaxed);
    let exchange = converse(Lease::new(stream, number, closing), &request).await;
    exchange.map_err(|lost| match lost {
        Lost::Unsent => Failure::Closed,
        Lost::Failed(failure) => failure,
    })
}

/// Writes a request and reads the head of its response. Dropped half-way, it closes the connection.
async fn converse(mut lease: Lease, request: &Request) -> Result<Exchange, Lost> {
    let mut progress = Progress::default();
    let head = poll_fn(|context| progress.poll(context, &mut lease, request)).await?;
    let keeps = head.keeps && progress.is_written(request);
    Ok(Exchange {
        status: head.status,
        kind: head.kind,
        session_id: head.session_id,
        body: Body::new(lease, head.length, keeps),
    })
}

/// How far a conversation has come.
#[derive(Default)]
struct Progress {
    written: usize,
    is_flushed: bool,
    /// The upstream takes no more bytes, but may have said why.
    is_deaf: bool,
    interim: u32,
}

impl Progress {
    fn is_written(&self, request: &Request) -> bool {
        self.written == request.len()
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        lease: &mut Lease,
        request: &Request,
    ) -> Poll<Result<Head, Lost>> {
        // An upstream may answer before it has read all: so the answer is looked for in any case,
        // and neither side waits for the other for ever.
        self.write(context, lease, request)?;
        loop {
            let read = ready!(lease.poll_more(context));
            if !matches!(read, Ok(1..)) {
                return Poll::Ready(Err(if self.written == 0 {
                    Lost::Unsent
                } else {
                    Lost::Failed(Failure::Closed)
                }));
            }
            while let Some((head, length)) = head::read(&lease.buffer).map_err(Lost::Failed)? {
                lease.buffer.advance(length);
                if !head.status.is_informational() {
                    return Poll::Ready(Ok(head));
                }
                self.interim += 1;
                // Nobody asked for another protocol.
                if head.status == StatusCode::SWITCHING_PROTOCOLS || self.interim > INTERIM_MAX {
                    return Poll::Ready(Err(Lost::Failed(Failure::Garbage)));
                }
            }
        }
    }

    fn write(
        &mut self,
        context: &mut Context<'_>,
        lease: &mut Lease,
        request: &Request,
    ) -> Result<(), Lost> {
        while !self.is_deaf && !self.is_written(request) {
            let (head, body) = request.rest(self.written);
            match lease.poll_write(context, head, body) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(written @ 1..)) => self.written += written,
                Poll::Ready(_) if self.written == 0 => return Err(Lost::Unsent),
                Poll::Ready(_) => self.is_deaf = true,
            }
        }
        if !self.is_deaf && !self.is_flushed {
            match lease.poll_flush(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.is_flushed = true,
                Poll::Ready(Err(_)) => self.is_deaf = true,
            }
        }
        Ok(())
    }
}
