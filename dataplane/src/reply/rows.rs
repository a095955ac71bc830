//! The rows of the table of replies, as far as they are grouped, and the shapes that rows have.
//!
//! Owns status, codes and texts of faults that have a type of their own. Which reply has which row, and how it
//! is written, `reply` says.

use super::{AskFault, Fault, Ill, Misframed, Row, Shed, WatchFault};
use crate::failure::Failure;

pub(super) const PARSE_ERROR: i32 = -32700;
pub(super) const INVALID_REQUEST: i32 = -32600;
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
pub(super) const INVALID_PARAMS: i32 = -32602;
pub(super) const INTERNAL: i32 = -32603;
pub(super) const RESOURCE_NOT_FOUND: i32 = -32002;
pub(super) const HEADER_MISMATCH: i32 = -32020;
pub(super) const CAPABILITY_MISSING: i32 = -32021;
pub(super) const VERSION_UNSUPPORTED: i32 = -32022;

pub(super) const fn client(status: u16, rpc: i32, code: &'static str, text: &'static str) -> Row {
    Row {
        modern: status,
        legacy: status,
        rpc,
        code,
        fault: Fault::Client,
        retry: false,
        text,
    }
}

/// A request that is refused whatever its params are.
pub(super) const fn refused(status: u16, code: &'static str, text: &'static str) -> Row {
    client(status, INVALID_REQUEST, code, text)
}

/// Params that do not fit: they lack something, or name something that is not there.
pub(super) const fn misfit(status: u16, code: &'static str, text: &'static str) -> Row {
    client(status, INVALID_PARAMS, code, text)
}

pub(super) const fn gateway(status: u16, code: &'static str, text: &'static str) -> Row {
    Row {
        modern: status,
        legacy: status,
        rpc: INTERNAL,
        code,
        fault: Fault::Gateway,
        retry: true,
        text,
    }
}

/// There is no room for more of something.
pub(super) const fn full(code: &'static str, text: &'static str) -> Row {
    gateway(503, code, text)
}

/// Clients of both eras read a JSON-RPC error from 200; some give up on other statuses.
pub(super) const fn upstream(code: &'static str, retry: bool, text: &'static str) -> Row {
    Row {
        modern: 200,
        legacy: 200,
        rpc: INTERNAL,
        code,
        fault: Fault::Upstream,
        retry,
        text,
    }
}

/// Something that the gateway lacks for the moment. Nothing has reached the server.
pub(super) const fn short(code: &'static str, text: &'static str) -> Row {
    Row {
        fault: Fault::Gateway,
        ..upstream(code, true, text)
    }
}

/// A call that may have had its effect.
pub(super) const fn lost(code: &'static str, text: &'static str) -> Row {
    upstream(code, false, text)
}

pub(super) const fn not_acceptable() -> Row {
    let text = "the client must accept application/json and text/event-stream";
    refused(406, "MCPC9008", text)
}

pub(super) fn ill_row(ill: Ill) -> Row {
    match ill {
        Ill::TooDeep => client(
            400,
            PARSE_ERROR,
            "MCPC9101",
            "the body is nested deeper than this gateway reads",
        ),
        Ill::Listed => misfit(400, "MCPC9104", "the params must be an object"),
        Ill::BatchSize => refused(400, "MCPC9102", "a batch holds 1 to 64 messages"),
        Ill::BatchedGreeting => refused(400, "MCPC9102", "initialize cannot be part of a batch"),
        Ill::Greeting => Row {
            legacy: 200,
            ..misfit(
                400,
                "MCPC9104",
                "initialize needs a protocolVersion; capabilities and clientInfo are objects",
            )
        },
    }
}

pub(super) fn ask_row(fault: &AskFault) -> Row {
    match fault {
        AskFault::CapabilityMissing { .. } => client(
            400,
            CAPABILITY_MISSING,
            "MCPC9113",
            "the server needs a capability that the client did not declare",
        ),
        AskFault::StateUnknown => misfit(
            400,
            "MCPC9114",
            "this requestState was not given out here, or was altered",
        ),
        AskFault::StateForeign => misfit(
            400,
            "MCPC9115",
            "this requestState belongs to another request",
        ),
        AskFault::StateExpired => misfit(400, "MCPC9116", "this requestState is too old"),
        AskFault::ParkedGone => misfit(
            400,
            "MCPC9117",
            "the call that waited for this answer has ended",
        ),
        AskFault::ParkedFull => gateway(503, "MCPC9208", "too many calls wait for their clients"),
    }
}

pub(super) fn watch_row(fault: WatchFault) -> Row {
    match fault {
        WatchFault::Unable => misfit(
            200,
            "MCPC9118",
            "the server of this resource does not tell when it is updated",
        ),
        WatchFault::Full => full("MCPC9209", "there are too many subscriptions"),
    }
}

