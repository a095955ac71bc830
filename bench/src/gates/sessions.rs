//! Gates about many idle sessions: what each takes, and whether a gateway that has them still stops.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::JoinSet;

use super::Figure;
use super::caller::Caller;
use super::scene::Scene;
use crate::failure::Failure;
use crate::subject::signal;
use crate::system;
use crate::upstream::{self, Era};

const SESSIONS: u64 = 10_000;
/// Clients get half of the descriptors (`docs/decisions/0029-descriptors.md`), of which there are 20,000 here.
const STREAMS: u64 = 8_000;
/// How many greet at once.
const TOGETHER: u64 = 100;
const KIB_LIMIT: f64 = 12.0;
/// As configured here.
const GRACE: Duration = Duration::from_secs(10);

/// Whether an idle session has a connection and a stream on it. The gate is about sessions: an open
/// stream is a connection as well, whose cost is told but not judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Closed,
    Open,
}

pub(super) async fn idle(program: &Path, stream: Stream) -> Result<Figure, Failure> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let web = upstream::start(anywhere, Era::Modern)?;
    let rest = format!(
        "limits: {{ sessions: 20000, streams: 20000, connections: 20000, grace: {}s }}\n\
         servers:\n  web: {{ url: \"http://{}/mcp\", era: modern }}\n",
        GRACE.as_secs(),
        web.address
    );
    let mut scene = Scene::open(program, &rest, "web.echo").await?;
    // What the first clients bring about is no session's.
    let _first = greet(scene.address(), TOGETHER, Stream::Closed).await?;
    let (held, before) = (
        scene.sessions().await?,
        system::resident_mib(scene.process())?,
    );
    let count = match stream {
        Stream::Closed => SESSIONS,
        Stream::Open => STREAMS,
    };
    let open = greet(scene.address(), count, stream).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let more = scene.sessions().await? - held;
    let grown = system::resident_mib(scene.process())? - before;
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let each = grown * 1024.0 / count as f64;
    let begun = Instant::now();
    signal(scene.process(), Signal::TERM);
    let code = scene.gateway.exit_code(GRACE).await?;
    let stopped = begun.elapsed();
    drop(open);
    let is_small = each <= KIB_LIMIT || stream == Stream::Open;
    Ok(Figure {
        seen: format!(
            "{each:.1} KiB each; exit {} after {:.1} s of {} s",
            code.map_or("none".to_owned(), |code| code.to_string()),
            stopped.as_secs_f64(),
            GRACE.as_secs()
        ),
        holds: more == count && is_small && code == Some(0) && stopped < GRACE,
    })
}

/// Begins so many sessions. Gives the clients whose connections stay.
async fn greet(address: SocketAddr, count: u64, stream: Stream) -> Result<Vec<Caller>, Failure> {
    let mut greeting = JoinSet::new();
    for first in 0..TOGETHER {
        greeting.spawn(async move {
            let mut open = Vec::new();
            for _ in (first..count).step_by(100) {
                let mut caller = Caller::greet(address).await?;
                if stream == Stream::Open {
                    caller.listen().await?;
                    open.push(caller);
                }
            }
            Ok::<_, Failure>(open)
        });
    }
    let mut open = Vec::new();
    while let Some(joined) = greeting.join_next().await {
        open.extend(joined.map_err(|error| Failure::at("finish a client", &error))??);
    }
    Ok(open)
}
