//! One HTTP/1.1 request over a connection of its own.
//!
//! No redirects, no pools, no cookies. The caller connects and keeps the deadline.

use std::io;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends a request and reads the whole response, of at most so many bytes.
///
/// # Errors
/// The connection was lost, or what came is not HTTP or too large.
pub async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> io::Result<Response<Bytes>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await;
        whole(response.map_err(io::Error::other)?, bytes_max).await
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection may be over while the last bytes of the answer still wait to be read.
        _ = connection => answer.await,
    }
}

async fn whole(response: Response<Incoming>, bytes_max: usize) -> io::Result<Response<Bytes>> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, bytes_max).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(head, body))
}
