//! The warden: a small process between the gateway and one server, so that nothing of the server stays.
//!
//! Owns the server's whole tree. It adopts what loses its parent (prctl(2),
//! `PR_SET_CHILD_SUBREAPER`) and reaps it, so the tree is exactly what is below the warden, whatever
//! leaves its group or session. When the server ends, the gateway says so or the gateway is gone,
//! it kills until nothing is left. Signals that ask processes to end are not for it, and nothing in a
//! list of processes takes it for the server. `ward` is the gateway's side, `shim` starts the server, `tree`
//! finds what is to be killed. See `docs/decisions/0027-wardens.md`.

use std::ffi::OsString;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process, kill_process_group, setsid,
    wait, waitid,
};
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU,
};

use super::terms::Terms;
use super::{shim, tree};
use crate::descriptors;

/// The hidden first argument.
pub(super) const ENTRY: &str = "__warden";

/// What the gateway asks for. The end of its words asks for [`END`] as well.
pub(super) const TERMINATE: u8 = b'T';
pub(super) const END: u8 = b'K';

/// What the warden tells: the number of the server's process once it runs, and how it ended.
pub(super) const STARTED: u8 = b'+';
pub(super) const EXITED: u8 = b'-';
pub(super) const SIGNALLED: u8 = b'!';

/// That the system does not start the server, and the number of the error.
pub(super) const DENIED: u8 = b'?';

/// That it ends the server for having this many processes and threads.
pub(super) const CROWDED: u8 = b'#';

/// How many processes the system has ended for want of memory in the server's control group. The server's
/// end by a signal follows, and is no news.
pub(super) const STARVED: u8 = b'M';

/// A word of the warden: what it tells, and a number.
pub(super) const WORD_BYTES: usize = 5;

/// How long a tree may take to end by force. What is left then cannot be killed: it hangs in the
/// kernel, and ends as soon as it comes back from there.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two rounds of killing.
const PAUSE: Duration = Duration::from_millis(1);

enum Event {
    Terminate,
    End,
    /// A child has ended and waits to be reaped.
    Ended,
}

/// How often the processes of a server are counted that may have only so many.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The most bytes that the arguments of a server have. The system takes fewer.
const ARGUMENTS_BYTES_MAX: u32 = 16 << 20;

/// Is the warden of a server that the gateway names. Answers the exit code.
pub(super) fn stand() -> i32 {
    match hold_out().and_then(|()| begin()) {
        Ok(warden) => warden.watch(),
        Err(error) => {
            let _told = writeln!(std::io::stderr(), "the server cannot be started: {error}");
            1
        }
    }
}

/// Takes over the server that comes over the connection to the gateway: the terms, the program, its arguments.
fn begin() -> std::io::Result<Warden> {
    let (gateway, input, server) = take_over()?;
    let mut server = server.into_iter();
    let terms = server.next().and_then(|text| Terms::from_argument(&text));
    let terms = terms.ok_or(std::io::ErrorKind::InvalidData)?;
    if let Some(limit) = terms.descriptors() {
        descriptors::restore(limit);
    }
    let line = gateway.try_clone()?;
    Warden::begin(gateway, input, &terms, server).inspect_err(|error| {
        tell(&line, DENIED, error.raw_os_error().unwrap_or_default());
    })
}

/// What people, service managers and watchdogs end processes with, as far as it can be handled.
const SPARED: [i32; 9] = [
    SIGABRT, SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU,
];

/// Signals that ask a process to end mean the server, and reach it where they are meant for it: what keeps its tree
/// together stays until the tree is gone. A handler rather than nothing at all, since exec(2) takes that away and the
/// server gets each signal as it always is.
fn hold_out() -> std::io::Result<()> {
    for signal in SPARED {
        signal_hook::flag::register(signal, Arc::<AtomicBool>::default())?;
    }
    Ok(())
}

struct Warden {
    gateway: UnixStream,
    server: Pid,
    has_server: bool,
    /// What bounds the whole tree, where the system gives it.
    #[cfg(target_os = "linux")]
    group: Option<super::group::Group>,
    /// The most processes and threads.
    most: Option<u32>,
    /// When they are counted next.
    count_at: Instant,
    events: Receiver<Event>,
    /// Lets the waiting thread look again.
    reaped: SyncSender<()>,
}

