//! Gates about clients that leave: one after the other without a word, and a whole load at once.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::Figure;
use super::caller::{Caller, marked};
use super::scene::{Scene, child, until};
use crate::failure::Failure;
use crate::system;
use crate::upstream::{self, Era};

/// Cycles before the first look, and those that are judged. The base is what the gateway holds once the
/// allocator has seen the long answers meet as often as they do: what it keeps then goes up to about
/// 22 MiB and stays there, while a leak goes on with every cycle.
const WARM_UP: u64 = 20_000;
const CYCLES: u64 = 10_000;
/// Idle connections to servers are kept for 50 s and swept every 10 s: they are neither leak nor base.
const POOLS_EMPTY: Duration = Duration::from_secs(62);
/// Sessions end soon, so that those of clients that vanished are part of what must come back.
const SESSION_IDLE: Duration = Duration::from_secs(2);
/// How many clients come and go at once.
const TOGETHER: u64 = 32;
const GROWTH_MIB_LIMIT: f64 = 2.0;
/// Half of a load waits for answers that never come, the other half calls again and again.
const LOAD: u64 = 4_000;
const LOAD_TIME: Duration = Duration::from_secs(3);
const CALM_LIMIT: f64 = 5.0;
const CPU_PERCENT_LIMIT: f64 = 2.0;
/// How many seconds are looked at after the cut.
const LOOK_SECONDS: u32 = 8;

const SERVERS: [&str; 2] = ["web", "child"];

/// A server over HTTP and a process, in sessions that end after so much time without a request.
pub(super) async fn serve(program: &Path, session_idle: Duration) -> Result<Scene, Failure> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let web = upstream::start(anywhere, Era::Legacy)?;
    let rest = format!(
        "limits: {{ session_idle: {}s, sessions: 100000 }}\n\
         servers:\n  web: {{ url: \"http://{}/mcp\", era: legacy }}\n  child: {}\n",
        session_idle.as_secs(),
        web.address,
        child("")?
    );
    Scene::open(program, &rest, "child.echo").await
}

/// One client: it connects, calls, and vanishes before, while or after it is answered.
async fn cycle(address: SocketAddr, number: u64) -> Result<(), Failure> {
    let caller = if number.is_multiple_of(3) {
        Caller::greet(address).await?
    } else {
        Caller::connect(address).await?
    };
    call_and_vanish(caller, number).await
}

/// A client that begins a session, calls, and vanishes without ending it.
pub(super) async fn abandon(address: SocketAddr, number: u64) -> Result<(), Failure> {
    call_and_vanish(Caller::greet(address).await?, number).await
}

