//! The `mcpc` command: files, environment and terminal around the compiler and the data plane.
//!
//! ```text
//! args (as written) ─► one file per command ─► compiler or data plane ─► stdout (data), stderr (talk)
//! ```
//!
//! Exit codes: 0 nothing to complain about, 1 findings, 2 the tool could not do its work. `plan` is
//! apart: whatever fails is 1 there, since 2 says that a plan differs from another. Does not decide anything about configurations: `mcpc-compiler` does.

mod apart;
mod args;
mod check;
mod demo;
mod explain;
mod export;
mod greeting;
mod input;
mod online;
mod order;
mod plan;
mod report;
mod run;
mod status;
mod terminal;
mod trace;
mod variables;
mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches};
use mcpc_daemon::{first_process, wrong_usage};
use mcpc_dataplane::Wish;

use args::{Arguments, Command, DemoServer};
use terminal::Terminal;

/// The version of this build.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exit {
    /// Nothing to complain about.
    Clean,
    /// The input has findings, or there is no plan.
    Findings,
    /// There is a plan, and it does something else than the one that it was held against.
    Changed,
    /// The tool could not do its work.
    Failed,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Clean => ExitCode::SUCCESS,
            Exit::Findings => ExitCode::from(1),
            Exit::Failed | Exit::Changed => ExitCode::from(2),
        }
    }
}

fn main() -> ExitCode {
    mcpc_dataplane::child_entry(std::env::args_os());
    if let Some(exit) = apart::entry(std::env::args_os()) {
        return exit.into();
    }
    if let Some(code) = first_process() {
        return code;
    }
    let given: Vec<OsString> = std::env::args_os().collect();
    let wrong = if names_plan(&given) { 1 } else { 2 };
    let arguments = parse(given).unwrap_or_else(|error| wrong_usage::<Arguments>(&error, wrong));
    let terminal = Terminal::new(arguments.color);
    dispatch(arguments.command, terminal).into()
}

/// Reads the command line. Help and wrong usage are written by the parser, before there is a
/// `--color` that was read: it is looked for here.
fn parse(given: Vec<OsString>) -> Result<Arguments, clap::Error> {
    let asks_for = |when: &str| {
        let is_next =
            |pair: &[OsString]| matches!(pair, [flag, value] if flag == "--color" && value == when);
        let joined = format!("--color={when}");
        given.windows(2).any(is_next)
            || given.iter().any(|word| word.as_os_str() == joined.as_str())
    };
    let color = match (asks_for("always"), asks_for("never")) {
        (true, false) => ColorChoice::Always,
        (false, true) => ColorChoice::Never,
        _ => ColorChoice::Auto,
    };
    let matches = Arguments::command()
        .color(color)
        .try_get_matches_from(given)?;
    Arguments::from_arg_matches(&matches)
}

/// Whether the command is `plan`, which its wrong usage has to know before anything is parsed.
fn names_plan(given: &[OsString]) -> bool {
    let mut words = given.iter().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--color") => drop(words.next()),
            Some(flag) if flag.starts_with('-') => {}
            command => return command == Some("plan"),
        }
    }
    false
}

fn dispatch(command: Command, terminal: Terminal) -> Exit {
    match command {
        Command::Check(check) => check::run(&check, terminal),
        Command::Plan(plan) => plan::run(&plan, terminal),
        Command::Explain(explain) => explain::run(&explain, terminal),
        Command::Schema { out } => export::schema(out.as_deref()),
        Command::Version { json } => version::run(json),
        Command::Completions { shell } => export::completions(shell, Arguments::command()),
        Command::Run(arguments) => run::run(&arguments, terminal),
        Command::Status(status) => status::run(&status),
        Command::Reload(order) => order::run(&order, Wish::Reload),
        Command::Rollback(order) => order::run(&order, Wish::RollBack),
        Command::Demo { server } => {
            let served = match server {
                DemoServer::Notes => demo::serve_notes(),
                DemoServer::Clock => demo::serve_clock(),
            };
            served.map_or(Exit::Failed, |()| Exit::Clean)
        }
    }
}