impl Warden {
    fn begin(
        gateway: UnixStream,
        input: OwnedFd,
        terms: &Terms,
        server: impl Iterator<Item = OsString>,
    ) -> std::io::Result<Self> {
        if terms.processes().is_some() && !tree::can_count() {
            return Err(rustix::io::Errno::NOTSUP.into());
        }
        // Signals to the gateway's terminal or group are not for the warden.
        setsid()?;
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        #[cfg(target_os = "linux")]
        let group = make_group(terms)?;
        #[cfg(target_os = "linux")]
        let path = group.as_ref().and_then(|group| group.path().to_str());
        #[cfg(not(target_os = "linux"))]
        let path = None;
        let begun = shim::arguments(std::process::id(), terms.within(path).argument()?);
        let child = start(begun, server, input);
        #[cfg(target_os = "linux")]
        if let (Err(_), Some(group)) = (&child, &group) {
            group.remove();
        }
        let child = child?;
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let server = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let server = server.ok_or_else(missing)?;
        tell(&gateway, STARTED, server.as_raw_nonzero().get());
        // The server's pipes are the server's alone, or their ends would go unnoticed.
        let nowhere = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdout(&nowhere)?;
        rustix::stdio::dup2_stderr(&nowhere)?;
        let (happen, events) = sync_channel(1);
        let (reaped, look) = sync_channel(1);
        let orders = gateway.try_clone()?;
        let ends = happen.clone();
        std::thread::Builder::new().spawn(move || hear(orders, &happen))?;
        std::thread::Builder::new().spawn(move || await_ends(&ends, &look))?;
        Ok(Self {
            gateway,
            server,
            has_server: true,
            #[cfg(target_os = "linux")]
            group,
            most: terms.processes(),
            count_at: Instant::now() + COUNT_EVERY,
            events,
            reaped,
        })
    }

    /// Waits for the end of the server, or for an order to end it.
    fn watch(mut self) -> i32 {
        while self.has_server {
            match self.next() {
                Ok(Event::Ended) => {
                    self.reap();
                    let _looks = self.reaped.try_send(());
                }
                Ok(Event::Terminate) => self.signal(Signal::TERM),
                Err(RecvTimeoutError::Timeout) if !self.is_crowded() => {}
                Ok(Event::End) | Err(_) => break,
            }
        }
        self.clear()
    }

    /// The next event, or the moment to count.
    fn next(&mut self) -> Result<Event, RecvTimeoutError> {
        if self.most.is_none() {
            return Ok(self.events.recv()?);
        }
        // Not the next pause between events: what starts and ends all the time leaves none.
        let left = self.count_at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.count_at = Instant::now() + COUNT_EVERY;
            return Err(RecvTimeoutError::Timeout);
        }
        self.events.recv_timeout(left)
    }

    /// Whether the server has more processes and threads than it may. The gateway is told then.
    fn is_crowded(&self) -> bool {
        let count = tree::count_tasks();
        let is_it = self.most.is_some_and(|most| count > most);
        if is_it {
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            tell(&self.gateway, CROWDED, count);
        }
        is_it
    }

    /// Kills until nothing is left.
    fn clear(mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        let code = loop {
            #[cfg(target_os = "linux")]
            if let Some(group) = &self.group {
                group.kill();
            }
            if self.has_server {
                self.signal(Signal::KILL);
            }
            tree::kill_descendants();
            if !self.reap() {
                break 0;
            }
            if Instant::now() >= until {
                break 1;
            }
            let _pause = self.events.recv_timeout(PAUSE);
        };
        #[cfg(target_os = "linux")]
        if let Some(group) = &self.group {
            group.remove();
        }
        code
    }

    /// Reaps whatever has ended. Whether a child is left; if there is none there is no descendant
    /// either, because their parents' ends make them children.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((id, status))) if id == self.server && self.has_server => {
                    self.has_server = false;
                    let status = ExitStatus::from_raw(status.as_raw());
                    self.tell_starved(status);
                    match status.signal() {
                        Some(signal) => tell(&self.gateway, SIGNALLED, signal),
                        None => tell(&self.gateway, EXITED, status.code().unwrap_or(-1)),
                    }
                }
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Tells the gateway if it was for want of memory in the group that the server was ended.
    fn tell_starved(&self, status: ExitStatus) {
        #[cfg(target_os = "linux")]
        if status.signal() == Some(Signal::KILL.as_raw()) {
            let starved = self.group.as_ref().map_or(0, super::group::Group::starved);
            if starved > 0 {
                let count = i32::try_from(starved).unwrap_or(i32::MAX);
                tell(&self.gateway, STARVED, count);
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _unknown = status;
    }

    fn signal(&self, signal: Signal) {
        // Right after its start it does not lead a group yet. What has ended by itself is no error.
        if kill_process_group(self.server, signal).is_err() {
            let _gone = kill_process(self.server, signal);
        }
    }
}

/// The server's control group, if its terms have one. Why there is none is said where the server would
/// speak, and reaches the log.
#[cfg(target_os = "linux")]
fn make_group(terms: &Terms) -> std::io::Result<Option<super::group::Group>> {
    let Some(grouping) = terms.group() else {
        return Ok(None);
    };
    let below = std::path::Path::new(grouping.path.as_ref());
    match super::group::Group::make(below, grouping.controllers, terms.limits()) {
        Ok(group) => Ok(Some(group)),
        Err(error) => {
            let _told = writeln!(std::io::stderr(), "no control group: {error}");
            Err(rustix::io::Errno::NOTSUP.into())
        }
    }
}

fn start(
    begun: impl IntoIterator<Item = String>,
    server: impl Iterator<Item = OsString>,
    input: OwnedFd,
) -> std::io::Result<std::process::Child> {
    let program = std::env::args_os().next().unwrap_or_default();
    Command::new(program)
        .args(begun)
        .args(server)
        .stdin(Stdio::from(input))
        .spawn()
}

fn tell(mut gateway: &UnixStream, what: u8, number: i32) {
    let [a, b, c, d] = number.to_be_bytes();
    // A gateway that is gone is noticed elsewhere.
    let _told = gateway.write_all(&[what, a, b, c, d]);
}

/// The connection to the gateway, which is this process's input, and the server's input and arguments, which
/// come over it.
fn take_over() -> std::io::Result<(UnixStream, OwnedFd, Vec<OsString>)> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    let gateway = UnixStream::from(rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut passed = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut bytes = [IoSliceMut::new(&mut byte)];
    recvmsg(&gateway, &mut bytes, &mut passed, RecvFlags::CMSG_CLOEXEC)?;
    let input = passed.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    });
    let gone = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    let nowhere = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nowhere)?;
    let server = arguments(&gateway)?;
    Ok((gateway, input.ok_or_else(gone)?, server))
}

