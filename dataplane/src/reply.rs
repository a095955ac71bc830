//! Every reply that the data plane makes itself, in one table: HTTP status, JSON-RPC code, own code,
//! whose fault it is, and whether the caller may safely try again.
//!
//! Replies are built from codes and fixed texts, never from configuration values or secrets.
//! Statuses follow 2026-07-28 (Transports §Error handling) and 2025-11-25 for legacy clients.

mod rows;

use bytes::Bytes;
use http::StatusCode;

use crate::ask::kind::write_capabilities;
use crate::body::Body;
use crate::call::Era;
use crate::failure::Failure;
use crate::json;
use crate::message::write_response_head;
use crate::params::MODERN_REVISION;
use crate::server::Response;
use crate::server::fault::Fault as Misframed;
use crate::session::{Asks, Revision};
use rows::{
    HEADER_MISMATCH, METHOD_NOT_FOUND, PARSE_ERROR, RESOURCE_NOT_FOUND, VERSION_UNSUPPORTED,
    ask_row, client, cut_off_row, failure_row, framing_row, full, gateway, ill_row, misfit,
    not_acceptable, refused, shed_row, watch_row,
};

/// A reply that no upstream made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LocalReply {
    /// No endpoint has this path.
    NoSuchPath,
    /// The endpoint does not answer this HTTP method.
    MethodNotAllowed {
        /// Those that it would answer.
        allow: &'static str,
    },
    /// `Host` is missing or malformed.
    BadHost,
    /// `Host` and the target name different hosts.
    TwoHosts,
    /// `Host` is not one that the plan accepts.
    ForeignHost,
    /// `Origin` is not one that the plan accepts.
    ForeignOrigin,
    /// The body is larger than the plan allows.
    BodyTooLarge,
    /// The body ended early or took too long.
    BodyCut,
    /// The body is not `application/json`.
    UnsupportedMediaType,
    /// The client accepts neither JSON nor an event stream.
    NotAcceptable,
    /// The body is not JSON.
    NotJson,
    /// The body is not a JSON-RPC message.
    NotMessage,
    /// A message is ill-formed in a way that has a text of its own.
    Ill(Ill),
    /// The body is a batch.
    Batch,
    /// The params are not what the method needs.
    BadParams,
    /// A header and the body do not say the same.
    HeaderMismatch,
    /// The revision is not one that the gateway speaks.
    VersionUnsupported {
        /// What the client asked for.
        requested: String,
    },
    /// `_meta` lacks a field that every request needs.
    MetaMissing,
    /// There is no such method, or none for this era.
    UnknownMethod,
    /// No upstream of this endpoint exposes this tool.
    UnknownTool,
    /// No upstream of this endpoint exposes this prompt.
    UnknownPrompt,
    /// No upstream of this endpoint exposes this resource.
    UnknownResource {
        /// The URI that was asked for.
        uri: String,
    },
    /// The cursor was not made by this gateway.
    BadCursor,
    /// What is asked of a client, or what it answers, does not get there.
    Ask(AskFault),
    /// A resource cannot be subscribed to.
    Watch(WatchFault),
    /// There is no such session, or no longer.
    SessionUnknown,
    /// The request needs a session.
    SessionRequired,
    /// There are as many sessions as the plan allows.
    SessionsFull,
    /// There are as many notification streams as the plan allows.
    StreamsFull,
    /// A client comes back for a stream that it has not, or that is not kept any more.
    EventUnknown,
    /// A request with this id is in flight in this session.
    DuplicateId,
    /// There are as many requests in flight on one channel as there may be.
    ChannelFull,
    /// The request's framing could be read in two ways, or is larger than the plan allows.
    Framing(Misframed),
    /// The gateway is under pressure.
    Shed(Shed),
    /// The gateway stops, and the grace of the call is over; and how that ended it, which says whether its server has it.
    CutOff(Failure),
    /// The gateway is stopping.
    Stopping,
    /// The upstream gave no answer.
    Upstream(Failure),
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ill {
    /// It is nested deeper than the plan allows.
    TooDeep,
    /// Its params are a list.
    Listed,
    /// A batch is empty, or holds more messages than it may.
    BatchSize,
    /// `initialize` is part of a batch.
    BatchedGreeting,
    /// `initialize` lacks what a session cannot begin without, or says it in another type.
    Greeting,
}

/// Why a question to a modern client, or its answer, does not get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskFault {
    /// A server needs a capability that the client did not declare.
    CapabilityMissing {
        /// What it needs.
        required: Asks,
    },
    /// A `requestState` was not given out by this gateway, or was altered.
    StateUnknown,
    /// A `requestState` was given out for another request.
    StateForeign,
    /// A `requestState` is too old.
    StateExpired,
    /// The call that waited for the client has ended.
    ParkedGone,
    /// As many calls wait for their clients as may.
    ParkedFull,
}

