//! Opens a session with an HTTP upstream: finds out its era, negotiates, and reads its profile.
//!
//! Owns what proves an era (2026-07-28 §Backward Compatibility) and how long the proof is believed.
//! Does not decide when a session is opened: `keep` does. A child process and a server of 2024-11-05
//! have their own ways in `child` and `http_sse`, but share the messages.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use mcpc_plan::Timeouts;
use tokio::time::{Instant, timeout_at};

use super::Bounds;
use super::events::{HttpEvents, Step};
use super::head::{Draft, Kind, NotFieldValue, Request, Verb};
use super::http::{HttpSession, METHOD, PROTOCOL_VERSION, code_of, reply_of};
use super::revision::{self, LEGACY_REVISION};
use super::wire::Site;
use crate::ask::kind::DECLARED;
use crate::call::{Era, Event, Reply};
use crate::failure::Failure;
use crate::json;
use crate::params::{META_CAPABILITIES, META_CLIENT, META_VERSION, MODERN_REVISION};
use crate::profile::Profile;

/// How long a server is believed to be legacy without being asked again. A stale `modern` fails
/// loudly; a stale `legacy` would work silently for ever.
const LEGACY_BELIEVED_FOR: Duration = Duration::from_secs(600);

/// The most bytes of a body that is read only to use its connection again.
const IGNORED_BYTES_MAX: usize = 64 * 1024;

/// The id of the one request of a handshake; the calls of a session begin above it.
pub(super) const HANDSHAKE_ID: u64 = 0;

/// Which era a server was found to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) era: Era,
    until: Option<Instant>,
}

impl Verdict {
    pub(super) fn of(era: Era) -> Self {
        Self {
            era,
            until: (era == Era::Legacy).then(|| Instant::now() + LEGACY_BELIEVED_FOR),
        }
    }

    /// What is known once the handshake of the legacy era has succeeded. That proves nothing anew of a
    /// server that was not asked what else it speaks: it is believed no longer for it.
    pub(super) fn after_initialize(before: Option<Self>) -> Self {
        before
            .filter(|before| before.era == Era::Legacy && before.is_believed())
            .unwrap_or_else(|| Self::of(Era::Legacy))
    }

    pub(super) fn is_believed(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

/// The client that the gateway is towards upstreams.
fn client_info() -> String {
    format!(
        "{{\"name\":\"mcpc\",\"version\":\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    )
}

/// The `_meta` of the gateway's own modern requests.
pub(super) fn modern_meta() -> String {
    format!(
        "{{\"{META_VERSION}\":\"{MODERN_REVISION}\",\"{META_CAPABILITIES}\":{{}},\"{META_CLIENT}\":{}}}",
        client_info()
    )
}

/// The modern question: what are you?
pub(super) fn discover_message() -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{HANDSHAKE_ID},\"method\":\"server/discover\",\"params\":{{\"_meta\":{}}}}}",
        modern_meta()
    )
}

/// The legacy handshake, with the client capabilities that are declared.
pub(super) fn initialize_message(declared: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{HANDSHAKE_ID},\"method\":\"initialize\",\"params\":{{\"protocolVersion\":\"{LEGACY_REVISION}\",\"capabilities\":{declared},\"clientInfo\":{}}}}}",
        client_info()
    )
}

pub(super) const INITIALIZED: &[u8] =
    b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";

/// What a reply to `server/discover` proves.
pub(super) enum Proof {
    Modern(Profile),
    /// Modern, but without a revision that both speak.
    Foreign,
    /// Nothing of 2026-07-28: the legacy handshake decides.
    NotModern,
}

/// Judges a reply to `server/discover`. Never by one code alone: servers answer what they do not
/// understand in many ways.
pub(super) fn judge(reply: &Reply, is_not_found: bool, bounds: &Bounds) -> Proof {
    match reply {
        Reply::Result(result) => match revision::of_discover(result, bounds.nesting) {
            Some(profile) => Proof::Modern(profile),
            None if json::members_of(result, bounds.nesting, ["supportedVersions"])
                .is_some_and(|[versions]| versions.is_some()) =>
            {
                Proof::Foreign
            }
            None => Proof::NotModern,
        },
        Reply::Error(error) => match code_of(error) {
            Some(-32022..=-32020) => Proof::Foreign,
            Some(-32601) if is_not_found => Proof::Modern(revision::unknown_modern()),
            _ => Proof::NotModern,
        },
    }
}

