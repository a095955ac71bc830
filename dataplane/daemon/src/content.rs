//! The bytes that plans are made of, and whether there are others by now.
//!
//! Owns where they come from: a file, a directory of files, a URL, or standard input and pipes, which can be
//! read once. What they mean is for [`Plans`](crate::Plans) to say; who waits for others is `inputs`. Which
//! files of a directory count is `folder`'s.

use std::fs::File;
use std::future::{Future, ready};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use mcpc_dataplane::{Reach, Refusal};
use mcpc_plan::Digest;

use crate::folder;
use crate::remote::Remote;

/// See the file's header.
pub struct Content {
    place: Place,
    bytes_max: u64,
    /// Whether a directory of files will do in place of a file.
    takes_directory: bool,
    loaded: Option<Found>,
    /// Whether anything was read or tried to be.
    is_begun: bool,
    /// What could be read only once.
    kept: Option<Texts>,
}

/// What was read.
#[derive(Clone, Debug)]
pub enum Texts {
    /// One text.
    One(Vec<u8>),
    /// The files of a directory in the order of their names, each with what it is called in diagnostics.
    Files(Vec<(String, Vec<u8>)>),
}

enum Place {
    Standard,
    File(PathBuf),
    Url(Arc<Remote>),
}

/// What is there, as far as it tells whether it is something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Bytes(Digest),
    /// No file that can be read: there is none, or it is a directory.
    NoFile(io::ErrorKind),
    /// A URL that gives nothing, and why.
    NoAnswer(String),
}

/// What is there, once that is known. Borrows nothing: whoever waits for it can do something else in between.
pub(crate) type Present = Pin<Box<dyn Future<Output = Option<Found>> + Send>>;

/// Why there are no bytes.
#[derive(Debug)]
pub enum Unread {
    /// The file of this name, or standard input, cannot be read.
    File(String, io::Error),
    /// The directory has no file that counts.
    Empty,
    /// The URL cannot be read; the reason in a few words.
    Url(String),
}

/// How to notice that there is something else.
pub(crate) enum Lookout<'a> {
    /// Watch this file, or this directory of files.
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
            Some(remote) => Place::Url(Arc::new(remote?)),
            None if is_standard(place) => Place::Standard,
            None => Place::File(place.to_owned()),
        };
        Ok(Self {
            place,
            bytes_max,
            takes_directory: false,
            loaded: None,
            is_begun: false,
            kept: None,
        })
    }

    /// Takes the files of a directory, too, if there is one where a file is expected.
    #[must_use]
    pub fn or_directory(self) -> Self {
        Self {
            takes_directory: true,
            ..self
        }
    }

    /// Reads what is there now. The first time it waits for whoever writes into a pipe; later it may block
    /// for no longer than a file of the system or the deadline of one request. More bytes than the most
    /// that are wanted are one byte more.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn read(&mut self) -> Result<Texts, Unread> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let read = match &self.place {
            Place::Url(remote) => remote.get_now(self.bytes_max).map_err(Unread::Url),
            Place::File(path) if is_first && !self.is_directory(path) => {
                read_file(path, self.bytes_max).map_err(|error| self.unread(error))
            }
            Place::File(path) => return self.note(self.reread(path)),
            Place::Standard => {
                read_at_most(io::stdin().lock(), self.bytes_max).map_err(|error| self.unread(error))
            }
        };
        self.note(read.map(Texts::One))
    }

    /// What a running gateway finds in place of a file: never what may block.
    fn reread(&self, path: &Path) -> Result<Texts, Unread> {
        if self.is_directory(path) {
            return folder::read(path, self.bytes_max);
        }
        let read = reread_file(path, self.bytes_max);
        read.map(Texts::One).map_err(|error| self.unread(error))
    }

    fn note(&mut self, read: Result<Texts, Unread>) -> Result<Texts, Unread> {
        self.loaded = Some(Found::of(&read));
        let texts = read?;
        if matches!(self.lookout(), Lookout::Nothing) {
            self.kept = Some(texts.clone());
        }
        Ok(texts)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.takes_directory && path.is_dir()
    }

    fn unread(&self, error: io::Error) -> Unread {
        Unread::File(self.name(), error)
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

    /// The digest of what was read last, if anything was.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match &self.loaded {
            Some(Found::Bytes(digest)) => Some(digest.clone()),
            _ => None,
        }
    }

    /// What [`read`](Self::read) would find now.
    pub(crate) fn present(&self) -> Present {
        match &self.place {
            Place::Url(remote) => {
                let (remote, bytes_max) = (Arc::clone(remote), self.bytes_max);
                Box::pin(async move {
                    let got = remote.get(bytes_max).await;
                    Some(Found::of(&got.map(Texts::One).map_err(Unread::Url)))
                })
            }
            Place::File(path) => Box::pin(ready(Some(Found::of(&self.reread(path))))),
            Place::Standard => Box::pin(ready(self.loaded.clone())),
        }
    }
}

impl Found {
    fn of(read: &Result<Texts, Unread>) -> Self {
        match read {
            Ok(Texts::One(bytes)) => Self::Bytes(Digest::of(bytes)),
            Ok(Texts::Files(files)) => {
                let files = files.iter();
                let all: Vec<String> = files
                    .map(|(name, bytes)| format!("{name:?} {}", Digest::of(bytes).as_str()))
                    .collect();
                Self::Bytes(Digest::of(all.join("\n").as_bytes()))
            }
            Err(Unread::File(_, error)) => Self::NoFile(error.kind()),
            Err(Unread::Empty) => Self::NoFile(io::ErrorKind::NotFound),
            Err(Unread::Url(reason)) => Self::NoAnswer(reason.clone()),
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

/// Reads a configuration where no gateway follows it: a file, or a directory of files.
///
/// # Errors
/// Why there is none.
pub fn read_texts(path: &Path, bytes_max: u64) -> Result<Texts, Unread> {
    if path.is_dir() {
        return folder::read(path, bytes_max);
    }
    let read = read_file(path, bytes_max);
    read.map(Texts::One)
        .map_err(|error| Unread::File(name_of(path), error))
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
pub(crate) fn reread_file(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
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
        let reason = "it is a pipe or a device";
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
