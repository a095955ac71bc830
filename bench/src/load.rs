//! A load window: so many keep-alive clients call for so long, each reply verified.
//!
//! Owns: the clients of one cell, warm-up, the window and its latencies. Does not know what it
//! drives or what that costs: `compare` reads the CPU around [`Load::drive`], which returns only
//! when every call it started has been answered, so calls and CPU belong together.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::client::{Client, Shape};
use crate::failure::Failure;
use crate::table::quantile;

/// No client makes more calls than this in one window, whatever the clock says.
const CALLS_PER_CLIENT_LIMIT: usize = 2_000_000;
/// How much longer than its window a drive may take before it counts as stuck.
const GRACE: Duration = Duration::from_secs(10);

/// Connected clients.
pub(crate) struct Load {
    clients: Vec<Client>,
}

/// What a window measured.
pub(crate) struct Window {
    pub(crate) calls: f64,
    pub(crate) seconds: f64,
    /// Milliseconds.
    pub(crate) p50: f64,
    /// Milliseconds.
    pub(crate) p99: f64,
}

impl Load {
    pub(crate) async fn connect(
        address: SocketAddr,
        clients: u64,
        shape: Shape,
    ) -> Result<Self, Failure> {
        let mut connected = Vec::new();
        for number in 0..clients {
            connected.push(Client::connect(address, shape, number).await?);
        }
        Ok(Self { clients: connected })
    }

    /// Lets every client call again and again until the time is over.
    pub(crate) async fn drive(&mut self, time: Duration) -> Result<Window, Failure> {
        let limit = Limit {
            time,
            calls: CALLS_PER_CLIENT_LIMIT,
        };
        self.drive_within(limit).await
    }

    /// Lets every client make so many calls.
    pub(crate) async fn drive_calls(&mut self, calls_per_client: usize) -> Result<Window, Failure> {
        let limit = Limit {
            time: Duration::from_secs(60),
            calls: calls_per_client.min(CALLS_PER_CLIENT_LIMIT),
        };
        self.drive_within(limit).await
    }

    async fn drive_within(&mut self, limit: Limit) -> Result<Window, Failure> {
        let start = Instant::now();
        let mut driven = tokio::task::JoinSet::new();
        for mut client in self.clients.drain(..) {
            driven.spawn(async move {
                let latencies = repeat(&mut client, start, limit).await?;
                Ok::<_, Failure>((client, latencies))
            });
        }
        let mut latencies = Vec::new();
        let all = async {
            while let Some(joined) = driven.join_next().await {
                let joined = joined.map_err(|error| Failure::at("finish a client", &error))?;
                let (client, sample) = joined?;
                self.clients.push(client);
                latencies.extend(sample);
            }
            Ok::<_, Failure>(())
        };
        match tokio::time::timeout(limit.time + GRACE, all).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(Failure::new("a call was not answered in time")),
        }
        let seconds = start.elapsed().as_secs_f64();
        latencies.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let calls = latencies.len() as f64;
        Ok(Window {
            calls,
            seconds,
            p50: quantile(&latencies, 0.50).unwrap_or(f64::NAN),
            p99: quantile(&latencies, 0.99).unwrap_or(f64::NAN),
        })
    }
}

#[derive(Clone, Copy)]
struct Limit {
    time: Duration,
    calls: usize,
}

/// One client's calls; returns their latencies in milliseconds.
async fn repeat(client: &mut Client, start: Instant, limit: Limit) -> Result<Vec<f64>, Failure> {
    let mut latencies = Vec::new();
    let mut before = Instant::now();
    while latencies.len() < limit.calls && before.duration_since(start) < limit.time {
        client.call().await?;
        let after = Instant::now();
        latencies.push(after.duration_since(before).as_secs_f64() * 1e3);
        before = after;
    }
    Ok(latencies)
}
