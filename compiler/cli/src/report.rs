//! Turns findings into the format that was asked for, and sends them where that format belongs.

use mcpc_compiler::{Diagnostic, Severity, Source};

use crate::args::Format;
use crate::terminal::{Terminal, print, say};

/// One text and what was found in it.
pub(crate) struct Report {
    pub(crate) source: Source,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// How many findings there are of each severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) errors: usize,
    pub(crate) warnings: usize,
}

impl Count {
    pub(crate) fn of<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>) -> Self {
        let mut count = Self::default();
        for diagnostic in diagnostics {
            match diagnostic.severity {
                Severity::Error => count.errors += 1,
                Severity::Warning => count.warnings += 1,
            }
        }
        count
    }

    /// `2 errors and 1 warning`; nothing if there is neither.
    pub(crate) fn in_words(self) -> Option<String> {
        let many = |count: usize, noun: &str| match count {
            0 => None,
            1 => Some(format!("1 {noun}")),
            _ => Some(format!("{count} {noun}s")),
        };
        match (many(self.errors, "error"), many(self.warnings, "warning")) {
            (Some(errors), Some(warnings)) => Some(format!("{errors} and {warnings}")),
            (errors, warnings) => errors.or(warnings),
        }
    }
}

/// Prints findings: for people on standard error, for programs on standard output.
///
/// # Errors
/// Whatever the system says about standard output.
pub(crate) fn show(reports: &[Report], format: Format, terminal: Terminal) -> std::io::Result<()> {
    let text: String = reports.iter().map(lines).collect();
    let _ = terminal.paint();
    if format == Format::Human {
        say(&text);
        return Ok(());
    }
    print(text.as_bytes())
}

fn lines(report: &Report) -> String {
    let line = |diagnostic: &Diagnostic| {
        let place = report.source.place(diagnostic.primary.span.start);
        let severity = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        format!(
            "{}:{}:{}: {severity}[{}]: {}\n",
            report.source.name(),
            place.line,
            place.column,
            diagnostic.code,
            diagnostic.message
        )
    };
    report.diagnostics.iter().map(line).collect()
}
