//! What makes a finding the same finding in another version of the text.
//!
//! A fingerprint is made of the code, the file and the text of the line, not of its number: a finding
//! stays the same finding when lines above it come and go. Secrets in the line are masked before, so
//! that a fingerprint tells nothing about them.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::Report;
use super::excerpt::excerpts;
use crate::diagnostic::Diagnostic;

/// The fingerprints of one document. Findings that look alike are told apart by their order.
#[derive(Default)]
pub(super) struct Fingerprints {
    seen: BTreeMap<String, usize>,
}

impl Fingerprints {
    /// The fingerprint of the next finding.
    pub(super) fn of(&mut self, report: &Report<'_>, diagnostic: &Diagnostic) -> String {
        let line = excerpts(report.source, report.secrets, &diagnostic.primary, &[]);
        let line = line.first().map_or("", |excerpt| excerpt.text.trim());
        let file = report.source.file_name(diagnostic.primary.span.start);
        self.of_text(&format!("{}\n{file}\n{line}", diagnostic.code))
    }

    /// The fingerprint of something else that is said.
    pub(super) fn of_text(&mut self, subject: &str) -> String {
        let count = self.seen.entry(subject.to_owned()).or_default();
        *count += 1;
        let digest = Sha256::digest(format!("{subject}\n{count}"));
        let mut text = String::new();
        for byte in digest.iter().take(16) {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}
