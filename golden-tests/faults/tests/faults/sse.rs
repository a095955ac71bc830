//! A client of 2024-11-05 over HTTP: one stream on which everything comes, and POSTs that only bring messages.
//!
//! Owns the requests of such a client and the reading of its stream. Each message goes on a connection of its
//! own.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use mcpc_process::{Client, Reply, post};
use serde_json::{Value, json};

/// A client and its stream.
pub(crate) struct SseCaller {
    address: SocketAddr,
    stream: Client,
    /// What has come and is no whole event yet.
    read: String,
    /// Where its messages go: a path with a parameter.
    place: String,
}

impl SseCaller {
    /// Opens a stream.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::open_at(address, "/mcp")
    }

    /// The same on another endpoint.
    #[track_caller]
    pub(crate) fn open_at(address: SocketAddr, path: &str) -> Self {
        let mut stream = Client::connect(address);
        stream.send(format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
        ));
        let head = stream.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut caller = Self {
            address,
            stream,
            read: String::new(),
            place: String::new(),
        };
        let event = caller.event().unwrap();
        let place = event.strip_prefix("event: endpoint\ndata: ");
        place.unwrap().clone_into(&mut caller.place);
        caller
    }

    /// Opens a stream and greets.
    #[track_caller]
    pub(crate) fn greet(address: SocketAddr) -> Self {
        let mut caller = Self::open(address);
        let params = json!({
            "protocolVersion": "2024-11-05",
            "capabilities": {},
            "clientInfo": { "name": "test", "version": "1" },
        });
        caller.asks(0, "initialize", &params);
        assert_eq!(caller.answer(0)["result"]["protocolVersion"], "2024-11-05");
        let told = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        assert_eq!(caller.says(&told).status, 202);
        caller
    }

    /// Where its messages go.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Sends a message, and gives what the POST is answered with.
    #[track_caller]
    pub(crate) fn says(&self, message: &Value) -> Reply {
        says_at(self.address, &self.place, message)
    }

    /// Begins a call. Its answer will come on the stream.
    #[track_caller]
    pub(crate) fn begin(&self, id: u64, tool: &str, arguments: &Value) {
        let params = json!({ "name": tool, "arguments": arguments });
        self.asks(id, "tools/call", &params);
    }

    /// Calls a tool and gives the answer.
    #[track_caller]
    pub(crate) fn call(&mut self, id: u64, tool: &str, arguments: &Value) -> Value {
        self.begin(id, tool, arguments);
        self.answer(id)
    }

    /// Holds a tool to giving back a text that only this call has sent.
    #[track_caller]
    pub(crate) fn echoes(&mut self, id: u64, tool: &str) {
        let arguments = json!({ "mark": format!("{} {id}", self.place) });
        let answer = self.call(id, tool, &arguments);
        let text = &answer["result"]["content"][0]["text"];
        assert_eq!(text, &arguments.to_string(), "{answer}");
    }

    /// The answer to a request, past whatever comes before it.
    #[track_caller]
    pub(crate) fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.message();
            if answered(&message) == Some(id) {
                return message;
            }
        }
    }

    /// Reads until each of these requests is answered, in whatever order.
    #[track_caller]
    pub(crate) fn answers(&mut self, mut open: BTreeSet<u64>) {
        while !open.is_empty() {
            let message = self.message();
            let Some(id) = answered(&message) else {
                continue;
            };
            assert!(open.remove(&id), "nobody waits for this: {message}");
        }
    }

    /// So many bytes of the stream, whatever they mean.
    #[track_caller]
    pub(crate) fn take(&mut self, bytes: usize) {
        self.stream.take(bytes);
    }

    /// Reads the stream to its proper end.
    #[track_caller]
    pub(crate) fn ends(mut self) {
        while self.event().is_some() {}
    }

    /// Whether the connection of the stream ends, without the stream having ended.
    pub(crate) fn was_cut(mut self) -> bool {
        self.stream.is_closed()
    }

    #[track_caller]
    fn asks(&self, id: u64, method: &str, params: &Value) {
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let reply = self.says(&message);
        assert_eq!(reply.status, 202, "{reply:?}");
    }

    #[track_caller]
    fn message(&mut self) -> Value {
        let event = self.event().unwrap();
        let mut lines = event.lines();
        let data = lines.find_map(|line| line.strip_prefix("data: "));
        serde_json::from_str(data.unwrap()).unwrap()
    }

    /// The next event; nothing at the proper end of the stream.
    #[track_caller]
    fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.read.split_once("\n\n") {
                let event = event.to_owned();
                self.read = rest.to_owned();
                if !event.starts_with(':') {
                    return Some(event);
                }
            } else {
                let chunk = String::from_utf8(self.stream.chunk()?).unwrap();
                self.read.push_str(&chunk);
            }
        }
    }
}

/// Which request a message answers.
fn answered(message: &Value) -> Option<u64> {
    let is_question = message.get("method").is_some();
    message.get("id")?.as_u64().filter(|_| !is_question)
}

/// Sends a message to an address for messages, whosever it is.
#[track_caller]
pub(crate) fn says_at(address: SocketAddr, place: &str, message: &Value) -> Reply {
    Client::connect(address).ask(post(address, place, "", &message.to_string()))
}