/// Reads as many bytes as the number in front of them says: arguments, each with a zero at its end.
fn arguments(mut gateway: &UnixStream) -> std::io::Result<Vec<OsString>> {
    let mut length = [0; 4];
    gateway.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length).min(ARGUMENTS_BYTES_MAX);
    let mut bytes = Vec::new();
    let read = gateway.take(length.into()).read_to_end(&mut bytes)?;
    // A server is not started with a part of an argument. What is behind the last zero is none.
    if read != length as usize || bytes.pop() != Some(0) {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let arguments = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    Ok(arguments.map(OsString::from_vec).collect())
}

/// Passes on what the gateway says, until it says nothing more.
fn hear(mut gateway: UnixStream, happen: &SyncSender<Event>) {
    let mut byte = [0];
    loop {
        let event = match gateway.read(&mut byte) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Ok(1) if byte == [TERMINATE] => Event::Terminate,
            Ok(_) | Err(_) => Event::End,
        };
        let is_end = matches!(event, Event::End);
        if happen.send(event).is_err() || is_end {
            return;
        }
    }
}

/// Tells of each child that has ended, and leaves the reaping to the thread that sends signals: a
/// number that is signalled is then never somebody else's.
fn await_ends(happen: &SyncSender<Event>, look: &Receiver<()>) {
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::All, how) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        if happen.send(Event::Ended).is_err() || look.recv().is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn no_server_is_started_with_a_part_of_its_arguments() {
        let whole = b"{}\0sh\0\0/srv/data/old\0";
        let length = u32::try_from(whole.len()).unwrap().to_be_bytes();
        for sent in 0..=whole.len() {
            let (mut gateway, warden) = UnixStream::pair().unwrap();
            gateway.write_all(&length).unwrap();
            gateway.write_all(whole.get(..sent).unwrap()).unwrap();
            drop(gateway);
            let heard = arguments(&warden);
            if sent < whole.len() {
                let error = heard.unwrap_err().kind();
                assert_eq!(error, std::io::ErrorKind::UnexpectedEof, "{sent} bytes");
            } else {
                assert_eq!(heard.unwrap(), ["{}", "sh", "", "/srv/data/old"]);
            }
        }
    }
}
