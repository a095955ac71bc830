//! What the system denies the whole process, and whether it still does: descriptors, processes, a log, a place
//! for its key.
//!
//! Owns one record for each, which whoever is denied writes and `status` shows, and the lines of the
//! log about it. They are the process's as the limits of the system are, so they are static. Does not
//! wait or try again: `listener` and `upstream` do. Who may take the last descriptors is
//! `descriptors`' business.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use rustix::io::Errno;

use crate::descriptors;
use crate::failure::Failure;
use crate::status::Trouble;
use crate::timestamp::Timestamp;

/// No descriptor is left for a connection, a process or a file.
pub(crate) static DESCRIPTORS: Shortage = Shortage::new(
    "MCPC9615",
    "no descriptor is left; what is connected goes on",
    "there are descriptors again",
);

/// The system starts no process.
pub(crate) static PROCESSES: Shortage = Shortage::new(
    "MCPC9616",
    "the system starts no process; it is tried again",
    "the system starts processes again",
);

/// The log does not take its lines. For the log's writer.
pub static LOG: Shortage = Shortage::new(
    "MCPC9617",
    "lines of the log are lost",
    "the log takes lines again",
);

/// The key of sessions has no place on disk. For whoever keeps it.
pub static SESSION_KEY: Shortage = Shortage::new(
    "MCPC9608",
    "the key of sessions cannot be kept on disk: they end with this process, until it can; it is tried again",
    "the key of sessions is kept on disk",
);

const ALL: [&Shortage; 4] = [&DESCRIPTORS, &PROCESSES, &LOG, &SESSION_KEY];

/// Between two lines of the log about one shortage.
const SILENCE_MS: u64 = 10_000;

/// A shortage of descriptors ends when nobody was denied one for so long, and there are some.
const QUIET_MS: u64 = 2_000;

/// One thing that may be short.
pub struct Shortage {
    code: &'static str,
    text: &'static str,
    over: &'static str,
    met: ArcSwapOption<Met>,
    times: AtomicU64,
    last_ms: AtomicU64,
    logged_ms: AtomicU64,
}

/// A shortage that goes on.
struct Met {
    since: Timestamp,
    reason: String,
}

impl Shortage {
    const fn new(code: &'static str, text: &'static str, over: &'static str) -> Self {
        Self {
            code,
            text,
            over,
            met: ArcSwapOption::const_empty(),
            times: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
            logged_ms: AtomicU64::new(0),
        }
    }

    /// Somebody was denied it. Says so in the log, but not each time.
    pub fn meet(&self, error: &io::Error) {
        if self.note(error) {
            tracing::error!(code = self.code, %error, "{}", self.text);
        }
    }

    /// The same without a line. Answers whether one is due.
    pub fn note(&self, error: &io::Error) -> bool {
        let now = Timestamp::now();
        if self.met.load().is_none() {
            self.times.store(0, Ordering::Relaxed);
            self.met.store(Some(Arc::new(Met {
                since: now,
                reason: error.to_string(),
            })));
        }
        self.times.fetch_add(1, Ordering::Relaxed);
        self.last_ms.store(now.unix_ms(), Ordering::Relaxed);
        let logged = self.logged_ms.load(Ordering::Relaxed);
        // The clock may be set back: a moment that is still to come says nothing either.
        let is_due = now.unix_ms().abs_diff(logged) >= SILENCE_MS;
        is_due
            && self
                .logged_ms
                .compare_exchange(logged, now.unix_ms(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// It is there again. Answers how often it was not, if it was not.
    pub fn end(&self) -> Option<u64> {
        if self.met.load().is_none() {
            return None;
        }
        self.met.swap(None)?;
        self.logged_ms.store(0, Ordering::Relaxed);
        let times = self.times.load(Ordering::Relaxed);
        tracing::info!(code = self.code, times, "{}", self.over);
        Some(times)
    }

    fn trouble(&self) -> Option<Trouble> {
        let met = self.met.load();
        let met = met.as_ref()?;
        Some(Trouble {
            code: self.code.to_owned(),
            text: self.text.to_owned(),
            reason: met.reason.clone(),
            since: met.since,
            times: self.times.load(Ordering::Relaxed),
        })
    }
}

/// What is short at this moment.
pub(crate) fn troubles() -> Vec<Trouble> {
    look();
    ALL.iter().filter_map(|it| it.trouble()).collect()
}

/// Finds out whether the shortage of descriptors is over. The others end when something succeeds.
pub(crate) fn look() {
    if DESCRIPTORS.met.load().is_none() {
        return;
    }
    let last = DESCRIPTORS.last_ms.load(Ordering::Relaxed);
    let is_quiet = Timestamp::now().unix_ms().abs_diff(last) >= QUIET_MS;
    if is_quiet && descriptors::has_room(descriptors::Purpose::Clients) {
        DESCRIPTORS.end();
    }
}

/// What an error of the system means for whoever needs a descriptor, if it means a shortage of them.
pub(crate) fn of_descriptors(error: &io::Error) -> Option<Failure> {
    let is_it = is_of_descriptors(error);
    is_it.then(|| {
        DESCRIPTORS.meet(error);
        Failure::NoDescriptor
    })
}

/// The same for whoever starts a process (fork(2), pipe(2)).
pub(crate) fn of_process(error: &io::Error) -> Option<Failure> {
    let is_refused = matches!(
        Errno::from_io_error(error),
        Some(Errno::AGAIN | Errno::NOMEM)
    );
    if is_refused {
        PROCESSES.meet(error);
        return Some(Failure::NoProcess);
    }
    of_descriptors(error)
}

/// Whether the process, or the whole system, has no descriptor left.
#[must_use]
pub fn is_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_told_once_and_shown_until_it_ends() {
        static SHORT: Shortage = Shortage::new("MCPC9999", "short", "not short");
        let error = io::Error::from(Errno::MFILE);
        assert!(SHORT.trouble().is_none() && SHORT.end().is_none());
        assert!(SHORT.note(&error), "the first time is told");
        assert!(!SHORT.note(&error), "the second is not");
        let trouble = SHORT.trouble();
        let times = trouble.as_ref().map(|trouble| trouble.times);
        assert_eq!(times, Some(2), "{trouble:?}");
        assert_eq!(SHORT.end(), Some(2));
        assert!(SHORT.trouble().is_none());
        assert!(SHORT.note(&error), "the next one is told at once");
        let later = Timestamp::now().unix_ms() + 3_600_000;
        SHORT.logged_ms.store(later, Ordering::Relaxed);
        assert!(
            SHORT.note(&error),
            "and so it is after the clock was set back"
        );
    }

    #[test]
    fn only_errors_of_the_system_are_a_shortage() {
        let plain = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(of_process(&plain), None);
        assert!(is_of_descriptors(&Errno::NFILE.into()));
        assert!(!is_of_descriptors(&Errno::AGAIN.into()));
    }
}
