//! Whether clients share a server, and what holds for servers that sessions have to themselves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Duration;

/// How many sessions may have a server to themselves, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionServers {
    /// How many may have one at once; spares count as well. Default 64.
    #[serde(default = "SessionServers::default_at_most")]
    #[schemars(range(min = 1, max = 10_000))]
    pub at_most: u32,
    /// How long it may be without a call before it ends; the session's next call starts another. Absent:
    /// as long as its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Duration>,
}

impl SessionServers {
    fn default_at_most() -> u32 {
        64
    }
}

impl Default for SessionServers {
    fn default() -> Self {
        Self {
            at_most: Self::default_at_most(),
            idle: None,
        }
    }
}

/// Whether clients share one process of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// One process for all.
    #[default]
    Shared,
    /// One process for each session; clients without a session share one.
    Session,
}
