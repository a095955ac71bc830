//! `idle`: the memory of a gateway after its start and after 10,000 calls.
//!
//! Owns: the two readings. The second shows what the gateway keeps once its buffers, pools and
//! connections exist; the clients are still connected, but nothing is in flight.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Form, Shape};
use crate::failure::Failure;
use crate::load::Load;
use crate::subject::{self, Subject};
use crate::system::{proportional_mib, resident_mib};
use crate::table::Table;
use crate::upstream::{self, Era};

const CLIENTS: u64 = 16;
const CALLS_PER_CLIENT: usize = 625;

/// Which gateway.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program.
    #[arg(long)]
    gateway: PathBuf,
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let upstream = upstream::start(SocketAddr::from(([127, 0, 0, 1], 0)), Era::Modern)?;
    let mut gateway = subject::gateway(&options.gateway, upstream.address, Era::Modern)?;
    gateway.answered(Era::Modern).await?;
    let mut table = Table::new(&["memory", "RSS MiB", "PSS MiB"]);
    settle().await;
    table.row(reading("after start", &gateway)?);
    let shape = Shape {
        text_bytes: 100,
        form: Form::Json,
        era: Era::Modern,
    };
    let mut load = Load::connect(gateway.address, CLIENTS, shape).await?;
    load.drive_calls(CALLS_PER_CLIENT).await?;
    settle().await;
    table.row(reading("after 10,000 calls of 100 B", &gateway)?);
    let shape = Shape {
        text_bytes: 1 << 20,
        ..shape
    };
    let mut load = Load::connect(gateway.address, CLIENTS, shape).await?;
    load.drive_calls(10).await?;
    settle().await;
    table.row(reading("after 160 calls of 1 MiB as well", &gateway)?);
    table.print();
    Ok(())
}

/// Lets work in the background, such as freeing, come to rest.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(300)).await;
}

fn reading(when: &str, gateway: &Subject) -> Result<Vec<String>, Failure> {
    let resident = resident_mib(gateway.process())?;
    let proportional = proportional_mib(gateway.process())?;
    Ok(vec![
        when.to_owned(),
        format!("{resident:.1}"),
        format!("{proportional:.1}"),
    ])
}
