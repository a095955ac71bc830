//! Carries a fake server over HTTP/1.1 on a pipe.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame as BodyFrame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::Era;
use super::server::{Frame, Server, Taken};

/// Serves one connection of the gateway.
pub(crate) async fn serve(server: Rc<Server>, stream: DuplexStream) {
    let service = service_fn(|request| respond(Rc::clone(&server), request));
    // A cut answer and a gateway that leaves both end here, as they should.
    let _ended = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// What a transcript shows of the head of a request: the trace, and what would be a client's own business.
const SHOWN_HEADERS: [&str; 9] = [
    "traceparent",
    "tracestate",
    "baggage",
    "authorization",
    "proxy-authorization",
    "cookie",
    "origin",
    "x-api-key",
    "x-forwarded-for",
];

async fn respond(server: Rc<Server>, request: Request<Incoming>) -> io::Result<Response<Reply>> {
    match (request.method(), server.era) {
        (&Method::GET, Era::Legacy) if request.headers().contains_key("last-event-id") => {
            let rest = server.rest.borrow_mut().take();
            return Ok(rest.map_or_else(|| status(400), |rest| stream(&[], rest, None, &server)));
        }
        (&Method::GET, Era::Legacy) => {
            let Taken::Watch(first, frames) = server.watch(None, &Value::Null) else {
                return Ok(status(405));
            };
            return Ok(stream(&first, frames, None, &server));
        }
        (&Method::POST, _) => {}
        (&Method::DELETE, Era::Legacy) => return Ok(status(200)),
        _ => return Ok(status(405)),
    }
    let told: Vec<_> = SHOWN_HEADERS
        .iter()
        .flat_map(|name| {
            request
                .headers()
                .get_all(*name)
                .iter()
                .map(move |it| (name, it))
        })
        .map(|(name, value)| format!("{name}={}", value.to_str().unwrap_or("?")))
        .collect();
    if !told.is_empty() {
        server.note(&format!("hears {}", told.join(" ")));
    }
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let message: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
    let (mut frames, number) = match server.take(&message) {
        Taken::Now(reply) => return Ok(document(reply.to_string(), &message)),
        Taken::Nothing => return Ok(status(202)),
        Taken::Watch(first, frames) => return Ok(stream(&first, frames, None, &server)),
        Taken::Later(frames, number) => (frames, number),
    };
    let guard = Left {
        server: Rc::clone(&server),
        number,
    };
    match frames.recv().await {
        Some(Frame::Last(reply)) => {
            guard.answered();
            Ok(document(reply.to_string(), &message))
        }
        Some(Frame::Raw(text)) => {
            guard.answered();
            Ok(document(text, &message))
        }
        Some(Frame::Notice(first)) => Ok(stream(&[first], frames, Some(guard), &server)),
        Some(Frame::HangUp) => {
            let mut response = stream(&[], frames, Some(guard), &server);
            response.body_mut().hang_up();
            Ok(response)
        }
        Some(Frame::Cut) | None => {
            guard.answered();
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }
}

/// Notices that the gateway has left a call before its answer.
struct Left {
    server: Rc<Server>,
    number: usize,
}

impl Left {
    fn answered(self) {
        self.server.forget_number(self.number);
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        // A legacy server learns of it by a notification, if at all.
        if self.server.era == Era::Modern && self.server.forget_number(self.number) {
            self.server.note("sees its call cancelled");
        }
    }
}

/// A response body: one piece, or events until the reply.
pub(crate) struct Reply {
    ready: Vec<Bytes>,
    frames: Option<mpsc::UnboundedReceiver<Frame>>,
    guard: Option<Left>,
    server: Option<Rc<Server>>,
}

fn status(code: u16) -> Response<Reply> {
    let mut response = Response::new(Reply {
        ready: Vec::new(),
        frames: None,
        guard: None,
        server: None,
    });
    *response.status_mut() = hyper::StatusCode::from_u16(code).expect("a status of this harness");
    response
}

fn document(text: String, request: &Value) -> Response<Reply> {
    let mut response = status(200);
    response.body_mut().ready.push(text.into());
    let headers = response.headers_mut();
    headers.insert(
        "content-type",
        hyper::header::HeaderValue::from_static("application/json"),
    );
    if request["method"] == "initialize" {
        headers.insert(
            "mcp-session-id",
            hyper::header::HeaderValue::from_static("rehearsed"),
        );
    }
    response
}

fn stream(
    first: &[Value],
    frames: mpsc::UnboundedReceiver<Frame>,
    guard: Option<Left>,
    server: &Rc<Server>,
) -> Response<Reply> {
    let mut response = status(200);
    let mut ready: Vec<Bytes> = first
        .iter()
        .map(|message| event(&message.to_string()))
        .collect();
    ready.reverse();
    *response.body_mut() = Reply {
        ready,
        frames: Some(frames),
        guard,
        server: Some(Rc::clone(server)),
    };
    response.headers_mut().insert(
        "content-type",
        hyper::header::HeaderValue::from_static("text/event-stream"),
    );
    response
}

fn event(data: &str) -> Bytes {
    format!("event: message\ndata: {data}\n\n").into()
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<BodyFrame<Bytes>>>> {
        let reply = self.get_mut();
        if let Some(ready) = reply.ready.pop() {
            return Poll::Ready(Some(Ok(BodyFrame::data(ready))));
        }
        let Some(frames) = &mut reply.frames else {
            return Poll::Ready(None);
        };
        let frame = match frames.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        let text = match frame {
            Some(Frame::Notice(message)) => message.to_string(),
            Some(Frame::Last(message)) => {
                reply.finish();
                message.to_string()
            }
            Some(Frame::Raw(text)) => {
                reply.finish();
                text
            }
            Some(Frame::HangUp) => {
                reply.hang_up();
                return Pin::new(reply).poll_frame(context);
            }
            Some(Frame::Cut) => {
                reply.finish();
                return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
            }
            None => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(BodyFrame::data(event(&text)))))
    }
}

impl Reply {
    /// Says where to go on, and leaves the rest to whoever asks for it.
    fn hang_up(&mut self) {
        self.ready.push("id: here\nretry: 100\ndata: \n\n".into());
        if let Some(server) = &self.server {
            *server.rest.borrow_mut() = self.frames.take();
        }
    }

    fn finish(&mut self) {
        self.frames = None;
        if let Some(guard) = self.guard.take() {
            guard.answered();
        }
    }
}
