//! Servers that have left the plan and are not gone yet, as operators see them.

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// A server, or one replica of it, that has left the plan and is not gone yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainingStatus {
    /// Its name in the configuration that it was in.
    pub name: String,
    /// Since when it is in no live plan.
    pub since: Timestamp,
    /// Why it is still there.
    pub reason: DrainingReason,
    /// Calls that wait for its answer.
    pub in_flight: u32,
    /// When nothing is left of it at the latest.
    pub until: Timestamp,
}

/// Why a server that has left the plan is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainingReason {
    /// Requests that began before may still need it.
    Requests,
    /// Its calls may go on until the grace is over.
    Calls,
    /// Its sessions or processes are being ended.
    Ending,
}
