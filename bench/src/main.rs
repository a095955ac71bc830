//! `mcpc-bench`: measures what a gateway costs, beside nginx and a direct connection, in one run.
//!
//! ```text
//! compare, idle, start, connections:  load (clients) ─► subject (nginx or gateway) ─► upstream
//! check:                              generated mcpc.yaml ─► `mcpc check`
//! storm:                              edits ─► mcpc.yaml ─► gateway under load
//! same-ids:                           clients that use the same ids ─► gateway ─► shared upstreams
//! soak:                               clients that vanish, for hours ─► gateway; the slope of its memory
//! gates:                              trouble of every kind ─► gateway; the figures that were promised
//! ```
//!
//! The clients and the upstream live in this process, each subject in processes of its own, so
//! that its CPU and memory can be read from the system. Everything is on loopback, bounded in
//! count and time, and what was started is ended by its process id on every way out. This is a
//! program, not a test: figures depend on the machine.

mod check;
mod client;
mod compare;
mod connections;
mod failure;
mod gates;
mod idle;
mod load;
mod pipe;
mod reply;
mod same_ids;
mod start;
mod storm;
mod subject;
mod system;
mod table;
mod upstream;

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;

/// Measures what a gateway costs.
#[derive(Parser)]
#[command(version, about)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the echo upstream until it is interrupted.
    Upstream(UpstreamOptions),
    /// CPU per call, throughput and latency: direct, nginx and the gateway in interleaved rounds.
    Compare(compare::Options),
    /// Memory of a gateway after its start and after 10,000 calls.
    Idle(idle::Options),
    /// Time from the start of the process to the first answered tools/list.
    Start(start::Options),
    /// Time and memory that `mcpc check` takes for a large configuration.
    Check(check::Options),
    /// How many upstream connections 1,000 sequential calls use.
    Connections(connections::Options),
    /// Whether calls survive a configuration that is rewritten many times a second.
    Storm(storm::Options),
    /// Whether clients that all count their requests 1, 2, 3 get their own answers.
    SameIds(same_ids::Options),
    /// What must hold when clients, servers or the gateway itself fail, each with its figure.
    Gates(gates::Options),
    /// Whether memory stays flat for hours while clients come and vanish.
    Soak(gates::soak::Options),
}

#[derive(clap::Args)]
struct UpstreamOptions {
    /// Where to listen; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// The foundation of the protocol that it speaks.
    #[arg(long, value_enum, default_value_t = upstream::Era::Modern)]
    era: upstream::Era,
    /// Serve standard input and output instead, and answer what has come together in reverse.
    #[arg(long, conflicts_with = "address")]
    stdio: bool,
}

fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::at("start the runtime", &error))
        .and_then(|runtime| runtime.block_on(run_until_interrupted(command)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("mcpc-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// An interrupt drops the run, and with it every process that the run started.
async fn run_until_interrupted(command: Command) -> Result<(), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate =
        signal(SignalKind::terminate()).map_err(|error| Failure::at("watch SIGTERM", &error))?;
    tokio::select! {
        outcome = run(command) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted")),
        _ = terminate.recv() => Err(Failure::new("terminated")),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Upstream(options) => serve_upstream(&options).await,
        Command::Compare(options) => compare::run(&options).await,
        Command::Idle(options) => idle::run(&options).await,
        Command::Start(options) => start::run(&options).await,
        Command::Check(options) => check::run(&options).await,
        Command::Connections(options) => connections::run(&options).await,
        Command::Storm(options) => storm::run(&options).await,
        Command::SameIds(options) => same_ids::run(&options).await,
        Command::Gates(options) => gates::run(&options).await,
        Command::Soak(options) => gates::soak::run(&options).await,
    }
}

async fn serve_upstream(options: &UpstreamOptions) -> Result<(), Failure> {
    if options.stdio {
        return pipe::serve(options.era);
    }
    let upstream = upstream::start(options.address, options.era)?;
    table::line(&format!("listening on http://{}/mcp", upstream.address));
    std::future::pending().await
}
