//! Upstreams: how each is reached, and the key under which its live state survives a swap.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Template;
use crate::canonical::{Digest, canonical_bytes};
use crate::confinement::{ProcessLimits, Sandbox};

/// An index into [`Plan::upstreams`](crate::Plan::upstreams).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpstreamId(u16);

impl UpstreamId {
    /// The id at an index, if there can be that many.
    pub fn new(index: usize) -> Option<Self> {
        u16::try_from(index).ok().map(Self)
    }

    /// The index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One MCP server as the data plane sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The server's name in the configuration.
    pub name: Box<str>,
    /// What has the same key survives a swap: processes, sessions, connections.
    pub key: ContentKey,
    /// How it is reached.
    pub transport: Transport,
    /// Which revisions it speaks.
    pub era: Era,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// When it gets no calls any more; each replica for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<Breaker>,
    /// When it is asked whether it is there; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// How often a call that failed is sent again; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// That each session has one of its own, beside the one that all other clients share; absent: all
    /// clients share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<Private>,
}

/// Upstreams that sessions have to themselves. They are reached as the shared one is, and have its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Private {
    /// The most of them at once, spares included.
    pub at_most: u32,
    /// How long one may be without a call before it ends, in milliseconds; absent: as long as its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
    /// How many are kept ready for sessions to come.
    pub spares: u32,
    /// How many may be kept ready while many sessions begin; absent: no more than ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spares_at_most: Option<u32>,
}

/// How often a call that failed is sent again, if that is safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The most times that one call is sent.
    pub attempts: u32,
    /// The share of calls that may be sent again, in percent.
    pub budget_percent: u32,
}

/// When an upstream that fails gets no calls any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// So many failures open it.
    pub failures: u32,
    /// The window in which they count, in milliseconds.
    pub within_ms: u64,
    /// How long it stays open until the upstream is tried, in milliseconds.
    pub open_for_ms: u64,
    /// The longest it stays open, in milliseconds: the time doubles each time that it opens again.
    /// Absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_for_ms_max: Option<u64>,
    /// The share of the replicas whose breakers may be open at once, in percent. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas_percent_max: Option<u32>,
}

/// When an upstream is asked whether it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// How often, in milliseconds.
    pub every_ms: u64,
    /// How long its answer may take, in milliseconds.
    pub timeout_ms: u64,
    /// After how many questions in a row without an answer it is unhealthy.
    pub failures: u32,
    /// After how many answers in a row it is healthy again.
    pub successes: u32,
}

impl Upstream {
    /// What is reached one by one: the upstream itself, or each replica as an upstream of its own.
    pub fn instances(&self) -> Vec<Self> {
        let Transport::Replicated(replicated) = &self.transport else {
            return vec![self.clone()];
        };
        let instance = |replica: &Replica| Self {
            name: format!("{}@{}", self.name, replica.http.place()).into(),
            key: replica.key.clone(),
            transport: Transport::Http(replica.http.clone()),
            era: self.era,
            timeouts: self.timeouts.clone(),
            breaker: self.breaker.clone(),
            health: self.health.clone(),
            retry: self.retry.clone(),
            private: self.private.clone(),
        };
        replicated.replicas.iter().map(instance).collect()
    }

    /// The keys of what is reached one by one.
    pub fn keys(&self) -> Vec<&ContentKey> {
        match &self.transport {
            Transport::Stdio(_) | Transport::Http(_) => vec![&self.key],
            Transport::Replicated(replicated) => {
                let replicas = replicated.replicas.iter();
                replicas.map(|replica| &replica.key).collect()
            }
        }
    }
}

impl HttpTransport {
    /// Where it is, as operators read it: without the scheme, and without a query, which may say more
    /// than where.
    pub fn place(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{}{path}", self.authority)
    }
}

/// The digest of an upstream's transport and era: everything that a running process, session or
/// connection depends on, and nothing else, so that an edit of names or timeouts restarts nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentKey(Digest);

impl ContentKey {
    /// The key of an upstream that is reached in this way. That of several replicas is the key of the
    /// set: neither weights nor the order of replicas are part of it, nor how one is chosen.
    pub fn of(transport: &Transport, era: Era) -> Self {
        // A transport holds no number that could fail; if it ever did, no plan with it would verify.
        let bytes = match transport {
            Transport::Stdio(_) | Transport::Http(_) => canonical_bytes(&(transport, era)),
            Transport::Replicated(replicated) => {
                let replicas = replicated.replicas.iter();
                let mut keys: Vec<Self> = replicas
                    .map(|replica| Self::of(&Transport::Http(replica.http.clone()), era))
                    .collect();
                keys.sort();
                canonical_bytes(&("replicated", keys))
            }
        };
        Self(bytes.map_or_else(|_| Digest::unsealed(), |bytes| Digest::of(&bytes)))
    }

