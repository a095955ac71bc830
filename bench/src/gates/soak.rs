//! `soak`: whether memory stays flat for hours while clients come and vanish.
//!
//! Owns the pace of the clients, the readings and the slope through them. What a client does is `clients`'s;
//! here each has a session and none ends it. A day of it is the promise; a shorter run tells less, since
//! what the allocator keeps goes up and down by a few hundred KiB.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::clients::{abandon, serve};
use crate::failure::Failure;
use crate::system;
use crate::table::line;

/// Sessions end after this time without a request, so that as many end as begin from then on.
const SESSION_IDLE: Duration = Duration::from_secs(60);
/// What the allocator grows to with long answers is reached by then (see `clients`).
const WARM_UP: Duration = Duration::from_secs(600);
const READING_EVERY: Duration = Duration::from_secs(5);
/// Clients that are on their way at once; more than these would be a gateway that hangs.
const TOGETHER_LIMIT: usize = 1_000;
const SLOPE_LIMIT: f64 = 1.0;
const LINES: usize = 20;

/// How long, and how many clients.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program.
    #[arg(long)]
    gateway: PathBuf,
    /// Minutes after the ten that are not judged.
    #[arg(long, default_value_t = 1440, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    minutes: u64,
    /// Clients a second; each begins a session, calls, and vanishes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=500))]
    rate: u64,
}

/// What the gateway held at a time.
#[derive(Clone, Copy)]
struct Reading {
    hours: f64,
    mib: f64,
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let program = options.gateway.canonicalize();
    let program = program.map_err(|error| Failure::at("find the gateway", &error))?;
    let scene = serve(&program, SESSION_IDLE).await?;
    let child = scene.child("child").await?;
    let judged = Duration::from_secs(options.minutes * 60);
    let mut pace =
        tokio::time::interval(Duration::from_secs(1) / u32::try_from(options.rate).unwrap_or(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut going = JoinSet::new();
    let (begun, mut looked) = (Instant::now(), Instant::now());
    let (mut clients, mut readings) = (0, Vec::new());
    while begun.elapsed() < WARM_UP + judged {
        pace.tick().await;
        going.spawn(abandon(scene.address(), clients));
        clients += 1;
        while let Some(joined) = going.try_join_next() {
            joined.map_err(|error| Failure::at("finish a client", &error))??;
        }
        if going.len() > TOGETHER_LIMIT {
            return Err(Failure::new("the gateway answers no more"));
        }
        if looked.elapsed() >= READING_EVERY && begun.elapsed() >= WARM_UP {
            looked = Instant::now();
            readings.push(Reading {
                hours: begun.elapsed().as_secs_f64() / 3600.0,
                mib: system::resident_mib(scene.process())?,
            });
        }
    }
    let kept = child == scene.child("child").await?;
    tell(&readings);
    let slope = slope(&readings);
    line(&format!(
        "{clients} clients, {} sessions open, {} descriptors, child kept: {kept}; {slope:+.2} MiB an hour over {} minutes",
        scene.sessions().await?,
        system::descriptors(scene.process())?,
        options.minutes
    ));
    if kept && slope < SLOPE_LIMIT {
        return Ok(());
    }
    Err(Failure::new(
        "memory is not flat, or the child did not stay",
    ))
}

/// Some of the readings, from the first to the last.
fn tell(readings: &[Reading]) {
    for reading in readings
        .iter()
        .step_by(readings.len().div_ceil(LINES).max(1))
    {
        line(&format!("{:7.2} h {:6.1} MiB", reading.hours, reading.mib));
    }
}

/// MiB an hour: the line with the least squares through all readings.
#[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
fn slope(readings: &[Reading]) -> f64 {
    let count = readings.len().max(1) as f64;
    let hours = readings.iter().map(|it| it.hours).sum::<f64>() / count;
    let mib = readings.iter().map(|it| it.mib).sum::<f64>() / count;
    let both: f64 = readings
        .iter()
        .map(|it| (it.hours - hours) * (it.mib - mib))
        .sum();
    let spread: f64 = readings.iter().map(|it| (it.hours - hours).powi(2)).sum();
    if spread > 0.0 { both / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{Reading, slope};

    #[test]
    fn the_slope_is_that_of_the_line_through_the_readings() {
        let reading = |minutes: u32, mib| Reading {
            hours: f64::from(minutes) / 60.0,
            mib,
        };
        let rising = [reading(0, 10.0), reading(30, 11.0), reading(60, 12.0)];
        assert!((slope(&rising) - 2.0).abs() < 1e-9);
        let level = [
            reading(0, 10.0),
            reading(20, 10.4),
            reading(40, 10.4),
            reading(60, 10.0),
        ];
        assert!(slope(&level).abs() < 1e-9);
        assert!(slope(&[]).abs() < 1e-9);
    }
}
