//! The command line as people write it. What it means is each command's own file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mcpc_daemon::GatewayFlags;

/// Compiles MCP gateway configurations and runs them.
#[derive(Debug, Parser)]
#[command(name = "mcpc", version, max_term_width = 100)]
#[command(after_help = "Run `mcpc help COMMAND` for examples, `mcpc explain CODE` for any code.")]
pub(crate) struct Arguments {
    /// When to use colour. `NO_COLOR` turns `auto` off.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: Color,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check configurations and report every mistake.
    #[command(visible_alias = "validate", after_help = CHECK_EXAMPLES)]
    Check(Check),

    /// Compile a configuration into a plan.
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(Plan),

    /// Serve a configuration, and follow its changes.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),

    /// Show what a running gateway serves, and how its servers are.
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Status),

    /// Have a running gateway load its configuration again.
    #[command(after_help = RELOAD_EXAMPLES)]
    Reload(Order),

    /// Have a running gateway go back to the plan before the live one.
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(Order),

    /// Explain a code such as MCPC1008, or where a tool name goes.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Explain),

    /// Print the JSON Schema of `mcpc.yaml`.
    #[command(after_help = SCHEMA_EXAMPLES)]
    Schema {
        /// Write it to this file instead of standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },

    /// Print what this build is and speaks.
    #[command(after_help = "Examples:\n  mcpc version\n  mcpc version --json")]
    Version {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },

    /// Print a completion script.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },

    /// Serve one of two small MCP servers on standard input and output.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo {
        /// The server.
        server: DemoServer,
    },
}

/// The servers that ship with `mcpc`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DemoServer {
    /// Keeps notes in memory.
    Notes,
    /// Tells the time.
    Clock,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The configurations, each checked on its own: a file, a directory of files that make one
    /// configuration together, or `-` for standard input.
    #[arg(value_name = "FILE", default_value = "mcpc.yaml")]
    pub(crate) files: Vec<PathBuf>,

    /// How findings are printed. The default is `human`, and `github` inside GitHub Actions.
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,

    /// Exit with 1 on warnings, too.
    #[arg(long)]
    pub(crate) deny_warnings: bool,

    /// Check for the environment of this command: a variable that is not set, and a secret without
    /// a value, is an error then. Values are looked up and never shown.
    #[arg(long)]
    pub(crate) env: bool,

    /// Start or connect every server, ask what it has, and hold the configuration to that. What was
    /// started is ended again, and nothing is listened on. Includes --env.
    #[arg(long)]
    pub(crate) online: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With the lines they are about, on standard error.
    Human,
    /// One line each.
    Concise,
    /// One versioned JSON document.
    Json,
    /// SARIF 2.1.0. Exits with 0 whatever was found.
    Sarif,
    /// GitHub annotations.
    Github,
    /// A Code Quality report of GitLab.
    Gitlab,
    /// A `JUnit` report in XML. A warning is a case that passed.
    Junit,
    /// A table in Markdown.
    Markdown,
}

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The configuration: a file, a directory of files, or `-` for standard input.
    #[arg(value_name = "FILE", default_value = "mcpc.yaml")]
    pub(crate) file: PathBuf,

    /// Write the plan to this file, in one step, instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Say what putting it in place of this plan would do to the servers: which go on, start, stop.
    /// `-` is standard input.
    #[arg(long, value_name = "PLAN")]
    pub(crate) against: Option<PathBuf>,

    /// Print the summary as JSON on standard output, in place of the plan.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The configuration: a file, a directory of files, a URL, or `-` for standard input. It is
    /// compiled again when it changes.
    #[arg(value_name = "FILE", default_value = "mcpc.yaml")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) gateway: GatewayFlags,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// The admin address of the gateway.
    #[arg(
        long,
        env = "MCPC_ADMIN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS",
        value_parser = mcpc_daemon::address
    )]
    pub(crate) admin: SocketAddr,

    /// Print the status document as the gateway gives it.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Order {
    /// The admin address of the gateway, on this machine.
    #[arg(
        long,
        env = "MCPC_ADMIN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS"
    )]
    pub(crate) admin: SocketAddr,

    /// Print what came of it as the gateway gives it.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The code, with or without `MCPC`. With --tool the configuration: a file, a directory or `-`;
    /// mcpc.yaml if it is left out.
    #[arg(value_name = "CODE|FILE", required_unless_present_any = ["list", "tool"])]
    pub(crate) subject: Option<String>,

    /// Tell where an exposed tool name goes, or why it is refused, with the place of each rule.
    #[arg(long, value_name = "NAME", conflicts_with = "list")]
    pub(crate) tool: Option<String>,

    /// At this endpoint only, by its name or path.
    #[arg(long, value_name = "NAME", requires = "tool")]
    pub(crate) endpoint: Option<String>,

    /// For this caller. There are no callers with a name yet.
    #[arg(long = "as", value_name = "PRINCIPAL", requires = "tool", hide = true)]
    pub(crate) principal: Option<String>,

    /// List every code with its title.
    #[arg(long, conflicts_with = "subject")]
    pub(crate) list: bool,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  mcpc check                           check mcpc.yaml here
  mcpc check staging.yaml prod.yaml    check two files, each on its own
  mcpc check conf.d                    check the files in it as one configuration
  cat mcpc.yaml | mcpc check -         check standard input
  mcpc check --env                     and whether every secret has a value here
  mcpc check --online                  and whether every server is there and has what is named
  mcpc check --format sarif > mcpc.sarif

