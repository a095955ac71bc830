//! An outside for tests: upstream servers behind in-memory pipes, with a record of what they saw.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use mcpc_plan::{ContentKey, Era as PlanEra, HttpTransport, Limits, Scheme, Timeouts, Transport};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, duplex};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::tests::plain;
use super::{Resolved, Upstream};
use crate::call::{Answer, Call, Era, Leave, Reply};
use crate::keeper::Keeper;
use crate::params::Params;
use crate::reach::{Dialed, Ended, Launch, Process, Reach, ReachFuture, Signals, Target};
use crate::{Secret, policy};

/// The most messages that a record holds; what comes later is not recorded.
const RECORD_MAX: usize = 4096;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) http_method: String,
    pub(super) headers: hyper::HeaderMap,
    pub(super) body: Value,
}

impl Seen {
    pub(super) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or("")
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }
}

/// A response to send: its body comes in pieces, and may never end.
pub(super) struct Scripted {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) pieces: Vec<String>,
    pub(super) ends: bool,
}

impl Scripted {
    pub(super) fn json(body: impl Into<String>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "application/json".into())],
            pieces: vec![body.into()],
            ends: true,
        }
    }

    pub(super) fn events(pieces: &[&str]) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "text/event-stream; charset=utf-8".into())],
            pieces: pieces.iter().map(ToString::to_string).collect(),
            ends: true,
        }
    }

    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            pieces: Vec::new(),
            ends: true,
        }
    }

    /// No response: the connection is closed.
    pub(super) fn closes() -> Self {
        Self::status(0)
    }

    pub(super) fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn without_end(mut self) -> Self {
        self.ends = false;
        self
    }
}

type Script = dyn Fn(&Seen) -> Option<Scripted> + Send + Sync;

/// An HTTP server behind pipes. A script that gives no response leaves its caller waiting.
pub(super) struct Server {
    script: Arc<Script>,
    seen: mpsc::Sender<Seen>,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) open_connections: Arc<AtomicUsize>,
    pub(super) refuses: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn new(
        script: impl Fn(&Seen) -> Option<Scripted> + Send + Sync + 'static,
    ) -> (Arc<Self>, mpsc::Receiver<Seen>) {
        let (seen, record) = mpsc::channel(RECORD_MAX);
        let server = Arc::new(Self {
            script: Arc::new(script),
            seen,
            connections: Arc::default(),
            open_connections: Arc::default(),
            refuses: Arc::default(),
        });
        (server, record)
    }
}

impl Reach for Server {
    fn connect(&self, _target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        if self.refuses.load(Ordering::SeqCst) {
            return Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) });
        }
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.open_connections.fetch_add(1, Ordering::SeqCst);
        let (near, far) = duplex(64 * 1024);
        let (script, seen) = (Arc::clone(&self.script), self.seen.clone());
        let open = Arc::clone(&self.open_connections);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                respond(Arc::clone(&script), seen.clone(), request)
            });
            let _served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(far), service)
                .await;
            open.fetch_sub(1, Ordering::SeqCst);
        });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Dialed>) })
    }

    fn launch(&self, _launch: &Launch<'_>) -> io::Result<Process> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn give_up_after(&self, _: Duration) {}

    fn variable(&self, name: &str) -> Option<Secret> {
        (name == "TOKEN").then(|| Secret::new("s3cret"))
    }

    fn file(&self, _path: &str) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A body of pieces, sized if there is at most one and it ends.
enum Pieces {
    Sized(Option<Bytes>),
    Chunked(std::vec::IntoIter<String>, bool),
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Sized(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Chunked(pieces, ends) => match pieces.next() {
                Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
                None if *ends => Poll::Ready(None),
                None => Poll::Pending,
            },
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Sized(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                http_body::SizeHint::with_exact(u64::try_from(length).unwrap_or(0))
            }
            Self::Chunked(..) => http_body::SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Sized(None))
    }
}

