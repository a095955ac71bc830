//! What a child process may use, beyond what every process of the gateway's user may.
//!
//! Owns the types. Does not apply them: the data plane does, in the process itself and before the
//! server's program runs. They are part of an upstream's content key, because a process that runs
//! keeps what it was started with.

use serde::{Deserialize, Serialize};

/// What a child process may use. What is absent is bounded by the system alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessLimits {
    /// The memory of its own, in bytes; of each of its processes for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// The descriptors that each of its processes has open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u32>,
    /// The processes and threads of its whole tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// The processor time of its whole tree, in percent of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<u32>,
}

impl ProcessLimits {
    /// The least memory: a program in less does not start.
    pub const MEMORY_BYTES_MIN: u64 = 1 << 20;

    /// The least number of descriptors: a program needs some to find its libraries.
    pub const OPEN_FILES_MIN: u32 = 8;

    /// The most processor time: more cores than there are in any machine.
    pub const CPU_PERCENT_MAX: u32 = 100_000;

    /// Whether there is no limit at all.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What a child process can reach. Without one it reaches whatever the gateway's user can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// What it may read and execute, besides what every program needs; sorted.
    pub read: Box<[Box<str>]>,
    /// What it may read, execute and write; sorted.
    pub write: Box<[Box<str>]>,
    /// Which network it has.
    pub network: Network,
}

/// Which network a child process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The gateway's.
    Host,
    /// None at all.
    None,
}
