//! The `mcpcd` command: its command line and its exit codes.
//!
//! In the library, so that tests can build the same gateway beside them. What it does is `operate`'s.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::content::is_standard;
use crate::hooks::Hook;
use crate::{
    Ended, GatewayFlags, PlanFile, first_process, open_reach, operate, start_log, wrong_usage,
};
use clap::Parser;
use mcpc_dataplane::Refusal;

/// Serves MCP traffic as a plan says. `mcpc plan --out plan.json` makes one.
#[derive(Debug, Parser)]
#[command(name = "mcpcd", version, max_term_width = 100, after_help = EXAMPLES)]
#[command(subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    hook: Option<Hook>,

    /// The plan: a file, a URL, or `-` for standard input. It is loaded again when it changes, and on
    /// SIGHUP.
    #[arg(long, env = "MCPCD_PLAN", value_name = "FILE", required = true)]
    plan: Option<PathBuf>,

    #[command(flatten)]
    gateway: GatewayFlags,
}

const EXAMPLES: &str = "\
Examples:
  mcpcd --plan plan.json
  mcpcd --plan plan.json --listen 127.0.0.1:9000 --log-format json
  mcpc plan | mcpcd --plan -           without a file in between
  mcpcd --plan https://plans.example.com/prod.json --poll 1m
  kill -HUP PID                        load the plan again
  mcpcd healthcheck                    whether the gateway in this container is ready
  mcpcd prestop --wait 15s             send clients elsewhere before it is stopped

Exit codes: 0 stopped when asked, 1 the plan is refused, 2 it could not be read or put to work here.";

/// Runs `mcpcd` with the arguments of this process, until the gateway stops.
pub fn run() -> ExitCode {
    mcpc_dataplane::child_entry(std::env::args_os());
    if let Some(code) = first_process() {
        return code;
    }
    let arguments =
        Arguments::try_parse().unwrap_or_else(|error| wrong_usage::<Arguments>(&error, 2));
    match (arguments.hook, arguments.plan) {
        (Some(hook), _) => hook.run(),
        (None, Some(plan)) => serve(&plan, &arguments.gateway),
        // `required` says so before.
        (None, None) => ExitCode::from(2),
    }
}

fn serve(plan: &Path, flags: &GatewayFlags) -> ExitCode {
    if flags.stdio && is_standard(plan) {
        // Nobody may take the client's first message for a plan.
        eprintln!("mcpcd: with --stdio the client is on standard input, so the plan cannot be");
        return ExitCode::from(2);
    }
    let is_coloured = std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    start_log(flags, is_coloured);
    let reach = match mcpc_dataplane::Real::new() {
        Ok(real) => open_reach(real),
        Err(Refusal { code, reason }) => {
            tracing::error!(code, reason, "the gateway does not start");
            return ExitCode::from(2);
        }
    };
    let plans = PlanFile::new(plan, flags, &reach);
    let plans = match plans {
        Ok(plans) => plans,
        Err(Refusal { code, reason }) => {
            tracing::error!(code, reason, "there is no plan to start with");
            return ExitCode::from(2);
        }
    };
    match operate(Box::new(plans), flags, &reach, |_, _| {}) {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::Interrupted | Ended::NoPlan => ExitCode::from(1),
        Ended::NotStarted => ExitCode::from(2),
    }
}
