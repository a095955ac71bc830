//! `start`: from starting the process to the first answered tools/list.
//!
//! Owns: 20 starts and their median. It covers everything: reading and compiling the
//! configuration, binding, reaching the upstream (which runs already) and one answer. Connecting
//! is tried again every 200 µs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use crate::failure::Failure;
use crate::subject;
use crate::table::{Table, median};
use crate::upstream::{self, Era};

/// Which gateway.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program.
    #[arg(long)]
    gateway: PathBuf,
    /// How many starts.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    starts: u32,
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let upstream = upstream::start(SocketAddr::from(([127, 0, 0, 1], 0)), Era::Modern)?;
    let mut times = Vec::new();
    for _ in 0..options.starts {
        let begun = Instant::now();
        let mut gateway = subject::gateway(&options.gateway, upstream.address, Era::Modern)?;
        gateway.answered(Era::Modern).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let shown = |time: Option<&f64>| time.map_or(String::new(), |time| format!("{time:.1}"));
    let mut table = Table::new(&[
        "start to first tools/list",
        "median ms",
        "lowest",
        "highest",
    ]);
    table.row(vec![
        format!("{} starts", options.starts),
        format!("{:.1}", median(&times)),
        shown(times.first()),
        shown(times.last()),
    ]);
    table.print();
    Ok(())
}
