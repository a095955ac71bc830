//! A server behind its warden, as the gateway sees it.
//!
//! Owns the connection to the warden: the server's input goes over it once, then the gateway's
//! orders one way and the warden's words the other. The end of the connection is the server's end,
//! on either side. Does not know what a warden does with that: `warden`.

use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::Command;

use super::warden::{
    CROWDED, DENIED, END, EXITED, SIGNALLED, STARTED, STARVED, TERMINATE, WORD_BYTES,
};
use super::{Ended, Process, Signals};
use crate::descriptors::Held;

/// A warden takes in its server's arguments in less. Nobody waits for one that hangs.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts a server with these terms and arguments, the program among them, through the warden that `command` starts.
/// `lost` is done if the warden is ended by somebody else, and cannot clear up.
pub(super) fn start(
    mut command: Command,
    server: &[&str],
    lost: impl FnOnce() + Send + 'static,
) -> io::Result<Process> {
    let (ours, theirs) = StdUnixStream::pair()?;
    let (input, stdin) = io::pipe()?;
    let mut warden = command
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // The command holds the warden's ends of the connection and the pipes open.
    drop(command);
    pass(&ours, &OwnedFd::from(input))?;
    name(&ours, server)?;
    ours.set_nonblocking(true)?;
    let line = Arc::new(Line {
        stream: UnixStream::from_std(ours)?,
        server: AtomicU32::new(0),
        end: OnceLock::new(),
    });
    let held = Held::for_a_process();
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    Ok(Process {
        started: Box::pin({
            let line = Arc::clone(&line);
            async move { line.started().await }
        }),
        stdin: Box::new(pipe::Sender::from_owned_fd(stdin.into())?),
        stdout: Box::new(warden.stdout.take().ok_or_else(missing)?),
        stderr: Box::new(warden.stderr.take().ok_or_else(missing)?),
        ended: Box::pin({
            let line = Arc::clone(&line);
            async move { line.ended().await }
        }),
        // A warden ends when the tree has, and is reaped here or, once nobody waits, by tokio.
        cleared: Box::pin(async move {
            let status = warden.wait().await;
            drop(held);
            if !status.as_ref().is_ok_and(std::process::ExitStatus::success) {
                lost();
            }
            status.map(drop)
        }),
        signals: Box::new(Orders(line)),
    })
}

/// Sends the server's input to the warden.
fn pass(warden: &StdUnixStream, input: &OwnedFd) -> io::Result<()> {
    let files = [input.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut passed = SendAncillaryBuffer::new(&mut space);
    passed.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(
        warden,
        &[IoSlice::new(b"0")],
        &mut passed,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Names the server to the warden. Not among the arguments of its process: whoever looks for the server in a list of
/// processes, to end it, would find both.
fn name(mut warden: &StdUnixStream, server: &[&str]) -> io::Result<()> {
    if server.iter().any(|argument| argument.contains('\0')) {
        let reason = "an argument of the server has a zero byte";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let bytes: usize = server.iter().map(|argument| argument.len() + 1).sum();
    let length = u32::try_from(bytes).map_err(io::Error::other)?;
    let mut words = Vec::with_capacity(bytes + 4);
    words.extend_from_slice(&length.to_be_bytes());
    for argument in server {
        words.extend_from_slice(argument.as_bytes());
        words.push(0);
    }
    warden.set_write_timeout(Some(PATIENCE))?;
    warden.write_all(&words)
}

/// The connection to a warden, and what it has told. Whoever waits for either word may take in the
/// other, because nobody has to wait for both.
struct Line {
    stream: UnixStream,
    /// 0 until it is known.
    server: AtomicU32,
    end: OnceLock<Ended>,
}

impl Line {
    async fn started(&self) -> io::Result<u32> {
        loop {
            match self.server.load(Ordering::Relaxed) {
                0 => self.hear().await?,
                server => return Ok(server),
            }
        }
    }

    async fn ended(&self) -> io::Result<Ended> {
        loop {
            if let Some(end) = self.end.get() {
                return Ok(*end);
            }
            if let Err(error) = self.hear().await {
                // Somebody has killed the warden, and so its server; what is left of the server's
                // group has lost its guard.
                let group = i32::try_from(self.server.load(Ordering::Relaxed));
                if let Some(group) = group.ok().and_then(Pid::from_raw) {
                    let _gone = kill_process_group(group, Signal::KILL);
                }
                return Err(error);
            }
        }
    }

    /// Takes in the warden's next word, if nobody else does. It is written at once and so is read
    /// at once.
    async fn hear(&self) -> io::Result<()> {
        self.stream.readable().await?;
        let mut word = [0; WORD_BYTES];
        match self.stream.try_read(&mut word) {
            Ok(WORD_BYTES) => {}
            Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
        let [what, a, b, c, d] = word;
        let number = i32::from_be_bytes([a, b, c, d]);
        match what {
            STARTED => self.server.store(number.unsigned_abs(), Ordering::Relaxed),
            EXITED => drop(self.end.set(Ended::Code(number))),
            SIGNALLED => drop(self.end.set(Ended::Signal(number))),
            // The end by force that follows is no news.
            CROWDED => drop(self.end.set(Ended::Crowded(number))),
            STARVED => drop(self.end.set(Ended::Starved(number))),
            DENIED => return Err(io::Error::from_raw_os_error(number)),
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(())
    }
}

/// Orders to a warden. One that is gone has nothing left to signal.
struct Orders(Arc<Line>);

impl Signals for Orders {
    fn terminate(&self) {
        let _told = self.0.stream.try_write(&[TERMINATE]);
    }

    fn kill(&self) {
        let _told = self.0.stream.try_write(&[END]);
    }
}
