//! `gates`: what must hold when things go wrong, with the figure that was asked for and the one that was seen.
//!
//! ```text
//! Gate ─► a gateway of its own, servers and clients that do what the gate is about ─► Figure ─► one row
//! ```
//!
//! Owns the table of gates and the verdict: one that does not hold fails the command, and the others
//! are run all the same. Each file beside this one is one kind of trouble. The parts of the same
//! promises that no clock is needed for are tests (`golden-tests/faults`).

mod amplification;
mod caller;
mod children;
mod clients;
mod nasty;
mod reloads;
mod scene;
mod servers;
mod sessions;
pub(crate) mod soak;
mod stop;

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::failure::Failure;
use crate::table::{Table, line};

/// Which gates of which gateway.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program.
    #[arg(long)]
    gateway: PathBuf,
    /// Only these; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Gate>,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Gate {
    Reloads,
    KilledChild,
    KilledGateway,
    Cycles,
    Sessions,
    Streams,
    StalledList,
    StuckCall,
    Firehose,
    Flood,
    CutOff,
    Stop,
    Amplification,
}

/// What was seen, and whether that is what was asked for.
struct Figure {
    seen: String,
    holds: bool,
}

impl Gate {
    const ALL: [Self; 13] = [
        Self::KilledChild,
        Self::KilledGateway,
        Self::StuckCall,
        Self::Flood,
        Self::StalledList,
        Self::Firehose,
        Self::CutOff,
        Self::Stop,
        Self::Amplification,
        Self::Cycles,
        Self::Sessions,
        Self::Streams,
        Self::Reloads,
    ];

    /// What happens, and what must come of it.
    fn promise(self) -> (&'static str, &'static str) {
        match self {
            Self::Reloads => (
                "1,000,000 calls, 100 edits a second, every second one bad",
                "0 lost, 0 wrong, 0 cut",
            ),
            Self::KilledChild => (
                "kill -9 of a child mid-call",
                "error within 200 ms, back within 1 s, others untouched",
            ),
            Self::KilledGateway => (
                "kill -9 of the gateway",
                "children and theirs gone within 1 s",
            ),
            Self::Cycles => (
                "10,000 times connect, call, vanish",
                "same children, 0 zombies, descriptors and memory back",
            ),
            Self::Sessions => (
                "10,000 idle sessions",
                "at most 12 KiB each, stop within the grace",
            ),
            Self::Streams => (
                "8,000 idle sessions with an open stream",
                "told, and stop within the grace",
            ),
            Self::StalledList => (
                "one of three servers stalls after its head",
                "list of the others within 2 s and 200 ms",
            ),
            Self::StuckCall => (
                "1 stuck call and 200 others on one child",
                "99th percentile of the others under 100 ms",
            ),
            Self::Firehose => (
                "a server writes all it can, its reader takes 10 KiB/s",
                "growth under 4 MiB",
            ),
            Self::Flood => (
                "64 MiB on standard error without a line break",
                "calls of the same child go on",
            ),
            Self::CutOff => (
                "load of 4,000 clients is cut off",
                "CPU under 2 % within 5 s",
            ),
            Self::Amplification => (
                "single requests that are made to be expensive",
                "at most 100 times their size in memory, and their sender's CPU",
            ),
            Self::Stop => (
                "SIGTERM under load",
                "every call answered or not begun, exit 0 within the grace",
            ),
        }
    }

    async fn measure(self, program: &Path) -> Result<Figure, Failure> {
        match self {
            Self::Reloads => reloads::storm(program).await,
            Self::KilledChild => children::killed(program).await,
            Self::KilledGateway => children::orphaned(program).await,
            Self::StuckCall => children::stuck(program).await,
            Self::Flood => children::flood(program).await,
            Self::Cycles => clients::cycles(program).await,
            Self::CutOff => clients::cut_off(program).await,
            Self::Sessions => sessions::idle(program, sessions::Stream::Closed).await,
            Self::Streams => sessions::idle(program, sessions::Stream::Open).await,
            Self::StalledList => servers::stalled_list(program).await,
            Self::Firehose => servers::firehose(program).await,
            Self::Amplification => amplification::of_single_requests(program).await,
            Self::Stop => stop::under_load(program).await,
        }
    }
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let program = options.gateway.canonicalize();
    let program = program.map_err(|error| Failure::at("find the gateway", &error))?;
    let asked = |gate: &Gate| options.only.is_empty() || options.only.contains(gate);
    let mut table = Table::new(&["gate", "target", "seen", "holds"]);
    let mut missed = 0;
    for gate in Gate::ALL.into_iter().filter(asked) {
        let begun = Instant::now();
        // A gate that could not be measured does not hold.
        let figure = gate.measure(&program).await;
        let figure = figure.unwrap_or_else(|failure| Figure {
            seen: failure.to_string(),
            holds: false,
        });
        missed += u32::from(!figure.holds);
        let holds = if figure.holds { "yes" } else { "NO" };
        let (given, target) = gate.promise();
        let seconds = begun.elapsed().as_secs();
        line(&format!("{given}: {} ({holds}, {seconds} s)", figure.seen));
        let cells = [given, target, &figure.seen, holds];
        table.row(cells.map(str::to_owned).to_vec());
    }
    line("");
    table.print();
    if missed > 0 {
        return Err(Failure::new(format!("{missed} of them did not hold")));
    }
    Ok(())
}
