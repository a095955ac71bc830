//! `compare`: CPU per call, throughput and latency of the gateway beside nginx and no proxy.
//!
//! Owns: the cells, the interleaving of rounds and the table. In every round each cell is driven
//! through every subject, one right after the other and in turning order, so that whatever else
//! the machine does meets all of them. The figure is the ratio within a round; the table shows
//! the median over the rounds. Starting and driving are `subject` and `load`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Form, Shape};
use crate::failure::Failure;
use crate::load::Load;
use crate::subject::{self, Subject};
use crate::system;
use crate::table::{self, Table, median};
use crate::upstream::{self, Era};

/// What to compare.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program; without it only nginx and the direct connection are measured.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// The nginx program.
    #[arg(long, default_value = "nginx")]
    nginx: PathBuf,
    /// The size of nginx's proxy buffers, in KiB.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1024))]
    nginx_buffer: u32,
    /// Seconds per window.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Rounds; each drives every cell through every subject once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// What clients and upstream speak.
    #[arg(long, value_enum, default_value_t = Era::Modern)]
    era: Era,
    /// Only the cells whose name contains this text.
    #[arg(long)]
    only: Option<String>,
}

struct Cell {
    name: &'static str,
    clients: u64,
    text_bytes: usize,
    form: Form,
}

const fn cell(name: &'static str, clients: u64, text_bytes: usize, form: Form) -> Cell {
    Cell {
        name,
        clients,
        text_bytes,
        form,
    }
}

const CELLS: [Cell; 7] = [
    cell("100 B, 1 client", 1, 100, Form::Json),
    cell("100 B, 16 clients", 16, 100, Form::Json),
    cell("100 B, 64 clients", 64, 100, Form::Json),
    cell("64 KiB, 16 clients", 16, 64 << 10, Form::Json),
    cell("1 MiB, 8 clients", 8, 1 << 20, Form::Json),
    cell("100 B events, 64 clients", 64, 100, Form::EventStream),
    cell("1 MiB events, 8 clients", 8, 1 << 20, Form::EventStream),
];

/// A way to the upstream.
struct Way {
    name: &'static str,
    address: SocketAddr,
    proxy: Option<Subject>,
}

/// What one window of one way gave.
struct Measured {
    cpu_per_call: Option<f64>,
    rps: f64,
    p50: f64,
    p99: f64,
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let upstream = upstream::start(SocketAddr::from(([127, 0, 0, 1], 0)), options.era)?;
    let ways = start_ways(options, upstream.address).await?;
    let wanted = options.only.as_deref().unwrap_or_default();
    let cells = CELLS.iter().filter(|cell| cell.name.contains(wanted));
    let mut results: Vec<CellResult<'_>> = cells
        .map(|cell| CellResult {
            cell,
            rounds: Vec::new(),
        })
        .collect();
    for round in 0..options.rounds {
        for result in &mut results {
            let turn = usize::try_from(round).unwrap_or(0) % ways.len().max(1);
            let measured = measure_round(&ways, turn, result.cell, options).await?;
            result.rounds.push(measured);
        }
        eprintln!("round {} of {} done", round + 1, options.rounds);
    }
    print(options, &ways, &results);
    Ok(())
}

async fn start_ways(options: &Options, upstream: SocketAddr) -> Result<Vec<Way>, Failure> {
    let nginx = subject::nginx(&options.nginx, upstream, options.nginx_buffer)?;
    let mut ways = vec![
        Way {
            name: "direct",
            address: upstream,
            proxy: None,
        },
        Way {
            name: "nginx",
            address: nginx.address,
            proxy: Some(nginx),
        },
    ];
    if let Some(program) = &options.gateway {
        let gateway = subject::gateway(program, upstream, options.era)?;
        ways.push(Way {
            name: "gateway",
            address: gateway.address,
            proxy: Some(gateway),
        });
    }
    for way in &mut ways {
        if let Some(proxy) = &mut way.proxy {
            proxy.answered(options.era).await?;
        }
    }
    Ok(ways)
}

struct CellResult<'a> {
    cell: &'a Cell,
    /// Per round, in the order of the ways.
    rounds: Vec<Vec<Measured>>,
}

