//! One HTTP request to a gateway, with a deadline. For `mcpc status` and the greeting.
//!
//! Plain HTTP to an address, no redirects, no pools.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use tokio::net::TcpStream;

/// The largest reply that is read.
const BYTES_MAX: usize = 64 << 20;

/// A whole reply.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Asks for a page.
///
/// # Errors
/// No connection, no answer in time, or one that is not HTTP.
pub(crate) fn get(address: SocketAddr, path: &str, patience: Duration) -> io::Result<Reply> {
    let request = Request::get(path).body(Full::default());
    exchange(address, request, patience)
}

/// Sends a body.
///
/// # Errors
/// As [`get`].
pub(crate) fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
    patience: Duration,
) -> io::Result<Reply> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    exchange(address, request.body(Full::from(body)), patience)
}

fn exchange(
    address: SocketAddr,
    request: Result<Request<Full<Bytes>>, hyper::http::Error>,
    patience: Duration,
) -> io::Result<Reply> {
    let mut request = request.map_err(io::Error::other)?;
    let host = address.to_string().parse().map_err(io::Error::other)?;
    request.headers_mut().insert("host", host);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        tokio::time::timeout(patience, send(address, request))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    })
}

async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> io::Result<Reply> {
    let stream = TcpStream::connect(address).await?;
    let response = mcpc_daemon::http::exchange(stream, request, BYTES_MAX).await?;
    Ok(Reply {
        status: response.status(),
        body: response.into_body(),
    })
}
