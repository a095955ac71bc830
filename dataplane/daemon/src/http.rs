//! One HTTP request to a gateway, with a deadline: how commands ask one that runs.
//!
//! For `mcpc status`, `mcpc reload`, `mcpc rollback` and the greeting, `mcpcd healthcheck` and `mcpcd prestop`.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use mcpc_dataplane::{Ask, Dialed, Page, ask};
use mcpc_plan::{HttpTransport, Scheme};
use tokio::net::TcpStream;

/// The largest reply that is read.
const BYTES_MAX: usize = 64 << 20;

/// Asks for a page.
///
/// # Errors
/// No connection, no answer in time, or one that is not HTTP.
pub fn get(address: SocketAddr, path: &str, patience: Duration) -> io::Result<Page> {
    exchange(address, path, &[], None, patience)
}

/// Sends a JSON text.
///
/// # Errors
/// As [`get`].
pub fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &'static str)],
    body: String,
    patience: Duration,
) -> io::Result<Page> {
    exchange(address, path, headers, Some(body.into_bytes()), patience)
}

fn exchange(
    address: SocketAddr,
    path: &str,
    headers: &[(&'static str, &'static str)],
    message: Option<Vec<u8>>,
    patience: Duration,
) -> io::Result<Page> {
    let place = HttpTransport {
        scheme: Scheme::Http,
        host: address.ip().to_string().into(),
        port: address.port(),
        authority: address.to_string().into(),
        path: path.into(),
        headers: Box::default(),
    };
    let field = |(name, value): &(&'static str, &'static str)| {
        let (name, value) = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        (name, value)
    };
    let fields: Vec<_> = headers.iter().map(field).collect();
    let connecting = async {
        let stream = TcpStream::connect(address).await?;
        Ok(Box::new(stream) as Box<dyn Dialed>)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(ask(
        connecting,
        Ask {
            place: &place,
            fields: &fields,
            message,
            bytes_max: BYTES_MAX,
            patience,
        },
    ))
}
