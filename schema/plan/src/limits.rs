//! The bounds of the data plane. They are in the plan so that none can be forgotten.

use serde::{Deserialize, Serialize};

/// Every bound that the data plane keeps. Invariant: none is zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes: u64,
    /// The largest single message from an upstream, in bytes.
    pub reply_bytes: u64,
    /// The largest head of a request, in bytes.
    pub head_bytes: u32,
    /// The most header fields of a request.
    pub headers: u32,
    /// The deepest nesting of a JSON message.
    pub nesting: u32,
    /// The most legacy sessions with state.
    pub sessions: u32,
    /// How long a legacy session may be idle, in milliseconds.
    pub session_idle_ms: u64,
    /// The most upstreams that sessions have to themselves, those of all servers together.
    #[serde(
        default = "Limits::default_private_upstreams",
        skip_serializing_if = "Limits::is_default_private_upstreams"
    )]
    pub private_upstreams: u32,
    /// The most processes that are starting at once.
    #[serde(
        default = "Limits::default_starts",
        skip_serializing_if = "Limits::is_default_starts"
    )]
    pub starts: u32,
    /// The most client connections.
    pub connections: u32,
    /// The most notification streams.
    pub streams: u32,
    /// The most pages that are drained from one upstream's list.
    pub list_pages: u32,
    /// The most entries that are taken from one upstream's list.
    pub list_items: u32,
    /// The most calls under way, those of all upstreams together.
    #[serde(
        default = "Limits::default_calls",
        skip_serializing_if = "Limits::is_default_calls"
    )]
    pub calls: u32,
    /// How much memory the gateway may hold before it gives things up, in bytes; absent: what its container
    /// may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// How long a peer's system may leave what is sent to it unacknowledged, in milliseconds.
    #[serde(
        default = "Limits::default_unacknowledged",
        skip_serializing_if = "Limits::is_default_unacknowledged"
    )]
    pub unacknowledged_ms: u64,
    /// How long in-flight work may go on when something is drained, in milliseconds.
    pub grace_ms: u64,
}

impl Limits {
    /// The largest request body that a plan may ask for, in bytes.
    pub const BODY_BYTES_MAX: u64 = 256 << 20;
    /// The largest single message from an upstream that a plan may ask for, in bytes.
    pub const REPLY_BYTES_MAX: u64 = 1 << 30;
    /// The least memory that a gateway may be held to, in bytes. An idle one holds about ten MiB, and with little less than all it
    /// takes no call.
    pub const MEMORY_BYTES_MIN: u64 = 16 << 20;
    /// How many upstreams sessions may have to themselves unless a plan says otherwise.
    pub const PRIVATE_UPSTREAMS: u32 = 256;
    /// How many processes may be starting at once unless a plan says otherwise.
    pub const STARTS: u32 = 4;

    /// How many calls may be under way unless a plan says otherwise.
    pub const CALLS: u32 = 10_000;
    /// How long a peer's system may be silent unless a plan says otherwise.
    pub const UNACKNOWLEDGED_MS: u64 = 30_000;

    fn default_calls() -> u32 {
        Self::CALLS
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a condition of serde takes a reference"
    )]
    fn is_default_calls(most: &u32) -> bool {
        *most == Self::CALLS
    }

    fn default_unacknowledged() -> u64 {
        Self::UNACKNOWLEDGED_MS
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a condition of serde takes a reference"
    )]
    fn is_default_unacknowledged(time_ms: &u64) -> bool {
        *time_ms == Self::UNACKNOWLEDGED_MS
    }

    fn default_private_upstreams() -> u32 {
        Self::PRIVATE_UPSTREAMS
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a condition of serde takes a reference"
    )]
    fn is_default_private_upstreams(most: &u32) -> bool {
        *most == Self::PRIVATE_UPSTREAMS
    }

    fn default_starts() -> u32 {
        Self::STARTS
    }

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a condition of serde takes a reference"
    )]
    fn is_default_starts(most: &u32) -> bool {
        *most == Self::STARTS
    }
}
