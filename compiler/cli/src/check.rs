//! `mcpc check`: every mistake of every file, in the format that was asked for.

use std::path::Path;

use mcpc_compiler::{Input, NoVariables, Overrides, Tier, Variables, compile};

use crate::Exit;
use crate::args::{self, Format};
use crate::input::{self, Unread};
use crate::report::{self, Count, Report};
use crate::terminal::{Terminal, say};
use crate::variables::Environment;

pub(crate) fn run(check: &args::Check, terminal: Terminal) -> Exit {
    let format = check.format.unwrap_or_else(default_format);
    let environment = check.env.then(|| Environment::read(warn));
    let mut reports = Vec::new();
    let mut worst = Exit::Clean;
    for file in &check.files {
        let (report, exit) = match &environment {
            Some(environment) => check_file(file, environment, Tier::Plan),
            None => check_file(file, &NoVariables, Tier::Check),
        };
        let count = Count::of(&report.diagnostics);
        let has_findings = count.errors > 0 || (check.deny_warnings && count.warnings > 0);
        worst = worst.max(exit);
        if has_findings {
            worst = worst.max(Exit::Findings);
        }
        reports.push(report);
    }
    if let Err(error) = report::show(&reports, format, terminal) {
        say(&format!(
            "error: standard output cannot be written: {}\n",
            error.kind()
        ));
        return Exit::Failed;
    }
    say(&summary(&reports));
    match (format, worst) {
        // The findings live in the file; whoever uploads it decides what they mean.
        (Format::Sarif, Exit::Findings) => Exit::Clean,
        (_, worst) => worst,
    }
}

fn check_file(file: &Path, variables: &dyn Variables, tier: Tier) -> (Report, Exit) {
    match input::read(file) {
        Ok(source) => {
            let outcome = compile(&Input {
                source: &source,
                variables,
                tier,
                overrides: Overrides::default(),
            });
            let diagnostics = outcome.diagnostics;
            (
                Report {
                    source,
                    diagnostics,
                },
                Exit::Clean,
            )
        }
        Err(unread) => {
            let exit = match unread {
                Unread::NoText(_) => Exit::Failed,
                Unread::BadText(_) => Exit::Findings,
            };
            (Report::from(&unread), exit)
        }
    }
}

impl From<&Unread> for Report {
    fn from(unread: &Unread) -> Self {
        let rejected = unread.rejected();
        Self {
            source: rejected.source.clone(),
            diagnostics: vec![rejected.diagnostic.clone()],
        }
    }
}

/// Says something that does not belong to any text.
pub(crate) fn warn(text: &str) {
    say(&format!("warning: {text}\n"));
}

fn default_format() -> Format {
    let in_actions = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    if in_actions {
        Format::Github
    } else {
        Format::Human
    }
}

fn summary(reports: &[Report]) -> String {
    let files = match reports {
        [one] => one.source.name().to_owned(),
        many => format!("{} files", many.len()),
    };
    let count = Count::of(reports.iter().flat_map(|report| &report.diagnostics));
    let words = count.in_words().unwrap_or_else(|| "no findings".to_owned());
    format!("{files}: {words}\n")
}
