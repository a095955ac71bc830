//! Findings as a Code Quality report of GitLab, which shows them in a merge request.
//!
//! Owns the few members that GitLab reads. It wants paths from the root of the repository, without
//! `./` in front, and a fingerprint for each finding that no other one has.

use serde_json::{Value, json};

use super::fingerprint::Fingerprints;
use super::{Report, not_written, with_help};
use crate::diagnostic::Severity;

/// Writes one list for all texts.
pub(super) fn render(reports: &[Report<'_>]) -> String {
    let mut prints = Fingerprints::default();
    let mut list = Vec::new();
    for report in reports {
        let name = report.source.name();
        let (written, left_out) = report.written();
        for diagnostic in written {
            let span = diagnostic.primary.span;
            let severity = match diagnostic.severity {
                Severity::Error => "major",
                Severity::Warning => "minor",
            };
            // A report needs a line, also where there is none.
            let lines = json!({
                "begin": report.source.place(span.start).line,
                "end": report.source.place(span.end).line,
            });
            list.push(json!({
                "check_name": diagnostic.code.to_string(),
                "description": with_help(diagnostic),
                "severity": severity,
                "fingerprint": prints.of(report, diagnostic),
                "location": location(report.source.file_name(span.start), &lines),
            }));
        }
        if left_out > 0 {
            list.push(json!({
                "check_name": "mcpc",
                "description": not_written(left_out),
                "severity": "info",
                "fingerprint": prints.of_text(&format!("left out\n{name}")),
                "location": location(name, &json!({ "begin": 1 })),
            }));
        }
    }
    format!("{:#}\n", Value::Array(list))
}

fn location(name: &str, lines: &Value) -> Value {
    let path = name.strip_prefix("./").unwrap_or(name);
    json!({ "path": path, "lines": lines })
}
