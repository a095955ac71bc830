//! `connections`: whether upstream connections are kept and used again.
//!
//! Owns: 1,000 calls, one after the other, over several client connections, so that every worker
//! of the gateway has its turn, and the upstream's count of new connections. A lost keep-alive
//! makes no error anywhere and costs five times the call, so it has to be counted.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::client::{Client, Form, Shape};
use crate::failure::Failure;
use crate::subject;
use crate::table::Table;
use crate::upstream::{self, Era};

const CLIENTS: u64 = 8;
const CALLS_PER_CLIENT: usize = 125;

/// Which gateway.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program.
    #[arg(long)]
    gateway: PathBuf,
}

/// Fails if the calls used more connections than the gateway has workers, one per core.
pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let workers = std::thread::available_parallelism()
        .map_err(|error| Failure::at("count the cores", &error))?
        .get();
    let upstream = upstream::start(SocketAddr::from(([127, 0, 0, 1], 0)), Era::Modern)?;
    let mut gateway = subject::gateway(&options.gateway, upstream.address, Era::Modern)?;
    gateway.answered(Era::Modern).await?;
    let mut table = Table::new(&["1,000 sequential calls", "connections", "workers"]);
    let mut kept = true;
    let forms = [("JSON", Form::Json), ("event streams", Form::EventStream)];
    for (name, form) in forms {
        let before = upstream.connections();
        let shape = Shape {
            text_bytes: 100,
            form,
            era: Era::Modern,
        };
        let mut clients = Vec::new();
        for number in 0..CLIENTS {
            clients.push(Client::connect(gateway.address, shape, number).await?);
        }
        for _ in 0..CALLS_PER_CLIENT {
            for client in &mut clients {
                client.call().await?;
            }
        }
        let used = upstream.connections() - before;
        kept &= used <= u64::try_from(workers).unwrap_or(u64::MAX);
        table.row(vec![name.to_owned(), used.to_string(), workers.to_string()]);
    }
    table.print();
    if !kept {
        return Err(Failure::new("upstream connections are not used again"));
    }
    Ok(())
}
