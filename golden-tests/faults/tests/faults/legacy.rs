//! A client of 2025-11-25: it greets once, and all that it asks belongs to its session.
//!
//! Owns the requests of such a client, each on a connection of its own choice.

use std::net::SocketAddr;

use mcpc_process::{Client, Reply, post};
use serde_json::{Value, json};

/// A client and its session.
#[derive(Clone)]
pub(crate) struct LegacyCaller {
    address: SocketAddr,
    session: String,
}

impl LegacyCaller {
    /// Greets a gateway.
    #[track_caller]
    pub(crate) fn greet(address: SocketAddr) -> Self {
        let params = json!({
            "protocolVersion": "2025-11-25",
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
            session: session.unwrap().to_owned(),
        };
        let reply = caller.notify("notifications/initialized", &json!({}));
        assert_eq!(reply.status, 202, "{reply:?}");
        caller
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

    /// Tells the gateway something.
    #[track_caller]
    pub(crate) fn notify(&self, method: &str, params: &Value) -> Reply {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        Client::connect(self.address).ask(self.post(&message))
    }

    fn post(&self, message: &Value) -> String {
        let headers = format!(
            "Mcp-Session-Id: {}\r\nMCP-Protocol-Version: 2025-11-25\r\n",
            self.session
        );
        post(self.address, "/mcp", &headers, &message.to_string())
    }
}
