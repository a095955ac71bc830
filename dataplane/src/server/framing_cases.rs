//! Requests whose framing is good, bad or nearly good, for the tests of this leg.
//!
//! Owns reading the table and the mutants; what is judged of them is in `framing_tests` and `oracle_tests`.
//! The table is a document, so that `golden-tests/interop` can ask servers of other people about it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use serde::Deserialize;

/// The table.
#[derive(Deserialize)]
pub(crate) struct Table {
    /// What passes untouched.
    pub(crate) good: Vec<Good>,
    /// What is refused.
    pub(crate) bad: Vec<Bad>,
}

/// Requests behind each other on one connection.
#[derive(Deserialize)]
pub(crate) struct Good {
    pub(crate) text: String,
    /// The body of each.
    pub(crate) bodies: Vec<String>,
}

/// A request that is refused, for a fault that is named as in the code.
#[derive(Deserialize)]
pub(crate) struct Bad {
    fault: String,
    /// What passes of it, and before it.
    #[serde(default)]
    pub(crate) before: String,
    text: String,
}

impl Bad {
    /// All of it.
    pub(crate) fn whole(&self) -> String {
        [self.before.as_str(), &self.text].concat()
    }

    /// Whether it was refused for its fault.
    pub(crate) fn is(&self, fault: Option<super::fault::Fault>) -> bool {
        fault.is_some_and(|fault| format!("{fault:?}") == self.fault)
    }
}

/// Reads the table.
pub(crate) fn table() -> Table {
    let text = include_str!("../../../golden-tests/framing/requests.json");
    serde_json::from_str(text).unwrap()
}

/// Good requests with a few bytes changed, added or removed: the same ones on every run.
pub(crate) fn mutants(count: usize) -> Vec<Vec<u8>> {
    let good = table().good;
    // Biased to what framing is made of.
    let alphabet = b"GET / HTTP/1.1\r\nHost: aContent-Length3Transfer-Encoding: chunked;\t\0\x80";
    let mut seed = 1_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap_or_default()
    };
    let mut mutant = || {
        let mut text = good[next() % good.len()].text.clone().into_bytes();
        for _ in 0..next() % 4 {
            let at = next() % text.len();
            let byte = alphabet[next() % alphabet.len()];
            match next() % 3 {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.remove(at)),
            }
        }
        text
    };
    (0..count).map(|_| mutant()).collect()
}