    /// A stand-in until the plan is sealed; never verifies.
    pub fn unsealed() -> Self {
        Self(Digest::unsealed())
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The first twelve hexadecimal digits.
    pub fn short(&self) -> &str {
        self.0.short()
    }
}

/// How an upstream is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// A child process over standard input and output.
    Stdio(StdioTransport),
    /// Streamable HTTP.
    Http(HttpTransport),
    /// Streamable HTTP, at several interchangeable places.
    Replicated(Replicated),
}

/// Several interchangeable servers. A server with one replica is an ordinary one, so there are two or
/// more, each reached in another way, and not all of them are backups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicated {
    /// The replicas, as written.
    pub replicas: Box<[Replica]>,
    /// How one of them is chosen.
    #[serde(default, skip_serializing_if = "Balance::is_default")]
    pub balance: Balance,
}

/// How one of several interchangeable servers is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// The less busy of two picked at random, by weight.
    LeastRequests,
    /// The same for the same session.
    Sticky,
}

impl Balance {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "a condition of serde takes a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One of several interchangeable servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// What has the same key survives a swap, whatever becomes of the other replicas: it is the key that
    /// an ordinary server would have at the same place.
    pub key: ContentKey,
    /// How it is reached.
    pub http: HttpTransport,
    /// Its share of the calls, beside those of the others.
    pub weight: u32,
    /// Whether it is used only when no other replica can be.
    pub is_backup: bool,
}

/// A child process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StdioTransport {
    /// The program.
    pub command: Box<str>,
    /// Its arguments.
    pub args: Box<[Box<str>]>,
    /// Its environment, sorted by name.
    pub env: Box<[(Box<str>, Template)]>,
    /// Its working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<Box<str>>,
    /// What it may use.
    #[serde(default, skip_serializing_if = "ProcessLimits::is_none")]
    pub limits: ProcessLimits,
    /// What it can reach, if that is less than the gateway's user can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Sandbox>,
    /// When and how it starts.
    pub start: Start,
    /// What happens when it ends by itself.
    pub restart: Restart,
}

/// When and how a child process starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// How long it may take until its first answer, in milliseconds.
    pub timeout_ms: u64,
    /// Whether it starts with the plan or with the first call.
    pub when: StartWhen,
}

/// Whether a process starts with the plan or with the first call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartWhen {
    /// With the plan.
    Eager,
    /// With the first call.
    Lazy,
}

/// What happens when a process ends by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restart {
    /// The most restarts within the window.
    pub at_most: u32,
    /// The window, in milliseconds.
    pub within_ms: u64,
    /// The first pause, in milliseconds.
    pub backoff_from_ms: u64,
    /// The longest pause, in milliseconds.
    pub backoff_to_ms: u64,
}

/// A server that is reached over Streamable HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTransport {
    /// With or without TLS.
    pub scheme: Scheme,
    /// The host: a name, an IPv4 address, or an IPv6 address without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// The value of `Host`: the host, in brackets if IPv6, and the port unless it is the scheme's.
    pub authority: Box<str>,
    /// Path and query; starts with `/`.
    pub path: Box<str>,
    /// Headers that go with every request; names in lower case, sorted.
    pub headers: Box<[(Box<str>, Template)]>,
}

/// With or without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The port that a URL without one means.
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Which revisions of the protocol an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Era {
    /// Find out when it is first reached.
    Auto,
    /// 2026-07-28 and later: stateless.
    Modern,
    /// 2025-11-25 and earlier: `initialize` and a session.
    Legacy,
}

/// How long the parts of a call may take. Invariant: all of them are at most total.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until the connection stands, in milliseconds.
    pub connect_ms: u64,
    /// Until the first byte of the answer, in milliseconds.
    pub first_byte_ms: u64,
    /// Between two parts of an answer, in milliseconds.
    pub idle_ms: u64,
    /// The whole call, in milliseconds.
    pub total_ms: u64,
    /// How long a list or a greeting waits for this server's part, in milliseconds.
    pub list_ms: u64,
}

impl Timeouts {
    /// One time for all of it.
    pub fn all(time: Duration) -> Self {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self {
            connect_ms: ms,
            first_byte_ms: ms,
            idle_ms: ms,
            total_ms: ms,
            list_ms: ms,
        }
    }
}
