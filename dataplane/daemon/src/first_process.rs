//! What the first process of a container owes, so that the gateway need not be it.
//!
//! Owns process 1: it starts its own program again as the gateway, passes signals on, reaps whoever loses
//! its parent, and ends as the gateway does. The system gives process 1 no default action for signals and
//! every orphan, and a gateway cannot reap what others of its threads wait for. Does nothing anywhere else.
//! See `docs/decisions/0047-first-process.md`.

use std::process::ExitCode;

/// Does the duties of process 1, if this is it, until the gateway that it starts has ended; otherwise, or if
/// the system starts no other process, returns at once. Nothing may have begun before.
pub fn first_process() -> Option<ExitCode> {
    #[cfg(unix)]
    if std::process::id() == FIRST {
        return match unix::attend() {
            Ok(code) => Some(code),
            Err(error) => {
                eprintln!("the first process reaps nothing but its own servers: {error}");
                None
            }
        };
    }
    None
}

#[cfg(unix)]
const FIRST: u32 = 1;

#[cfg(unix)]
mod unix {
    use std::io::{self, IsTerminal as _};
    use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
    use std::process::{Command, ExitCode, ExitStatus};

    use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
    use tokio::signal::unix::{Signal as Arriving, SignalKind, signal};

    use crate::this_executable;

    /// What is added to the number of a signal that has ended the gateway, as shells do.
    const BY_SIGNAL: i32 = 128;

    /// Signals to process 1.
    struct Arrivals {
        terminate: Arriving,
        interrupt: Arriving,
        hang_up: Arriving,
        quit: Arriving,
        /// Some process has ended.
        ended: Arriving,
    }

    enum Arrival {
        For(Signal),
        Ended,
    }

    impl Arrivals {
        fn open() -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hang_up: signal(SignalKind::hangup())?,
                quit: signal(SignalKind::quit())?,
                ended: signal(SignalKind::child())?,
            })
        }

        async fn next(&mut self) -> Arrival {
            tokio::select! {
                _ = self.ended.recv() => Arrival::Ended,
                _ = self.terminate.recv() => Arrival::For(Signal::TERM),
                _ = self.interrupt.recv() => Arrival::For(Signal::INT),
                _ = self.hang_up.recv() => Arrival::For(Signal::HUP),
                _ = self.quit.recv() => Arrival::For(Signal::QUIT),
            }
        }
    }

    pub(super) fn attend() -> io::Result<ExitCode> {
        // One thread: a runtime of the gateway's size would cost the container its memory twice.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_io().build()?;
        runtime.block_on(async {
            // Before the gateway, so that no signal is lost.
            let mut arrivals = Arrivals::open()?;
            let gateway = start()?;
            // A terminal sends these to all that is in front of it, and a second one is a wish to hurry.
            let is_told_by_terminal = io::stdin().is_terminal();
            // Who reads what the gateway writes, or writes what it reads, notices its end.
            let _still_open = let_go_of_streams();
            loop {
                match arrivals.next().await {
                    Arrival::Ended => {
                        if let Some(code) = reap(gateway) {
                            return Ok(code);
                        }
                    }
                    Arrival::For(Signal::INT | Signal::QUIT) if is_told_by_terminal => {}
                    // It is not reaped yet, so the number is its own.
                    Arrival::For(signal) => drop(kill_process(gateway, signal)),
                }
            }
        })
    }

    /// Starts this program again, with all that it was given.
    fn start() -> io::Result<Pid> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let mut given = std::env::args_os();
        let name = given.next().unwrap_or_default();
        let gateway = Command::new(this_executable().ok_or_else(missing)?)
            .arg0(name)
            .args(given)
            .spawn()?;
        let id = i32::try_from(gateway.id()).ok().and_then(Pid::from_raw);
        id.ok_or_else(missing)
    }

    fn let_go_of_streams() -> io::Result<()> {
        let nowhere = std::fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        rustix::stdio::dup2_stdin(&nowhere)?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        rustix::stdio::dup2_stderr(&nowhere)?;
        Ok(())
    }

    /// Reaps whatever has ended; the exit code, if the gateway is among it.
    fn reap(gateway: Pid) -> Option<ExitCode> {
        let mut code = None;
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((id, status))) if id == gateway => {
                    code = Some(code_of(ExitStatus::from_raw(status.as_raw())));
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return code,
            }
        }
    }

    fn code_of(status: ExitStatus) -> ExitCode {
        let by_signal = || status.signal().map(|signal| BY_SIGNAL + signal);
        let code = status.code().or_else(by_signal);
        let code = code.and_then(|code| u8::try_from(code).ok());
        code.map_or(ExitCode::FAILURE, ExitCode::from)
    }
}
