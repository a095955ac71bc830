//! The gate about single requests that cost the gateway far more than they cost their sender.
//!
//! Owns the measurement. What is sent is `nasty`'s. Many connections send the same request at once, all of
//! it but the last byte, so that the gateway holds as many as there are; then they send the last byte and read what
//! comes. Memory is held against the bytes that were sent, processor time against that of the thread that
//! sends and reads. A request whose answer is long is not what this is about: answers here are short.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Figure;
use super::nasty::{self, Request};
use super::scene::{PATIENCE, Scene};
use crate::client::dial;
use crate::failure::Failure;
use crate::system;
use crate::table::line;
use crate::upstream::{self, Era};

/// The most that one request may cost, in terms of what it costs its sender.
const TIMES: f64 = 100.0;

/// How much is in flight at once, and how many requests that may be.
const IN_FLIGHT_BYTES: usize = 16 << 20;
const TOGETHER: std::ops::RangeInclusive<usize> = 4..=512;

/// How often that is done; memory is the most of all times.
const ROUNDS: usize = 3;

/// What one kind of request has cost.
struct Cost {
    memory_times: f64,
    cpu_times: f64,
}

/// Each kind of request at a gateway of its own.
pub(super) async fn of_single_requests(program: &Path) -> Result<Figure, Failure> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let web = upstream::start(anywhere, Era::Modern)?;
    let servers = format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: modern }}\n",
        web.address
    );
    let (mut worst_memory, mut worst_cpu) = ((0.0, ""), (0.0, ""));
    for (name, make) in nasty::ALL {
        let scene = Scene::open(program, &servers, "web.echo").await?;
        let request = make(scene.address()).await?;
        let cost = cost(&scene, &request).await?;
        let Cost {
            memory_times,
            cpu_times,
        } = cost;
        line(&format!(
            "  {name}: {} bytes, memory {memory_times:.2} times, CPU {cpu_times:.2} times",
            request.bytes.len()
        ));
        if memory_times > worst_memory.0 {
            worst_memory = (memory_times, name);
        }
        if cpu_times > worst_cpu.0 {
            worst_cpu = (cpu_times, name);
        }
    }
    Ok(Figure {
        seen: format!(
            "memory {:.1} times ({}), CPU {:.1} times ({}) at the worst of {}",
            worst_memory.0,
            worst_memory.1,
            worst_cpu.0,
            worst_cpu.1,
            nasty::ALL.len()
        ),
        holds: worst_memory.0 <= TIMES && worst_cpu.0 <= TIMES,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "bytes and nanoseconds of a few seconds are far below 2^52"
)]
async fn cost(scene: &Scene, request: &Request) -> Result<Cost, Failure> {
    let length = request.bytes.len();
    let together = (IN_FLIGHT_BYTES / length).clamp(*TOGETHER.start(), *TOGETHER.end());
    let process = scene.process();
    let before = system::resident_mib(process)?;
    system::reset_peak(process)?;
    let (gateway, own) = (system::cpu_ns(process)?, system::own_cpu_ns()?);
    for _ in 0..ROUNDS {
        round(scene.address(), request, together).await?;
    }
    let own = system::own_cpu_ns()? - own;
    let gateway = system::cpu_ns(process)? - gateway;
    let peak = system::peak_mib(process);
    let peak = peak.ok_or_else(|| Failure::new("the gateway has ended"))?;
    let grown_bytes = (peak - before).max(0.0) * f64::from(1 << 20);
    Ok(Cost {
        memory_times: grown_bytes / (length * together) as f64,
        cpu_times: gateway as f64 / own.max(1) as f64,
    })
}

/// So many requests at once: each is complete only when all are nearly there.
async fn round(address: SocketAddr, request: &Request, together: usize) -> Result<(), Failure> {
    let mut sending = JoinSet::new();
    for _ in 0..together {
        let stream = dial(address).await?;
        let bytes = request.bytes.clone();
        sending.spawn(async move { begin(stream, &bytes).await });
    }
    let mut begun = Vec::new();
    while let Some(joined) = sending.join_next().await {
        begun.push(joined.map_err(|error| Failure::at("finish a client", &error))?);
    }
    let mut reading = JoinSet::new();
    for stream in begun {
        let last = request.bytes.last().copied();
        let answered = request.is_answered;
        reading.spawn(async move { end(stream, last, answered).await });
    }
    while let Some(joined) = reading.join_next().await {
        joined.map_err(|error| Failure::at("finish a client", &error))??;
    }
    Ok(())
}

/// Sends all but the last byte. A gateway that has seen enough may refuse the rest.
async fn begin(mut stream: TcpStream, bytes: &[u8]) -> TcpStream {
    let but_last = bytes.split_last().map_or(bytes, |(_, rest)| rest);
    let _refused = timeout(PATIENCE, stream.write_all(but_last)).await;
    stream
}

/// Sends the last byte, and reads to the end of the connection. What needs no answer is left there a moment.
async fn end(mut stream: TcpStream, last: Option<u8>, answered: bool) -> Result<(), Failure> {
    if !answered {
        tokio::time::sleep(Duration::from_millis(300)).await;
        return Ok(());
    }
    let _refused = stream.write_all(last.as_slice()).await;
    let mut read = 0;
    let mut space = vec![0; 16 << 10];
    loop {
        match timeout(PATIENCE, stream.read(&mut space)).await {
            Ok(Ok(0)) => break,
            Ok(Ok(count)) => read += count,
            // Refused before all was read.
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(Failure::new("a request was not answered")),
        }
    }
    if read == 0 {
        return Err(Failure::new("a connection ended without an answer"));
    }
    Ok(())
}