async fn respond(
    script: Arc<Script>,
    record: mpsc::Sender<Seen>,
    request: Request<Incoming>,
) -> io::Result<Response<Pieces>> {
    let (head, body) = request.into_parts();
    let bytes = http_body_util::Limited::new(body, 1 << 20).collect().await;
    let bytes = bytes.map(http_body_util::Collected::to_bytes);
    let seen = Seen {
        http_method: head.method.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or(Value::Null),
    };
    let scripted = script(&seen);
    let _told = record.try_send(seen);
    let Some(scripted) = scripted else {
        return std::future::pending().await;
    };
    if scripted.status == 0 {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let mut response = Response::builder().status(scripted.status);
    for (name, value) in &scripted.headers {
        response = response.header(*name, value);
    }
    let body = if scripted.ends && scripted.pieces.len() <= 1 {
        Pieces::Sized(scripted.pieces.into_iter().next().map(Bytes::from))
    } else {
        Pieces::Chunked(scripted.pieces.into_iter(), scripted.ends)
    };
    Ok(response.body(body).unwrap())
}

/// An upstream behind a server.
pub(super) fn upstream(server: &Arc<Server>, era: PlanEra) -> Arc<Upstream> {
    let transport = Transport::Http(HttpTransport {
        scheme: Scheme::Http,
        host: "upstream.test".into(),
        port: 80,
        authority: "upstream.test".into(),
        path: "/mcp?tenant=a".into(),
        headers: Box::new([(
            "authorization".into(),
            mcpc_plan::Template(Box::new([
                mcpc_plan::Part::Text("Bearer ".into()),
                mcpc_plan::Part::Reference {
                    source: mcpc_plan::Source::Variable("TOKEN".into()),
                    default: None,
                    message: None,
                },
            ])),
        )]),
    });
    let reach: Arc<dyn Reach> = server.clone();
    start(transport, era, &reach)
}

/// Starts an upstream whose keeper is the test's own runtime.
pub(super) fn start(transport: Transport, era: PlanEra, reach: &Arc<dyn Reach>) -> Arc<Upstream> {
    begin(&definition(transport, era), reach)
}

/// The same, as it is defined.
pub(super) fn begin(definition: &mcpc_plan::Upstream, reach: &Arc<dyn Reach>) -> Arc<Upstream> {
    let resolved = Resolved::of(definition, reach.as_ref()).unwrap();
    Upstream::start(definition, resolved, &Keeper::here(), reach, &limits()).unwrap()
}

/// An upstream without rules.
pub(super) fn definition(transport: Transport, era: PlanEra) -> mcpc_plan::Upstream {
    mcpc_plan::Upstream {
        name: "fake".into(),
        key: ContentKey::of(&transport, era),
        transport,
        era,
        timeouts: timeouts(),
        breaker: None,
        health: None,
        retry: None,
        private: None,
    }
}

pub(super) fn timeouts() -> Timeouts {
    Timeouts {
        connect_ms: 2_000,
        first_byte_ms: 5_000,
        idle_ms: 5_000,
        total_ms: 20_000,
        list_ms: 10_000,
    }
}

pub(super) fn limits() -> Limits {
    Limits {
        body_bytes: 1 << 20,
        reply_bytes: 1 << 20,
        head_bytes: 64 << 10,
        headers: 64,
        nesting: 64,
        sessions: 10,
        session_idle_ms: 60_000,
        private_upstreams: Limits::PRIVATE_UPSTREAMS,
        calls: Limits::CALLS,
        starts: Limits::STARTS,
        memory_bytes: None,
        unacknowledged_ms: Limits::UNACKNOWLEDGED_MS,
        connections: 100,
        streams: 10,
        list_pages: 10,
        list_items: 100,
        grace_ms: 1_000,
    }
}

/// A call of a tool, by a client of an era.
pub(super) fn tool_call(era: Era, leave: Leave, params: &'static str) -> Call {
    let params = Params::read(Some(Bytes::from_static(params.as_bytes())), 64).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    Call {
        name: Some(Bytes::from_static(b"echo")),
        era,
        leave,
        ..Call::own(
            Bytes::from_static(b"tools/call"),
            params,
            timeouts(),
            deadline,
        )
    }
}

/// Many callers at once, each with its own number in every call; the upstream must give it back.
/// Answers how many calls were made.
pub(super) async fn crowd(upstream: &Arc<Upstream>, era: Era) -> usize {
    let callers: Vec<_> = (0..50)
        .map(|caller| {
            let upstream = Arc::clone(upstream);
            tokio::spawn(async move {
                for turn in 0..40 {
                    let number = caller * 1000 + turn;
                    let mut call = tool_call(era, Leave::Cancels, "{}");
                    let params = format!("{{\"name\":\"echo\",\"arguments\":{number}}}");
                    call.params = Params::read(Some(params.into()), 64).unwrap();
                    let answer = upstream.send(call, permit()).await;
                    let Ok(Answer::Done(Reply::Result(result))) = answer else {
                        return None;
                    };
                    assert_eq!(plain(&result), number.to_string());
                }
                Some(40)
            })
        })
        .collect();
    let mut calls = 0;
    for caller in callers {
        calls += caller.await.unwrap().unwrap();
    }
    calls
}

pub(super) fn permit() -> policy::Permit {
    policy::permit(mcpc_plan::Access::Open)
}

/// A program's reply to one message: lines for its output, and whether it ends then.
pub(super) struct Act {
    pub(super) lines: Vec<String>,
    pub(super) dies: bool,
    /// Closes its output and goes on.
    pub(super) hangs_up: bool,
}

impl Act {
    pub(super) fn say(line: impl Into<String>) -> Self {
        Self {
            lines: vec![line.into()],
            dies: false,
            hangs_up: false,
        }
    }

    pub(super) fn silent() -> Self {
        Self {
            lines: Vec::new(),
            dies: false,
            hangs_up: false,
        }
    }

    pub(super) fn die() -> Self {
        Self {
            dies: true,
            ..Self::silent()
        }
    }

    pub(super) fn hang_up() -> Self {
        Self {
            hangs_up: true,
            ..Self::silent()
        }
    }
}

type Program = dyn Fn(u32, &Value) -> Act + Send + Sync;

/// Programs behind pipes. A script is told which process it is, counting from 1.
pub(super) struct Programs {
    script: Arc<Program>,
    launched: AtomicU32,
    seen: mpsc::Sender<(u32, Value)>,
}

impl Programs {
    pub(super) fn new(
        script: impl Fn(u32, &Value) -> Act + Send + Sync + 'static,
    ) -> (Arc<Self>, mpsc::Receiver<(u32, Value)>) {
        let (seen, record) = mpsc::channel(RECORD_MAX);
        let programs = Arc::new(Self {
            script: Arc::new(script),
            launched: AtomicU32::new(0),
            seen,
        });
        (programs, record)
    }

    pub(super) fn launched(&self) -> u32 {
        self.launched.load(Ordering::SeqCst)
    }
}

impl Reach for Programs {
    fn connect(&self, _target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn launch(&self, _launch: &Launch<'_>) -> io::Result<Process> {
        let number = self.launched.fetch_add(1, Ordering::SeqCst) + 1;
        let (stdin, input) = duplex(64 * 1024);
        let (mut output, stdout) = duplex(64 * 1024);
        let (stderr, _talk) = duplex(64);
        let (script, seen) = (Arc::clone(&self.script), self.seen.clone());
        let signalled = Arc::new(tokio::sync::Notify::new());
        let signals = FakeSignals(Arc::clone(&signalled));
        let running = async move {
            let mut lines = tokio::io::BufReader::new(input).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let message = serde_json::from_str(&line).unwrap_or(Value::Null);
                let act = script(number, &message);
                let _told = seen.try_send((number, message));
                for line in act.lines {
                    let _heard = output.write_all(format!("{line}\n").as_bytes()).await;
                }
                if act.dies {
                    return;
                }
                if act.hangs_up {
                    drop(output);
                    return std::future::pending().await;
                }
            }
        };
        let running = tokio::spawn(running);
        let ended = async move {
            let abort = running.abort_handle();
            tokio::select! {
                _done = running => Ok(Ended::Code(0)),
                () = signalled.notified() => {
                    abort.abort();
                    Ok(Ended::Signal(15))
                }
            }
        };
        Ok(Process {
            started: Box::pin(std::future::ready(Ok(number))),
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            ended: Box::pin(ended),
            cleared: Box::pin(std::future::ready(Ok(()))),
            signals: Box::new(signals),
        })
    }

    fn give_up_after(&self, _: Duration) {}

    fn variable(&self, _name: &str) -> Option<Secret> {
        None
    }

    fn file(&self, _path: &str) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

struct FakeSignals(Arc<tokio::sync::Notify>);

impl Signals for FakeSignals {
    fn terminate(&self) {
        self.0.notify_one();
    }

    fn kill(&self) {
        self.0.notify_one();
    }
}

/// A definition of a child process.
pub(super) fn stdio(command: &str, args: &[&str], when: mcpc_plan::StartWhen) -> Transport {
    Transport::Stdio(mcpc_plan::StdioTransport {
        command: command.into(),
        args: args.iter().map(|arg| (*arg).into()).collect(),
        env: Box::new([]),
        cwd: None,
        limits: mcpc_plan::ProcessLimits::default(),
        sandbox: None,
        start: mcpc_plan::Start {
            timeout_ms: 10_000,
            when,
        },
        restart: mcpc_plan::Restart {
            at_most: 3,
            within_ms: 60_000,
            backoff_from_ms: 100,
            backoff_to_ms: 1_000,
        },
    })
}
