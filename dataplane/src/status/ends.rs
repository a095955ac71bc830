//! The ends of a server's processes, as the status document tells them.
//!
//! Owns the types. What is remembered, and for how long, is `upstream::ends`' business.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The end of one process of a server, or of an attempt to start one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnd {
    /// When.
    pub at: Timestamp,
    /// Its process id, if it ran at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// For how long it could be used, in milliseconds; absent if it never could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lived_ms: Option<u64>,
    /// How it ended.
    pub how: EndKind,
    /// The exit code, the signal, how many processes and threads there were, or how many processes the system has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<i32>,
    /// What its callers were told, as a code.
    pub error: String,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// By itself, with an exit code.
    Exited,
    /// By a signal.
    Signalled,
    /// By the gateway: it had more processes and threads than it may.
    Crowded,
    /// By the system: its control group had no more memory.
    OutOfMemory,
    /// The program could not be executed.
    NotExecuted,
    /// The program was not executed, because the system does not make its sandbox, or cannot hold it to a limit.
    NotConfined,
    /// By the gateway: it closed a pipe that it needs.
    ClosedPipe,
    /// By the gateway: it hung.
    Hung,
    /// By the gateway: it did not answer as a server has to when it starts, or not in time.
    NotReady,
    /// Unknown: the process above it was ended by somebody else.
    Lost,
}

impl fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number.unwrap_or_default();
        match self.how {
            EndKind::Exited => write!(f, "exit code {number}")?,
            EndKind::Signalled => write!(f, "signal {number}")?,
            EndKind::Crowded => write!(f, "{number} processes and threads, too many")?,
            EndKind::OutOfMemory => {
                write!(f, "out of memory, {number} processes ended by the system")?;
            }
            EndKind::NotExecuted => write!(f, "the program cannot be executed")?,
            EndKind::NotConfined => write!(f, "its sandbox or limits cannot be kept")?,
            EndKind::ClosedPipe => write!(f, "it closed a pipe")?,
            EndKind::Hung => write!(f, "it hung")?,
            EndKind::NotReady => write!(f, "it did not get ready")?,
            EndKind::Lost => write!(f, "it is not known how")?,
        }
        match self.lived_ms {
            Some(lived) => write!(f, " after {} s", lived / 1000),
            None => write!(f, ", never ready"),
        }
    }
}
