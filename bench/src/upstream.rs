//! The echo upstream: an MCP server over Streamable HTTP that costs as little as possible.
//!
//! Owns: one thread, hyper, and prebuilt replies; counts connections and calls (`GET /stats`).
//! `tools/call` answers one text of `arguments.bytes` bytes, as JSON or, with
//! `arguments.stream`, as an event stream of unannounced length; `arguments.mark` comes back as it
//! is; `arguments.fault` asks for one of the [`Fault`]s. Does not check headers: the gateway in front of it is what is measured, and this must not be the
//! bottleneck. Over standard input and output the same answers are `pipe`'s.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::failure::Failure;

/// The largest text that a call may ask for, and the largest request.
const TEXT_BYTES_LIMIT: usize = 4 << 20;

/// Which foundation of the protocol the upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Era {
    /// 2026-07-28: every request stands alone.
    Modern,
    /// 2025-11-25: `initialize`, then a session.
    Legacy,
}

impl Era {
    /// As the configuration and the command line spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}

/// What may go wrong with a call, if it asks for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// There is no answer.
    Silence,
    /// The answer comes half a second later.
    Late,
    /// Log messages of 1 KiB, as fast as they are read, and no answer. As [`Self::Silence`] over pipes.
    Firehose,
    /// 64 MiB on standard error without a line break, then the answer. Of pipes only.
    Flood,
}

/// How late an answer is that is late.
pub(crate) const LATE: Duration = Duration::from_millis(500);

/// A running upstream. It ends with this process.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

impl Upstream {
    /// Connections accepted since the start.
    pub(crate) fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Calls carried out since the start.
    pub(crate) fn calls(&self) -> u64 {
        self.counts.calls.load(Ordering::Relaxed)
    }