async fn call_and_vanish(mut caller: Caller, number: u64) -> Result<(), Failure> {
    let server = SERVERS
        .get(usize::from(number.is_multiple_of(2)))
        .copied()
        .unwrap_or("web");
    let tool = format!("{server}.echo");
    match number % 5 {
        0 | 1 => caller.echo(&tool, number).await?,
        2 => drop(caller.send(&tool, &marked(number, "")).await?),
        3 => drop(
            caller
                .send(&tool, &marked(number, r#","fault":"late""#))
                .await?,
        ),
        _ => {
            // Only this one has long answers.
            caller.send("web.echo", r#"{"bytes":1000000}"#).await?;
            caller.take(1000).await?;
        }
    }
    if number.is_multiple_of(7) {
        return Ok(()); // It closes, as those do that have an end.
    }
    caller.vanish()
}

async fn cycles_of(address: SocketAddr, from: u64, to: u64) -> Result<(), Failure> {
    let mut going = JoinSet::new();
    for first in from..from + TOGETHER {
        going.spawn(async move {
            let mut number = first;
            while number < to {
                cycle(address, number).await?;
                number += TOGETHER;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(joined) = going.join_next().await {
        joined.map_err(|error| Failure::at("finish a client", &error))??;
    }
    Ok(())
}

/// What must be back when everybody has left.
struct Look {
    child: u32,
    processes: usize,
    descriptors: usize,
    resident_mib: f64,
}

impl Look {
    async fn at(scene: &Scene) -> Result<Self, Failure> {
        until("the sessions have ended", async || {
            Ok(scene.sessions().await? == 0)
        })
        .await?;
        until("the connections are closed", async || {
            Ok(scene.connections().await? == 0)
        })
        .await?;
        tokio::time::sleep(POOLS_EMPTY).await;
        let descriptors = system::descriptors(scene.process())?;
        Ok(Self {
            descriptors,
            resident_mib: system::resident_mib(scene.process())?,
            processes: system::tree(scene.process()).len(),
            // Last, since it is asked for over a connection.
            child: scene.child("child").await?,
        })
    }
}

/// 10,000 clients that connect, call and vanish.
pub(super) async fn cycles(program: &Path) -> Result<Figure, Failure> {
    let scene = serve(program, SESSION_IDLE).await?;
    cycles_of(scene.address(), 0, WARM_UP).await?;
    let before = Look::at(&scene).await?;
    cycles_of(scene.address(), WARM_UP, WARM_UP + CYCLES).await?;
    let after = Look::at(&scene).await?;
    let family = system::tree(scene.process());
    let zombies = family.iter().filter(|it| !system::is_alive(**it)).count();
    let grown = after.resident_mib - before.resident_mib;
    Ok(Figure {
        seen: format!(
            "child kept: {}; processes {} -> {}, {zombies} zombies, descriptors {} -> {}, \
             {:.1} -> {:.1} MiB",
            if before.child == after.child {
                "yes"
            } else {
                "no"
            },
            before.processes,
            after.processes,
            before.descriptors,
            after.descriptors,
            before.resident_mib,
            after.resident_mib,
        ),
        holds: before.child == after.child
            && zombies == 0
            && before.processes == after.processes
            && after.descriptors <= before.descriptors
            && grown <= GROWTH_MIB_LIMIT,
    })
}

/// A client of the load: it waits for what never comes, or calls again and again. Gives how many calls
/// were answered when it is cut off.
async fn load(mut caller: Caller, number: u64, until: Instant) -> Result<(Caller, u64), Failure> {
    let tool = if number.is_multiple_of(4) {
        "child.echo"
    } else {
        "web.echo"
    };
    if number.is_multiple_of(2) {
        caller.send(tool, r#"{"fault":"silence"}"#).await?;
        tokio::time::sleep_until(until.into()).await;
        return Ok((caller, 0));
    }
    let mut answered = 0;
    while Instant::now() < until {
        caller.echo(tool, number).await?;
        answered += 1;
    }
    caller.send(tool, &marked(number, "")).await?;
    Ok((caller, answered))
}

/// 4,000 clients under load that are gone from one moment to the next.
pub(super) async fn cut_off(program: &Path) -> Result<Figure, Failure> {
    let scene = serve(program, SESSION_IDLE).await?;
    let mut callers = Vec::new();
    for number in 0..LOAD {
        callers.push((number, Caller::connect(scene.address()).await?));
    }
    let end = Instant::now() + LOAD_TIME;
    let mut going = JoinSet::new();
    for (number, caller) in callers {
        going.spawn(load(caller, number, end));
    }
    let (mut left, mut answered) = (Vec::new(), 0);
    while let Some(joined) = going.join_next().await {
        let (caller, calls) = joined.map_err(|error| Failure::at("finish a client", &error))??;
        left.push(caller);
        answered += calls;
    }
    for caller in left {
        caller.vanish()?;
    }
    let cut = Instant::now();
    let mut calm = None;
    let mut used = system::cpu_ms(&[scene.process()])?;
    let mut at = Instant::now();
    for second in 1..=LOOK_SECONDS {
        tokio::time::sleep_until((cut + Duration::from_secs(1) * second).into()).await;
        let now = system::cpu_ms(&[scene.process()])?;
        let percent = (now - used) / (at.elapsed().as_secs_f64() * 1e3) * 100.0;
        (used, at) = (now, Instant::now());
        if percent < CPU_PERCENT_LIMIT {
            calm = calm.or(Some(cut.elapsed().as_secs_f64()));
        } else {
            calm = None;
        }
    }
    Caller::connect(scene.address())
        .await?
        .echo("child.echo", 1)
        .await?;
    let after = calm.unwrap_or(f64::INFINITY);
    Ok(Figure {
        seen: format!("{answered} calls, then under 2 % for good within {after:.0} s"),
        holds: after <= CALM_LIMIT + 0.5,
    })
}
