//! The bytes that plans are made of, and whether there are others by now.
//!
//! Owns where they come from: a file, a URL, or standard input and pipes, which can be read once. What
//! they mean is for [`Plans`](crate::Plans) to say; who waits for others is `inputs`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcpc_dataplane::{Reach, Refusal};
use mcpc_plan::Digest;

use crate::remote::Remote;

/// See the file's header.
pub struct Content {
    place: Place,
    bytes_max: u64,
    loaded: Option<Found>,
    /// Whether anything was read or tried to be.
    is_begun: bool,
    /// What could be read only once.
    kept: Option<Vec<u8>>,
}

enum Place {
    Standard,
    File(PathBuf),
    Url(Remote),
}

/// What is there, as far as it tells whether it is something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Bytes(Digest),
    /// No file that can be read: there is none, or it is a directory.
    NoFile(io::ErrorKind),
    /// A URL that gives nothing, for whatever reason it has this time.
    NoAnswer,
}

/// Why there are no bytes.
#[derive(Debug)]
pub enum Unread {
    /// The file or standard input cannot be read.
    File(io::Error),
    /// The URL cannot be read; the reason in a few words.
    Url(String),
}

/// How to notice that there is something else.
pub(crate) enum Lookout<'a> {
    /// Watch this file.
    File(&'a Path),
    /// Ask again and again.
    Url,
    /// There never is.
    Nothing,
}

impl Content {
    /// What a path or URL on a command line stands for; `-` is standard input.
    ///
    /// # Errors
    /// A URL that is none, or that may not be used.
    pub fn of(place: &Path, bytes_max: u64, reach: &Arc<dyn Reach>) -> Result<Self, Refusal> {
        let remote = place.to_str().and_then(|url| Remote::of(url, reach));
        let place = match remote {
            Some(remote) => Place::Url(remote?),
            None if is_standard(place) => Place::Standard,
            None => Place::File(place.to_owned()),
        };
        Ok(Self {
            place,
            bytes_max,
            loaded: None,
            is_begun: false,
            kept: None,
        })
    }

    /// Reads what is there now. The first time it waits for whoever writes into a pipe; later it may block
    /// for no longer than a file of the system or the deadline of one request. More bytes than the most
    /// that are wanted are one byte more.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn read(&mut self) -> Result<Vec<u8>, Unread> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let read = match &self.place {
            Place::Url(remote) => remote.get_now(self.bytes_max).map_err(Unread::Url),
            Place::File(path) if is_first => read_file(path, self.bytes_max).map_err(Unread::File),
            Place::File(path) => reread_file(path, self.bytes_max).map_err(Unread::File),
            Place::Standard => {
                read_at_most(io::stdin().lock(), self.bytes_max).map_err(Unread::File)
            }
        };
        self.loaded = Some(Found::of(&read));
        let bytes = read?;
        if matches!(self.lookout(), Lookout::Nothing) {
            self.kept = Some(bytes.clone());
        }
        Ok(bytes)
    }

    /// What it is called in diagnostics, status and logs.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Standard => name_of(Path::new("-")),
            Place::File(path) => name_of(path),
            Place::Url(remote) => remote.name().to_owned(),
        }
    }

    pub(crate) fn lookout(&self) -> Lookout<'_> {
        match &self.place {
            Place::File(path) if is_rereadable(path) => Lookout::File(path),
            Place::Url(_) => Lookout::Url,
            Place::File(_) | Place::Standard => Lookout::Nothing,
        }
    }

    /// What the last [`read`](Self::read) has found; nothing before the first.
    pub(crate) fn loaded(&self) -> Option<&Found> {
        self.loaded.as_ref()
    }

    /// What [`read`](Self::read) would find now.
    pub(crate) async fn present(&self) -> Option<Found> {
        let read = match &self.place {
            Place::Url(remote) => remote.get(self.bytes_max).await.map_err(Unread::Url),
            Place::File(path) => reread_file(path, self.bytes_max).map_err(Unread::File),
            Place::Standard => return self.loaded.clone(),
        };
        Some(Found::of(&read))
    }
}

impl Found {
    fn of(read: &Result<Vec<u8>, Unread>) -> Self {
        match read {
            Ok(bytes) => Self::Bytes(Digest::of(bytes)),
            Err(Unread::File(error)) => Self::NoFile(error.kind()),
            Err(Unread::Url(_)) => Self::NoAnswer,
        }
    }
}

/// Whether a file name stands for standard input, or for standard output.
pub fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// The name of a text in diagnostics and status: the path as it was given, but for characters that a
/// terminal would obey.
pub fn name_of(path: &Path) -> String {
    if is_standard(path) {
        return "<stdin>".to_owned();
    }
    let path = path.display().to_string();
    let mut name = String::with_capacity(path.len());
    for character in path.chars() {
        if character.is_control() {
            name.extend(character.escape_default());
        } else {
            name.push(character);
        }
    }
    name
}

/// Reads a file; of a larger one, one byte more than the most that are wanted.
///
/// # Errors
/// Whatever the system says, or that it is a directory.
pub fn read_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let opened = File::open(path)?;
    if opened.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    read_at_most(opened, bytes_max)
}

/// Reads a file that a running gateway follows. A pipe or a device in its place is refused: opening or
/// reading one may never end, and whoever waits for it hears neither signals nor operators.
fn reread_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut options = File::options();
    options.read(true);
    // What it is can only be told of what is open, and opening must not wait either.
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let opened = options.open(path)?;
    let is = opened.metadata()?.file_type();
    if is.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !is.is_file() {
        let reason = "it is a pipe or a device by now";
        return Err(io::Error::new(io::ErrorKind::Unsupported, reason));
    }
    read_at_most(opened, bytes_max)
}

/// Reads to the end, but no more than one byte more than wanted.
///
/// # Errors
/// Whatever the system says.
pub fn read_at_most(from: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file gives its content again each time. A pipe does not, and opening one may block for
/// ever; what is not there may become a file.
fn is_rereadable(path: &Path) -> bool {
    path.metadata()
        .map_or(true, |file| file.is_file() || file.is_dir())
}