/// What the gateway gives up under pressure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shed {
    /// A new session.
    Session,
    /// A new call.
    Call,
}

/// After how many seconds somebody whom the gateway has no room for may come back.
const COME_BACK_SECONDS: u32 = 1;

/// Why a resource cannot be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchFault {
    /// Its server does not tell when it is updated, or cannot reach the gateway with it.
    Unable,
    /// There are as many subscriptions as there may be, of this client or of all.
    Full,
}

/// Who has to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request.
    Client,
    /// The server behind the gateway.
    Upstream,
    /// The gateway or its load.
    Gateway,
}

/// What is known of a message when it is refused.
pub(crate) struct Refusable {
    pub(crate) era: Era,
    pub(crate) id: Option<Bytes>,
    pub(crate) correlation: u64,
}

impl Refusable {
    /// The reply as a message.
    pub(crate) fn message(&self, reply: &LocalReply) -> Bytes {
        reply.message(self.era, self.id.as_deref(), self.correlation)
    }
}

/// What goes out for a [`LocalReply`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// The HTTP status for a modern client.
    pub(crate) modern: u16,
    /// The HTTP status for a legacy client.
    pub(crate) legacy: u16,
    /// The JSON-RPC code.
    pub(crate) rpc: i32,
    /// The page: `MCPC9101`.
    pub(crate) code: &'static str,
    /// Whose fault it is.
    pub(crate) fault: Fault,
    /// Whether the same request may safely be sent again.
    pub(crate) retry: bool,
    /// The message.
    pub(crate) text: &'static str,
}

impl LocalReply {
    /// The row of the table.
    pub(crate) fn row(&self) -> Row {
        match self {
            Self::NoSuchPath => refused(404, "MCPC9001", "no endpoint has this path"),
            Self::MethodNotAllowed { .. } => refused(
                405,
                "MCPC9002",
                "this endpoint does not answer this HTTP method",
            ),
            Self::BadHost => refused(400, "MCPC9003", "the Host header is missing or malformed"),
            Self::TwoHosts => refused(400, "MCPC9003", "the target names another host than Host"),
            Self::ForeignHost => refused(403, "MCPC9004", "this Host is not accepted here"),
            Self::ForeignOrigin => refused(403, "MCPC9005", "this Origin is not accepted here"),
            Self::BodyTooLarge => refused(413, "MCPC9006", "the body is larger than accepted here"),
            Self::UnsupportedMediaType => {
                refused(415, "MCPC9007", "the body must be application/json")
            }
            Self::NotAcceptable => not_acceptable(),
            Self::BodyCut => refused(400, "MCPC9009", "the body ended before it was complete"),
            Self::NotJson => client(400, PARSE_ERROR, "MCPC9101", "the body is not valid JSON"),
            Self::NotMessage => refused(400, "MCPC9102", "the body is not a JSON-RPC 2.0 message"),
            Self::Ill(ill) => ill_row(*ill),
            Self::Batch => refused(400, "MCPC9103", "batches are not part of this revision"),
            Self::BadParams => Row {
                legacy: 200,
                ..misfit(400, "MCPC9104", "the params are not what this method needs")
            },
            Self::HeaderMismatch => client(
                400,
                HEADER_MISMATCH,
                "MCPC9105",
                "a header is missing or does not match the body",
            ),
            Self::VersionUnsupported { .. } => client(
                400,
                VERSION_UNSUPPORTED,
                "MCPC9106",
                "this protocol version is not supported",
            ),
            Self::MetaMissing => misfit(
                400,
                "MCPC9107",
                "a required field of params._meta is missing",
            ),
            Self::UnknownMethod => Row {
                legacy: 200,
                ..client(404, METHOD_NOT_FOUND, "MCPC9108", "there is no such method")
            },
            Self::UnknownTool => misfit(200, "MCPC9109", "there is no such tool"),
            Self::UnknownPrompt => misfit(200, "MCPC9110", "there is no such prompt"),
            Self::UnknownResource { .. } => misfit(200, "MCPC9111", "there is no such resource"),
            Self::BadCursor => misfit(200, "MCPC9112", "this cursor is not valid"),
            Self::Ask(fault) => ask_row(fault),
            Self::Watch(fault) => watch_row(*fault),
            Self::SessionRequired => refused(400, "MCPC9201", "this request needs a session"),
            Self::SessionUnknown => refused(404, "MCPC9202", "there is no such session"),
            Self::SessionsFull => gateway(503, "MCPC9203", "there are too many sessions"),
            Self::DuplicateId => refused(400, "MCPC9204", "a request with this id is in flight"),
            Self::StreamsFull => full("MCPC9205", "there are too many notification streams"),
            Self::EventUnknown => refused(400, "MCPC9210", "no stream goes on after this event"),
            Self::ChannelFull => gateway(503, "MCPC9207", "there are too many requests in flight"),
            Self::Framing(fault) => framing_row(*fault),
            Self::Shed(shed) => shed_row(*shed),
            Self::CutOff(failure) => cut_off_row(*failure),
            Self::Stopping => gateway(503, "MCPC9206", "the gateway is stopping"),
            Self::Upstream(failure) => failure_row(*failure),
        }
    }