/// Opens sessions with one site.
pub(super) struct HttpHandshake<'a> {
    pub(super) site: &'a Arc<Site>,
    pub(super) era: mcpc_plan::Era,
    pub(super) timeouts: &'a Timeouts,
    pub(super) bounds: &'a Bounds,
}

/// An answer to one of the gateway's own requests.
struct Asked {
    status: StatusCode,
    session_id: Option<Box<[u8]>>,
    reply: Result<Reply, Failure>,
}

impl HttpHandshake<'_> {
    /// Opens a session. `verdict` is what is known of the era from before, and after.
    pub(super) async fn open(
        &self,
        verdict: &mut Option<Verdict>,
    ) -> Result<(HttpSession, Profile), Failure> {
        let known = match self.era {
            mcpc_plan::Era::Modern => Some(Era::Modern),
            mcpc_plan::Era::Legacy => Some(Era::Legacy),
            mcpc_plan::Era::Auto => verdict
                .filter(Verdict::is_believed)
                .map(|verdict| verdict.era),
        };
        if known == Some(Era::Legacy) {
            let opened = self.initialize().await;
            match &opened {
                Ok(_) => {
                    *verdict = Some(Verdict::after_initialize(*verdict));
                    return opened;
                }
                Err(failure) => {
                    *verdict = None;
                    // A server that refuses the handshake it took before is one of another era now.
                    if self.era == mcpc_plan::Era::Legacy || !is_refusal(*failure) {
                        return opened;
                    }
                }
            }
        }
        if self.era != mcpc_plan::Era::Legacy {
            match self.discover().await? {
                Proof::Modern(profile) => {
                    *verdict = Some(Verdict::of(Era::Modern));
                    let site = Arc::clone(self.site);
                    let session = HttpSession::new(site, MODERN_REVISION, None);
                    return Ok((session.map_err(unusable)?, profile));
                }
                Proof::Foreign => return Err(Failure::Handshake),
                Proof::NotModern if self.era == mcpc_plan::Era::Modern => {
                    return Err(Failure::Handshake);
                }
                Proof::NotModern => {}
            }
        }
        let opened = self.initialize().await;
        *verdict = opened.is_ok().then(|| Verdict::of(Era::Legacy));
        opened
    }

    async fn discover(&self) -> Result<Proof, Failure> {
        let message = discover_message().into_bytes();
        let mut request = Draft::new(Verb::Post, self.site.preamble(), message);
        request
            .field(PROTOCOL_VERSION, MODERN_REVISION.as_bytes())
            .and_then(|()| request.field(METHOD, b"server/discover"))
            .map_err(unusable)?;
        let asked = self.ask(request).await?;
        match asked.reply {
            Ok(reply) => Ok(judge(
                &reply,
                asked.status == StatusCode::NOT_FOUND,
                self.bounds,
            )),
            // No answer in time proves nothing.
            Err(
                failure @ (Failure::FirstByteTimeout
                | Failure::IdleTimeout
                | Failure::TotalTimeout
                | Failure::Closed),
            ) => Err(failure),
            Err(_) => Ok(Proof::NotModern),
        }
    }

    async fn initialize(&self) -> Result<(HttpSession, Profile), Failure> {
        let message = initialize_message(DECLARED).into_bytes();
        let request = Draft::new(Verb::Post, self.site.preamble(), message);
        let asked = self.ask(request).await?;
        let result = match asked.reply? {
            Reply::Result(result) => result,
            Reply::Error(_) => return Err(Failure::Handshake),
        };
        let mut profile =
            revision::of_initialize(&result, self.bounds.nesting).ok_or(Failure::Handshake)?;
        let site = Arc::clone(self.site);
        let session_id = asked.session_id.as_deref();
        // A server without sessions does not know whom to tell.
        profile.subscribes &= session_id.is_some();
        let session = HttpSession::new(site, &profile.revision, session_id).map_err(unusable)?;
        let deadline = self.deadline();
        let status = session.tell(INITIALIZED.to_vec(), deadline).await?;
        if status.is_success() {
            Ok((session, profile))
        } else {
            Err(Failure::Handshake)
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.timeouts.first_byte_ms)
    }

    /// Sends one of the gateway's own requests. Fails where nothing can be concluded: no
    /// connection, refused credentials, a broken server.
    async fn ask(&self, request: Draft) -> Result<Asked, Failure> {
        let connect_by = Instant::now() + Duration::from_millis(self.timeouts.connect_ms);
        let deadline = self.deadline();
        let sent = self.site.exchange(request.end(), connect_by);
        let exchange = timeout_at(deadline, sent)
            .await
            .map_err(|_| Failure::FirstByteTimeout)??;
        let status = exchange.status;
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(Failure::Unauthorized);
        }
        if status.is_server_error() {
            return Err(Failure::Status(status.as_u16()));
        }
        let idle = Duration::from_millis(self.timeouts.idle_ms);
        let session_id = exchange.session_id.clone();
        let reply = match exchange.kind {
            Kind::Json => exchange
                .body
                .collect(self.bounds.reply_bytes, idle, deadline)
                .await
                .and_then(|body| reply_of(&body, status, HANDSHAKE_ID, self.bounds)),
            Kind::Events if status.is_success() => {
                let events = HttpEvents::open(exchange, HANDSHAKE_ID, self.bounds, idle, deadline);
                last_reply(events).await
            }
            Kind::Events | Kind::Other => Err(Failure::Status(status.as_u16())),
        };
        Ok(Asked {
            status,
            session_id,
            reply,
        })
    }
}

