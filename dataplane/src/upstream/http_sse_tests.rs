//! A server of 2024-11-05: found behind a refused POST, called over its two directions, lost and found.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use mcpc_plan::{Era as PlanEra, HttpTransport, Scheme, Transport};
use serde_json::{Value, json};
use tokio::io::duplex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Upstream;
use super::fake::{permit, start, tool_call};
use super::tests::PARAMS;
use crate::Secret;
use crate::body::Body;
use crate::call::{Answer, Era, Event, Leave, Reply};
use crate::failure::Failure;
use crate::reach::{Dialed, Launch, Process, Reach, ReachFuture, Target};

/// What the server says in its first event.
#[derive(Default)]
struct OldServer {
    address: &'static str,
    stream: ArcSwapOption<mpsc::Sender<String>>,
    opened: AtomicU32,
    posted: AtomicU32,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Stream(frames) => frames
                .poll(context)
                .map(|frame| frame.map(|bytes| Ok(Frame::data(bytes)))),
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.length() == Some(0)
    }
}

impl OldServer {
    fn new(address: &'static str) -> Arc<Self> {
        Arc::new(Self {
            address,
            ..Self::default()
        })
    }

    async fn say(&self, event: &str, data: &str) {
        let stream = self.stream.load_full().unwrap();
        stream
            .send(format!("event: {event}\r\ndata: {data}\r\n\r\n"))
            .await
            .unwrap();
    }

    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let status = |status: u16| {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = status.try_into().unwrap();
            response
        };
        let path = request.uri().to_string();
        match (request.method(), path.as_str()) {
            (&Method::GET, "/sse") => {
                self.opened.fetch_add(1, Ordering::SeqCst);
                let (sender, mut frames) = mpsc::channel(16);
                self.stream.store(Some(Arc::new(sender)));
                self.say("endpoint", self.address).await;
                let mut response = Response::new(Body::stream(|out| async move {
                    while let Some(frame) = frames.recv().await {
                        out.send(frame).await;
                    }
                }));
                let events = hyper::header::HeaderValue::from_static("text/event-stream");
                let headers = response.headers_mut();
                headers.insert(hyper::header::CONTENT_TYPE, events);
                response
            }
            (&Method::POST, "/message?session=1") => {
                self.posted.fetch_add(1, Ordering::SeqCst);
                let body = http_body_util::Limited::new(request.into_body(), 1 << 20);
                let body = body.collect().await.unwrap().to_bytes();
                self.answer(&serde_json::from_slice(&body).unwrap()).await;
                status(202)
            }
            (&Method::POST, "/sse") => status(405),
            _ => status(404),
        }
    }

    async fn answer(&self, message: &Value) {
        let Some(id) = message.get("id") else { return };
        let token = message.pointer("/params/_meta/progressToken").cloned();
        let result = match message.get("method").and_then(Value::as_str).unwrap() {
            "initialize" => json!({
                "protocolVersion": "2024-11-05",
                "capabilities": {},
                "serverInfo": {"name": "old", "version": "1"},
            }),
            _ => json!({ "content": [] }),
        };
        if let Some(token) = token {
            let params = json!({ "progressToken": token, "progress": 1 });
            let notice = json!({
                "jsonrpc": "2.0", "method": "notifications/progress", "params": params,
            });
            self.say("message", &notice.to_string()).await;
        }
        let reply = json!({ "jsonrpc": "2.0", "id": id, "result": result });
        self.say("message", &reply.to_string()).await;
    }
}

struct Outside(Arc<OldServer>);

impl Reach for Outside {
    fn connect(&self, _target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        let (near, far) = duplex(64 * 1024);
        let server = Arc::clone(&self.0);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let server = Arc::clone(&server);
                async move { Ok::<_, Infallible>(server.respond(request).await) }
            });
            let _served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(far), service)
                .await;
        });
        Box::pin(async move { Ok(Box::new(near) as Box<dyn Dialed>) })
    }

    fn launch(&self, _launch: &Launch<'_>) -> io::Result<Process> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn give_up_after(&self, _: Duration) {}

    fn variable(&self, _name: &str) -> Option<Secret> {
        None
    }

    fn file(&self, _path: &str) -> io::Result<Secret> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn upstream(server: &Arc<OldServer>, era: PlanEra) -> Arc<Upstream> {
    let transport = Transport::Http(HttpTransport {
        scheme: Scheme::Http,
        host: "old.test".into(),
        port: 80,
        authority: "old.test".into(),
        path: "/sse".into(),
        headers: Box::default(),
    });
    let reach: Arc<dyn Reach> = Arc::new(Outside(Arc::clone(server)));
    start(transport, era, &reach)
}

async fn call(upstream: &Arc<Upstream>) -> Result<Reply, Failure> {
    let call = tool_call(Era::Legacy, Leave::Cancels, PARAMS);
    match upstream.send(call, permit()).await? {
        Answer::Done(reply) => Ok(reply),
        Answer::Stream(mut stream) => loop {
            if let Event::Done(reply) = stream.next().await? {
                return Ok(reply);
            }
        },
    }
}

fn is_done(reply: &Result<Reply, Failure>) -> bool {
    matches!(reply, Ok(Reply::Result(result)) if **result == Bytes::from_static(b"{\"content\":[]}"))
}

#[tokio::test(start_paused = true)]
async fn a_server_that_only_has_the_old_transport_is_found_and_called() {
    for era in [PlanEra::Auto, PlanEra::Legacy] {
        for address in ["/message?session=1", "http://old.test/message?session=1"] {
            let server = OldServer::new(address);
            let upstream = upstream(&server, era);
            let profile = upstream
                .profile(Instant::now() + Duration::from_secs(5))
                .await
                .unwrap();
            assert_eq!(profile.revision.as_ref(), "2024-11-05");
            let replies = tokio::join!(call(&upstream), call(&upstream));
            assert!(is_done(&replies.0) && is_done(&replies.1), "{replies:?}");
            // initialize, initialized and two calls, all on one stream.
            assert_eq!(server.posted.load(Ordering::SeqCst), 4);
            assert_eq!(server.opened.load(Ordering::SeqCst), 1);
            upstream.stop(Duration::ZERO).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_fails_its_calls_and_is_opened_again() {
    let server = OldServer::new("/message?session=1");
    let upstream = upstream(&server, PlanEra::Auto);
    assert!(is_done(&call(&upstream).await));
    let mut changes = upstream.changes();
    changes.mark_unchanged();
    server.stream.store(None);
    // Without a sender the stream ends; what was listed before may be different now.
    changes.changed().await.unwrap();
    assert!(is_done(&call(&upstream).await));
    assert_eq!(server.opened.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_address_elsewhere_is_not_posted_to() {
    let server = OldServer::new("http://elsewhere.test/message?session=1");
    let upstream = upstream(&server, PlanEra::Auto);
    assert_eq!(call(&upstream).await.unwrap_err(), Failure::Handshake);
    assert_eq!(server.posted.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_changes_is_noticed() {
    let server = OldServer::new("/message?session=1");
    let upstream = upstream(&server, PlanEra::Auto);
    assert!(is_done(&call(&upstream).await));
    let mut changes = upstream.changes();
    let before = changes.borrow_and_update().tools;
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    server.say("message", notice).await;
    changes.changed().await.unwrap();
    assert_eq!(changes.borrow().tools, before + 1);
}
