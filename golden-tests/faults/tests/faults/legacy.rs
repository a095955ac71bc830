//! A client of 2025-11-25, or of a revision before it: it greets once, and all that it asks belongs to its session.
//!
//! Owns the requests of such a client, each on a connection of its own choice.

use std::net::SocketAddr;

use mcpc_process::{Client, Reply, post};
use serde_json::{Value, json};

/// A client and its session.
#[derive(Clone)]
pub(crate) struct LegacyCaller {
    address: SocketAddr,
    revision: &'static str,
    session: String,
}

impl LegacyCaller {
    /// Greets a gateway.
    #[track_caller]
    pub(crate) fn greet(address: SocketAddr) -> Self {
        Self::greet_as("2025-11-25", address)
    }

    /// Greets a gateway as a client of this revision does.
    #[track_caller]
    pub(crate) fn greet_as(revision: &'static str, address: SocketAddr) -> Self {
        let params = json!({
            "protocolVersion": revision,
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        });
        let message =
            json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
        let mut client = Client::connect(address);
        let reply = client.ask(post(address, "/mcp", "", &message.to_string()));
        assert_eq!(reply.status, 200, "{reply:?}");
        let mut lines = reply.head.lines();
        let session = lines.find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("mcp-session-id").then_some(value)
        });
        let caller = Self {
            address,
            revision,
            session: session.unwrap().to_owned(),
        };
        let reply = caller.notify("notifications/initialized", &json!({}));
        assert_eq!(reply.status, 202, "{reply:?}");
        caller
    }

    /// The same client and the same session at a gateway elsewhere.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            revision: self.revision,
            session: self.session.clone(),
        }
    }

    /// A client that claims another session.
    pub(crate) fn with_session(&self, session: &str) -> Self {
        Self {
            address: self.address,
            revision: self.revision,
            session: session.to_owned(),
        }
    }

    /// Ends the session.
    #[track_caller]
    pub(crate) fn end(&self) -> Reply {
        let (address, session) = (self.address, &self.session);
        Client::connect(address).ask(format!(
            "DELETE /mcp HTTP/1.1\r\nHost: {address}\r\nMcp-Session-Id: {session}\r\n\r\n"
        ))
    }

    /// The revision that it speaks.
    pub(crate) const fn revision(&self) -> &'static str {
        self.revision
    }

    /// The id of its session.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }

    /// The bytes of a call.
    pub(crate) fn call_bytes(&self, id: u64, tool: &str, arguments: &Value) -> String {
        let params = json!({ "name": tool, "arguments": arguments });
        let message =
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        self.post(&message)
    }

    /// Begins a call on a connection of its own.
    #[track_caller]
    pub(crate) fn begin(&self, id: u64, tool: &str, arguments: &Value) -> Client {
        let mut client = Client::connect(self.address);
        client.send(self.call_bytes(id, tool, arguments));
        client
    }

    /// Calls a tool and waits for the reply.
    #[track_caller]
    pub(crate) fn call(&self, id: u64, tool: &str, arguments: &Value) -> Reply {
        Client::connect(self.address).ask(self.call_bytes(id, tool, arguments))
    }

    /// Comes back for what followed an event.
    #[track_caller]
    pub(crate) fn resume(&self, event: &str) -> Reply {
        let (address, session) = (self.address, &self.session);
        Client::connect(address).ask(format!(
            "GET /mcp HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\
             Mcp-Session-Id: {session}\r\nLast-Event-ID: {event}\r\n\r\n"
        ))
    }

    /// Tells the gateway something.
    #[track_caller]
    pub(crate) fn notify(&self, method: &str, params: &Value) -> Reply {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        Client::connect(self.address).ask(self.post(&message))
    }

    /// Sends a message, or several at once, and waits for what is answered.
    #[track_caller]
    pub(crate) fn says(&self, message: &Value) -> Reply {
        Client::connect(self.address).ask(self.post(message))
    }

    fn post(&self, message: &Value) -> String {
        let headers = format!(
            "Mcp-Session-Id: {}\r\nMCP-Protocol-Version: {}\r\n",
            self.session, self.revision
        );
        post(self.address, "/mcp", &headers, &message.to_string())
    }
}
