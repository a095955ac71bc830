//! Findings as one JSON document, for programs.
//!
//! Owns the format and its version: within a version fields are only added. Lines and columns
//! count from 1, columns in characters; bytes count from 0, so edits can be spliced. All of them are
//! those of one file: a mark or an edit that is in another file than its finding names it.

use serde::Serialize;

use super::{Report, severity_name, tally};
use crate::diagnostic::{Diagnostic, Label};
use crate::source::{Source, Span};

const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    diagnostics: Vec<Finding<'a>>,
    errors: usize,
    warnings: usize,
    /// Findings beyond the bound, which are counted and not listed.
    left_out: usize,
}

#[derive(Serialize)]
struct Finding<'a> {
    file: &'a str,
    code: String,
    severity: &'static str,
    message: &'a str,
    help: Option<&'a str>,
    notes: &'a [String],
    labels: Vec<Mark<'a>>,
    fix: Option<Vec<Edit<'a>>>,
}

#[derive(Serialize)]
struct Mark<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    start: Point,
    end: Point,
    text: &'a str,
    primary: bool,
}

#[derive(Serialize)]
struct Edit<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    start: Point,
    end: Point,
    replacement: &'a str,
}

#[derive(Serialize)]
struct Point {
    line: usize,
    column: usize,
    byte: usize,
}

/// Writes one document for all texts.
pub(super) fn render(reports: &[Report<'_>]) -> String {
    let tally = tally(reports);
    let mut document = Document {
        format: FORMAT,
        diagnostics: Vec::new(),
        errors: tally.errors,
        warnings: tally.warnings,
        left_out: 0,
    };
    for report in reports {
        let (written, left_out) = report.written();
        document.left_out += left_out;
        let findings = written.into_iter().map(|found| finding(report, found));
        document.diagnostics.extend(findings);
    }
    // The document holds nothing that JSON cannot carry.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn finding<'a>(report: &Report<'a>, diagnostic: &'a Diagnostic) -> Finding<'a> {
    let source = report.source;
    let secondary = diagnostic.secondary.iter();
    let file = source.file_name(diagnostic.primary.span.start);
    Finding {
        file,
        code: diagnostic.code.to_string(),
        severity: severity_name(diagnostic.severity),
        message: &diagnostic.message,
        help: diagnostic.help.as_deref(),
        notes: &diagnostic.notes,
        labels: report
            .place(diagnostic)
            .map(|_| mark(source, file, &diagnostic.primary, true))
            .into_iter()
            .chain(secondary.map(|label| mark(source, file, label, false)))
            .collect(),
        fix: diagnostic.fix.as_ref().map(|fix| {
            fix.edits
                .iter()
                .map(|(span, replacement)| edit(source, file, *span, replacement))
                .collect()
        }),
    }
}

fn mark<'a>(source: &'a Source, file: &str, label: &'a Label, primary: bool) -> Mark<'a> {
    Mark {
        file: other_file(source, file, label.span),
        start: point(source, label.span.start),
        end: point(source, label.span.end),
        text: &label.text,
        primary,
    }
}

fn edit<'a>(source: &'a Source, file: &str, span: Span, replacement: &'a str) -> Edit<'a> {
    Edit {
        file: other_file(source, file, span),
        start: point(source, span.start),
        end: point(source, span.end),
        replacement,
    }
}

fn other_file<'a>(source: &'a Source, file: &str, span: Span) -> Option<&'a str> {
    Some(source.file_name(span.start)).filter(|other| *other != file)
}

fn point(source: &Source, byte: usize) -> Point {
    let place = source.place(byte);
    Point {
        line: place.line,
        column: place.column,
        byte: source.in_file(byte),
    }
}