Exit codes: 0 clean, 1 findings, 2 the check could not be done.";

const PLAN_EXAMPLES: &str = "\
Examples:
  mcpc plan --out plan.json            compile mcpc.yaml, for `mcpcd --plan plan.json`
  mcpc plan prod.yaml | sha256sum      the same bytes on every machine
  mcpc plan --json                     what the plan holds, for programs
  mcpc plan --against plan.json        which servers a reload would start, stop and leave alone

Exit codes: 0 a plan came out, 1 none did, for whatever reason, 2 a plan came out that does something
else than the one of --against.";

const RUN_EXAMPLES: &str = "\
Examples:
  mcpc run                             serve mcpc.yaml here
  mcpc run examples/quickstart/mcpc.yaml
  mcpc run /etc/mcpc/conf.d            serve the files in it as one configuration
  mcpc run prod.yaml --listen 127.0.0.1:9000 --log-format json
  mcpc run --stdio ~/mcpc.yaml         what a desktop client starts
  mcpc run https://conf.example.com/mcpc.yaml --poll 1m
  kill -HUP PID                        compile the file again

Exit codes: 0 stopped when asked, or the client on standard input left,
1 the configuration has errors, or a second signal stopped the gateway at once,
2 the configuration could not be read or put to work here.";

const STATUS_EXAMPLES: &str = "\
Examples:
  mcpc status
  mcpc status --admin 127.0.0.1:9001 --json

Exit codes: 0 all is well, 1 a new plan was refused or a server is down, 2 no gateway answers.";

const RELOAD_EXAMPLES: &str = "\
Examples:
  mcpc reload                          as SIGHUP does, and says what came of it
  mcpc reload --admin 127.0.0.1:9001 --json

Exit codes: 0 what the file holds is live, 1 it was refused, 2 no gateway takes the order.";

const ROLLBACK_EXAMPLES: &str = "\
Examples:
  mcpc rollback                        one plan back; again for one more
  mcpc reload                          what the file holds is live again

Exit codes: 0 the plan before is live, 1 there is none or it was refused, 2 no gateway takes the order.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  mcpc explain MCPC1008
  mcpc explain 1008
  mcpc explain --list
  mcpc explain --tool notes__add_note mcpc.yaml
  mcpc explain --tool find --endpoint code -

Exit codes: 0 explained, 1 the tool name is refused or the configuration has errors, 2 there is nothing
to explain.";

const SCHEMA_EXAMPLES: &str = "\
Examples:
  mcpc schema --out mcpc.schema.json

Editors complete and check a configuration that begins with
  # yaml-language-server: $schema=./mcpc.schema.json";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  mcpc completions bash > ~/.local/share/bash-completion/completions/mcpc
  mcpc completions zsh > \"${fpath[1]}/_mcpc\"
  mcpc completions fish > ~/.config/fish/completions/mcpc.fish";

const DEMO_EXAMPLES: &str = "\
Examples:
  mcpc run examples/quickstart/mcpc.yaml    a gateway with both of them
  mcpc demo clock                           talk to one by hand

In a configuration:
  servers:
    notes: { command: mcpc, args: [demo, notes] }";
