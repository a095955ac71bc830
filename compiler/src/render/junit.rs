//! Findings as a `JUnit` report in XML, which most build servers show.
//!
//! Owns the form: a suite for each text, and in it a failed case for each error. A warning is a case
//! that passed and has something to say, since the format knows no warnings. A text without errors has
//! a case that passed, for servers that take an empty suite for a mistake.

use std::fmt::Write;

use super::{Report, not_written, with_help};
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::Place;

/// Writes one document for all texts.
pub(super) fn render(reports: &[Report<'_>]) -> String {
    let suites: Vec<Suite> = reports.iter().map(suite).collect();
    let sum = |count: fn(&Suite) -> usize| suites.iter().map(count).sum::<usize>();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing to a `String` cannot fail.
    let _ = writeln!(
        text,
        "<testsuites name=\"mcpc check\" tests=\"{}\" failures=\"{}\">",
        sum(|suite| suite.cases),
        sum(|suite| suite.failures)
    );
    for suite in suites {
        text.push_str(&suite.text);
    }
    text.push_str("</testsuites>\n");
    text
}

struct Suite {
    text: String,
    cases: usize,
    failures: usize,
}

fn suite(report: &Report<'_>) -> Suite {
    let name = escaped(report.source.name());
    let (written, left_out) = report.written();
    let failures = written
        .iter()
        .filter(|found| found.severity == Severity::Error)
        .count();
    let passed = usize::from(failures == 0);
    let cases = written.len() + passed;
    let mut text = format!(
        "  <testsuite name=\"{name}\" tests=\"{cases}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">\n"
    );
    if failures == 0 {
        let _ = writeln!(
            text,
            "    <testcase classname=\"{name}\" name=\"no errors\" file=\"{name}\"/>"
        );
    }
    for diagnostic in written {
        write_case(&mut text, report, diagnostic);
    }
    if left_out > 0 {
        let _ = writeln!(
            text,
            "    <system-out>{}</system-out>",
            escaped(&not_written(left_out))
        );
    }
    text.push_str("  </testsuite>\n");
    Suite {
        text,
        cases,
        failures,
    }
}

fn write_case(text: &mut String, report: &Report<'_>, diagnostic: &Diagnostic) {
    let start = diagnostic.primary.span.start;
    let name = escaped(report.source.file_name(start));
    let code = diagnostic.code;
    let whole = escaped(&report.file_and_place(diagnostic));
    let said = escaped(&with_help(diagnostic));
    let (at, line) = match report.place(diagnostic) {
        Some(Place { line, column }) => {
            (format!(" at {line}:{column}"), format!(" line=\"{line}\""))
        }
        None => Default::default(),
    };
    let _ = writeln!(
        text,
        "    <testcase classname=\"{name}\" name=\"{code}{at}\" file=\"{name}\"{line}>"
    );
    let _ = match diagnostic.severity {
        Severity::Error => writeln!(
            text,
            "      <failure type=\"{code}\" message=\"{}\">{whole}: {said}</failure>",
            escaped(&diagnostic.message)
        ),
        Severity::Warning => writeln!(
            text,
            "      <system-out>{whole}: warning: {said}</system-out>"
        ),
    };
    text.push_str("    </testcase>\n");
}

/// Text for an element or an attribute. XML 1.0 has no way to write most control characters.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' => safe.push_str("&#10;"),
            '\t' => safe.push_str("&#9;"),
            _ if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {
                safe.push('\u{fffd}');
            }
            _ => safe.push(character),
        }
    }
    safe
}
