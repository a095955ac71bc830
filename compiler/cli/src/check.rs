//! `mcpc check`: every mistake of every file, in the format that was asked for.

use std::path::{Path, PathBuf};

use mcpc_compiler::{Format, Input, NoVariables, Overrides, Tier, Variables};

use crate::input::{self, Unread};
use crate::report::{self, Checked};
use crate::terminal::{Terminal, say};
use crate::variables::{Environment, unusable};
use crate::{Exit, args, online};

pub(crate) fn run(check: &args::Check, terminal: Terminal) -> Exit {
    if !input::is_read_once(check.files.iter().map(PathBuf::as_path)) {
        return Exit::Failed;
    }
    let format = check.format.map_or_else(default_format, Format::from);
    let needs_environment = check.env || check.online;
    let environment = match needs_environment.then(Environment::read).transpose() {
        Ok(environment) => environment,
        Err(refusal) => return unusable(&refusal),
    };
    let mut worst = Exit::Clean;
    let mut all = Vec::new();
    for file in &check.files {
        let (checked, exit) = match &environment {
            Some(environment) if check.online => match online::check_file(file, environment) {
                Ok(checked) => checked,
                Err(exit) => return exit,
            },
            Some(environment) => check_file(file, environment, Tier::Environment),
            None => check_file(file, &NoVariables, Tier::Check),
        };
        let tally = checked.tally();
        worst = worst.max(exit);
        if tally.errors > 0 || (check.deny_warnings && tally.warnings > 0) {
            worst = worst.max(Exit::Findings);
        }
        all.push(checked);
    }
    worst = worst.max(report::show(&all, format, terminal));
    // For people the findings end with their number already.
    if format != Format::Human || worst == Exit::Clean {
        say(&report::summary(&all));
    }
    match (format, worst) {
        // The findings live in the file; whoever uploads it decides what they mean.
        (Format::Sarif, Exit::Findings) => Exit::Clean,
        (_, worst) => worst,
    }
}

fn check_file(file: &Path, variables: &dyn Variables, tier: Tier) -> (Checked, Exit) {
    match input::read(file) {
        Ok(source) => {
            let findings = mcpc_compiler::check(&Input {
                source: &source,
                variables,
                tier,
                overrides: Overrides::default(),
            });
            (Checked::new(source, findings), Exit::Clean)
        }
        Err(unread) => self::unread(&unread),
    }
}

/// What is found in a file that is not there, or that holds no text.
pub(crate) fn unread(unread: &Unread) -> (Checked, Exit) {
    let exit = match unread {
        Unread::NoText(_) => Exit::Failed,
        Unread::BadText(_) => Exit::Findings,
    };
    (Checked::from(unread), exit)
}

fn default_format() -> Format {
    let in_actions = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
    if in_actions {
        Format::Github
    } else {
        Format::Human
    }
}

impl From<args::Format> for Format {
    fn from(format: args::Format) -> Self {
        match format {
            args::Format::Human => Self::Human,
            args::Format::Concise => Self::Concise,
            args::Format::Json => Self::Json,
            args::Format::Sarif => Self::Sarif,
            args::Format::Github => Self::Github,
            args::Format::Gitlab => Self::Gitlab,
            args::Format::Junit => Self::Junit,
            args::Format::Markdown => Self::Markdown,
        }
    }
}
