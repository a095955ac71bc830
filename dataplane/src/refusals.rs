//! How often the gateway answered with each of its own codes, so that each bound shows when it is met.
//!
//! Owns the counters: one for each number that a code can have, since codes are few and never chosen by a
//! client. Counted where a refusal is logged (`pipeline`), read by `metrics`.

use std::sync::atomic::{AtomicU32, Ordering};

/// Codes of replies, without what stands before their number: MCPC9000 to MCPC9999.
const PREFIX: &str = "MCPC9";
const NUMBERS: usize = 1000;

/// The counters of one gateway. A counter that has been full begins anew, as those of any process do.
pub(crate) struct Refusals(Box<[AtomicU32]>);

impl Refusals {
    /// Nothing was refused.
    pub(crate) fn new() -> Self {
        Self((0..NUMBERS).map(|_| AtomicU32::new(0)).collect())
    }

    /// Counts a reply with this code.
    pub(crate) fn count(&self, code: &str) {
        let number = code.strip_prefix(PREFIX).and_then(|it| it.parse().ok());
        if let Some(counter) = number.and_then(|number: usize| self.0.get(number)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The codes that were used, and how often.
    pub(crate) fn used(&self) -> impl Iterator<Item = (String, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        let used = counts.enumerate().filter(|(_, count)| *count > 0);
        used.map(|(number, count)| (format!("{PREFIX}{number:03}"), count.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_counted_by_their_names() {
        let refusals = Refusals::new();
        for code in ["MCPC9001", "MCPC9999", "MCPC9001", "MCPC1001", "9001", ""] {
            refusals.count(code);
        }
        let used: Vec<_> = refusals.used().collect();
        assert_eq!(used, [("MCPC9001".into(), 2), ("MCPC9999".into(), 1)]);
    }
}
