//! `mcpc schema` and `mcpc completions`: generated texts for editors and shells. Also owns writing
//! a file in one step, which `mcpc plan --out` shares.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::Exit;
use crate::input::is_standard;
use crate::terminal::{print, say};

/// Prints the JSON Schema, or writes it to a file.
pub(crate) fn schema(out: Option<&Path>) -> Exit {
    let text = mcpc_config::schema_text();
    match out {
        Some(out) if !is_standard(out) => write_or_say(out, text.as_bytes()),
        _ => print(text.as_bytes()),
    }
}

/// Prints a completion script.
pub(crate) fn completions(shell: clap_complete::Shell, command: &mut clap::Command) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "mcpc", &mut script);
    print(&script)
}

/// Writes a file in one step, and says so if that fails.
pub(crate) fn write_or_say(path: &Path, bytes: &[u8]) -> Exit {
    match write(path, bytes) {
        Ok(()) => Exit::Clean,
        Err(error) => {
            let kind = error.kind();
            say(&format!(
                "error[MCPC0004]: {} cannot be written: {kind}\n  = note: run `mcpc explain MCPC0004`\n",
                path.display()
            ));
            Exit::Failed
        }
    }
}

/// Whoever reads the file sees the old bytes or the new ones, also after a crash: a temporary file
/// beside it, synced, renamed over it, and the directory synced. A link stays a link; a pipe or a
/// device is written to, not replaced.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
        return File::options().write(true).open(&path)?.write_all(bytes);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(permissions(&path));
    let mut file = builder.tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    sync_directory(directory)
}

/// Makes the rename last. Elsewhere a directory cannot be opened, and the system does it by itself.
fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Those of the file that is replaced, or what a new file gets by default. Without this the result
/// would be readable for its owner only, as temporary files are.
#[cfg(unix)]
fn permissions(path: &Path) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions(),
        Err(_) => std::fs::Permissions::from_mode(0o666),
    }
}
