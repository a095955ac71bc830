//! The first moments of a child process: a session of its own, and a death bound to the gateway's.
//!
//! Owns what has to happen inside the child before the server's program runs. The usual place for
//! it, code between fork and exec, needs `unsafe`, which this workspace forbids; so the gateway
//! starts its own executable first, which does it and then becomes the program by exec. The signal
//! survives that (prctl(2), `PR_SET_PDEATHSIG`), and no extra process stays behind.

use std::ffi::OsString;

#[cfg(unix)]
use super::guard;

/// The hidden first argument.
const ENTRY: &str = "__child";

/// The exit code for a program that cannot be executed, as shells have it.
pub(crate) const CANNOT_EXECUTE: i32 = 126;

/// The arguments in front of a program and its own arguments.
pub(super) fn arguments(gateway: u32) -> [String; 3] {
    [ENTRY.into(), gateway.to_string(), "--".into()]
}

/// Becomes a child of the gateway or its guard, if the arguments of this process say so; otherwise
/// returns at once. Both binaries call it before anything else.
pub fn child_entry(mut arguments: impl Iterator<Item = OsString>) {
    let _executable = arguments.next();
    let Some(entry) = arguments.next() else {
        return;
    };
    #[cfg(unix)]
    if entry == guard::ENTRY {
        std::process::exit(guard::detach());
    } else if entry == guard::DETACHED {
        std::process::exit(guard::stand());
    }
    if entry != ENTRY {
        return;
    }
    let gateway = arguments
        .next()
        .and_then(|text| text.to_str()?.parse::<i32>().ok());
    let _separator = arguments.next();
    let (Some(gateway), Some(program)) = (gateway, arguments.next()) else {
        std::process::exit(CANNOT_EXECUTE);
    };
    std::process::exit(become_child(gateway, &program, arguments));
}

#[cfg(unix)]
fn become_child(
    gateway: i32,
    program: &OsString,
    arguments: impl Iterator<Item = OsString>,
) -> i32 {
    use std::io::Write as _;
    use std::os::unix::process::CommandExt as _;

    // A failure here leaves the child in the gateway's session, which is worse than not starting.
    if rustix::process::setsid().is_err() || !dies_with(gateway) {
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
fn become_child(_: i32, _: &OsString, _: impl Iterator<Item = OsString>) -> i32 {
    CANNOT_EXECUTE
}

/// Asks for the signal. If the gateway died before that, nobody would send it any more.
#[cfg(target_os = "linux")]
fn dies_with(gateway: i32) -> bool {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    set_parent_process_death_signal(Some(Signal::KILL)).is_ok()
        && getppid().is_some_and(|parent| parent.as_raw_nonzero().get() == gateway)
}

#[cfg(all(unix, not(target_os = "linux")))]
fn dies_with(gateway: i32) -> bool {
    rustix::process::getppid().is_some_and(|parent| parent.as_raw_nonzero().get() == gateway)
}
