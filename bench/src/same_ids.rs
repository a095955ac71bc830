//! `same-ids`: whether clients that all count their requests 1, 2, 3 get their own answers.
//!
//! Owns: clients of both eras, four upstreams that all of them share (both eras, over HTTP and over
//! pipes), and the verdict. Each call carries an argument that no other call has and that must come
//! back under the id of its request. One lost or wrong reply fails the command, and so does a call
//! that an upstream over HTTP has carried out twice.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{META, REVISION, dial, exchange, initialize, modern_headers, post, request};
use crate::failure::Failure;
use crate::reply::ReplyReader;
use crate::subject::{self, Subject};
use crate::table;
use crate::upstream::{self, Era, Upstream};

/// After this long a reply counts as lost.
const REPLY_LIMIT: Duration = Duration::from_secs(10);

/// The servers of the configuration. The first two are reached over HTTP.
const SERVERS: [&str; 4] = ["http_modern", "http_legacy", "stdio_modern", "stdio_legacy"];

/// How many calls of how many clients.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The `mcpc` program.
    #[arg(long)]
    gateway: PathBuf,
    /// Calls in all.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(64..=20_000_000))]
    calls: u64,
    /// Clients; every other one is of the older era.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..=512))]
    clients: u64,
}

/// What a client, or all of them, saw.
#[derive(Default)]
struct Tally {
    right: u64,
    over_http: u64,
    lost: u64,
    wrong: u64,
    first_miss: Option<Failure>,
}

