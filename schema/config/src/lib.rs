//! What people write: the types of `mcpc.yaml`.
//!
//! Owns the shape of the configuration language, its documentation (doc comments become the
//! JSON Schema's descriptions) and the spelling of typed scalars. Does not read files, know
//! source positions or decide whether names refer to anything: that is `mcpc-compiler`.
//!
//! ```text
//! mcpc.yaml ──compiler──► Config (this crate) ──compiler──► Plan (mcpc-plan)
//!                            │
//!                            └──schema_of_types()──► schema/mcpc.schema.json
//! ```

mod access;
mod endpoint;
mod fallback;
mod limits;
mod scalar;
mod schema;
mod server;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use access::{
    Access, AnnotationMatch, ApiKey, Audience, Identity, JwtIssuer, OnChange, Pins, Rule, Test,
    Verdict,
};
pub use endpoint::{Admin, Budget, Endpoint, Listen, Tls};
pub use fallback::Fallback;
pub use limits::{CallerRate, Limits, Per};
pub use scalar::{Address, Duration, Glob, Host, Percent, Rate, ScalarError, Secret, Size, Url};
pub use schema::{KIND_KEYWORD, PLACEHOLDER, PLACEHOLDER_ALONE, schema_of_types, schema_text};
pub use server::{
    Backoff, Balance, Breaker, ChildLimits, Era, Health, HttpServer, NameFilter, Network, Replica,
    ReplicatedServer, Restart, Retry, Sandbox, Server, SessionServers, Sharing, Start, StartWhen,
    StdioServer, Timeouts, UriFilter,
};

/// A gateway: which MCP servers there are, where they are exposed, and who may call what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "mcpc.yaml")]
pub struct Config {
    /// The version of the configuration language. There is one so far.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,

    /// Where clients connect.
    #[serde(default)]
    pub listen: Listen,

    /// Where operators connect: health, readiness and status.
    #[serde(default)]
    pub admin: Admin,

    /// The MCP servers behind the gateway, by name.
    #[schemars(extend("propertyNames" = { "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$" }, "minProperties" = 1))]
    pub servers: BTreeMap<String, Server>,

    /// The endpoints that clients see, by name. Absent: one endpoint at `/mcp` with every server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("propertyNames" = { "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$" }, "minProperties" = 1))]
    pub endpoints: Option<BTreeMap<String, Endpoint>>,

    /// How callers prove who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,

    /// Who may use what. Absent: everyone who is let in may use everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,

    /// Bounds on requests, bodies and sessions.
    #[serde(default)]
    pub limits: Limits,

    /// What the gateway starts with if the configuration cannot be used then. Default `none`.
    #[serde(default)]
    pub fallback: Fallback,

    /// What happens when a definition differs from `mcpc.lock`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pins: Option<Pins>,

    /// Expectations about access and routing, checked by `mcpc test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<Vec<Test>>,
}