/// Whether a server has answered the handshake, and does not want it.
fn is_refusal(failure: Failure) -> bool {
    matches!(failure, Failure::Handshake | Failure::Status(_))
}

/// What the upstream calls its session or its revision cannot be said back to it.
fn unusable(_: NotFieldValue) -> Failure {
    Failure::Handshake
}

/// The reply at the end of a stream; what comes before it is nobody's.
async fn last_reply(mut events: HttpEvents) -> Result<Reply, Failure> {
    loop {
        if let Step::Event(Event::Done(reply)) = events.next().await? {
            events.finish();
            return Ok(reply);
        }
    }
}

impl HttpSession {
    /// Sends a message that expects no answer, within the session.
    pub(super) async fn tell(
        &self,
        message: Vec<u8>,
        deadline: Instant,
    ) -> Result<StatusCode, Failure> {
        self.send_and_ignore(Verb::Post, message, deadline).await
    }

    /// Ends the session, if the upstream gave it an id. Servers may refuse this.
    pub(super) async fn end(&self, deadline: Instant) {
        if self.has_id {
            let _status = self
                .send_and_ignore(Verb::Delete, Vec::new(), deadline)
                .await;
        }
    }

    async fn send_and_ignore(
        &self,
        verb: Verb,
        message: Vec<u8>,
        deadline: Instant,
    ) -> Result<StatusCode, Failure> {
        let request = Draft::new(verb, &self.preamble, message).end();
        self.exchange_and_ignore(request, deadline).await
    }

    /// Sends what expects no answer; answers the status all the same.
    pub(super) async fn exchange_and_ignore(
        &self,
        request: Request,
        deadline: Instant,
    ) -> Result<StatusCode, Failure> {
        let sent = self.site.exchange(request, deadline);
        let exchange = timeout_at(deadline, sent)
            .await
            .map_err(|_| Failure::FirstByteTimeout)??;
        let status = exchange.status;
        if exchange.kind != Kind::Events {
            let idle = deadline.saturating_duration_since(Instant::now());
            // Read only to use the connection again; what it says changes nothing.
            let _body = exchange
                .body
                .collect(IGNORED_BYTES_MAX, idle, deadline)
                .await;
        }
        Ok(status)
    }
}
