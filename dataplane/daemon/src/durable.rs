//! Files that are whole at any time: the old bytes or the new ones, also after a crash.
//!
//! Owns the order of steps that makes a write last. Shared by `mcpc plan --out` and by the plans that
//! a gateway keeps (`history`).

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Whoever reads the file sees the old bytes or the new ones, also after a crash: a temporary file
/// beside it, synced, renamed over it, and the directory synced. A link stays a link; a pipe or a
/// device is written to, not replaced.
///
/// # Errors
/// Whatever the system says; then the old file is as it was.
pub fn write_in_one_step(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return File::options().write(true).open(&path)?.write_all(bytes);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let builder = tempfile::Builder::new();
    let mut file = builder.make_in(directory, |own| create(own, &path))?;
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    sync_directory(directory)
}

/// Makes a new file that is to replace another one. Not by `tempfile_in`, which puts the file's name in place of the
/// system's error: nobody has asked for that name, and it is another one each time.
fn create(own: &Path, replaced: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode(replaced));
    #[cfg(not(unix))]
    let _alike = replaced;
    options.open(own)
}

/// Makes the rename last. Elsewhere a directory cannot be opened, and the system does it by itself.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// The permissions of the file that is replaced, or what a new file gets by default.
#[cfg(unix)]
fn mode(replaced: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(replaced);
    found.map_or(0o666, |found| found.permissions().mode())
}
