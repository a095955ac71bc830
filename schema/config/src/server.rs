//! MCP servers: how each is reached, what of it is exposed, and how long it may take.
//!
//! A server has one of three shapes, told apart by the key that is present: `command`, `url` or
//! `replicas`. The schema dispatches on that key, so that an error names the exact mistake. How a
//! type is chosen by it is in `server/shape.rs`.

mod sandbox;
mod shape;
mod sharing;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

pub use sandbox::{Network, Sandbox};

use crate::scalar::{Duration, Glob, Percent, Secret, Size, Url};

pub use sharing::{SessionServers, Sharing};

/// An MCP server, by the shape in which it is written.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(
    clippy::large_enum_variant,
    reason = "most servers are the largest, and a configuration holds few"
)]
pub enum Server {
    /// A child process that speaks over standard input and output.
    Stdio(StdioServer),
    /// A server that is reached over HTTP.
    Http(HttpServer),
    /// Several interchangeable servers that are reached over HTTP.
    Replicated(ReplicatedServer),
}

impl Server {
    /// The keys that tell the shapes apart, in the order in which they are looked for.
    pub const SHAPES: [&'static str; 3] = ["command", "url", "replicas"];

    /// Which tools are exposed, and under which names.
    pub fn tools(&self) -> Option<&NameFilter> {
        match self {
            Self::Stdio(server) => server.tools.as_ref(),
            Self::Http(server) => server.tools.as_ref(),
            Self::Replicated(server) => server.tools.as_ref(),
        }
    }

    /// Which prompts are exposed, and under which names.
    pub fn prompts(&self) -> Option<&NameFilter> {
        match self {
            Self::Stdio(server) => server.prompts.as_ref(),
            Self::Http(server) => server.prompts.as_ref(),
            Self::Replicated(server) => server.prompts.as_ref(),
        }
    }

    /// Which resources are exposed.
    pub fn resources(&self) -> Option<&UriFilter> {
        match self {
            Self::Stdio(server) => server.resources.as_ref(),
            Self::Http(server) => server.resources.as_ref(),
            Self::Replicated(server) => server.resources.as_ref(),
        }
    }

    /// When to stop sending calls to it.
    pub fn breaker(&self) -> Option<&Breaker> {
        match self {
            Self::Stdio(server) => server.breaker.as_ref(),
            Self::Http(server) => server.breaker.as_ref(),
            Self::Replicated(server) => server.breaker.as_ref(),
        }
    }

    /// When to ask it whether it is there.
    pub fn health(&self) -> Option<&Health> {
        match self {
            Self::Stdio(server) => server.health.as_ref(),
            Self::Http(server) => server.health.as_ref(),
            Self::Replicated(server) => server.health.as_ref(),
        }
    }

    /// How often a safe call is tried again.
    pub fn retry(&self) -> Option<&Retry> {
        match self {
            Self::Stdio(server) => server.retry.as_ref(),
            Self::Http(server) => server.retry.as_ref(),
            Self::Replicated(server) => server.retry.as_ref(),
        }
    }

    /// How long a call may take.
    pub fn timeouts(&self) -> &Timeouts {
        match self {
            Self::Stdio(server) => &server.timeouts,
            Self::Http(server) => &server.timeouts,
            Self::Replicated(server) => &server.timeouts,
        }
    }
}

impl JsonSchema for Server {
    fn schema_name() -> Cow<'static, str> {
        "Server".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let stdio = generator.subschema_for::<StdioServer>();
        let http = generator.subschema_for::<HttpServer>();
        let replicated = generator.subschema_for::<ReplicatedServer>();
        json_schema!({
            "description": "An MCP server: a child process (`command`), a server reached over HTTP (`url`), or several of the same (`replicas`).",
            "type": "object",
            "if": { "type": "object", "required": ["command"] },
            "then": stdio,
            "else": {
                "if": { "type": "object", "required": ["url"] },
                "then": http,
                "else": {
                    "if": { "type": "object", "required": ["replicas"] },
                    "then": replicated,
                    "else": { "required": ["command"] }
                }
            }
        })
    }
}

