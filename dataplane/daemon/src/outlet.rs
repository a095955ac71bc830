//! A stream that takes lines of the log, and that nobody waits for.
//!
//! Owns what happens when whoever reads the log is slow or has stopped: lines wait in a bounded queue, and
//! a thread that is there only for so long writes them. What finds no room is lost and counted, which status
//! says; calls, reloads and the end of the gateway go on. In the ordinary case a line is written at once, by
//! whoever logs it, so that a process that is killed has said all it had to say.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcpc_dataplane::LOG;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr, write};
use rustix::stdio::{stderr, stdout};

/// The most bytes of lines that wait. As many may be with the thread that writes.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A pipe that is ready takes so many bytes without waiting (`PIPE_BUF`, pipe(7)).
const PIECE_BYTES: usize = 4096;

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// At the end of the gateway, lines that wait have so long.
const SETTLE: Duration = Duration::from_secs(1);

/// Standard output or standard error.
pub(crate) struct Outlet {
    stream: fn() -> BorrowedFd<'static>,
    waiting: Mutex<Waiting>,
    /// No thread writes any more.
    is_settled: Condvar,
    /// What was written last is no whole line.
    is_mid_line: AtomicBool,
    /// And its rest is lost.
    is_torn: AtomicBool,
}

/// What could not be written at once.
struct Waiting {
    bytes: Vec<u8>,
    /// A thread writes, and takes what comes meanwhile.
    has_writer: bool,
}

/// Standard output.
pub(crate) static OUT: Outlet = Outlet::new(stdout);

/// Standard error.
pub(crate) static ERR: Outlet = Outlet::new(stderr);

impl Outlet {
    const fn new(stream: fn() -> BorrowedFd<'static>) -> Self {
        let waiting = Waiting {
            bytes: Vec::new(),
            has_writer: false,
        };
        Self {
            stream,
            waiting: Mutex::new(waiting),
            is_settled: Condvar::new(),
            is_mid_line: AtomicBool::new(false),
            is_torn: AtomicBool::new(false),
        }
    }

    /// Writes whole lines, or keeps them for later, or counts them as lost. Never waits, never fails.
    pub(crate) fn put(&'static self, lines: &[u8]) {
        match self.try_put(lines) {
            // Says so in the log itself, which takes lines again. For that nothing here may be locked.
            Ok(true) => drop(LOG.end()),
            Ok(false) => {}
            Err(error) => drop(LOG.note(&error)),
        }
    }

    /// Whether all of it was written.
    fn try_put(&'static self, lines: &[u8]) -> io::Result<bool> {
        let mut waiting = self.lock();
        if waiting.has_writer {
            if waiting.bytes.len() + lines.len() > WAITING_BYTES_MAX {
                return Err(io::Error::other("nobody reads it"));
            }
            waiting.bytes.extend_from_slice(lines);
            return Ok(false);
        }
        let rest = self.write(lines, Some(&AT_ONCE))?;
        if rest.is_empty() {
            return Ok(true);
        }
        waiting.bytes.extend_from_slice(rest);
        let writer = std::thread::Builder::new().name("log".to_owned());
        if let Err(error) = writer.spawn(|| self.write_waiting()) {
            waiting.bytes = Vec::new();
            self.tear();
            return Err(error);
        }
        waiting.has_writer = true;
        Ok(false)
    }

    /// Writes what waits until nothing does. May take for ever.
    fn write_waiting(&self) {
        loop {
            let mut waiting = self.lock();
            let bytes = std::mem::take(&mut waiting.bytes);
            waiting.has_writer = !bytes.is_empty();
            drop(waiting);
            if bytes.is_empty() {
                self.is_settled.notify_all();
                LOG.end();
                return;
            }
            if let Err(error) = self.write(&bytes, None) {
                LOG.note(&error);
            }
        }
    }

