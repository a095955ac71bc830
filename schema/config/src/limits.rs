//! Bounds on what clients and servers may use.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Duration, Rate, Size};

/// Bounds on requests, replies and sessions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How many requests a caller may make in a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Vec<CallerRate>>,

    /// The largest request body. Default 4MiB, at most 256MiB.
    #[serde(default = "Limits::default_body")]
    pub body: Size,

    /// The largest single message from a server. Default 16MiB, at most 1GiB.
    #[serde(default = "Limits::default_reply")]
    pub reply: Size,

    /// How many legacy sessions may have state at once. Default 10000.
    #[serde(default = "Limits::default_sessions")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub sessions: u32,

    /// How long a legacy session may be idle before it ends. Default 1h.
    #[serde(default = "Limits::default_session_idle")]
    pub session_idle: Duration,

    /// How many servers sessions may have to themselves at once, those of all servers with `sharing: session`
    /// together. Default 256.
    #[serde(default = "Limits::default_session_servers")]
    #[schemars(range(min = 1, max = 100_000))]
    pub session_servers: u32,

    /// How many processes of servers may be starting at once; the next ones wait. Default 4.
    #[serde(default = "Limits::default_starts")]
    #[schemars(range(min = 1, max = 1024))]
    pub starts: u32,

    /// How many client connections may be open at once. Default 10000.
    #[serde(default = "Limits::default_connections")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections: u32,

    /// How many notification streams may be open at once. Default 4096.
    #[serde(default = "Limits::default_streams")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub streams: u32,

    /// How many calls may be under way at once, those of all servers together: new sessions are refused at 90% of
    /// them, new calls at 100%. Default 10000.
    #[serde(default = "Limits::default_calls")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub calls: u32,

    /// How much memory the gateway may hold: idle connections are closed at 80% of it, new sessions refused at
    /// 90%, new calls at 95%. Give it less than what the system ends it for. Default: what the
    /// gateway's container may hold, if it may not hold everything. At least 16MiB, of which an idle gateway holds
    /// about ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,

    /// How long the system of a client or a server may leave what is sent to it unacknowledged, until its
    /// connection is given up. Default 30s; less than 1s is 1s.
    #[serde(default = "Limits::default_unacknowledged")]
    pub unacknowledged: Duration,

    /// How long in-flight calls may go on when the gateway stops or a server leaves. Default 30s.
    #[serde(default = "Limits::default_grace")]
    pub grace: Duration,
}

impl Limits {
    fn default_body() -> Size {
        Size::from_bytes(4 << 20)
    }
    fn default_reply() -> Size {
        Size::from_bytes(16 << 20)
    }
    fn default_sessions() -> u32 {
        10_000
    }
    fn default_session_idle() -> Duration {
        Duration::from_ms(3_600_000)
    }
    fn default_session_servers() -> u32 {
        256
    }
    fn default_starts() -> u32 {
        4
    }
    fn default_connections() -> u32 {
        10_000
    }
    fn default_streams() -> u32 {
        4096
    }
    fn default_calls() -> u32 {
        10_000
    }
    fn default_unacknowledged() -> Duration {
        Duration::from_ms(30_000)
    }
    fn default_grace() -> Duration {
        Duration::from_ms(30_000)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests: None,
            body: Self::default_body(),
            reply: Self::default_reply(),
            sessions: Self::default_sessions(),
            session_idle: Self::default_session_idle(),
            session_servers: Self::default_session_servers(),
            starts: Self::default_starts(),
            connections: Self::default_connections(),
            streams: Self::default_streams(),
            calls: Self::default_calls(),
            memory: None,
            unacknowledged: Self::default_unacknowledged(),
            grace: Self::default_grace(),
        }
    }
}

/// A rate that each caller of a kind may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CallerRate {
    /// What counts as one caller.
    pub per: Per,
    /// The rate, for example `100/m`.
    pub rate: Rate,
    /// How many requests may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
}

/// What counts as one caller of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// All callers together.
    Global,
    /// One authenticated principal.
    Principal,
    /// One network address.
    Address,
    /// One session.
    Session,
    /// One endpoint.
    Endpoint,
}