    /// The reply as an HTTP response that carries a JSON-RPC error.
    pub(crate) fn into_response(self, era: Era, id: Option<&[u8]>, correlation: u64) -> Response {
        let row = self.row();
        let status = if era == Era::Modern {
            row.modern
        } else {
            row.legacy
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let response = Response::json(status, Body::whole(self.message(era, id, correlation)));
        match self {
            Self::MethodNotAllowed { allow } => response.with("allow", allow),
            reply => match reply.retry_after() {
                Some(seconds) => response.with("retry-after", seconds.to_string()),
                None => response,
            },
        }
    }

    /// After how many seconds the same request may fare better, if that is known.
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Upstream(
                Failure::Between(seconds)
                | Failure::CircuitOpen(seconds)
                | Failure::Degraded(seconds),
            ) => Some(*seconds),
            Self::Shed(_) | Self::SessionsFull => Some(COME_BACK_SECONDS),
            _ => None,
        }
    }

    /// The reply as one JSON-RPC message, for streams.
    pub(crate) fn message(&self, era: Era, id: Option<&[u8]>, correlation: u64) -> Bytes {
        let mut out = Vec::with_capacity(256);
        write_response_head(&mut out, id, "error");
        self.write_error(&mut out, era, correlation);
        out.push(b'}');
        out.into()
    }

    /// The reply as the result of a tool that has failed (2025-11-25 Tools §Error Handling).
    pub(crate) fn tool_result(&self, correlation: u64) -> Bytes {
        let row = self.row();
        format!(
            "{{\"content\":[{{\"type\":\"text\",\"text\":\"{} ({})\"}}],\"isError\":true,\
             \"_meta\":{{\"dev.mcpc/code\":\"{}\",\"dev.mcpc/correlation\":\"{correlation:016x}\"}}}}",
            row.text, row.code, row.code
        )
        .into()
    }

    /// Appends the error object.
    fn write_error(&self, out: &mut Vec<u8>, era: Era, correlation: u64) {
        let row = self.row();
        let rpc = match (self, era) {
            (Self::UnknownResource { .. }, Era::Legacy) => RESOURCE_NOT_FOUND,
            _ => row.rpc,
        };
        let head = format!(
            "{{\"code\":{rpc},\"message\":\"{}\",\"data\":{{\"code\":\"{}\",\"retry\":{},\"correlation\":\"{correlation:016x}\"",
            row.text, row.code, row.retry
        );
        out.extend_from_slice(head.as_bytes());
        match self {
            Self::VersionUnsupported { requested } => {
                // A stateless request can name the stateless revisions only. Who is not of their era is
                // told of both: it may begin a session, or none.
                out.extend_from_slice(b",\"supported\":");
                match era {
                    Era::Modern => out.extend_from_slice(b"[\"2026-07-28\"]"),
                    Era::Legacy => {
                        let latest_first = Revision::ALL.into_iter().rev();
                        let older = latest_first.map(Revision::as_str);
                        json::write_texts(out, [MODERN_REVISION].into_iter().chain(older));
                    }
                }
                out.extend_from_slice(b",\"requested\":");
                json::write_text(out, requested);
            }
            Self::UnknownResource { uri } => {
                out.extend_from_slice(b",\"uri\":");
                json::write_text(out, uri);
            }
            Self::Ask(AskFault::CapabilityMissing { required }) => {
                out.extend_from_slice(b",\"requiredCapabilities\":");
                write_capabilities(out, *required);
            }
            _ => {}
        }
        if let Some(seconds) = self.retry_after() {
            out.extend_from_slice(format!(",\"retryAfter\":{seconds}").as_bytes());
        }
        out.extend_from_slice(b"}}");
    }
}

impl Failure {
    /// The code that its callers get, and that the log and the status say.
    pub(crate) fn code(self) -> &'static str {
        failure_row(self).code
    }
}

impl From<Failure> for LocalReply {
    fn from(failure: Failure) -> Self {
        Self::Upstream(failure)
    }
}
