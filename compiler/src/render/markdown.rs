//! Findings as a table in Markdown, for comments and summaries of a pull request.
//!
//! Owns that text from a configuration cannot become anything but text: what stands in backticks stays
//! there, and outside of them no character has a meaning.

use std::fmt::Write;

use super::{Report, counted, not_written, severity_name, tally};
use crate::diagnostic::Diagnostic;

/// Writes one table for all texts.
pub(super) fn render(reports: &[Report<'_>]) -> String {
    let tally = tally(reports);
    if tally.errors + tally.warnings == 0 {
        return "**mcpc check**: no findings\n".to_owned();
    }
    let mut text = format!(
        "**mcpc check**: {}, {}\n\n| | place | code | |\n| --- | --- | --- | --- |\n",
        counted(tally.errors, "error"),
        counted(tally.warnings, "warning")
    );
    for report in reports {
        let name = report.source.name();
        let (written, left_out) = report.written();
        for diagnostic in written {
            let place = report.file_and_place(diagnostic);
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                severity_name(diagnostic.severity),
                cell(&place),
                diagnostic.code,
                said(diagnostic)
            );
        }
        if left_out > 0 {
            let _ = writeln!(text, "| | {} | | {} |", cell(name), not_written(left_out));
        }
    }
    text
}

fn said(diagnostic: &Diagnostic) -> String {
    let message = cell(&diagnostic.message);
    match &diagnostic.help {
        Some(help) => format!("{message}<br>help: {}", cell(help)),
        None => message,
    }
}

/// Text for a cell. Backticks that are no pairs are characters like any other.
fn cell(text: &str) -> String {
    let has_pairs = text.matches('`').count().is_multiple_of(2);
    let mut is_code = false;
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '`' if has_pairs => {
                is_code = !is_code;
                safe.push('`');
            }
            // Ends the cell in a code span as well.
            '|' => safe.push_str("\\|"),
            _ if character.is_control() => safe.push(' '),
            _ if is_code => safe.push(character),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            // A mention would tell somebody.
            '@' => safe.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '~' | '[' | ']' | '#' | '!' => {
                safe.push('\\');
                safe.push(character);
            }
            _ => safe.push(character),
        }
    }
    safe
}
