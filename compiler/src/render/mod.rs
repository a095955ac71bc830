//! Diagnostics as text: for people, for editors and for machines.
//!
//! Owns the formats. Does not decide what is said (the passes do) or where it goes (the command
//! line does): every function here is pure. Every format is bounded, however many findings there
//! are and however long the lines: [`FINDINGS_MAX`] findings of a text are written, the rest is
//! counted. Literal text of secrets is masked wherever a line of the source is shown.

mod concise;
mod excerpt;
mod fingerprint;
mod github;
mod gitlab;
mod human;
mod json;
mod junit;
mod markdown;
mod sarif;

use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Place, Source, Span};

pub(crate) use excerpt::LINES_APART_MAX;

/// How many findings of one text are written.
pub const FINDINGS_MAX: usize = 100;

/// One text and what was found in it.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// The text.
    pub source: &'a Source,
    /// The findings, in source order.
    pub diagnostics: &'a [Diagnostic],
    /// Where the text may hold a secret; see [`Findings::secrets`](crate::Findings::secrets).
    pub secrets: &'a [Span],
}

/// A way to write findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// With the lines of the source, for people at a terminal.
    Human,
    /// One line for each finding, for editors and `grep`.
    Concise,
    /// One JSON document; `format` is its version.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Workflow commands of GitHub Actions.
    Github,
    /// A Code Quality report of GitLab.
    Gitlab,
    /// A `JUnit` report, for build servers.
    Junit,
    /// A table, for comments in a review.
    Markdown,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Human,
        Self::Concise,
        Self::Json,
        Self::Sarif,
        Self::Github,
        Self::Gitlab,
        Self::Junit,
        Self::Markdown,
    ];
}

/// Whether human output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Plain text.
    Off,
    /// ANSI escape codes.
    On,
}

/// How many findings there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of errors.
    pub errors: usize,
    /// The number of warnings.
    pub warnings: usize,
}

/// Writes the findings of all texts in one format, with a final line break unless empty.
pub fn render(reports: &[Report<'_>], format: Format, color: Color) -> String {
    match format {
        Format::Human => human::render(reports, color),
        Format::Concise => concise::render(reports),
        Format::Json => json::render(reports),
        Format::Sarif => sarif::render(reports),
        Format::Github => github::render(reports),
        Format::Gitlab => gitlab::render(reports),
        Format::Junit => junit::render(reports),
        Format::Markdown => markdown::render(reports),
    }
}

/// Counts the findings of all texts.
pub fn tally(reports: &[Report<'_>]) -> Tally {
    let all = reports.iter().flat_map(|report| report.diagnostics);
    all.fold(Tally::default(), |mut tally, diagnostic| {
        match diagnostic.severity {
            Severity::Error => tally.errors += 1,
            Severity::Warning => tally.warnings += 1,
        }
        tally
    })
}

impl<'a> Report<'a> {
    /// The findings in a text that holds no secret.
    pub const fn new(source: &'a Source, diagnostics: &'a [Diagnostic]) -> Self {
        Self {
            source,
            diagnostics,
            secrets: &[],
        }
    }

    /// Where a finding is in its file. What is about a file as a whole, such as that there is none, has no
    /// place in it.
    fn place(&self, diagnostic: &Diagnostic) -> Option<Place> {
        let has_place = !self.source.text().is_empty() || !diagnostic.primary.text.is_empty();
        has_place.then(|| self.source.place(diagnostic.primary.span.start))
    }

    /// The same behind the name of the file, as most tools write it: `mcpc.yaml:3:5`.
    pub fn file_and_place(&self, diagnostic: &Diagnostic) -> String {
        let file = self.source.file_name(diagnostic.primary.span.start);
        match self.place(diagnostic) {
            Some(place) => format!("{file}:{}:{}", place.line, place.column),
            None => file.to_owned(),
        }
    }

    /// The findings that are written, and the number of those that are not. Errors go first, so
    /// that no number of warnings can hide one.
    fn written(&self) -> (Vec<&'a Diagnostic>, usize) {
        let all = self.diagnostics;
        let mut kept: Vec<&Diagnostic> = all.iter().collect();
        if all.len() > FINDINGS_MAX {
            kept.sort_by_key(|diagnostic| diagnostic.severity);
            kept.truncate(FINDINGS_MAX);
            kept.sort_by_key(|diagnostic| diagnostic.primary.span);
        }
        (kept, all.len().saturating_sub(FINDINGS_MAX))
    }
}

/// `error` or `warning`.
const fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// The message and what to do, in two lines.
fn with_help(diagnostic: &Diagnostic) -> String {
    match &diagnostic.help {
        Some(help) => format!("{}\nhelp: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    }
}

/// That there is more than what is written.
fn not_written(left_out: usize) -> String {
    format!("the first {FINDINGS_MAX} findings are shown, {left_out} more are not")
}

/// `1 error`, `2 errors`.
fn counted(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}

#[cfg(test)]
mod tests;
