//! What an upstream is told when nobody waits for an answer any more.
//!
//! Owns the decision whether and how a call is cancelled. A modern upstream over HTTP needs no
//! message: the closed connection says it (2026-07-28 §Cancellation). Everyone else is sent
//! `notifications/cancelled` with the gateway's own id, from the keeper, so that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Line, Session, Upstream};
use crate::call::Leave;
use crate::failure::Failure;
use crate::message::write_response_head;

/// How long the telling may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Cancels its call when it is dropped, unless the call has ended or its caller's departure means
/// nothing.
pub(super) struct Farewell {
    upstream: Arc<Upstream>,
    session: Arc<Session>,
    id: u64,
    leave: Leave,
    is_armed: bool,
    /// The caller has left, and the call goes on.
    is_left: bool,
}

impl Farewell {
    pub(super) fn new(
        upstream: &Arc<Upstream>,
        session: &Arc<Session>,
        id: u64,
        leave: Leave,
    ) -> Self {
        Self {
            upstream: Arc::clone(upstream),
            session: Arc::clone(session),
            id,
            leave,
            is_armed: true,
            is_left: false,
        }
    }

    pub(super) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    pub(super) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Whether the upstream would take a closed connection for a cancellation.
    pub(super) fn is_by_closing(&self) -> bool {
        self.session.is_told_by_closing()
    }

    /// Whether the call shall go on without its caller, who is about to leave.
    pub(super) fn goes_on(&self) -> bool {
        self.is_armed && !self.is_left && !self.leave.cancels()
    }

    /// Hands the call over to those who see it out. Its client can still cancel it.
    pub(super) fn leave(&mut self) -> Self {
        self.disarm();
        if let Some(flight) = self.leave.flight() {
            flight.leave();
        }
        Self {
            upstream: Arc::clone(&self.upstream),
            session: Arc::clone(&self.session),
            leave: self.leave.clone(),
            is_armed: true,
            is_left: true,
            ..*self
        }
    }

    /// Whether the caller can leave for a while and come back.
    pub(super) fn returns(&self) -> bool {
        matches!(self.leave, Leave::Returns(_))
    }

    /// What it means that its caller leaves.
    pub(super) fn leave_of(&self) -> Leave {
        self.leave.clone()
    }

    /// The call has ended.
    pub(super) fn disarm(&mut self) {
        self.is_armed = false;
    }

    /// The call failed. If the upstream may still be working on it, it is told to stop.
    pub(super) fn on_failure(&mut self, failure: Failure) {
        match failure {
            Failure::FirstByteTimeout
            | Failure::IdleTimeout
            | Failure::TotalTimeout
            | Failure::TooLarge => self.cancel(),
            _ => self.disarm(),
        }
    }

    /// Tells the upstream to stop, whatever the caller's departure means.
    pub(super) fn cancel(&mut self) {
        if !std::mem::replace(&mut self.is_armed, false) || self.is_by_closing() {
            return;
        }
        let message = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{}}}}}",
            self.id
        );
        let session = Arc::clone(&self.session);
        self.upstream.keeper.errand(async move {
            session.tell(message.into()).await;
        });
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if self.leave.cancels() {
            self.cancel();
        }
        if let Some(flight) = self.leave.flight().filter(|_| self.is_left) {
            flight.end();
        }
    }
}

impl Session {
    /// Sends a message that expects no answer. Best effort: there is nobody to report to.
    pub(super) async fn tell(&self, message: Vec<u8>) {
        match &self.line {
            Line::Http(http) => {
                let _status = http.tell(message, Instant::now() + PATIENCE).await;
            }
            Line::Stdio(link) => {
                let deadline = Instant::now() + PATIENCE;
                let _written = link.write(message, deadline).await;
            }
        }
    }

    /// Answers a request of the upstream.
    pub(super) async fn answer(&self, id: &[u8], method: &[u8]) {
        self.tell(answer_to(id, method)).await;
    }
}

/// The answer to a request of an upstream. `ping` is answered here; nothing else can be carried to
/// a client, and the gateway declared no capability that would allow it.
pub(super) fn answer_to(id: &[u8], method: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    if method == b"ping" {
        write_response_head(&mut message, Some(id), "result");
        message.extend_from_slice(b"{}}");
    } else {
        write_response_head(&mut message, Some(id), "error");
        message.extend_from_slice(b"{\"code\":-32601,\"message\":\"method not found\"}}");
    }
    message
}
