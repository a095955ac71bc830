//! What a gateway keeps on disk: so far the keys under which clients hold their sessions.
//!
//! Owns the state directory (`--state-dir`, else the first of `$STATE_DIRECTORY`, as systemd gives
//! it), the key file in it, and a key file that somebody else provides (`--session-key-file`). A key
//! file is made whole or not at all, and is not used if others can read it. A key that the directory does not
//! take is used from memory, and written when it does. When that is tried again is `operation`'s to say, and what
//! the keys seal is the data plane's business. See `docs/decisions/0051-no-room-for-a-key.md`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mcpc_dataplane::{Refusal, SESSION_KEY, SessionKeys};

use crate::GatewayFlags;

/// The file of the state directory that holds the keys.
const KEY_FILE: &str = "session.key";

/// No key file is larger.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// So many hexadecimal digits are a key.
const KEY_DIGITS: usize = 64;

/// A file with more keys is not the outcome of a rotation.
const KEYS_MAX: usize = 8;

/// The directory for what survives a restart, if there is one.
pub(crate) fn state_dir(flags: &GatewayFlags) -> Option<PathBuf> {
    if let Some(given) = &flags.state_dir {
        return Some(given.clone());
    }
    // A client's own gateway inherits the client's environment, and has no business in its directory.
    if flags.stdio {
        return None;
    }
    let given = std::env::var_os("STATE_DIRECTORY")?;
    let first = std::env::split_paths(&given).next()?;
    (!first.as_os_str().is_empty()).then_some(first)
}

/// The keys under which clients hold their sessions.
#[derive(Default)]
pub(crate) struct Keys {
    /// Nothing if each process is to have its own.
    session: Option<SessionKeys>,
    /// The one that belongs on disk, and is in memory only.
    unkept: Option<Unkept>,
}

struct Unkept {
    directory: PathBuf,
    material: Material,
}

type Material = [u8; KEY_DIGITS / 2];

impl Keys {
    /// Those that the flags name. Only a key file that is there and cannot be used is refused: it may have been
    /// read by others, and whoever wrote it wants no other key.
    pub(crate) fn of(flags: &GatewayFlags) -> Result<Self, Refusal> {
        if let Some(path) = &flags.session_key_file {
            return read(path).map(Self::kept);
        }
        let Some(directory) = state_dir(flags) else {
            return Ok(Self::default());
        };
        let path = directory.join(KEY_FILE);
        if path.exists() {
            return read(&path).map(Self::kept);
        }
        let material = SessionKeys::random_material()?;
        match create(&directory, &path, &material) {
            // Another process may have been faster.
            Ok(()) => read(&path).map(Self::kept),
            Err(error) => {
                SESSION_KEY.meet(&error);
                Ok(Self {
                    session: Some(SessionKeys::new(material, Vec::new())),
                    unkept: Some(Unkept {
                        directory,
                        material,
                    }),
                })
            }
        }
    }

    fn kept(keys: SessionKeys) -> Self {
        Self {
            session: Some(keys),
            unkept: None,
        }
    }

    /// For the gateway.
    pub(crate) fn session(&self) -> Option<SessionKeys> {
        self.session.clone()
    }

    /// Whether the disk does not hold what it should.
    pub(crate) fn are_troubled(&self) -> bool {
        self.unkept.is_some()
    }

    /// Writes again what could not be written.
    pub(crate) fn retry(&mut self) {
        let Some(unkept) = &self.unkept else {
            return;
        };
        match unkept.keep() {
            Ok(()) => {
                self.unkept = None;
                SESSION_KEY.end();
            }
            // It was said when it began, and is shown in the status until it ends.
            Err(error) => drop(SESSION_KEY.note(&error)),
        }
    }
}

impl Unkept {
    fn keep(&self) -> io::Result<()> {
        let path = self.directory.join(KEY_FILE);
        create(&self.directory, &path, &self.material)?;
        // Sessions that began here end with this process if the next one finds another key.
        if fs::read(&path)? != text_of(&self.material).as_bytes() {
            return Err(io::Error::other("another key is kept there"));
        }
        Ok(())
    }
}