/// A child process that speaks MCP over standard input and output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StdioServer {
    /// The program, looked up in `PATH`. There is no shell in between.
    #[schemars(length(min = 1, max = 4096))]
    pub command: String,
    /// Its arguments, each passed as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment, besides `PATH`, `HOME`, `LANG`, `TMPDIR`, `USER` and `SHELL`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$" }))]
    pub env: BTreeMap<String, Secret>,
    /// Its working directory. Absent: the gateway's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub cwd: Option<String>,
    /// Which revisions of the protocol it speaks. Default `auto`.
    #[serde(default)]
    pub era: Era,
    /// Whether clients share one process. Default `shared`.
    #[serde(default)]
    pub sharing: Sharing,
    /// How many sessions may have a process of their own, and for how long; for `sharing: session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<SessionServers>,
    /// What the process may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<ChildLimits>,
    /// What the process can reach. Absent: whatever the gateway's user can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// When and how the process starts.
    #[serde(default)]
    pub start: Start,
    /// What happens when the process ends by itself.
    #[serde(default)]
    pub restart: Restart,
    /// How long a call may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// When to stop sending calls to a server that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// When to ask the server whether it is there. Absent: only when calls have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How often a safe call is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Which tools are exposed, and under which names. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<NameFilter>,
    /// Which prompts are exposed, and under which names. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<NameFilter>,
    /// Which resources are exposed. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<UriFilter>,
}

/// A server that is reached over Streamable HTTP, or over the HTTP+SSE transport of 2024-11-05: which of
/// them it has is found out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpServer {
    /// Its MCP endpoint, for example `https://mcp.example.com/mcp`.
    pub url: Url,
    /// Headers that go with every request. Values are secrets: the plan holds their templates only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$" }))]
    pub headers: BTreeMap<String, Secret>,
    /// Which revisions of the protocol it speaks. Default `auto`.
    #[serde(default)]
    pub era: Era,
    /// How long a call may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// When to stop sending calls to a server that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// When to ask the server whether it is there. Absent: only when calls have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How often a safe call is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Which tools are exposed, and under which names. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<NameFilter>,
    /// Which prompts are exposed, and under which names. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<NameFilter>,
    /// Which resources are exposed. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<UriFilter>,
}

/// Several interchangeable servers that are reached over Streamable HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplicatedServer {
    /// The replicas.
    #[schemars(length(min = 1, max = 1024))]
    pub replicas: Vec<Replica>,
    /// Headers that go with every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("propertyNames" = { "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$" }))]
    pub headers: BTreeMap<String, Secret>,
    /// Which revisions of the protocol they speak. Default `auto`.
    #[serde(default)]
    pub era: Era,
    /// How a replica is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// When to stop sending calls to a replica that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// When to ask each replica whether it is there. Absent: only when calls have failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How often a safe call is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long a call may take.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Which tools are exposed, and under which names. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<NameFilter>,
    /// Which prompts are exposed, and under which names. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<NameFilter>,
    /// Which resources are exposed. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<UriFilter>,
}

/// One of several interchangeable servers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// Its MCP endpoint.
    pub url: Url,
    /// Its share of the calls. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub weight: Option<u32>,
    /// Used only when no other replica is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<bool>,
}

/// How a replica is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The less busy of two picked at random.
    LeastRequests,
    /// The same replica for the same session; for clients without one, in turn.
    Sticky,
}

/// Which revisions of the protocol a server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// Find out when the server is first reached.
    #[default]
    Auto,
    /// 2026-07-28 and later: no handshake, no session.
    Modern,
    /// 2025-11-25 and earlier: `initialize` and a session.
    Legacy,
}

/// What a child process may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChildLimits {
    /// The memory of its own, of each of its processes for itself; where the system has control groups for the
    /// gateway, also of all together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Open files and connections, of each of its processes for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8))]
    pub open_files: Option<u32>,
    /// Processes and threads, of all that it has started together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub processes: Option<u32>,
    /// Processor time, of all that it has started together, in percent of one core: 50 is half of one, 200 are
    /// two. Needs control groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub cpu_percent: Option<u32>,
}

/// When and how a child process starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// How long it may take until it answers its first message. Default 10s.
    #[serde(default = "Start::default_timeout")]
    pub timeout: Duration,
    /// Whether it starts with the gateway or with the first call. Default `eager`.
    #[serde(default)]
    pub when: StartWhen,
    /// How many processes are kept ready for sessions to come; for `sharing: session`. Default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub spares: u32,
    /// How many may be kept ready while many sessions begin: as many as began, a short time ago, while one process
    /// started. Absent: no more than `spares`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub spares_at_most: Option<u32>,
}

impl Start {
    fn default_timeout() -> Duration {
        Duration::from_ms(10_000)
    }
}

impl Default for Start {
    fn default() -> Self {
        Self {
            timeout: Self::default_timeout(),
            when: StartWhen::default(),
            spares: 0,
            spares_at_most: None,
        }
    }
}

/// Whether a process starts with the gateway or with the first call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartWhen {
    /// With the gateway.
    #[default]
    Eager,
    /// With the first call.
    Lazy,
}

