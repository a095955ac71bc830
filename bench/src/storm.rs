//! `storm`: whether calls survive a configuration that is rewritten many times a second.
//!
//! Owns: the gateway under edits, the clients that call meanwhile, what is read before and after,
//! and the verdict. Half of the edits are bad. The text of an edit is `edits`; a call and its
//! verification are `client`. Unlike the other commands it judges: one lost, wrong or cut reply, a
//! child that did not stay, a last edit that never went live, or memory that grows fails it.

mod edits;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::{self, Client, Form, Miss, Shape};
use crate::failure::Failure;
use crate::subject::{self, Subject};
use crate::system;
use crate::table::{self, Table, quantile};
use crate::upstream::{self, Era, Upstream};

use edits::Edits;

/// Calls before the first edit, so that buffers, pools and connections exist.
const WARM_UP: Duration = Duration::from_secs(2);
/// Nothing happens for so long before the last look.
const QUIET: Duration = Duration::from_secs(1);
/// After this long a reply counts as lost.
const REPLY_LIMIT: Duration = Duration::from_secs(10);
/// How long the last edit may take to go live.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);
/// How much the gateway may grow over all edits. A leak of 2 KiB per swap is more than this after half a
/// minute at the usual rate.
const GROWTH_MIB_LIMIT: f64 = 2.0;
/// Calls that are to be reached are not waited for any longer.
const STORM_LIMIT: Duration = Duration::from_secs(3600);
const CALLS_PER_CLIENT_LIMIT: usize = 2_000_000;
/// Where the run gives up: by then it has failed anyway.
const MISSES_PER_CLIENT_LIMIT: usize = 10;

/// How much of a storm.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program.
    #[arg(long)]
    gateway: PathBuf,
    /// Seconds of edits, at least.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Edits per second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rate: u64,
    /// Clients that call meanwhile.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    clients: u64,
    /// Send SIGHUP after each edit, and let the gateway not watch the file.
    #[arg(long)]
    hup: bool,
    /// Go on until so many calls are answered, for an hour at most.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=20_000_000))]
    calls: u64,
}

impl Options {
    /// A storm for so many calls.
    pub(crate) fn of(gateway: &Path, calls: u64) -> Self {
        Self {
            gateway: gateway.to_owned(),
            seconds: 1,
            rate: 100,
            clients: 8,
            hup: true,
            calls,
        }
    }
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let storm = watch(options).await?;
    storm.print();
    storm.judge()
}

/// Lets a storm pass, and tells what it has shown.
pub(crate) async fn watch(options: &Options) -> Result<Outcome, Failure> {
    let upstream = upstream::start(SocketAddr::from(([127, 0, 0, 1], 0)), Era::Modern)?;
    let program = options.gateway.canonicalize();
    let program = program.map_err(|error| Failure::at("find the gateway", &error))?;
    let addresses = (subject::free_address()?, subject::free_address()?);
    let mut edits = Edits::new(addresses, upstream.address, &program);
    let flags: &[&str] = if options.hup { &["--no-watch"] } else { &[] };
    let first = edits.settled();
    let mut gateway = subject::gateway_with(&program, flags, addresses.0, &first)?;
    gateway.answered(Era::Modern).await?;
    let scene = Scene {
        gateway,
        admin: addresses.1,
        upstream,
    };

    let pace = Arc::new(Pace::default());
    let mut clients = call_until(&pace, addresses.0, options.clients);
    tokio::time::sleep(WARM_UP).await;
    let before = scene.look().await?;
    let made = storm(&scene.gateway, options, &mut edits, &pace).await?;
    pace.is_over.store(true, Ordering::Relaxed);
    let mut tally = Tally::default();
    while let Some(joined) = clients.join_next().await {
        tally.add(joined.map_err(|error| Failure::at("finish a client", &error))?);
    }
    edit(&scene.gateway, &edits.settled(), options.hup)?;
    let settled = scene.settles(edits.settled_path()).await?;
    tokio::time::sleep(QUIET).await;
    let after = scene.look().await?;
    let reloads = Reloads::count(&scene.gateway.said());
    Ok(Outcome {
        made,
        tally,
        before,
        after,
        reloads,
        settled,
    })
}

/// What the clients and the storm know of each other.
#[derive(Default)]
struct Pace {
    answered: AtomicU64,
    is_over: AtomicBool,
}

/// Edits at the asked rate; a late edit is left out, not made up for. Returns how many there were.
async fn storm(
    gateway: &Subject,
    options: &Options,
    edits: &mut Edits,
    pace: &Pace,
) -> Result<u64, Failure> {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate(options));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let begun = Instant::now();
    let enough = Duration::from_secs(options.seconds);
    let goes_on = || {
        let has_few = pace.answered.load(Ordering::Relaxed) < options.calls;
        begun.elapsed() < enough || (has_few && begun.elapsed() < STORM_LIMIT)
    };
    let mut made = 0;
    while goes_on() {
        ticks.tick().await;
        edit(gateway, &edits.next(), options.hup)?;
        made += 1;
    }
    Ok(made)
}

