//! A program as the first process of a container: process 1 of a pid namespace of its own.
//!
//! Owns making such a command of another one, if the system lets users do so, and finding the process and
//! what waits in vain to be reaped. Linux only.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{alive, children, descendants, until};

/// util-linux has it where the system's own programs are.
const UNSHARE: &str = "/usr/bin/unshare";

const AS_FIRST: [&str; 6] = [
    "--user",
    "--map-root-user",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// The same command as process 1. None where the system refuses it, which is said although the test does not fail.
pub fn as_first_process(command: &Command) -> Option<Command> {
    let mut first = Command::new(UNSHARE);
    first
        .args(AS_FIRST)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            first.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        first.current_dir(folder);
    }
    let why = match Command::new(UNSHARE)
        .args(AS_FIRST)
        .arg("/bin/true")
        .output()
    {
        Ok(tried) if tried.status.success() => return Some(first),
        Ok(tried) => String::from_utf8_lossy(&tried.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    // Not by a macro, whose words the harness keeps to itself while a test passes.
    let _said = writeln!(std::io::stderr(), "as process 1 ... NOT TRIED HERE: {why}");
    None
}

/// The process 1 of what [`as_first_process`] has started.
#[track_caller]
pub fn first_of(unshare: u32) -> u32 {
    let mut first = None;
    until("there is a first process", || {
        first = children(unshare).first().copied();
        first.is_some()
    });
    first.expect("there is a first process")
}

/// How many processes below this one have ended and were not reaped.
pub fn zombies(process: u32) -> usize {
    let all = descendants(process).into_iter();
    all.filter(|id| !alive(*id)).count()
}