/// What happens when a process ends by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// How many restarts there may be within the window. Default 10.
    #[serde(default = "Restart::default_at_most")]
    #[schemars(range(min = 0, max = 10_000))]
    pub at_most: u32,
    /// The window. Default 1h.
    #[serde(default = "Restart::default_within")]
    pub within: Duration,
    /// The pause before a restart, doubled each time.
    #[serde(default)]
    pub backoff: Backoff,
}

impl Restart {
    fn default_at_most() -> u32 {
        10
    }
    fn default_within() -> Duration {
        Duration::from_ms(3_600_000)
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            at_most: Self::default_at_most(),
            within: Self::default_within(),
            backoff: Backoff::default(),
        }
    }
}

/// A pause that doubles from one value to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backoff {
    /// The first pause. Default 200ms.
    #[serde(default = "Backoff::default_from")]
    pub from: Duration,
    /// The longest pause. Default 30s.
    #[serde(default = "Backoff::default_to")]
    pub to: Duration,
}

impl Backoff {
    fn default_from() -> Duration {
        Duration::from_ms(200)
    }
    fn default_to() -> Duration {
        Duration::from_ms(30_000)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            from: Self::default_from(),
            to: Self::default_to(),
        }
    }
}

/// How long the parts of a call may take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands. Default 5s.
    #[serde(default = "Timeouts::default_connect")]
    pub connect: Duration,
    /// Until the first byte of the answer. Default 60s.
    #[serde(default = "Timeouts::default_first_byte")]
    pub first_byte: Duration,
    /// Between two parts of an answer. Default 60s.
    #[serde(default = "Timeouts::default_idle")]
    pub idle: Duration,
    /// The whole call. Default 5m.
    #[serde(default = "Timeouts::default_total")]
    pub total: Duration,
    /// How long a list waits for this server's part before it goes on without it, the start of a process
    /// included; the greeting of a client waits half as long. Default 10s.
    #[serde(default = "Timeouts::default_list")]
    pub list: Duration,
}

impl Timeouts {
    fn default_connect() -> Duration {
        Duration::from_ms(5_000)
    }
    fn default_first_byte() -> Duration {
        Duration::from_ms(60_000)
    }
    fn default_idle() -> Duration {
        Duration::from_ms(60_000)
    }
    fn default_total() -> Duration {
        Duration::from_ms(300_000)
    }
    fn default_list() -> Duration {
        Duration::from_ms(10_000)
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Self::default_connect(),
            first_byte: Self::default_first_byte(),
            idle: Self::default_idle(),
            total: Self::default_total(),
            list: Self::default_list(),
        }
    }
}

/// When to stop sending calls to a server that fails.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// How many failures open it.
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
    /// The window in which they count.
    pub within: Duration,
    /// How long it stays open until the server is asked whether it is there.
    pub open_for: Duration,
    /// The longest it stays open: `open_for` doubles each time that it opens again. Absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for_at_most: Option<Duration>,
    /// The share of the replicas whose breakers may be open at once, though one always may. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_at_most: Option<Percent>,
}

/// When to ask a server whether it is there: `ping`, or `server/discover` from 2026-07-28 on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// How often it is asked. Default 10s.
    #[serde(default = "Health::default_every")]
    pub every: Duration,
    /// How long its answer may take. Default 2s.
    #[serde(default = "Health::default_timeout")]
    pub timeout: Duration,
    /// After how many questions in a row without an answer it is unhealthy. Default 3.
    #[serde(default = "Health::default_failures")]
    #[schemars(range(min = 1, max = 1000))]
    pub failures: u32,
    /// After how many answers in a row it is healthy again. Default 1.
    #[serde(default = "Health::default_successes")]
    #[schemars(range(min = 1, max = 1000))]
    pub successes: u32,
}

impl Health {
    fn default_every() -> Duration {
        Duration::from_ms(10_000)
    }
    fn default_timeout() -> Duration {
        Duration::from_ms(2_000)
    }
    fn default_failures() -> u32 {
        3
    }
    fn default_successes() -> u32 {
        1
    }
}

/// How often a safe call is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How many tries there are in all; 1 for none but the first.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// The share of calls that may be tried again.
    pub budget: Percent,
}

/// Which names are exposed, and as what. Names and patterns are the server's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NameFilter {
    /// Only these; `*` stands for any characters. Absent: all. Empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Glob>>,
    /// Not these, also if allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Glob>,
    /// New names, by the server's own name. The prefix of an endpoint is put in front of the new name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("additionalProperties" = { "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$" }))]
    pub rename: BTreeMap<String, String>,
}

/// Which resources are exposed, by URI.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UriFilter {
    /// Only these; `*` stands for any characters. Absent: all. Empty: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Glob>>,
    /// Not these, also if allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<Glob>,
}
