//! A gateway for one gate, and what its operators see of it.
//!
//! Owns the configuration around the servers, the look at the status document, and the definition of a
//! child process that is the echo upstream over pipes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client;
use crate::failure::Failure;
use crate::subject::{self, Subject};
use crate::upstream::Era;

/// Nothing that is awaited here takes this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway.
pub(super) struct Scene {
    pub(super) gateway: Subject,
    admin: SocketAddr,
}

impl Scene {
    /// Serves a configuration without its addresses: servers behind one endpoint, each tool under the
    /// name of its server. Waits until this tool is listed.
    pub(super) async fn open(program: &Path, rest: &str, tool: &str) -> Result<Self, Failure> {
        let (address, admin) = (subject::free_address()?, subject::free_address()?);
        let config = format!(
            "version: 1\nlisten: {{ address: \"{address}\" }}\nadmin: {{ address: \"{admin}\" }}\n\
             endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n{rest}"
        );
        let mut gateway = subject::gateway_with(program, &[], address, &config)?;
        gateway.answered_with(Era::Modern, tool).await?;
        Ok(Self { gateway, admin })
    }

    /// Where clients connect.
    pub(super) fn address(&self) -> SocketAddr {
        self.gateway.address
    }

    /// The process id of the gateway.
    pub(super) fn process(&self) -> u32 {
        self.gateway.process()
    }

    /// The status document.
    pub(super) async fn status(&self) -> Result<Value, Failure> {
        let (status, body) = client::get(self.admin, "/status").await?;
        let document = serde_json::from_slice(&body).ok();
        let document = document.filter(|_| status == 200);
        document.ok_or_else(|| Failure::new(format!("/status was answered with {status}")))
    }

    /// How many sessions have state.
    pub(super) async fn sessions(&self) -> Result<u64, Failure> {
        let status = self.status().await?;
        let sessions = status.get("sessions").and_then(Value::as_u64);
        sessions.ok_or_else(|| Failure::new("the status counts no sessions"))
    }

    /// How many clients are connected.
    pub(super) async fn connections(&self) -> Result<u64, Failure> {
        let status = self.status().await?;
        let connections = status.get("connections").and_then(Value::as_u64);
        connections.ok_or_else(|| Failure::new("the status counts no connections"))
    }

    /// The process id of a child.
    pub(super) async fn child(&self, server: &str) -> Result<u32, Failure> {
        let process = self.figure(server, "pid").await?;
        u32::try_from(process).map_err(|_| Failure::new("that is no process id"))
    }

    /// How many calls a server has not answered yet.
    pub(super) async fn in_flight(&self, server: &str) -> Result<u64, Failure> {
        self.figure(server, "in_flight").await
    }

    async fn figure(&self, server: &str, name: &str) -> Result<u64, Failure> {
        let status = self.status().await?;
        let upstreams = status.get("upstreams").and_then(Value::as_array);
        let mut upstreams = upstreams.into_iter().flatten();
        let found = upstreams.find(|upstream| upstream.get("name").is_some_and(|it| it == server));
        let figure = found.and_then(|upstream| upstream.get(name)?.as_u64());
        figure.ok_or_else(|| Failure::new(format!("{server} has no {name}")))
    }
}

/// The definition of a child that echoes; more of it may follow.
pub(super) fn child(more: &str) -> Result<String, Failure> {
    let own = std::env::current_exe();
    let own = own.map_err(|error| Failure::at("find this program", &error))?;
    Ok(format!(
        "{{ command: '{}', args: [upstream, --stdio], era: modern{more} }}",
        own.display()
    ))
}

/// Looks again every few milliseconds until something holds, and gives how long that took.
pub(super) async fn until(
    what: &str,
    mut holds: impl AsyncFnMut() -> Result<bool, Failure>,
) -> Result<Duration, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if holds().await? {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Err(Failure::new(format!("it never held: {what}")))
}
