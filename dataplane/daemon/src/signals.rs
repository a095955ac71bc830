//! What the system asks of a gateway: to stop, or to load its plan again.
//!
//! SIGTERM and SIGINT stop, SIGHUP loads. Where there are no such signals, Ctrl-C stops and only the
//! watched file loads.

use std::io;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Reload,
    Stop,
}

#[cfg(unix)]
pub(crate) use unix::Signals;

#[cfg(not(unix))]
pub(crate) use elsewhere::Signals;

#[cfg(unix)]
mod unix {
    use std::os::unix::net::UnixStream;

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::{Wish, io};

    /// A file would grow beyond the limit of the process (setrlimit(2), `RLIMIT_FSIZE`).
    const FILE_TOO_LARGE: i32 = rustix::process::Signal::XFSZ.as_raw();

    /// So many pairs of descriptors are more than a runtime begins with.
    const ROOM: usize = 4;

    /// Signals that were taken over from the system's defaults.
    pub(crate) struct Signals {
        terminate: Signal,
        interrupt: Signal,
        hang_up: Signal,
        /// Taken over so that it does not end the process: whoever writes gets an error instead.
        _file_too_large: Signal,
    }

    impl Signals {
        /// Makes sure of descriptors for a runtime that hears signals: tokio panics where it gets none for these.
        ///
        /// # Errors
        /// There are too few.
        pub(crate) fn have_room() -> io::Result<()> {
            let pairs = [(); ROOM].map(|()| UnixStream::pair());
            pairs.into_iter().try_for_each(|pair| pair.map(drop))
        }

        /// Takes them over; none is lost from here on. Needs a runtime around it.
        pub(crate) fn open() -> io::Result<Self> {
            Ok(Self {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                hang_up: signal(SignalKind::hangup())?,
                _file_too_large: signal(SignalKind::from_raw(FILE_TOO_LARGE))?,
            })
        }

        /// The next wish. Of two that wait, the one to stop.
        pub(crate) async fn next(&mut self) -> Wish {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => Wish::Stop,
                _ = self.interrupt.recv() => Wish::Stop,
                _ = self.hang_up.recv() => Wish::Reload,
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use super::{Wish, io};

    /// Ctrl-C.
    pub(crate) struct Signals;

    impl Signals {
        pub(crate) fn have_room() -> io::Result<()> {
            Ok(())
        }

        pub(crate) fn open() -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) async fn next(&mut self) -> Wish {
            match tokio::signal::ctrl_c().await {
                Ok(()) => Wish::Stop,
                Err(_) => std::future::pending().await,
            }
        }
    }
}
