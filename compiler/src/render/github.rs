//! Findings as workflow commands of GitHub Actions, which annotate the lines of a pull request.

use std::fmt::Write;

use super::{Report, not_written, severity_name, with_help};

/// Writes one command for each finding.
pub(super) fn render(reports: &[Report<'_>]) -> String {
    let mut text = String::new();
    for report in reports {
        let name = property(report.source.name());
        let (written, left_out) = report.written();
        for diagnostic in written {
            let span = diagnostic.primary.span;
            let file = property(report.source.file_name(span.start));
            // Writing to a `String` cannot fail.
            let _ = write!(text, "::{} file={file}", severity_name(diagnostic.severity));
            if let Some(start) = report.place(diagnostic) {
                let end = report.source.place(span.end);
                let _ = write!(text, ",line={},col={}", start.line, start.column);
                // The end is only understood on the same line; it names the last column inside.
                if end.line == start.line && end.column > start.column {
                    let _ = write!(text, ",endColumn={}", end.column - 1);
                }
            }
            let title = property(&diagnostic.code.to_string());
            let _ = writeln!(text, ",title={title}::{}", escaped(&with_help(diagnostic)));
        }
        if left_out > 0 {
            let _ = writeln!(text, "::notice file={name}::{}", not_written(left_out));
        }
    }
    text
}

/// The text of a command ends at a line break.
fn escaped(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property ends at a comma or colon as well.
fn property(text: &str) -> String {
    escaped(text).replace(':', "%3A").replace(',', "%2C")
}
