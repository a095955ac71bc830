//! Gates about processes: killed, stuck, loud, and without their gateway.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::oneshot::{self, error::TryRecvError::Empty};
use tokio::task::JoinSet;

use super::Figure;
use super::caller::{Caller, is_echo, marked};
use super::scene::{PATIENCE, Scene, child, until};
use crate::failure::Failure;
use crate::subject::signal;
use crate::system;
use crate::table::quantile;

/// How often a child is killed; the worst time counts.
const KILLS: u64 = 5;
const ERROR_LIMIT: Duration = Duration::from_millis(200);
const BACK_LIMIT: Duration = Duration::from_secs(1);
const GONE_LIMIT: Duration = Duration::from_secs(1);
/// How many calls run beside a stuck one, all at once.
const BESIDE: u64 = 200;
const BESIDE_MS_LIMIT: f64 = 100.0;

const SILENT: &str = r#"{"fault":"silence"}"#;

async fn two_children(program: &Path) -> Result<Scene, Failure> {
    // Two servers with one definition would share one process.
    let servers = format!(
        "servers:\n  one: {}\n  two: {}\n",
        child("")?,
        child(", env: { OTHER: process }")?
    );
    let scene = Scene::open(program, &servers, "two.echo").await?;
    Caller::connect(scene.address())
        .await?
        .echo("one.echo", 0)
        .await?;
    Ok(scene)
}

/// Ends those who call beside a gate when it is dropped.
type Stop = oneshot::Sender<()>;

/// Calls a tool until it is told to stop.
fn calling(scene: &Scene, tool: &'static str) -> (Stop, JoinSet<Result<Vec<f64>, Failure>>) {
    let (stop, mut stopped) = oneshot::channel::<()>();
    let address = scene.address();
    let mut calling = JoinSet::new();
    calling.spawn(async move {
        let mut caller = Caller::connect(address).await?;
        let mut latencies = Vec::new();
        while stopped.try_recv().is_err_and(|it| it == Empty) {
            let begun = Instant::now();
            caller.echo(tool, latencies.len() as u64).await?;
            latencies.push(ms(begun.elapsed()));
        }
        Ok(latencies)
    });
    (stop, calling)
}

