//! Descriptors: how many the process may have, and who may take the last ones.
//!
//! Owns the limit at the start, and the line up to which clients may go. The system always gives the
//! lowest number that is free, so the number of a new descriptor tells how many are in use without
//! anybody counting. Clients get half of what the gateway does not need for itself, since a call may
//! need another one for its server; the last few are for operators alone
//! (`docs/decisions/0029-descriptors.md`). What is said when none is left is `shortage`'s.

#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(unix)]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most that is kept for operators: their connections, and the files of the gateway.
const FOR_OPERATORS_MAX: u64 = 16;

/// What a process that the gateway has started holds: three pipes, the connection to its warden, and a
/// handle to wait by.
const OF_A_PROCESS: u64 = 5;

/// The limit that the process was started with, if it was raised since.
static INHERITED: OnceLock<u64> = OnceLock::new();

/// The first number that was free when the gateway began to serve.
static OWN: AtomicU64 = AtomicU64::new(0);

/// How many are held for processes.
static HELD: AtomicU64 = AtomicU64::new(0);

/// What a descriptor is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The connection of a client.
    Clients,
    /// A connection to a server, or the pipes of one.
    Servers,
    /// The connection of an operator.
    Operators,
}

/// The descriptors of a process that was started, until it is dropped.
pub(crate) struct Held(());

impl Held {
    pub(crate) fn for_a_process() -> Self {
        HELD.fetch_add(OF_A_PROCESS, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(OF_A_PROCESS, Ordering::Relaxed);
    }
}

/// Lets the process have as many descriptors as the system allows it. Processes that it starts get the
/// limit back that it was started with: old programs go through all numbers up to the limit. Answers
/// the limit, if there is one.
#[cfg(unix)]
pub fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current?;
    if limit.maximum.is_some_and(|maximum| maximum <= current) {
        return Some(current);
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if setrlimit(Resource::Nofile, raised).is_err() {
        // Some systems call no limit a limit and still have one. It stays as it was.
        return Some(current);
    }
    let _first = INHERITED.set(current);
    limit.maximum
}

/// There is nothing to be raised.
#[cfg(not(unix))]
pub fn raise_descriptor_limit() -> Option<u64> {
    None
}

/// The limit that a process of the gateway gets, if it is another than the gateway's own.
pub(crate) fn inherited() -> Option<u64> {
    INHERITED.get().copied()
}

/// In a process that was started: takes that limit.
#[cfg(unix)]
pub(crate) fn restore(limit: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let lowered = Rlimit {
        current: Some(limit),
        maximum,
    };
    // A program with a larger limit than it is used to is better than none.
    let _kept = setrlimit(Resource::Nofile, lowered);
}

/// The gateway serves: what is in use now is what it needs for itself.
pub(crate) fn settle() {
    if let Some(lowest) = lowest_free() {
        OWN.store(lowest, Ordering::Relaxed);
    }
}

/// Whether there is a descriptor for that. A guess where other threads take some at the same time.
pub(crate) fn has_room(purpose: Purpose) -> bool {
    lowest_free().is_some_and(|lowest| lowest < line(purpose))
}

/// Whether a descriptor is one that should have been left for something else.
#[cfg(unix)]
pub(crate) fn is_beyond(descriptor: &impl AsRawFd, purpose: Purpose) -> bool {
    u64::try_from(descriptor.as_raw_fd()).is_ok_and(|number| number >= line(purpose))
}

/// There are no numbers to tell by.
#[cfg(not(unix))]
pub(crate) fn is_beyond<D>(_: &D, _: Purpose) -> bool {
    false
}

/// The number that the system would give to the next descriptor; nothing if it would give none.
#[cfg(unix)]
fn lowest_free() -> Option<u64> {
    let next = rustix::io::fcntl_dupfd_cloexec(std::io::stderr(), 0).ok()?;
    u64::try_from(next.as_raw_fd()).ok()
}

#[cfg(not(unix))]
fn lowest_free() -> Option<u64> {
    Some(0)
}

/// How many of the descriptors that clients and servers share are in use, and how many there are.
pub(crate) fn shared_in_use() -> (u64, u64) {
    let needs = OWN.load(Ordering::Relaxed) + HELD.load(Ordering::Relaxed);
    let end = line(Purpose::Servers);
    let used = lowest_free().map_or(end, |lowest| lowest.min(end));
    (used.saturating_sub(needs), end.saturating_sub(needs))
}

/// How many descriptors are in use, and how many there may be.
pub(crate) fn in_use() -> (Option<u64>, u64) {
    (lowest_free(), limit())
}

/// The first number that is not for that.
fn line(purpose: Purpose) -> u64 {
    let needs = OWN.load(Ordering::Relaxed) + HELD.load(Ordering::Relaxed);
    line_of(purpose, limit(), needs)
}

#[cfg(unix)]
fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
fn limit() -> u64 {
    u64::MAX
}

fn line_of(purpose: Purpose, limit: u64, needs: u64) -> u64 {
    let left = limit.saturating_sub(needs);
    let for_operators = (left / 4).min(FOR_OPERATORS_MAX);
    match purpose {
        Purpose::Clients => needs + ((left - for_operators) / 2).max(1),
        Purpose::Servers => limit - for_operators,
        Purpose::Operators => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_ends_before_the_next_begins() {
        for needs in [0, 7, 30, 64, 100] {
            for limit in [0, 1, 20, 31, 64, 256, 1 << 20, u64::MAX] {
                let line = |purpose| line_of(purpose, limit, needs);
                let (clients, servers) = (line(Purpose::Clients), line(Purpose::Servers));
                assert!(servers <= line(Purpose::Operators));
                assert!(clients > needs, "one client at least: {limit} {needs}");
                assert!(clients <= servers || limit < needs + 2, "{limit} {needs}");
            }
        }
        assert_eq!(line_of(Purpose::Clients, 64, 28), 28 + 13);
        assert_eq!(line_of(Purpose::Servers, 64, 28), 55);
    }

    #[cfg(unix)]
    #[test]
    fn a_number_tells_how_many_are_in_use() {
        let lowest = lowest_free();
        let opened = std::io::stderr();
        let opened = rustix::io::fcntl_dupfd_cloexec(&opened, 0).map(|it| it.as_raw_fd());
        assert!(opened.is_ok() && lowest.is_some());
        assert!(!is_beyond(&std::io::stderr(), Purpose::Clients));
    }
}