fn rate(options: &Options) -> u32 {
    u32::try_from(options.rate).unwrap_or(u32::MAX)
}

/// Writes a new file and renames it over the old one, as editors do.
fn edit(gateway: &Subject, text: &str, hup: bool) -> Result<(), Failure> {
    let written = gateway.folder().join("mcpc.yaml.new");
    let failed = |error: std::io::Error| Failure::at("edit the configuration", &error);
    fs::write(&written, text).map_err(failed)?;
    fs::rename(&written, gateway.folder().join(subject::CONFIG)).map_err(failed)?;
    if hup {
        gateway.hang_up();
    }
    Ok(())
}

/// What a client, or all of them, saw.
#[derive(Default)]
struct Tally {
    /// Milliseconds, one per right reply.
    latencies: Vec<f64>,
    lost: usize,
    wrong: usize,
    cut: usize,
    first_miss: Option<Failure>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.cut += other.cut;
        self.first_miss = self.first_miss.take().or(other.first_miss);
    }

    fn misses(&self) -> usize {
        self.lost + self.wrong + self.cut
    }

    /// A connection after a miss is in no known state, so the caller opens another one.
    fn miss(&mut self, miss: Option<Miss>) {
        let failure = match miss {
            None => {
                self.lost += 1;
                Failure::new("a call was not answered in time")
            }
            Some(Miss::Wrong(failure)) => {
                self.wrong += 1;
                failure
            }
            Some(Miss::Cut(failure)) => {
                self.cut += 1;
                failure
            }
        };
        self.first_miss.get_or_insert(failure);
    }
}

fn call_until(pace: &Arc<Pace>, address: SocketAddr, clients: u64) -> JoinSet<Tally> {
    let mut calling = JoinSet::new();
    for number in 0..clients {
        let pace = Arc::clone(pace);
        calling.spawn(async move {
            let mut tally = Tally::default();
            while !pace.is_over.load(Ordering::Relaxed) && tally.misses() < MISSES_PER_CLIENT_LIMIT
            {
                match Client::connect(address, SHAPE, number).await {
                    Ok(mut client) => call_until_miss(&mut client, &pace, &mut tally).await,
                    Err(failure) => tally.miss(Some(Miss::Cut(failure))),
                }
                if tally.latencies.len() >= CALLS_PER_CLIENT_LIMIT {
                    break;
                }
            }
            tally
        });
    }
    calling
}

const SHAPE: Shape = Shape {
    text_bytes: 100,
    form: Form::Json,
    era: Era::Modern,
};

async fn call_until_miss(client: &mut Client, pace: &Pace, tally: &mut Tally) {
    while !pace.is_over.load(Ordering::Relaxed) && tally.latencies.len() < CALLS_PER_CLIENT_LIMIT {
        let begun = Instant::now();
        match tokio::time::timeout(REPLY_LIMIT, client.attempt()).await {
            Ok(Ok(())) => {
                tally.latencies.push(begun.elapsed().as_secs_f64() * 1e3);
                pace.answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Err(miss)) => return tally.miss(Some(miss)),
            Err(_) => return tally.miss(None),
        }
    }
}

/// The processes of a storm.
struct Scene {
    gateway: Subject,
    admin: SocketAddr,
    upstream: Upstream,
}

/// What is read before the edits and after them.
struct Look {
    resident_mib: f64,
    descriptors: usize,
    child: Option<u64>,
    connections: u64,
}

impl Scene {
    async fn look(&self) -> Result<Look, Failure> {
        let status = self.status().await?;
        let child = upstream_of(&status, edits::CHILD);
        Ok(Look {
            resident_mib: system::resident_mib(self.gateway.process())?,
            descriptors: system::descriptors(self.gateway.process())?,
            child: child.and_then(|child| child.get("pid")?.as_u64()),
            connections: self.upstream.connections(),
        })
    }

    async fn status(&self) -> Result<Value, Failure> {
        let (status, body) = client::get(self.admin, "/status").await?;
        let document = serde_json::from_slice(&body).ok();
        let document = document.filter(|_| status == 200);
        document.ok_or_else(|| Failure::new(format!("/status was answered with {status}")))
    }

