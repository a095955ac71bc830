//! What a child process can reach: files and the network.
//!
//! Owns the types. What is always readable, and how it is enforced, is the data plane's
//! (`docs/guide/child-processes.md`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a child process can reach. Absent: whatever the gateway's user can.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// Files and directories that it may read and execute, besides the system's programs, libraries
    /// and certificates. Relative to its working directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 4096)))]
    pub read: Vec<String>,
    /// Files and directories that it may also write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 4096)))]
    pub write: Vec<String>,
    /// Which network it has. Default `host`.
    #[serde(default)]
    pub network: Network,
}

/// Which network a child process has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The gateway's.
    #[default]
    Host,
    /// None at all, not even that of its own machine.
    None,
}
