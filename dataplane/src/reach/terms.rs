//! The terms of a server: what its process may use and reach.
//!
//! Owns how they get from the gateway through the warden to the process that becomes the server,
//! as one argument, and what that process does to itself before the server's program runs. The
//! system keeps these bounds from then on, for the program and whatever it starts. What no bound
//! of a process can hold, the number of processes, is the warden's (`warden`), as is the control group
//! that bounds the whole tree where there is one (`group`). See
//! `docs/decisions/0036-bounds-of-servers.md` and `docs/decisions/0043-control-groups.md`.

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
    group: Option<Grouping>,
}

/// Control groups: where one is made for the server, then which one it is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grouping {
    pub(super) path: Box<str>,
    pub(super) controllers: Controllers,
}

/// What can be bounded by control groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Controllers {
    pub(super) cpu: bool,
    pub(super) memory: bool,
    pub(super) pids: bool,
}

impl Terms {
    /// Those of a server's definition.
    ///
    /// # Errors
    /// This system cannot hold a server to them.
    pub(super) fn of(
        definition: &StdioTransport,
        descriptors: Option<u64>,
        groups: Option<&Grouping>,
    ) -> io::Result<Self> {
        let limits = definition.limits.clone();
        let group = groups.filter(|groups| {
            let has = groups.controllers;
            (has.cpu && limits.cpu_percent.is_some())
                || (has.memory && limits.memory_bytes.is_some())
                || (has.pids && limits.processes.is_some())
        });
        if limits.cpu_percent.is_some() && !group.is_some_and(|it| it.controllers.cpu) {
            let text = "cpu_percent needs a control group with the controller cpu, which this system \
                does not give the gateway";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        if limits.processes.is_some() && !cfg!(target_os = "linux") {
            let text = "processes cannot be limited on this system";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(Self {
            descriptors,
            limits,
            sandbox: definition.sandbox.clone(),
            group: group.cloned(),
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

    /// What the system bounds.
    pub(super) fn limits(&self) -> &ProcessLimits {
        &self.limits
    }

    /// Where a control group is made for the server.
    pub(super) fn group(&self) -> Option<&Grouping> {
        self.group.as_ref()
    }

    /// The same terms with the group that the server is in.
    pub(super) fn within(&self, path: Option<&str>) -> Self {
        let mut terms = self.clone();
        terms.group = terms.group.zip(path).map(|(group, path)| Grouping {
            path: path.into(),
            ..group
        });
        terms
    }

    /// Puts this process into its control group, if these terms name one.
    ///
    /// # Errors
    /// Why that cannot be. The server must not run then.
    pub(super) fn enter_group(&self) -> Result<(), String> {
        let Some(group) = &self.group else {
            return Ok(());
        };
        #[cfg(target_os = "linux")]
        return super::group::enter(group.path.as_ref().as_ref())
            .map_err(|error| format!("no control group: {error}"));
        #[cfg(not(target_os = "linux"))]
        Err(format!("there are no control groups: {}", group.path))
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
        #[cfg(all(target_os = "linux", target_endian = "little"))]
        return super::sandbox::enter(sandbox, program);
        #[cfg(not(all(target_os = "linux", target_endian = "little")))]
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
