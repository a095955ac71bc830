//! The flags and variables that `mcpc run` and `mcpcd` share.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, ValueEnum};
use tracing::level_filters::LevelFilter;

/// Reads an address of a flag.
///
/// # Errors
/// What an address looks like. Names are not looked up: where a gateway listens must not depend on
/// another machine.
pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let expected = "an address and a port are needed, for example 127.0.0.1:8080 or [::1]:8080";
    text.parse().map_err(|_| expected)
}

/// How a gateway is operated, beyond what its plan says.
#[derive(Clone, Debug, Args)]
pub struct GatewayFlags {
    /// Listen here instead, for example 127.0.0.1:8080; port 0 picks a free one.
    #[arg(long, env = "MCPC_LISTEN", value_name = "ADDRESS", value_parser = address)]
    pub listen: Option<SocketAddr>,

    /// Serve health and status here instead.
    #[arg(long, env = "MCPC_ADMIN", value_name = "ADDRESS", value_parser = address)]
    pub admin: Option<SocketAddr>,

    /// Speak MCP on standard input and output, as desktop clients want it. Nothing listens then,
    /// but what --listen and --admin ask for.
    #[arg(long)]
    pub stdio: bool,

    /// The name or path of the endpoint that --stdio serves. Needed if there are several and none
    /// is at /mcp.
    #[arg(long, value_name = "NAME", requires = "stdio")]
    pub endpoint: Option<String>,

    /// What is logged: this level and everything above it.
    #[arg(
        long,
        env = "MCPC_LOG_LEVEL",
        value_enum,
        ignore_case = true,
        default_value_t,
        value_name = "LEVEL"
    )]
    pub log_level: LogLevel,

    /// How it is logged: for people on standard error, or as JSON on standard output. With --stdio
    /// all of it is on standard error.
    #[arg(
        long,
        env = "MCPC_LOG_FORMAT",
        value_enum,
        ignore_case = true,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,

    /// Worker threads; 0 means one for each core.
    #[arg(
        long,
        env = "MCPC_WORKERS",
        default_value_t = 0,
        value_name = "NUMBER",
        value_parser = workers
    )]
    pub workers: usize,

    /// Keep here what shall survive a restart, such as the key of session ids. Default: the first
    /// directory of `$STATE_DIRECTORY`; without one nothing is kept.
    #[arg(long, env = "MCPC_STATE_DIR", value_name = "DIRECTORY")]
    pub state_dir: Option<PathBuf>,

    /// Seal session ids with the keys in this file, which replicas may share.
    #[arg(long, env = "MCPC_SESSION_KEY_FILE", value_name = "FILE")]
    pub session_key_file: Option<PathBuf>,

    /// What to start with if the file holds no plan that can be used, whatever `fallback` in it says.
    #[arg(long, env = "MCPC_FALLBACK", value_enum, value_name = "WHAT")]
    pub fallback: Option<Fallback>,

    /// How long a new plan is on probation: if what worked before fails within this time, the plan
    /// before goes live again. For example 30s or 2m; `off` for no probation.
    #[arg(
        long,
        env = "MCPC_PROBATION",
        default_value = "30s",
        value_parser = Window::parse,
        value_name = "TIME"
    )]
    pub probation: Window,

    /// How long a gateway that is told to stop still takes connections while `/readyz` answers 503, so that who
    /// routes traffic can notice. For example 5s; `off` for not at all. A second signal ends at once.
    #[arg(
        long,
        env = "MCPC_LEAVE_FOR",
        default_value = "off",
        value_parser = Window::parse,
        value_name = "TIME"
    )]
    pub leave_for: Window,

    /// How often a URL is asked whether it holds something else, from 1s to 60m.
    #[arg(
        long,
        env = "MCPC_POLL",
        default_value = "30s",
        value_parser = Window::duration,
        value_name = "TIME"
    )]
    pub poll: Duration,

    /// Do not watch the file or ask the URL. SIGHUP still loads it again.
    #[arg(long)]
    pub no_watch: bool,
}

/// How long something goes on, if it does at all: the probation of a plan, leaving before a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// It is not.
    Off,
    /// For this long.
    On(Duration),
}

impl Window {
    /// From a second to an hour: less shows nothing, and after more nobody expects it.
    const BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

    fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let on = Self::duration(text).map(Self::On);
        on.map_err(|expected| format!("{expected}, or `off`"))
    }

    /// Reads a time within the bounds.
    pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text.get(digits.len()..).unwrap_or_default();
        let scale = match unit {
            "s" => 1,
            "m" => 60,
            _ => return Err("a number with its unit, such as 30s or 2m"),
        };
        let number: u64 = digits.parse().map_err(|_| "no whole number")?;
        let time = Duration::from_secs(number.saturating_mul(scale));
        if Self::BOUNDS.contains(&time) {
            Ok(time)
        } else {
            Err("from 1s to 60m")
        }
    }
}

/// What a gateway starts with if its source holds no plan that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fallback {
    /// Nothing: it does not start.
    None,
    /// The plan that was live last, from the state directory. Status says so until another is live.
    LastGood,
}

impl From<Fallback> for mcpc_plan::Fallback {
    fn from(flag: Fallback) -> Self {
        match flag {
            Fallback::None => Self::None,
            Fallback::LastGood => Self::LastGood,
        }
    }
}

/// More threads than any machine has cores are a slip of the keyboard.
fn workers(text: &str) -> Result<usize, &'static str> {
    let number = text.parse().ok().filter(|number| *number <= WORKERS_MAX);
    number.ok_or("a number from 0 to 1024")
}

const WORKERS_MAX: usize = 1024;

/// Says what is wrong with a command line, and ends the process with this code, or shows the help that
/// was asked for, and ends it with 0. A value that came from a variable is said to: clap names the
/// flag alone, which nobody has written then.
pub fn wrong_usage<A: CommandFactory>(error: &clap::Error, exit: u8) -> ! {
    let _unheard = error.print();
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (flag, value) = (
        text(ContextKind::InvalidArg),
        text(ContextKind::InvalidValue),
    );
    let mut command = A::command();
    command.build();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let variable = commands
        .flat_map(clap::Command::get_arguments)
        .filter(|arg| Some(arg.to_string().as_str()) == flag)
        .filter_map(clap::Arg::get_env)
        .find(|name| std::env::var_os(name).is_some_and(|set| set.to_str() == value.or(Some(""))));
    if let Some(name) = variable {
        eprintln!("note: the variable {} is set to this value", name.display());
    }
    std::process::exit(match error.exit_code() {
        0 => 0,
        _ => exit.into(),
    })
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What broke.
    Error,
    /// What may break something.
    Warn,
    /// What changed.
    #[default]
    Info,
    /// Every request.
    Debug,
    /// Every step.
    Trace,
}

/// How it is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Off => Self::OFF,
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_a_unit_and_is_within_its_bounds() {
        let on = |seconds| Ok(Window::On(Duration::from_secs(seconds)));
        for (text, expected) in [("off", Ok(Window::Off)), ("1s", on(1)), ("60m", on(3600))] {
            assert_eq!(Window::parse(text), expected, "{text}");
        }
        for text in [
            "",
            "30",
            "0s",
            "61m",
            "-1s",
            "1.5s",
            "1h",
            "s",
            "99999999999999999999s",
        ] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }
}
