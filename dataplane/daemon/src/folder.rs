//! The files of a directory that make one configuration together.
//!
//! Owns which of its files count, and their order. Those that do not are the ones that nobody means:
//! hidden files, which editors and mounted `ConfigMap`s put beside, backups, directories, and whatever
//! is no YAML by its name. What is read of them is compared and watched as one, by `content` and `watch`.

use std::ffi::OsStr;
use std::fs::read_dir;
use std::io;
use std::path::{Path, PathBuf};

use crate::content::{Texts, Unread, name_of, reread_file};

/// More files than this are taken for the wrong directory.
const FILES_MAX: usize = 10_000;

/// Reads what counts in a directory. Bytes beyond the most that are wanted are left out but for one.
pub(crate) fn read(directory: &Path, bytes_max: u64) -> Result<Texts, Unread> {
    let unread = |error| Unread::File(name_of(directory), error);
    let mut files = Vec::new();
    let mut left = bytes_max;
    for path in members(directory).map_err(unread)? {
        let name = name_of(&path);
        let bytes = match reread_file(&path, left) {
            Ok(bytes) => bytes,
            Err(error) => return Err(Unread::File(name, error)),
        };
        left = left.saturating_sub(bytes.len() as u64);
        files.push((name, bytes));
    }
    if files.is_empty() {
        return Err(Unread::Empty);
    }
    Ok(Texts::Files(files))
}

/// The files that count, in the order of their names.
pub(crate) fn members(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut members = Vec::new();
    for entry in read_dir(directory)? {
        let path = entry?.path();
        // A link that leads nowhere counts: it is told of when it is read.
        if path.file_name().is_some_and(counts) && !path.is_dir() {
            members.push(path);
        }
        if members.len() > FILES_MAX {
            let reason = format!("there are more than {FILES_MAX} files in it");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
    }
    members.sort_unstable();
    Ok(members)
}

/// Whether a file of this name counts.
pub(crate) fn counts(name: &OsStr) -> bool {
    let is_hidden = name.as_encoded_bytes().starts_with(b".");
    let extension = Path::new(name).extension();
    !is_hidden && extension.is_some_and(|it| it == "yaml" || it == "yml")
}
