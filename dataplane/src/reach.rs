//! How the data plane reaches the outside: connections, processes, variables and files.
//!
//! A seam for tests, which put pipes and a virtual clock in place of sockets and processes. The
//! real one is `reach/real.rs`. Nothing else in this crate opens a socket or starts a process.

mod credentials_file;
#[cfg(target_os = "linux")]
mod group;
#[cfg(target_os = "linux")]
mod groups;
mod real;
#[cfg(all(target_os = "linux", target_endian = "little"))]
mod sandbox;
#[cfg(all(target_os = "linux", target_endian = "little"))]
mod seccomp;
mod shim;
#[cfg(unix)]
mod terms;
mod text_file;
#[cfg(unix)]
mod tree;
#[cfg(unix)]
mod ward;
#[cfg(unix)]
mod warden;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use mcpc_plan::{HttpTransport, Scheme, StdioTransport};
use tokio::io::{AsyncRead, AsyncWrite};

pub use real::Real;
pub(crate) use shim::{CANNOT_CONFINE, CANNOT_EXECUTE};
pub use shim::{child_entry, dies_with};

/// A future of this seam.
pub type ReachFuture<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// A connection to an upstream, TLS included.
pub trait Dialed: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Dialed for T {}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// With or without TLS.
    pub scheme: Scheme,
    /// Name or address.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
}

impl Target {
    /// Where an HTTP server is.
    pub fn of(transport: &HttpTransport) -> Self {
        Self {
            scheme: transport.scheme,
            host: transport.host.clone(),
            port: transport.port,
        }
    }
}

/// A process to start: program, arguments and the whole environment, secrets resolved.
pub struct Launch<'a> {
    /// The definition from the plan.
    pub definition: &'a StdioTransport,
    /// The environment that the definition adds, resolved. Never printed.
    pub env: &'a [(Box<str>, crate::Secret)],
}

/// A started process.
pub struct Process {
    /// Ends when it runs, with its process id, for status; 0 for a pipe in a test.
    pub started: ReachFuture<u32>,
    /// Messages to it.
    pub stdin: Box<dyn AsyncWrite + Send + Unpin>,
    /// Messages from it.
    pub stdout: Box<dyn AsyncRead + Send + Unpin>,
    /// Talk from it.
    pub stderr: Box<dyn AsyncRead + Send + Unpin>,
    /// Ends when the process has ended and was reaped.
    pub ended: ReachFuture<Ended>,
    /// Ends when nothing is left of what it has started either.
    pub cleared: ReachFuture<()>,
    /// Sends signals to it and what it has started.
    pub signals: Box<dyn Signals>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal(i32),
    /// By the system, which ended so many of its processes because its control group had no more memory.
    Starved(i32),
    /// By force, because it had so many processes and threads, more than it may.
    Crowded(i32),
}

/// Sends signals to a process and its descendants.
pub trait Signals: Send + Sync {
    /// Asks the process and those in its group to end (SIGTERM).
    fn terminate(&self);
    /// Ends the process and all its descendants (SIGKILL).
    fn kill(&self);
}

/// The outside.
pub trait Reach: Send + Sync + 'static {
    /// Connects. The caller keeps the deadline.
    fn connect(&self, target: &Target) -> ReachFuture<Box<dyn Dialed>>;

    /// Starts a process in a group and session of its own, which dies with the gateway.
    ///
    /// # Errors
    /// Whatever the system says.
    fn launch(&self, launch: &Launch<'_>) -> io::Result<Process>;

    /// How long the system of a server may leave what is sent to it unacknowledged. Holds for connections that
    /// are made from now on.
    fn give_up_after(&self, silence: Duration);

    /// Looks anew at what may have changed since the last look: the credentials file.
    ///
    /// # Errors
    /// The file is there but cannot be used; what was read before stays.
    fn renew(&self) -> Result<(), crate::Refusal> {
        Ok(())
    }

    /// The value of a variable: the credentials file, then the environment.
    fn variable(&self, name: &str) -> Option<crate::Secret>;

    /// The content of a secret file, without one final line break.
    ///
    /// # Errors
    /// Whatever the system says, or content that is not text.
    fn file(&self, path: &str) -> io::Result<crate::Secret>;
}
