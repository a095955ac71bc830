//! A process that locks itself in before it becomes a server.
//!
//! Owns the rules for files (landlock(7)) and the way into a network with nothing in it
//! (`network_namespaces(7)`); the filter of system calls is `seccomp`'s. All hold for the program and
//! all that it starts, and cannot be taken back. What the system cannot do is an error: a server that
//! only seems locked in is worse than none. Runs in the process that `shim` has begun, which has one
//! thread. See `docs/decisions/0036-bounds-of-servers.md`.

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use mcpc_plan::{Network, Sandbox};
use rustix::process::{getgid, getuid};
use rustix::thread::{CapabilitySet, CapabilitySets, UnshareFlags, set_capabilities};

use super::seccomp;

/// What the system must be able to enforce: with less, a program could empty files that it may only
/// read (Linux 6.2).
const NEEDED: ABI = ABI::V3;

/// Enforced where the system can: no signals to processes outside, no sockets without a file, no
/// control of devices (Linux 6.12).
const WANTED: ABI = ABI::V6;

/// What every program needs to start, to find names and zones, and to trust a certificate. What is
/// not there is left out.
const READABLE: [&str; 29] = [
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/proc",
    "/sys/devices/system/cpu",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// What every program may write to.
const WRITABLE: [&str; 2] = ["/dev/null", "/dev/full"];

/// Locks this process in, and thus the program that it becomes.
///
/// # Errors
/// In words, why the system does not do it.
pub(super) fn enter(sandbox: &Sandbox, program: &OsStr) -> Result<(), String> {
    if sandbox.network == Network::None {
        leave_network().map_err(|error| format!("no network of its own: {error}"))?;
    }
    let created = ruleset().map_err(|error| no_rules(&error))?;
    let read = AccessFs::from_read(NEEDED);
    let write = AccessFs::from_all(NEEDED);
    let mut rules = Rules(created);
    let program = whereabouts(program);
    for path in READABLE.iter().map(Path::new).chain(program.as_deref()) {
        if path.exists() {
            rules.allow(path, read)?;
        }
    }
    for path in WRITABLE {
        rules.allow(Path::new(path), write)?;
    }
    for path in &sandbox.read {
        rules.allow(Path::new(path.as_ref()), read)?;
    }
    for path in &sandbox.write {
        rules.allow(Path::new(path.as_ref()), write)?;
    }
    let status = rules.0.restrict_self().map_err(|error| no_rules(&error))?;
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err(no_rules(&"not enforced"));
    }
    give_up_rights().map_err(|error| format!("rights are left: {error}"))?;
    seccomp::leave_limits_of_others().map_err(|error| format!("no filter of system calls: {error}"))
}

/// Gives up what root may and nobody else, such as to look into other processes or to make devices.
/// Nothing of it comes back when the program is executed: the rules for files forbid new privileges
/// (capabilities(7), `PR_SET_NO_NEW_PRIVS`).
fn give_up_rights() -> std::io::Result<()> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, none)?)
}

fn no_rules(error: &dyn Display) -> String {
    format!("no rules for files: {error}")
}

fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .scope(Scope::from_all(WANTED))?
        .create()
}

struct Rules(RulesetCreated);

impl Rules {
    fn allow(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), String> {
        // A path that is not there is a mistake in the configuration, and its text is no secret.
        let failed = |error: &dyn Display| format!("{}: {error}", path.display());
        let opened = PathFd::new(path).map_err(|error| failed(&error))?;
        let access = if path.is_dir() {
            access
        } else {
            access & AccessFs::from_file(NEEDED)
        };
        (&mut self.0)
            .add_rule(PathBeneath::new(opened, access))
            .map_err(|error| failed(&error))?;
        Ok(())
    }
}

/// The file of the program, as the system will look for it.
fn whereabouts(program: &OsStr) -> Option<PathBuf> {
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let folders = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&folders).map(|folder| folder.join(program));
    places.find(|place| place.is_file())
}

/// Changes into a network without any device that is up. Without the right to make one, this process
/// first becomes the only user of a world of users of its own, in which it has that right.
fn leave_network() -> std::io::Result<()> {
    if unshare(UnshareFlags::NEWNET).is_ok() {
        return Ok(());
    }
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    // Otherwise its files would seem to be nobody's (user_namespaces(7)).
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("{group} {group} 1"))
}

#[expect(
    deprecated,
    reason = "unsafe for what shares memory or descriptors with other threads; this process has one thread, and neither is unshared"
)]
fn unshare(what: UnshareFlags) -> std::io::Result<()> {
    Ok(rustix::thread::unshare(what)?)
}
