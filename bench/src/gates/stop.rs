//! The gate about the end: SIGTERM while many call.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::task::JoinSet;

use super::Figure;
use super::caller::{Caller, is_echo, marked};
use super::scene::Scene;
use crate::failure::Failure;
use crate::subject::signal;
use crate::upstream::{self, Era};

const CLIENTS: u64 = 64;
const LOAD_TIME: Duration = Duration::from_secs(2);
/// As configured here.
const GRACE: Duration = Duration::from_secs(5);

/// What one client, or all of them, saw until the gateway was gone.
#[derive(Default)]
struct Seen {
    answered: u64,
    wrong: u64,
    /// Calls that were told that the gateway stops.
    refused: u64,
    /// Calls that got nothing, not one byte, and then the end of the connection.
    unanswered: u64,
}

/// Every call is either answered in full, or was never begun: the upstream has carried out exactly as many
/// as were answered.
pub(super) async fn under_load(program: &Path) -> Result<Figure, Failure> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let web = upstream::start(anywhere, Era::Modern)?;
    let rest = format!(
        "limits: {{ grace: {}s }}\nservers:\n  web: {{ url: \"http://{}/mcp\", era: modern }}\n",
        GRACE.as_secs(),
        web.address
    );
    let mut scene = Scene::open(program, &rest, "web.echo").await?;
    let mut going = JoinSet::new();
    for number in 0..CLIENTS {
        going.spawn(calls(Caller::connect(scene.address()).await?, number));
    }
    tokio::time::sleep(LOAD_TIME).await;
    let begun = Instant::now();
    signal(scene.process(), Signal::TERM);
    let code = scene.gateway.exit_code(GRACE).await?;
    let stopped = begun.elapsed();
    let mut all = Seen::default();
    while let Some(joined) = going.join_next().await {
        let seen = joined.map_err(|error| Failure::at("finish a client", &error))?;
        all.answered += seen.answered;
        all.wrong += seen.wrong;
        all.refused += seen.refused;
        all.unanswered += seen.unanswered;
    }
    let carried_out = web.calls();
    Ok(Figure {
        seen: format!(
            "{carried_out} calls carried out, {} answered, {} wrong, {} not begun, {} refused; exit {} after {:.1} s \
             of {} s",
            all.answered,
            all.wrong,
            all.unanswered,
            all.refused,
            code.map_or("none".to_owned(), |code| code.to_string()),
            stopped.as_secs_f64(),
            GRACE.as_secs()
        ),
        holds: all.answered == carried_out && all.wrong == 0 && code == Some(0) && stopped < GRACE,
    })
}

/// One client's calls until its connection ends; every eighth client's take half a second each.
async fn calls(mut caller: Caller, number: u64) -> Seen {
    // So that these do not all end at the same moment.
    tokio::time::sleep(Duration::from_millis(number * 8)).await;
    let more = if number.is_multiple_of(8) {
        r#","fault":"late""#
    } else {
        ""
    };
    let mut seen = Seen::default();
    loop {
        let mark = number * 1_000_000 + seen.answered;
        let Ok(id) = caller.send("web.echo", &marked(mark, more)).await else {
            return seen;
        };
        match caller.reply().await {
            Ok(reply) if is_echo(&reply, id, mark) => seen.answered += 1,
            Ok(reply) if reply.contains("MCPC9206") => seen.refused += 1,
            Ok(_) => seen.wrong += 1,
            Err(_) if caller.has_read_nothing() => {
                seen.unanswered += 1;
                return seen;
            }
            Err(_) => {
                seen.wrong += 1;
                return seen;
            }
        }
    }
}
