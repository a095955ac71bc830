//! Sends findings where their format belongs: for people to standard error, for programs to
//! standard output.

use std::fmt::Write;

use mcpc_compiler::{
    Code, Diagnostic, Findings, Format, Report, Severity, Source, Span, Tally, code_entry, render,
    said_fallback, tally,
};
use mcpc_daemon::{Rejected, Stage};
use mcpc_dataplane::Refusal;

use crate::Exit;
use crate::input::Unread;
use crate::terminal::{Terminal, print, say};

/// One text and what was found in it.
pub(crate) struct Checked {
    source: Source,
    diagnostics: Vec<Diagnostic>,
    secrets: Vec<Span>,
}

impl Checked {
    pub(crate) fn new(source: Source, findings: Findings) -> Self {
        Self {
            source,
            diagnostics: findings.diagnostics,
            secrets: findings.secrets,
        }
    }

    /// The name of the text.
    pub(crate) fn name(&self) -> &str {
        self.source.name()
    }

    /// How many findings there are.
    pub(crate) fn tally(&self) -> Tally {
        tally(&[self.report()])
    }

    /// The findings as text, for people.
    pub(crate) fn for_people(&self, terminal: Terminal) -> String {
        render(&[self.report()], Format::Human, terminal.paint())
    }

    /// The first error in one line, and its code.
    fn reason(&self) -> (&'static str, String) {
        let is_error = |found: &&Diagnostic| found.severity == Severity::Error;
        let Some(error) = self.diagnostics.iter().find(is_error) else {
            return ("MCPC0003", "there is no plan".to_owned());
        };
        let place = self.report().file_and_place(error);
        let others = self.tally().errors.saturating_sub(1);
        let mut line = format!("{place}: {}", error.message);
        if others > 0 {
            let _infallible = write!(line, " (and {others} more)");
        }
        (code_text(error.code), line)
    }

    /// Why there is no plan for a gateway.
    pub(crate) fn rejected(&self, stage: Stage, terminal: Terminal) -> Rejected {
        let (code, reason) = self.reason();
        Rejected {
            details: self.for_people(terminal),
            fallback: said_fallback(&self.source),
            ..Rejected::new(stage, Refusal { code, reason })
        }
    }

    fn report(&self) -> Report<'_> {
        Report {
            source: &self.source,
            diagnostics: &self.diagnostics,
            secrets: &self.secrets,
        }
    }
}

impl From<&Unread> for Checked {
    fn from(unread: &Unread) -> Self {
        let rejected = unread.rejected();
        Self::new(rejected.source.clone(), Findings::of_rejected(rejected))
    }
}

/// Prints the findings of all texts.
pub(crate) fn show(checked: &[Checked], format: Format, terminal: Terminal) -> Exit {
    let reports: Vec<Report<'_>> = checked.iter().map(Checked::report).collect();
    let text = render(&reports, format, terminal.paint());
    if format == Format::Human {
        say(&text);
        return Exit::Clean;
    }
    print(text.as_bytes())
}

/// A line on how it went, for whoever reads standard error.
pub(crate) fn summary(checked: &[Checked]) -> String {
    let files = match checked {
        [one] => one.name().to_owned(),
        many => format!("{} files", many.len()),
    };
    let many = |count: usize, noun: &str| {
        let ending = if count == 1 { "" } else { "s" };
        format!("{count} {noun}{ending}")
    };
    let errors: usize = checked.iter().map(|checked| checked.tally().errors).sum();
    let warnings: usize = checked.iter().map(|checked| checked.tally().warnings).sum();
    if errors + warnings == 0 {
        return format!("{files}: no findings\n");
    }
    format!(
        "{files}: {}, {}\n",
        many(errors, "error"),
        many(warnings, "warning")
    )
}

/// The code of this name, such as `MCPC1008`, as a text that lives as long as the program.
pub(crate) fn code_named(name: &str) -> Option<&'static str> {
    let number = name.strip_prefix("MCPC")?.parse().ok()?;
    code_entry(Code(number)).map(|entry| code_text(entry.code))
}

/// The code as a text that lives as long as the program: the one its page begins with.
fn code_text(code: Code) -> &'static str {
    let page = code_entry(code).map_or("", |entry| entry.page);
    page.get(2..10).unwrap_or("MCPC")
}