/// Drives one cell through every way, starting with a different one in each round.
async fn measure_round(
    ways: &[Way],
    turn: usize,
    cell: &Cell,
    options: &Options,
) -> Result<Vec<Measured>, Failure> {
    let mut measured: Vec<(usize, Measured)> = Vec::new();
    let order = ways.iter().enumerate().cycle().skip(turn).take(ways.len());
    for (number, way) in order {
        let result = measure(way, cell, options).await;
        let result = result.map_err(|failure| {
            let talk = way.proxy.as_ref().map(Subject::talk).unwrap_or_default();
            Failure::new(format!("{}, {}: {failure}\n{talk}", way.name, cell.name))
        })?;
        measured.push((number, result));
    }
    measured.sort_by_key(|(number, _)| *number);
    Ok(measured.into_iter().map(|(_, result)| result).collect())
}

async fn measure(way: &Way, cell: &Cell, options: &Options) -> Result<Measured, Failure> {
    let shape = Shape {
        text_bytes: cell.text_bytes,
        form: cell.form,
        era: options.era,
    };
    let mut load = Load::connect(way.address, cell.clients, shape).await?;
    load.drive(Duration::from_millis(200)).await?;
    let processes = way.proxy.as_ref().map(Subject::processes);
    let cpu = || match &processes {
        Some(processes) => system::cpu_ms(processes).map(Some),
        None => Ok(None),
    };
    let before = cpu()?;
    let driven = load.drive(Duration::from_secs(options.seconds)).await?;
    let after = cpu()?;
    let used = after.zip(before).map(|(after, before)| after - before);
    Ok(Measured {
        cpu_per_call: used.map(|used| used * 1e3 / driven.calls),
        rps: driven.calls / driven.seconds,
        p50: driven.p50,
        p99: driven.p99,
    })
}

fn print(options: &Options, ways: &[Way], results: &[CellResult<'_>]) {
    table::line(&format!(
        "{} clients and upstream, {} rounds of {} s per cell and way; CPU is that of the proxy with all its processes, in ms \
         per 1,000 calls;\nratio is to nginx within the same round: median (lowest to highest).\n",
        options.era.name(),
        options.rounds,
        options.seconds
    ));
    let mut table = Table::new(&["cell", "way", "CPU", "ratio", "calls/s", "p50 ms", "p99 ms"]);
    for result in results {
        for (number, way) in ways.iter().enumerate() {
            let of_way = || result.rounds.iter().filter_map(|round| round.get(number));
            let middle =
                |figure: fn(&Measured) -> f64| median(&of_way().map(figure).collect::<Vec<f64>>());
            let cpu: Vec<f64> = of_way().filter_map(|one| one.cpu_per_call).collect();
            table.row(vec![
                result.cell.name.to_owned(),
                way.name.to_owned(),
                figure(&cpu, 1),
                ratios(result, ways, number),
                format!("{:.0}", middle(|one| one.rps)),
                format!("{:.3}", middle(|one| one.p50)),
                format!("{:.3}", middle(|one| one.p99)),
            ]);
        }
    }
    table.print();
}

/// The gateway's CPU per call over nginx's, round by round.
fn ratios(result: &CellResult<'_>, ways: &[Way], number: usize) -> String {
    let nginx = ways.iter().position(|way| way.name == "nginx");
    let Some(nginx) = nginx.filter(|&nginx| number > nginx) else {
        return String::from("–");
    };
    let of_round = |round: &Vec<Measured>| {
        let cost = |way: usize| round.get(way).and_then(|one| one.cpu_per_call);
        cost(number).zip(cost(nginx)).map(|(own, base)| own / base)
    };
    let mut ratios: Vec<f64> = result.rounds.iter().filter_map(of_round).collect();
    ratios.sort_by(f64::total_cmp);
    match (ratios.first(), ratios.last()) {
        (Some(lowest), Some(highest)) => {
            format!("{:.2} ({lowest:.2} to {highest:.2})", median(&ratios))
        }
        _ => String::from("–"),
    }
}

fn figure(values: &[f64], decimals: usize) -> String {
    if values.is_empty() {
        return String::from("–");
    }
    format!("{:.decimals$}", median(values))
}
