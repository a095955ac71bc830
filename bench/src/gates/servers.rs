//! Gates about servers over HTTP: one that stalls, one that never stops writing.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Figure;
use super::caller::Caller;
use super::scene::{Scene, child};
use crate::client::{META, dial, exchange, modern_headers, post, request};
use crate::failure::Failure;
use crate::reply::ReplyReader;
use crate::system;
use crate::upstream::{self, Era};

/// What a list may wait for one server, as configured here, and what the rest of it may take.
const LIST_WAIT: &str = "2s";
const LIST_LIMIT: Duration = Duration::from_millis(2200);
/// A list after the late one.
const NEXT_LIMIT: Duration = Duration::from_millis(200);
const GROWTH_MIB_LIMIT: f64 = 4.0;
/// How long a flood is looked at, and how often how much of it is read.
const LOOK: Duration = Duration::from_secs(10);
const SIP: Duration = Duration::from_millis(100);
const SIP_BYTES: usize = 1024;

const ANYWHERE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Three servers; one stops after the head of its list.
pub(super) async fn stalled_list(program: &Path) -> Result<Figure, Failure> {
    let stalls = upstream::start(ANYWHERE, Era::Modern)?;
    let works = upstream::start(ANYWHERE, Era::Modern)?;
    let servers = format!(
        "servers:\n\
         \x20 stalls: {{ url: \"http://{}/mcp\", era: modern, timeouts: {{ list: {LIST_WAIT} }} }}\n\
         \x20 works: {{ url: \"http://{}/mcp\", era: modern }}\n\
         \x20 child: {}\n",
        stalls.address,
        works.address,
        child("")?
    );
    let scene = Scene::open(program, &servers, "stalls.echo").await?;
    stalls.stall_lists();
    let (late, is_right) = list(scene.address()).await?;
    let (next, is_right_again) = list(scene.address()).await?;
    Ok(Figure {
        seen: format!(
            "after {:.0} ms, and the next list after {:.0} ms",
            late.as_secs_f64() * 1e3,
            next.as_secs_f64() * 1e3
        ),
        holds: is_right && is_right_again && late < LIST_LIMIT && next < NEXT_LIMIT,
    })
}

/// How long a list takes, and whether it has the tools of the two servers that work and names the third.
async fn list(address: SocketAddr) -> Result<(Duration, bool), Failure> {
    let begun = Instant::now();
    let mut stream = dial(address).await?;
    let mut reader = ReplyReader::default();
    let headers = modern_headers("tools/list", None);
    let message = post(address, &headers, &request(1, "tools/list", META));
    let (status, body) = exchange(&mut stream, &mut reader, &message).await?;
    let body = String::from_utf8_lossy(body);
    let has = |name: &str| body.contains(&format!(r#""name":"{name}.echo""#));
    let names_it = body.contains(r#""dev.mcpc/unavailable":["stalls"]"#);
    let is_right = status == 200 && has("works") && has("child") && !has("stalls") && names_it;
    Ok((begun.elapsed(), is_right))
}

/// A server writes log messages as fast as it can, and the client takes 10 KiB of them a second.
pub(super) async fn firehose(program: &Path) -> Result<Figure, Failure> {
    let writes = upstream::start(ANYWHERE, Era::Legacy)?;
    let servers = format!(
        "servers:\n  web: {{ url: \"http://{}/mcp\", era: legacy }}\n",
        writes.address
    );
    let scene = Scene::open(program, &servers, "web.echo").await?;
    let mut beside = Caller::connect(scene.address()).await?;
    beside.echo("web.echo", 0).await?;
    let mut reader = Caller::greet(scene.address()).await?;
    reader.send("web.echo", r#"{"fault":"firehose"}"#).await?;
    reader.take(64 << 10).await?;
    system::reset_peak(scene.process())?;
    let peak = || {
        let peak = system::peak_mib(scene.process());
        peak.ok_or_else(|| Failure::new("the gateway has ended"))
    };
    let before = peak()?;
    let begun = Instant::now();
    let mut sips = tokio::time::interval(SIP);
    let (mut calls, mut slowest) = (0, Duration::ZERO);
    while begun.elapsed() < LOOK {
        sips.tick().await;
        reader.take(SIP_BYTES).await?;
        let asked = Instant::now();
        beside.echo("web.echo", calls).await?;
        slowest = slowest.max(asked.elapsed());
        calls += 1;
    }
    let grown = peak()? - before;
    Ok(Figure {
        seen: format!(
            "{grown:.1} MiB in {} s; the slowest of {calls} calls beside {:.1} ms",
            LOOK.as_secs(),
            slowest.as_secs_f64() * 1e3
        ),
        holds: grown < GROWTH_MIB_LIMIT,
    })
}