    /// Writes as much as the stream takes within this time, and gives the rest. Called by one thread at a time.
    /// A line whose rest is lost is ended first, so that it takes no other with it.
    fn write<'b>(&self, mut bytes: &'b [u8], timeout: Option<&Timespec>) -> io::Result<&'b [u8]> {
        let stream = (self.stream)();
        if self.is_torn.load(Ordering::Relaxed) {
            let mut end: &[u8] = b"\n";
            write_while(stream, &mut end, timeout)?;
            if !end.is_empty() {
                return Ok(bytes);
            }
            self.is_torn.store(false, Ordering::Relaxed);
        }
        let all = bytes;
        let outcome = write_while(stream, &mut bytes, timeout);
        let written = all.len() - bytes.len();
        if let Some(last) = all.get(..written).and_then(<[u8]>::last) {
            self.is_mid_line.store(*last != b'\n', Ordering::Relaxed);
        }
        outcome.inspect_err(|_| self.tear()).map(|()| bytes)
    }

    /// What has not been written of a line never will be.
    fn tear(&self) {
        let is_torn = self.is_mid_line.swap(false, Ordering::Relaxed);
        self.is_torn.fetch_or(is_torn, Ordering::Relaxed);
    }

    /// Gives what waits a moment more, before the process ends.
    fn settle(&self) {
        let waiting = self.lock();
        let writes = |waiting: &mut Waiting| waiting.has_writer;
        drop(self.is_settled.wait_timeout_while(waiting, SETTLE, writes));
    }

    /// What waits is whole after each step.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives lines that wait a moment more, before the process ends.
pub(crate) fn settle() {
    OUT.settle();
    ERR.settle();
}

/// Writes in pieces as long as the stream is ready for one within this time, and leaves the rest.
fn write_while(
    stream: BorrowedFd<'_>,
    bytes: &mut &[u8],
    timeout: Option<&Timespec>,
) -> io::Result<()> {
    while !bytes.is_empty() && is_ready(stream, timeout)? {
        let piece = bytes.get(..PIECE_BYTES).unwrap_or(bytes);
        match retry_on_intr(|| write(stream, piece)) {
            Ok(written) => *bytes = bytes.get(written..).unwrap_or_default(),
            // It does not block, and somebody else has filled it: it is asked again.
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether a piece goes, or an error is to be had.
fn is_ready(stream: BorrowedFd<'_>, timeout: Option<&Timespec>) -> io::Result<bool> {
    let mut streams = [PollFd::from_borrowed_fd(stream, PollFlags::OUT)];
    let ready = retry_on_intr(|| poll(&mut streams, timeout))?;
    Ok(ready > 0)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::{BufRead, BufReader, PipeReader, PipeWriter, pipe};
    use std::os::fd::AsFd;
    use std::sync::LazyLock;

    use super::*;

    static UNREAD: LazyLock<(Mutex<Option<PipeReader>>, PipeWriter)> = LazyLock::new(|| {
        let (reader, writer) = pipe().unwrap();
        (Mutex::new(Some(reader)), writer)
    });

    static OUTLET: Outlet = Outlet::new(|| UNREAD.1.as_fd());

    #[test]
    fn a_stream_that_nobody_reads_holds_nobody_up_and_gives_what_it_holds_to_who_comes_back() {
        let line = |number: usize| format!("{number} {}\n", "x".repeat(number % 9000));
        let mut kept = 0;
        // A pipe, what the thread has taken from the queue, and the queue: more is lost.
        let lost = loop {
            match OUTLET.try_put(line(kept).as_bytes()) {
                Ok(_) => kept += 1,
                Err(error) => break error,
            }
            assert!(kept < 100_000, "the queue is bounded");
        };
        assert_eq!(lost.to_string(), "nobody reads it");
        let reader = UNREAD.0.lock().unwrap().take().unwrap();
        let mut lines = BufReader::new(reader).lines();
        for number in 0..kept {
            assert_eq!(lines.next().unwrap().unwrap() + "\n", line(number));
        }
        OUTLET.settle();
        assert!(OUTLET.try_put(b"again\n").unwrap(), "it is written at once");
        assert_eq!(lines.next().unwrap().unwrap(), "again");
    }
}