/// The call may have had its effect, unless it waited for its server until the end.
pub(super) fn cut_off_row(failure: Failure) -> Row {
    Row {
        retry: failure_row(failure).retry,
        ..full(
            "MCPC9213",
            "the gateway stops, and the call was not finished in time",
        )
    }
}

pub(super) fn shed_row(shed: Shed) -> Row {
    match shed {
        Shed::Session => full(
            "MCPC9211",
            "the gateway is under pressure and begins no session",
        ),
        Shed::Call => full(
            "MCPC9212",
            "the gateway is under pressure and takes no call",
        ),
    }
}

pub(super) fn framing_row(fault: Misframed) -> Row {
    let refuse = |text| client(400, INVALID_REQUEST, "MCPC9010", text);
    match fault {
        Misframed::RequestLine => refuse("the request line is malformed"),
        Misframed::Version => refuse("the HTTP version is neither 1.0 nor 1.1"),
        Misframed::Connect => refuse("this gateway makes no tunnels"),
        Misframed::Upgrade => refuse("this gateway does not change protocols"),
        Misframed::LineEnd => refuse("a line of the request does not end with CR LF"),
        Misframed::Folded => refuse("a header field is continued on the next line"),
        Misframed::Field => refuse("a header field is malformed"),
        Misframed::HostMissing => refuse("the Host header is missing"),
        Misframed::HostTwice => refuse("the Host header stands twice"),
        Misframed::BothLengths => refuse("both Content-Length and Transfer-Encoding are given"),
        Misframed::ContentLength => refuse("Content-Length is not one plain number"),
        Misframed::TransferEncoding => refuse("Transfer-Encoding is not chunked alone"),
        Misframed::Chunk => refuse("a chunk of the body is malformed"),
        Misframed::ChunkExtension => refuse("the chunk extensions are too long"),
        Misframed::HeadTooLarge => client(
            431,
            INVALID_REQUEST,
            "MCPC9011",
            "the header fields are larger than this gateway accepts",
        ),
        Misframed::TooManyFields => client(
            431,
            INVALID_REQUEST,
            "MCPC9011",
            "there are more header fields than this gateway accepts",
        ),
    }
}

const TAKEN_AWAY: &str = "the server was taken out of use: the configuration has changed";

pub(super) fn failure_row(failure: Failure) -> Row {
    match failure {
        Failure::Unreachable | Failure::Between(_) => {
            upstream("MCPC9301", true, "the server cannot be reached")
        }
        Failure::ConnectTimeout => upstream(
            "MCPC9302",
            true,
            "the connection to the server did not stand in time",
        ),
        Failure::FirstByteTimeout => lost("MCPC9303", "the server did not begin to answer in time"),
        Failure::ListTimeout => {
            upstream("MCPC9322", true, "the server did not give its list in time")
        }
        Failure::IdleTimeout => lost("MCPC9304", "the server stopped in the middle of its answer"),
        Failure::TotalTimeout => lost("MCPC9305", "the call took longer than it may"),
        Failure::Closed => lost("MCPC9306", "the server went away before it had answered"),
        Failure::Garbage => lost("MCPC9307", "the server's answer is not an MCP message"),
        Failure::WrongId => lost(
            "MCPC9308",
            "the server answered a request that was not sent",
        ),
        Failure::TooLarge => lost(
            "MCPC9309",
            "the server's answer is larger than this gateway accepts",
        ),
        Failure::Status(_) => lost("MCPC9310", "the server answered with an HTTP error"),
        Failure::Unauthorized => lost("MCPC9311", "the server refused the gateway's credentials"),
        Failure::SessionLost => lost(
            "MCPC9312",
            "the server lost its session in the middle of the call",
        ),
        Failure::Handshake => upstream("MCPC9313", true, "the handshake with the server failed"),
        Failure::Degraded(_) => upstream(
            "MCPC9314",
            true,
            "the server ended too often and is not started again for now",
        ),
        Failure::CircuitOpen(_) => upstream("MCPC9320", true, "the server failed too often"),
        Failure::Overloaded => upstream("MCPC9315", true, "the server has too much to do"),
        Failure::AskRefused => lost(
            "MCPC9316",
            "the server asks for something that this client cannot be asked",
        ),
        Failure::AsksTooOften => lost("MCPC9319", "the server asks again and again"),
        Failure::Refused => lost("MCPC9318", "the server refused a request of the gateway"),
        Failure::NoDescriptor => short(
            "MCPC9615",
            "the gateway has no descriptor left to reach the server",
        ),
        Failure::SessionServersFull => short(
            "MCPC9330",
            "no further session can have a server of its own",
        ),
        Failure::NoProcess => short("MCPC9616", "the system does not start the server's process"),
        Failure::NotConfined => upstream(
            "MCPC9321",
            false,
            "the system cannot hold the server to its sandbox or its limits",
        ),
        Failure::Stopped => upstream("MCPC9317", true, TAKEN_AWAY),
        Failure::CutOff => lost("MCPC9317", TAKEN_AWAY),
    }
}