    /// Whether an endpoint with this path appears in time.
    async fn settles(&self, path: &str) -> Result<bool, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < SETTLE_LIMIT {
            let status = self.status().await?;
            let endpoints = status.get("endpoints").and_then(Value::as_array);
            let mut paths = endpoints.into_iter().flatten();
            if paths.any(|endpoint| endpoint.get("path").is_some_and(|at| at == path)) {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(false)
    }
}

fn upstream_of<'a>(status: &'a Value, name: &str) -> Option<&'a Value> {
    let upstreams = status.get("upstreams")?.as_array()?;
    let mut found = upstreams.iter();
    found.find(|upstream| upstream.get("name").is_some_and(|named| named == name))
}

/// What the gateway logged about its reloads.
struct Reloads {
    swaps: usize,
    refusals: usize,
    unchanged: usize,
}

impl Reloads {
    fn count(log: &str) -> Self {
        let of = |text: &str| log.lines().filter(|line| line.contains(text)).count();
        Self {
            swaps: of(" the new plan is live"),
            refusals: of(" there is no plan to go live") + of(" the new plan is refused"),
            unchanged: of(" the plan is live already"),
        }
    }
}

/// All that a storm has shown.
pub(crate) struct Outcome {
    made: u64,
    tally: Tally,
    before: Look,
    after: Look,
    reloads: Reloads,
    settled: bool,
}

impl Outcome {
    fn print(&self) {
        let child = |look: &Look| look.child.map_or("none".to_owned(), |pid| pid.to_string());
        let (before, after) = (&self.before, &self.after);
        let mut table = Table::new(&["storm", "before", "after"]);
        let mut row = |name: &str, values: [String; 2]| {
            let [before, after] = values;
            table.row(vec![name.to_owned(), before, after]);
        };
        let mib = |look: &Look| format!("{:.1}", look.resident_mib);
        row("RSS MiB", [mib(before), mib(after)]);
        let open = |look: &Look| look.descriptors.to_string();
        row("open descriptors", [open(before), open(after)]);
        let dialled = |look: &Look| look.connections.to_string();
        row("upstream connections", [dialled(before), dialled(after)]);
        row("pid of the child", [child(before), child(after)]);
        table.print();
        let mut latencies = self.tally.latencies.clone();
        latencies.sort_by(f64::total_cmp);
        let at = |fraction| quantile(&latencies, fraction).unwrap_or(f64::NAN);
        table::line(&format!(
            "latency ms: median {:.2}, 99th percentile {:.2}, highest {:.2}",
            at(0.5),
            at(0.99),
            at(1.0)
        ));
        table::line(&self.line());
    }

    /// All of it in one line.
    pub(crate) fn line(&self) -> String {
        let (before, after) = (&self.before, &self.after);
        format!(
            "{} calls, {} lost, {} wrong, {} cut; RSS {:.1} -> {:.1} MiB; \
             {} edits, {} swaps, {} refusals, {} without effect; child kept: {}",
            self.tally.latencies.len(),
            self.tally.lost,
            self.tally.wrong,
            self.tally.cut,
            before.resident_mib,
            after.resident_mib,
            self.made,
            self.reloads.swaps,
            self.reloads.refusals,
            self.reloads.unchanged,
            if self.child_kept() { "yes" } else { "no" },
        )
    }

    fn child_kept(&self) -> bool {
        self.before.child.is_some() && self.before.child == self.after.child
    }

    fn grown_mib(&self) -> f64 {
        self.after.resident_mib - self.before.resident_mib
    }

    /// Why it failed, if it did.
    pub(crate) fn judge(&self) -> Result<(), Failure> {
        if let Some(miss) = &self.tally.first_miss {
            return Err(Failure::new(format!("not every call was answered: {miss}")));
        }
        let refused = [
            (self.tally.latencies.is_empty(), "no call was made"),
            (!self.child_kept(), "the child was replaced"),
            (self.reloads.swaps == 0, "no edit went live"),
            (self.reloads.refusals == 0, "no bad edit was noticed"),
            (!self.settled, "the last edit did not go live"),
            (self.grown_mib() > GROWTH_MIB_LIMIT, "memory is not flat"),
        ];
        match refused.into_iter().find(|(applies, _)| *applies) {
            Some((_, reason)) => Err(Failure::new(reason)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reloads;

    #[test]
    fn reloads_are_counted_by_what_became_of_them() {
        let log = "T  INFO the new plan is live old=\"a\" new=\"b\"\n\
                   T ERROR there is no plan to go live code=\"MCPC1001\"\n\
                   error[MCPC1001]: unknown key `servrs`\n\
                   T  WARN the new plan is refused; the live one goes on code=\"MCPC9101\"\n\
                   T  INFO the plan is live already plan=\"b\"\n";
        let reloads = Reloads::count(log);
        assert_eq!(
            (reloads.swaps, reloads.refusals, reloads.unchanged),
            (1, 2, 1)
        );
    }
}