    /// From now on lists stop after their heads.
    pub(crate) fn stall_lists(&self) {
        self.counts.lists_stall.store(true, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    calls: AtomicU64,
    lists_stall: AtomicBool,
}

/// Binds the address and serves it on a thread of its own.
pub(crate) fn start(address: SocketAddr, era: Era) -> Result<Upstream, Failure> {
    let failed = |error: std::io::Error| Failure::at("start the upstream", &error);
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let counts = Arc::new(Counts::default());
    let counted = Arc::clone(&counts);
    std::thread::Builder::new()
        .name("upstream".into())
        .spawn(move || {
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime, accept(listener, era, counted));
        })
        .map_err(failed)?;
    Ok(Upstream { address, counts })
}

async fn accept(listener: std::net::TcpListener, era: Era, counts: Arc<Counts>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let echo = Rc::new(Echo {
        era,
        counts,
        texts: RefCell::default(),
    });
    while let Ok((stream, _)) = listener.accept().await {
        echo.counts.connections.fetch_add(1, Ordering::Relaxed);
        let _delays_stay = stream.set_nodelay(true);
        let echo = Rc::clone(&echo);
        tokio::task::spawn_local(async move {
            let service = hyper::service::service_fn(|request| {
                let echo = Rc::clone(&echo);
                async move { Ok::<_, Infallible>(echo.answer(request).await) }
            });
            let _client_left = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// The members of a request that decide the reply.
#[derive(Deserialize)]
pub(crate) struct Call<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    arguments: Arguments<'a>,
    #[serde(default, rename = "protocolVersion")]
    protocol_version: Option<String>,
}

#[derive(Default, Deserialize)]
struct Arguments<'a> {
    #[serde(default)]
    bytes: usize,
    #[serde(default)]
    stream: bool,
    #[serde(borrow, default)]
    mark: Option<&'a RawValue>,
    #[serde(default)]
    fault: Option<Fault>,
}

/// What the thread keeps: the texts are built once per size.
struct Echo {
    era: Era,
    counts: Arc<Counts>,
    texts: RefCell<HashMap<usize, Bytes>>,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

impl Echo {
    async fn answer(&self, request: Request<Incoming>) -> Response<Pieces> {
        if request.method() == Method::GET && request.uri().path() == "/stats" {
            return json(StatusCode::OK, self.stats());
        }
        if request.method() == Method::DELETE {
            return empty(StatusCode::OK);
        }
        if request.method() != Method::POST {
            let mut refusal = empty(StatusCode::METHOD_NOT_ALLOWED);
            let methods = HeaderValue::from_static("POST, DELETE");
            refusal.headers_mut().insert(ALLOW, methods);
            return refusal;
        }
        let body = Limited::new(request.into_body(), TEXT_BYTES_LIMIT);
        let Ok(body) = body.collect().await else {
            return empty(StatusCode::BAD_REQUEST);
        };
        let body = body.to_bytes();
        let Ok(call) = serde_json::from_slice::<Call<'_>>(&body) else {
            return empty(StatusCode::BAD_REQUEST);
        };
        match call.id {
            None => empty(StatusCode::ACCEPTED),
            Some(id) => {
                let mut response = self.reply(id.get(), &call);
                match call.fault() {
                    Some(Fault::Silence) => std::future::pending().await,
                    Some(Fault::Late) => tokio::time::sleep(LATE).await,
                    Some(Fault::Firehose) => response = firehose(),
                    Some(Fault::Flood) | None => {}
                }
                response
            }
        }
    }

    fn reply(&self, id: &str, call: &Call<'_>) -> Response<Pieces> {
        if call.method == "tools/call" {
            self.counts.calls.fetch_add(1, Ordering::Relaxed);
            if call.params.arguments.mark.is_none() {
                return self.echo(id, &call.params.arguments);
            }
        }
        let status = match (call.value(self.era), self.era) {
            (None, Era::Modern) => StatusCode::NOT_FOUND,
            _ => StatusCode::OK,
        };
        let mut response = json(status, call.reply(id, self.era));
        if call.method == "tools/list" && self.counts.lists_stall.load(Ordering::Relaxed) {
            response = Response::new(Pieces::of(VecDeque::new(), After::Stall));
            response.headers_mut().insert(CONTENT_TYPE, JSON);
        }
        if call.method == "initialize" && self.era == Era::Legacy {
            let session = HeaderValue::from_static("echo-session");
            response.headers_mut().insert("mcp-session-id", session);
        }
        response
    }

    fn echo(&self, id: &str, arguments: &Arguments<'_>) -> Response<Pieces> {
        let text = self.text(arguments.bytes.min(TEXT_BYTES_LIMIT));
        let (before, after) = if arguments.stream {
            (
                "event: message
data: ",
                "

",
            )
        } else {
            ("", "")
        };
        let mut head = BytesMut::with_capacity(192);
        for part in [before, r#"{"jsonrpc":"2.0","id":"#, id, ECHO_BEFORE] {
            head.put_slice(part.as_bytes());
        }
        let mut pieces = VecDeque::with_capacity(3);
        if text.len() <= 8192 {
            head.reserve(text.len() + ECHO_AFTER.len() + after.len());
            head.put_slice(&text);
            head.put_slice(ECHO_AFTER.as_bytes());
            head.put_slice(after.as_bytes());
            pieces.push_back(head.freeze());
        } else {
            pieces.push_back(head.freeze());
            pieces.push_back(text);
            pieces.push_back(Bytes::from([ECHO_AFTER, after].concat()));
        }
        let after = if arguments.stream {
            After::End
        } else {
            After::Known
        };
        let mut response = Response::new(Pieces::of(pieces, after));
        let kind = if arguments.stream { EVENTS } else { JSON };
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    fn text(&self, bytes: usize) -> Bytes {
        let mut texts = self.texts.borrow_mut();
        let built = texts.entry(bytes);
        built
            .or_insert_with(|| Bytes::from(vec![b'x'; bytes]))
            .clone()
    }

    fn stats(&self) -> String {
        let connections = self.counts.connections.load(Ordering::Relaxed);
        let calls = self.counts.calls.load(Ordering::Relaxed);
        format!(r#"{{"connections":{connections},"calls":{calls}}}"#)
    }
}

const ECHO_BEFORE: &str =
    r#","result":{"resultType":"complete","content":[{"type":"text","text":""#;
const ECHO_AFTER: &str = r#""}],"isError":false}}"#;

const DISCOVERED: &str = concat!(
    r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"#,
    r#""ttlMs":3600000,"cacheScope":"public","#,
    r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"echo","version":"1.0.0"}}}"#
);

const TOOLS: &str = concat!(
    r#"{"resultType":"complete","tools":[{"name":"echo","description":"Answers a text of the "#,
    r#"given size.","inputSchema":{"type":"object","properties":{"bytes":{"type":"integer"},"#,
    r#""stream":{"type":"boolean"},"mark":{"type":"string"}}}}],"ttlMs":3600000,"cacheScope":"public"}"#
);

impl Call<'_> {
    /// What is to go wrong with it.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.params.arguments.fault
    }

