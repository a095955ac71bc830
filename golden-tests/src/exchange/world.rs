//! The outside of a rehearsal: connections and processes are pipes to fake servers.

use std::io;
use std::sync::Arc;

use mcpc_dataplane::{Dialed, Ended, Launch, Process, Reach, ReachFuture, Secret, Signals, Target};
use tokio::io::{DuplexStream, SimplexStream, duplex, empty, simplex};
use tokio::sync::{Notify, mpsc, oneshot};

/// How much a pipe holds before its writer waits.
const PIPE_BYTES: usize = 64 * 1024;

/// A connection that the gateway has opened; the stage gives it to the server of that name.
pub(crate) enum Door {
    /// To an HTTP server: `http://NAME.test/mcp`.
    Http {
        server: String,
        stream: DuplexStream,
    },
    /// To a process: `command: NAME`.
    Stdio {
        server: String,
        input: DuplexStream,
        output: tokio::io::WriteHalf<SimplexStream>,
        ended: oneshot::Sender<Ended>,
        /// Told when the process is ended by force.
        killed: Arc<Notify>,
    },
}

/// Tells the stage of every connection that is opened.
pub(crate) struct World {
    pub(crate) doors: mpsc::UnboundedSender<Door>,
    /// Servers that nobody listens for.
    pub(crate) is_closed: fn(&str) -> bool,
}

impl Reach for World {
    fn connect(&self, target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        let server = target.host.trim_end_matches(".test").to_owned();
        let (ours, theirs) = duplex(PIPE_BYTES);
        let refused = (self.is_closed)(&server);
        let sent = !refused
            && self
                .doors
                .send(Door::Http {
                    server,
                    stream: theirs,
                })
                .is_ok();
        Box::pin(async move {
            if sent {
                Ok(Box::new(ours) as Box<dyn Dialed>)
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        })
    }

    fn launch(&self, launch: &Launch<'_>) -> io::Result<Process> {
        let server = launch.definition.command.as_ref().to_owned();
        if (self.is_closed)(&server) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // A pipe of one direction would not end with its writer.
        let (input, stdin) = duplex(PIPE_BYTES);
        let (stdout, output) = simplex(PIPE_BYTES);
        let (ended, ends) = oneshot::channel();
        let killed = Arc::new(Notify::new());
        let door = Door::Stdio {
            server,
            input,
            output,
            ended,
            killed: Arc::clone(&killed),
        };
        self.doors
            .send(door)
            .map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Process {
            started: Box::pin(std::future::ready(Ok(0))),
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(empty()),
            ended: Box::pin(async move { Ok(ends.await.unwrap_or(Ended::Code(0))) }),
            cleared: Box::pin(std::future::ready(Ok(()))),
            signals: Box::new(Deaf(killed)),
        })
    }

    fn give_up_after(&self, _: std::time::Duration) {}

    fn variable(&self, _: &str) -> Option<Secret> {
        Some(Secret::new("rehearsed-secret"))
    }

    fn file(&self, _: &str) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A fake process ends with its input or by force, and does not hear what it is asked.
struct Deaf(Arc<Notify>);

impl Signals for Deaf {
    fn terminate(&self) {}
    fn kill(&self) {
        self.0.notify_one();
    }
}