/// Why a reply is not the one that was due.
enum Miss {
    Lost(Failure),
    Wrong(Failure),
}

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let upstreams = [
        upstream::start(anywhere, Era::Modern)?,
        upstream::start(anywhere, Era::Legacy)?,
    ];
    let gateway = gateway(&options.gateway, &upstreams).await?;
    let begun = Instant::now();
    let mut calling = JoinSet::new();
    for number in 0..options.clients {
        let calls =
            options.calls / options.clients + u64::from(number < options.calls % options.clients);
        calling.spawn(calls_of(gateway.address, number, calls));
    }
    let mut all = Tally::default();
    while let Some(joined) = calling.join_next().await {
        all.add(joined.map_err(|error| Failure::at("finish a client", &error))?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let executed: u64 = upstreams.iter().map(Upstream::calls).sum();
    table::line(&format!(
        "{} calls, {} lost, {} wrong; {} clients, {} servers, {seconds:.0} s; \
         over HTTP {} answered, {executed} carried out",
        all.right,
        all.lost,
        all.wrong,
        options.clients,
        SERVERS.len(),
        all.over_http,
    ));
    if let Some(miss) = all.first_miss {
        return Err(Failure::new(format!(
            "not every call was answered: {miss}\n{}",
            gateway.talk()
        )));
    }
    if all.right != options.calls || executed != all.over_http {
        return Err(Failure::new("calls and answers are not as many"));
    }
    Ok(())
}

/// `mcpc run` with all four servers.
async fn gateway(program: &Path, upstreams: &[Upstream; 2]) -> Result<Subject, Failure> {
    let address = subject::free_address()?;
    let admin = subject::free_address()?;
    let own = std::env::current_exe();
    let own = own.map_err(|error| Failure::at("find this program", &error))?;
    let [modern, legacy] = upstreams.each_ref().map(|upstream| upstream.address);
    let child = |era: &str| {
        format!(
            "{{ command: \"{}\", args: [upstream, --stdio, --era, {era}], era: {era} }}",
            own.display()
        )
    };
    let config = format!(
        "version: 1\nlisten: {{ address: \"{address}\" }}\nadmin: {{ address: \"{admin}\" }}\n\
         endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n\
         \x20 http_modern: {{ url: \"http://{modern}/mcp\", era: modern }}\n\
         \x20 http_legacy: {{ url: \"http://{legacy}/mcp\", era: legacy }}\n\
         \x20 stdio_modern: {}\n\
         \x20 stdio_legacy: {}\n",
        child("modern"),
        child("legacy")
    );
    let mut gateway = subject::gateway_with(program, &[], address, &config)?;
    gateway
        .answered_with(Era::Modern, "stdio_legacy.echo")
        .await?;
    Ok(gateway)
}

/// So many calls of one client, one after the other, with the ids 1, 2, 3. It gives up at a miss: the
/// connection is in no known state then.
async fn calls_of(address: SocketAddr, number: u64, calls: u64) -> Tally {
    let mut tally = Tally::default();
    let era = if number.is_multiple_of(2) {
        Era::Legacy
    } else {
        Era::Modern
    };
    let mut client = match Caller::connect(address, era).await {
        Ok(client) => client,
        Err(failure) => {
            tally.miss(Miss::Lost(failure));
            return tally;
        }
    };
    for id in 1..=calls {
        let turn = usize::try_from((id + number) % 4).unwrap_or(0);
        let server = SERVERS.get(turn).copied().unwrap_or_default();
        let mark = format!("client {number}, call {id}");
        match tokio::time::timeout(REPLY_LIMIT, client.call(id, server, &mark)).await {
            Ok(Ok(())) => {
                tally.right += 1;
                tally.over_http += u64::from(turn < 2);
            }
            Ok(Err(miss)) => {
                tally.miss(miss);
                break;
            }
            Err(_) => {
                tally.miss(Miss::Lost(Failure::new(format!(
                    "{mark}: no reply in time"
                ))));
                break;
            }
        }
    }
    tally
}

/// A connection, and what its client sends with every call.
struct Caller {
    address: SocketAddr,
    era: Era,
    stream: TcpStream,
    reader: ReplyReader,
    /// The headers of its session, for a client that has one.
    session: String,
}

/// A reply, as far as it is checked.
#[derive(Deserialize)]
struct Echoed {
    id: u64,
    result: Content,
}

#[derive(Deserialize)]
struct Content {
    content: [Text; 1],
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

impl Caller {
    async fn connect(address: SocketAddr, era: Era) -> Result<Self, Failure> {
        let mut stream = dial(address).await?;
        let mut reader = ReplyReader::default();
        let session = match era {
            Era::Modern => String::new(),
            Era::Legacy => initialize(address, REVISION, &mut stream, &mut reader).await?,
        };
        Ok(Self {
            address,
            era,
            stream,
            reader,
            session,
        })
    }

    async fn call(&mut self, id: u64, server: &str, mark: &str) -> Result<(), Miss> {
        let name = format!("{server}.echo");
        let named = format!(r#""name":"{name}","arguments":{{"mark":"{mark}"}}"#);
        let message = match self.era {
            Era::Modern => {
                let message = request(id, "tools/call", &format!("{named},{META}"));
                post(
                    self.address,
                    &modern_headers("tools/call", Some(&name)),
                    &message,
                )
            }
            Era::Legacy => {
                let message = request(id, "tools/call", &named);
                post(self.address, &self.session, &message)
            }
        };
        let exchanged = exchange(&mut self.stream, &mut self.reader, &message).await;
        let (status, body) = exchanged.map_err(Miss::Lost)?;
        let echoed = serde_json::from_slice::<Echoed>(body).ok();
        let is_right = echoed.is_some_and(|echoed| {
            let Content { content: [text] } = echoed.result;
            echoed.id == id && text.text == mark
        });
        if is_right && status == 200 {
            return Ok(());
        }
        let body = String::from_utf8_lossy(body);
        Err(Miss::Wrong(Failure::new(format!(
            "{mark}, {server}: status {status}, {body:.400}"
        ))))
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.over_http += other.over_http;
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.first_miss = self.first_miss.take().or(other.first_miss);
    }

    fn miss(&mut self, miss: Miss) {
        let failure = match miss {
            Miss::Lost(failure) => {
                self.lost += 1;
                failure
            }
            Miss::Wrong(failure) => {
                self.wrong += 1;
                failure
            }
        };
        self.first_miss.get_or_insert(failure);
    }
}