/// How long each of their calls took, in milliseconds, the slowest last.
async fn finished(
    stop: Stop,
    mut calling: JoinSet<Result<Vec<f64>, Failure>>,
) -> Result<Vec<f64>, Failure> {
    drop(stop);
    let joined = calling.join_next().await;
    let joined = joined.ok_or_else(|| Failure::new("nobody was calling"))?;
    let mut latencies = joined.map_err(|error| Failure::at("finish a client", &error))??;
    latencies.sort_by(f64::total_cmp);
    Ok(latencies)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Kills a child while a call waits for it; others call another one meanwhile. Each time it is the first
/// end of a child, because a child that ends again is started after ever longer pauses.
pub(super) async fn killed(program: &Path) -> Result<Figure, Failure> {
    let (mut error, mut back, mut slowest) = (Duration::ZERO, Duration::ZERO, 0.0);
    let mut beside = 0;
    for _ in 0..KILLS {
        let scene = two_children(program).await?;
        let (stop, others) = calling(&scene, "two.echo");
        let (told, again) = kill(&scene).await?;
        let latencies = finished(stop, others).await?;
        (error, back) = (error.max(told), back.max(again));
        slowest = latencies.last().copied().unwrap_or(f64::NAN).max(slowest);
        beside += latencies.len();
    }
    Ok(Figure {
        seen: format!(
            "error after {:.0} ms, back after {:.0} ms; of {beside} calls beside the slowest {slowest:.0} ms",
            ms(error),
            ms(back),
        ),
        holds: error < ERROR_LIMIT && back < BACK_LIMIT && slowest < BESIDE_MS_LIMIT,
    })
}

/// After which time the caller was told, and after which one the server answered again.
async fn kill(scene: &Scene) -> Result<(Duration, Duration), Failure> {
    let before = scene.child("one").await?;
    let mut waiting = Caller::connect(scene.address()).await?;
    waiting.send("one.echo", SILENT).await?;
    // The gateway may look at the tools first, which is one call as well, and a short one.
    let mut seen = 0;
    until("the call is under way", async || {
        let is_busy = scene.in_flight("one").await? > 0;
        seen = if is_busy { seen + 1 } else { 0 };
        Ok(seen == 10)
    })
    .await?;
    let mut caller = Caller::connect(scene.address()).await?;
    let begun = Instant::now();
    signal(before, Signal::KILL);
    let reply = waiting.reply().await?;
    let told = begun.elapsed();
    if !reply.contains("MCPC9306") {
        return Err(Failure::new(format!("the caller was told {reply}")));
    }
    until("it is back", async || {
        Ok(caller.echo("one.echo", 1).await.is_ok())
    })
    .await?;
    let back = begun.elapsed();
    if scene.child("one").await? == before {
        return Err(Failure::new("the child was not replaced"));
    }
    Ok((told, back))
}

/// Kills the gateway, whose children have children.
pub(super) async fn orphaned(program: &Path) -> Result<Figure, Failure> {
    let own = std::env::current_exe();
    let own = own.map_err(|error| Failure::at("find this program", &error))?;
    let family = format!("sleep 600 & exec '{}' upstream --stdio", own.display());
    let servers = format!(
        "servers:\n  one: {}\n  two: {{ command: sh, args: [-c, \"{family}\"], era: modern }}\n",
        child("")?
    );
    let scene = Scene::open(program, &servers, "two.echo").await?;
    let mut family = system::tree(scene.process());
    family.retain(|process| *process != scene.process());
    if family.len() < 3 {
        return Err(Failure::new("the children have no children"));
    }
    let begun = Instant::now();
    signal(scene.process(), Signal::KILL);
    until("all of them are gone", async || {
        Ok(!family.iter().any(|process| system::is_alive(*process)))
    })
    .await?;
    let gone = begun.elapsed();
    Ok(Figure {
        seen: format!("{} processes gone after {:.0} ms", family.len(), ms(gone)),
        holds: gone < GONE_LIMIT,
    })
}

/// One call is stuck, and many others go to the same child at once.
pub(super) async fn stuck(program: &Path) -> Result<Figure, Failure> {
    let scene = two_children(program).await?;
    let mut waiting = Caller::connect(scene.address()).await?;
    waiting.send("one.echo", SILENT).await?;
    let mut callers = Vec::new();
    for _ in 0..BESIDE {
        callers.push(Caller::connect(scene.address()).await?);
    }
    let mut calling = JoinSet::new();
    for (mark, mut caller) in (0..).zip(callers) {
        calling.spawn(async move {
            let begun = Instant::now();
            caller.echo("one.echo", mark).await?;
            Ok::<_, Failure>(ms(begun.elapsed()))
        });
    }
    let mut latencies = Vec::new();
    while let Some(joined) = calling.join_next().await {
        latencies.push(joined.map_err(|error| Failure::at("finish a client", &error))??);
    }
    latencies.sort_by(f64::total_cmp);
    let slow = quantile(&latencies, 0.99).unwrap_or(f64::NAN);
    let is_stuck = tokio::time::timeout(Duration::from_millis(10), waiting.reply()).await;
    Ok(Figure {
        seen: format!("99th percentile of {} is {slow:.1} ms", latencies.len()),
        holds: slow < BESIDE_MS_LIMIT && is_stuck.is_err(),
    })
}

/// A child floods its standard error while it is called.
pub(super) async fn flood(program: &Path) -> Result<Figure, Failure> {
    let scene = two_children(program).await?;
    let before = scene.child("one").await?;
    let mut loud = Caller::connect(scene.address()).await?;
    let (stop, beside) = calling(&scene, "one.echo");
    let begun = Instant::now();
    let id = loud
        .send("one.echo", &marked(7, r#","fault":"flood""#))
        .await?;
    let reply = tokio::time::timeout(PATIENCE, loud.reply()).await;
    let reply = reply.map_err(|_| Failure::new("the flood never ended"))??;
    let took = begun.elapsed();
    let latencies = finished(stop, beside).await?;
    let slow = quantile(&latencies, 0.99).unwrap_or(f64::NAN);
    Ok(Figure {
        seen: format!(
            "{} calls in the {:.0} ms that it took, 99th percentile {slow:.1} ms",
            latencies.len(),
            ms(took)
        ),
        holds: is_echo(&reply, id, 7)
            && !latencies.is_empty()
            && slow < BESIDE_MS_LIMIT
            && scene.child("one").await? == before,
    })
}
