//! One line for each finding: `mcpc.yaml:3:5: error[MCPC3001]: message`.

use std::fmt::Write;

use super::{Report, not_written, severity_name};

/// Writes one line for each finding; help and notes are left out.
pub(super) fn render(reports: &[Report<'_>]) -> String {
    let mut text = String::new();
    for report in reports {
        let name = report.source.name();
        let (written, left_out) = report.written();
        for diagnostic in written {
            // Writing to a `String` cannot fail.
            let _ = writeln!(
                text,
                "{}: {}[{}]: {}",
                report.file_and_place(diagnostic),
                severity_name(diagnostic.severity),
                diagnostic.code,
                diagnostic.message
            );
        }
        if left_out > 0 {
            let _ = writeln!(text, "{name}: {}", not_written(left_out));
        }
    }
    text
}