/// Makes the key file, whole or not at all. If another process was faster, its file stays.
fn create(directory: &Path, path: &Path, material: &Material) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let own = directory.join(format!("{KEY_FILE}.{}", std::process::id()));
    // What a process of this number has left behind is not a key that anybody uses.
    let _none = fs::remove_file(&own);
    let linked = write_new(&own, &text_of(material)).and_then(|()| fs::hard_link(&own, path));
    // It may not have come to be, and then the reason for that counts.
    let _removed = fs::remove_file(&own);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => File::open(directory)?.sync_all(),
    }
}

/// What a key file holds.
fn text_of(material: &Material) -> String {
    let mut text = String::from("# The first key seals the ids of sessions; all keys open them.\n");
    for byte in material {
        for half in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(half.into(), 16));
        }
    }
    text.push('\n');
    text
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Reads a key file. The reason for a refusal never shows what is in it.
fn read(path: &Path) -> Result<SessionKeys, Refusal> {
    let refused = |reason: String| Refusal {
        code: "MCPC9609",
        reason: format!("the key file {} {reason}", path.display()),
    };
    let unreadable = |error: io::Error| refused(format!("cannot be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(refused("is no file".to_owned()));
    }
    let us = rustix::process::geteuid().as_raw();
    if ![0, us].contains(&found.uid()) {
        return Err(refused("belongs to somebody else".to_owned()));
    }
    if is_exposed(found.mode(), found.uid()) {
        let mode = found.mode() & 0o777;
        return Err(refused(format!(
            "can be read or changed by others (mode {mode:03o}); it must be 600"
        )));
    }
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    read.map_err(unreadable)?;
    parse(&text).map_err(|reason| refused(reason.to_owned()))
}

/// Whether others than the owner can read or write a file of this mode. A file of root may be
/// readable for a group, which is how orchestrators hand secrets to a process that is not root.
fn is_exposed(mode: u32, owner: u32) -> bool {
    let for_others = if owner == 0 { 0o037 } else { 0o077 };
    mode & for_others != 0
}

fn parse(text: &str) -> Result<SessionKeys, &'static str> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut keys = Vec::new();
    for line in lines {
        keys.push(key(line).ok_or("holds a line that is no key of 64 hexadecimal digits")?);
    }
    if keys.is_empty() {
        return Err("holds no key");
    }
    if keys.len() > KEYS_MAX {
        return Err("holds more than 8 keys");
    }
    let first = keys.remove(0);
    Ok(SessionKeys::new(first, keys))
}

fn key(digits: &str) -> Option<Material> {
    let is_hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if digits.len() != KEY_DIGITS || !is_hexadecimal {
        return None;
    }
    let mut key = [0; KEY_DIGITS / 2];
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_comments_and_keys() {
        let (first, second) = ("0f".repeat(32), "A1".repeat(32));
        assert!(parse(&first).is_ok());
        assert!(parse(&format!("# new\r\n {first} \n\n# old\n{second}\n")).is_ok());
        let refused = |text: &str| parse(text).err().unwrap();
        assert_eq!(refused("\n# nothing\n"), "holds no key");
        assert_eq!(
            refused(&format!("{first}\n").repeat(9)),
            "holds more than 8 keys"
        );
        let short = first.get(1..).unwrap();
        for wrong in [short, &format!("{first}0"), &format!("{short}g"), "ü"] {
            let reason = refused(&format!("{second}\n{wrong}"));
            assert!(reason.contains("no key of 64"), "{reason}");
        }
        assert_eq!(key(&first), Some([0x0f; 32]));
        assert_eq!(key(&second), Some([0xa1; 32]));
    }

    #[test]
    fn a_file_is_exposed_if_others_can_read_or_change_it() {
        for (mode, owner, is_it) in [
            (0o100_600, 1000, false),
            (0o100_400, 1000, false),
            (0o100_640, 1000, true),
            (0o100_604, 1000, true),
            (0o100_602, 1000, true),
            (0o100_440, 0, false),
            (0o100_460, 0, true),
            (0o100_444, 0, true),
        ] {
            assert_eq!(is_exposed(mode, owner), is_it, "{mode:o} {owner}");
        }
    }

    #[test]
    fn a_key_file_is_made_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("state/mcpc");
        let path = directory.join(KEY_FILE);
        create(&directory, &path, &[7; 32]).unwrap();
        let made = fs::metadata(&path).unwrap();
        assert_eq!(made.mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        let before = fs::read(&path).unwrap();
        create(&directory, &path, &[8; 32]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), before, "the first one stays");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert!(read(&path).is_ok());
    }
}
