//! A small text that an operator keeps in a file, or gives by a pipe: credentials and secrets.
//!
//! Owns that reading one ends. A pipe may have nobody who writes into it, and a device may never come to
//! an end; whoever reads here also has to hear signals.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;
use std::time::Duration;
#[cfg(unix)]
use std::time::Instant;

/// The most bytes of such a file.
const BYTES_MAX: u64 = 1 << 20;

/// How long whoever writes into a pipe may take for all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the whole text.
///
/// # Errors
/// Whatever the system says, no UTF-8, more than a MiB, or nobody who writes in time.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    let mut file = open(path)?.take(BYTES_MAX + 1);
    read_within(&mut file, &mut text, PATIENCE)?;
    if file.limit() == 0 {
        return Err(ErrorKind::FileTooLarge.into());
    }
    String::from_utf8(text).map_err(|_| ErrorKind::InvalidData.into())
}

/// Opens without waiting for somebody at the other end.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    use rustix::fs::OFlags;

    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Reads to the end. A pipe without a writer would be at its end at once, so each read waits until there
/// is something, or until the last writer has gone.
#[cfg(unix)]
fn read_within(
    file: &mut io::Take<File>,
    text: &mut Vec<u8>,
    patience: Duration,
) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let until = Instant::now() + patience;
    let mut buffer = [0; 4096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut waiting = [PollFd::new(file.get_ref(), PollFlags::IN)];
        match poll(&mut waiting, Some(&left)) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => text.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(not(unix))]
fn read_within(file: &mut io::Take<File>, text: &mut Vec<u8>, _: Duration) -> io::Result<()> {
    file.read_to_end(text).map(drop)
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn pipe(folder: &tempfile::TempDir) -> PathBuf {
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    #[test]
    fn a_file_is_read_whole_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (bytes, whole) in [
            (0, true),
            (5000, true),
            (1 << 20, true),
            ((1 << 20) + 1, false),
        ] {
            std::fs::write(&path, "x".repeat(bytes)).unwrap();
            let read = read(&path).map(|text| text.len());
            let expected = if whole {
                Ok(bytes)
            } else {
                Err(ErrorKind::FileTooLarge)
            };
            assert_eq!(read.map_err(|error| error.kind()), expected);
        }
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(
            read(Path::new("/dev/zero")).unwrap_err().kind(),
            ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_not_waited_for_without_one_who_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = pipe(&folder);
        let writes = std::thread::spawn({
            let path = path.clone();
            move || {
                let mut pipe = std::fs::OpenOptions::new().write(true).open(path).unwrap();
                pipe.write_all(b"one ").unwrap();
                pipe.flush().unwrap();
                pipe.write_all(b"two\n").unwrap();
            }
        });
        assert_eq!(read(&path).unwrap(), "one two\n");
        writes.join().unwrap();
        let mut nobody = open(&path).unwrap().take(10);
        let error = read_within(&mut nobody, &mut Vec::new(), Duration::from_millis(10));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
