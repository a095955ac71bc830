//! The terms of a server: what its process may use and reach.
//!
//! Owns how they get from the gateway through the warden to the process that becomes the server,
//! as one argument, and what that process does to itself before the server's program runs. The
//! system keeps these bounds from then on, for the program and whatever it starts. What no bound
//! of a process can hold, the number of processes, is the warden's (`warden`). See
//! `docs/decisions/0036-bounds-of-servers.md`.

use std::ffi::OsStr;
use std::io;

use mcpc_plan::{ProcessLimits, Sandbox, StdioTransport};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// See the file's header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Terms {
    /// The limit of descriptors that the gateway was started with, if it has raised its own.
    descriptors: Option<u64>,
    limits: ProcessLimits,
    sandbox: Option<Sandbox>,
}

impl Terms {
    /// Those of a server's definition.
    ///
    /// # Errors
    /// This system cannot hold a server to them.
    pub(super) fn of(definition: &StdioTransport, descriptors: Option<u64>) -> io::Result<Self> {
        let limits = definition.limits.clone();
        if limits.processes.is_some() && !cfg!(target_os = "linux") {
            let text = "processes cannot be limited on this system";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(Self {
            descriptors,
            limits,
            sandbox: definition.sandbox.clone(),
        })
    }

    /// Reads them back.
    pub(super) fn from_argument(argument: &OsStr) -> Option<Self> {
        serde_json::from_str(argument.to_str()?).ok()
    }

    /// As one argument of a process.
    pub(super) fn argument(&self) -> io::Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// The limit of descriptors for the warden, and for a server without one of its own.
    pub(super) fn descriptors(&self) -> Option<u64> {
        self.descriptors
    }

    /// The most processes and threads.
    pub(super) fn processes(&self) -> Option<u32> {
        self.limits.processes
    }

    /// Locks this process in, if these terms say so.
    ///
    /// # Errors
    /// Why that cannot be. The server must not run then.
    pub(super) fn enter_sandbox(&self, program: &OsStr) -> Result<(), String> {
        let Some(sandbox) = &self.sandbox else {
            return Ok(());
        };
        #[cfg(target_os = "linux")]
        return super::sandbox::enter(sandbox, program);
        #[cfg(not(target_os = "linux"))]
        {
            let (_, _) = (sandbox, program);
            Err("this system has no way to do it".to_owned())
        }
    }

    /// Binds this process, and thus what it becomes.
    ///
    /// # Errors
    /// The system does not do it. The server must not run then: its terms would be a pretence.
    pub(super) fn take(&self) -> io::Result<()> {
        if let Some(bytes) = self.limits.memory_bytes {
            lower(Resource::Data, bytes)?;
        }
        if let Some(files) = self.limits.open_files {
            lower(Resource::Nofile, files.into())?;
        }
        Ok(())
    }
}

/// Bounds both what is in force and what this process could raise it to. A bound of the system's that
/// is lower already stays.
fn lower(resource: Resource, to: u64) -> io::Result<()> {
    let now = getrlimit(resource);
    let lowered = |limit: Option<u64>| Some(limit.map_or(to, |limit| limit.min(to)));
    let limit = Rlimit {
        current: lowered(now.current),
        maximum: lowered(now.maximum),
    };
    Ok(setrlimit(resource, limit)?)
}
