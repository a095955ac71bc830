//! The first moments of a child process: a session of its own, and a death bound to its warden's.
//!
//! Owns what has to happen inside the child before the server's program runs. The usual place for
//! it, code between fork and exec, needs `unsafe`, which this workspace forbids; so the warden
//! starts its own executable again, which does it and then becomes the program by exec. The signal
//! survives that (prctl(2), `PR_SET_PDEATHSIG`).

use std::ffi::{OsStr, OsString};

#[cfg(unix)]
use super::{terms::Terms, warden};

/// The hidden first argument.
const ENTRY: &str = "__child";

/// The exit code for a program that cannot be executed, as shells have it.
pub(crate) const CANNOT_EXECUTE: i32 = 126;

/// The exit code for a program whose sandbox the system does not make.
pub(crate) const CANNOT_CONFINE: i32 = 125;

/// The arguments in front of a program and its own arguments.
pub(super) fn arguments(parent: u32, terms: String) -> [String; 4] {
    [ENTRY.into(), parent.to_string(), terms, "--".into()]
}

/// Becomes a child of the gateway or the warden of one, if the arguments of this process say so; otherwise
/// returns at once. Both binaries call it before anything else.
pub fn child_entry(mut arguments: impl Iterator<Item = OsString>) {
    let _executable = arguments.next();
    let Some(entry) = arguments.next() else {
        return;
    };
    #[cfg(unix)]
    if entry == warden::ENTRY {
        std::process::exit(warden::stand());
    }
    if entry != ENTRY {
        return;
    }
    let parent = arguments
        .next()
        .and_then(|text| text.to_str()?.parse::<u32>().ok());
    let terms = arguments.next();
    let _separator = arguments.next();
    let (Some(parent), Some(terms), Some(program)) = (parent, terms, arguments.next()) else {
        std::process::exit(CANNOT_EXECUTE);
    };
    std::process::exit(become_child(parent, &terms, &program, arguments));
}

#[cfg(unix)]
fn become_child(
    parent: u32,
    terms: &OsStr,
    program: &OsStr,
    arguments: impl Iterator<Item = OsString>,
) -> i32 {
    use std::io::Write as _;
    use std::os::unix::process::CommandExt as _;

    let Some(terms) = Terms::from_argument(terms) else {
        return CANNOT_EXECUTE;
    };
    // First, because the sandbox keeps it off the files of the group.
    if let Err(reason) = terms.enter_group() {
        let _told = writeln!(std::io::stderr(), "cannot be bound: {reason}");
        return CANNOT_EXECUTE;
    }
    if let Err(reason) = terms.enter_sandbox(program) {
        let _told = writeln!(std::io::stderr(), "cannot be locked in: {reason}");
        return CANNOT_CONFINE;
    }
    // A failure here leaves the child in the gateway's session, which is worse than not starting.
    if rustix::process::setsid().is_err() || !dies_with(parent) {
        return CANNOT_EXECUTE;
    }
    if let Err(error) = terms.take() {
        let _told = writeln!(
            std::io::stderr(),
            "cannot bind {} to its limits: {error}",
            program.display()
        );
        return CANNOT_EXECUTE;
    }
    let error = std::process::Command::new(program).args(arguments).exec();
    // The name of the program is in the configuration; its arguments may be secrets.
    let _told = writeln!(
        std::io::stderr(),
        "cannot execute {}: {error}",
        program.display()
    );
    CANNOT_EXECUTE
}

#[cfg(not(unix))]
fn become_child(_: u32, _: &OsStr, _: &OsStr, _: impl Iterator<Item = OsString>) -> i32 {
    CANNOT_EXECUTE
}

/// Asks the system to end this process when the one that started it ends, where it can do that (prctl(2),
/// `PR_SET_PDEATHSIG`). False if that has ended already: nobody would send the signal any more.
#[cfg(target_os = "linux")]
pub fn dies_with(parent: u32) -> bool {
    use rustix::process::{Signal, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok() && is_parent(parent)
}

/// Whether the process that started this one is still there. This system ends none with another one.
#[cfg(all(unix, not(target_os = "linux")))]
pub fn dies_with(parent: u32) -> bool {
    is_parent(parent)
}

/// True: this system does not tell who started a process.
#[cfg(not(unix))]
pub fn dies_with(_parent: u32) -> bool {
    true
}

#[cfg(unix)]
fn is_parent(id: u32) -> bool {
    let parent = rustix::process::getppid();
    parent.is_some_and(|parent| u32::try_from(parent.as_raw_nonzero().get()) == Ok(id))
}