    /// The whole message that answers it, unless it asks for a text of some size.
    pub(crate) fn reply(&self, id: &str, era: Era) -> String {
        let outcome = self.value(era).map_or_else(
            || r#""error":{"code":-32601,"message":"Method not found"}"#.to_owned(),
            |value| format!(r#""result":{value}"#),
        );
        format!(r#"{{"jsonrpc":"2.0","id":{id},{outcome}}}"#)
    }

    fn value(&self, era: Era) -> Option<Cow<'static, str>> {
        Some(match (&*self.method, era) {
            ("tools/call", _) => {
                let mark = self.params.arguments.mark.map_or("\"\"", RawValue::get);
                format!(
                    r#"{{"resultType":"complete","content":[{{"type":"text","text":{mark}}}],"isError":false}}"#
                )
                .into()
            }
            ("tools/list", _) => TOOLS.into(),
            ("server/discover", Era::Modern) => DISCOVERED.into(),
            ("initialize", Era::Legacy) => initialized(&self.params).into(),
            ("ping", Era::Legacy) => "{}".into(),
            _ => return None,
        })
    }
}

fn initialized(params: &Params<'_>) -> String {
    let asked = params.protocol_version.as_deref();
    let spoken = ["2025-03-26", "2025-06-18", "2025-11-25"];
    let version = spoken.into_iter().find(|known| asked == Some(known));
    let version = version.unwrap_or("2025-11-25");
    let rest = r#""capabilities":{"tools":{}},"serverInfo":{"name":"echo","version":"1.0.0"}"#;
    format!(r#"{{"protocolVersion":"{version}",{rest}}}"#)
}

fn json(status: StatusCode, text: String) -> Response<Pieces> {
    let pieces = VecDeque::from([Bytes::from(text)]);
    let mut response = Response::new(Pieces::of(pieces, After::Known));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

fn empty(status: StatusCode) -> Response<Pieces> {
    let mut response = Response::new(Pieces::of(VecDeque::new(), After::Known));
    *response.status_mut() = status;
    response
}

/// A stream of log messages that never ends.
fn firehose() -> Response<Pieces> {
    let filler = "x".repeat(1024);
    let notice = format!(
        r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"info","data":"{filler}"}}}}"#
    );
    let event = Bytes::from(format!("event: message\ndata: {notice}\n\n"));
    let mut response = Response::new(Pieces::of(VecDeque::new(), After::Again(event)));
    response.headers_mut().insert(CONTENT_TYPE, EVENTS);
    response
}

/// A body in shared pieces, so that a large text is never copied.
struct Pieces {
    pieces: VecDeque<Bytes>,
    after: After,
}

/// What comes after the pieces. Only an end that is known beforehand is announced; hyper sends
/// everything else chunked.
enum After {
    Known,
    End,
    Stall,
    Again(Bytes),
}

impl Pieces {
    fn of(pieces: VecDeque<Bytes>, after: After) -> Self {
        Self { pieces, after }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.pieces.pop_front(), &self.after) {
            (Some(piece), _) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            (None, After::Known | After::End) => Poll::Ready(None),
            (None, After::Stall) => Poll::Pending,
            (None, After::Again(event)) => Poll::Ready(Some(Ok(Frame::data(event.clone())))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && matches!(self.after, After::Known | After::End)
    }

    fn size_hint(&self) -> SizeHint {
        if !matches!(self.after, After::Known) {
            return SizeHint::default();
        }
        let bytes: usize = self.pieces.iter().map(Bytes::len).sum();
        SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}
