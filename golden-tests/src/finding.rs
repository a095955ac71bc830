//! What a rule or a case reports: where, and which expectation does not hold.

use std::fmt;

/// One broken expectation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// A path from the root of the repository, with a line if there is one.
    pub place: String,
    /// The fact.
    pub fact: String,
}

impl Finding {
    /// A finding about a whole file or thing.
    pub fn new(place: impl Into<String>, fact: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            fact: fact.into(),
        }
    }

    /// A finding about a line, counted from 1.
    pub fn at(path: &str, line: usize, fact: impl Into<String>) -> Self {
        Self::new(format!("{path}:{line}"), fact)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.fact)
    }
}

/// Fails the running test with every finding, so that one run shows all of them.
#[track_caller]
pub fn assert_none(findings: &[Finding]) {
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(
        lines.is_empty(),
        "{} finding(s)\n{}\n",
        lines.len(),
        lines.join("\n")
    );
}
