//! Exchanges over a socket, byte by byte as the test wants them.
//!
//! Owns sending any bytes at all and reading replies. No HTTP library, since these tests also send
//! what no library would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

use crate::PATIENCE;

/// A reply, taken apart.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body, chunks joined.
    pub body: String,
}

impl Reply {
    /// The message in the body: the body itself, or the last event of a stream.
    #[track_caller]
    pub fn message(&self) -> Value {
        let mut events = self.body.lines().filter_map(|it| it.strip_prefix("data:"));
        let text = events.next_back().unwrap_or(&self.body);
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in the reply {self:#?}"))
    }

    /// The gateway's own code in an error reply; empty if there is none.
    #[track_caller]
    pub fn code(&self) -> String {
        let message = self.message();
        let code = message.pointer("/error/data/code").and_then(Value::as_str);
        code.unwrap_or_default().to_owned()
    }

    /// The JSON-RPC code of an error reply.
    #[track_caller]
    pub fn rpc_code(&self) -> Option<i64> {
        let message = self.message();
        message.pointer("/error/code").and_then(Value::as_i64)
    }
}

/// A connection that is kept for several requests.
pub struct Client {
    stream: BufReader<Patient>,
}

/// A connection that is read up to a deadline, since a peer that never stops sending is as late as
/// one that never begins.
struct Patient {
    stream: TcpStream,
    deadline: Instant,
}

impl Patient {
    fn new(stream: TcpStream) -> Self {
        let deadline = Instant::now() + PATIENCE;
        Self { stream, deadline }
    }

    /// Something else is awaited from now on.
    fn renew(&mut self) {
        self.deadline = Instant::now() + PATIENCE;
    }
}

impl Read for Patient {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        if Instant::now() >= self.deadline {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.stream.read(bytes)
    }
}

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self {
            stream: BufReader::new(Patient::new(connect(address))),
        }
    }

    /// Sends bytes. A peer that has closed already is noticed by whoever reads.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _closed = self.stream.get_mut().stream.write_all(bytes.as_ref());
    }

    /// The client's machine is gone: nothing more arrives, and nobody is told.
    #[track_caller]
    pub fn vanish(&self) {
        crate::vanish(&self.stream.get_ref().stream);
    }

    /// The next reply; nothing if the other side has closed instead.
    #[track_caller]
    pub fn reply(&mut self) -> Option<Reply> {
        let head = self.head()?;
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        let body = self.body(&head.to_ascii_lowercase());
        Some(Reply {
            status: status.expect("a reply has a status"),
            body: String::from_utf8_lossy(&body).into_owned(),
            head,
        })
    }

    /// The head of the next reply, as it came, for those who read the body themselves; nothing if the other
    /// side has closed instead.
    #[track_caller]
    pub fn head(&mut self) -> Option<String> {
        self.stream.get_mut().renew();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            match self.stream.read_line(&mut head) {
                Ok(0) if head.is_empty() => return None,
                Ok(1..) => {}
                end => panic!("the head ended early ({end:?}): {head}"),
            }
        }
        Some(head)
    }

    /// The next chunk of a body; nothing at its proper end.
    #[track_caller]
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().renew();
        self.next_chunk()
    }

    /// Sends and waits for the reply.
    #[track_caller]
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Reply {
        self.send(bytes);
        self.reply().expect("there is a reply")
    }

    /// The next so many bytes, whatever they mean.
    #[track_caller]
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        self.stream.get_mut().renew();
        self.exactly(length)
    }

    /// Whether the other side has closed the connection, or does within the deadline.
    pub fn is_closed(&mut self) -> bool {
        self.stream.get_mut().renew();
        let mut rest = Vec::new();
        // A reset is an end as well; waiting in vain is none.
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    fn body(&mut self, head: &str) -> Vec<u8> {
        if head.contains("transfer-encoding: chunked") {
            return self.chunks();
        }
        let (_, length) = head.split_once("content-length: ").unwrap_or_default();
        let length = length.split('\r').next().unwrap_or_default().parse();
        self.exactly(length.unwrap_or(0))
    }

    fn chunks(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.next_chunk()).flatten().collect()
    }

    #[track_caller]
    fn next_chunk(&mut self) -> Option<Vec<u8>> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        read.expect("a chunk has a size");
        let size = usize::from_str_radix(line.trim(), 16).expect("the size is a number");
        let chunk = self.exactly(size);
        self.exactly(2);
        (size > 0).then_some(chunk)
    }

    fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        let read = self.stream.read_exact(&mut bytes);
        read.expect("the body is complete");
        bytes
    }
}

/// A `tools/call` of 2026-07-28.
pub fn call_message(tool: &str, arguments: &Value) -> Value {
    json!({
        "jsonrpc": "2.0",
        "id": "test",
        "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": arguments,
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    })
}

/// A POST with a JSON body, and these further header lines.
pub fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends one request and reads until the other side closes.
#[track_caller]
pub fn exchange(address: SocketAddr, request: &str) -> String {
    let mut reply = String::new();
    let read = Patient::new(send(address, request)).read_to_string(&mut reply);
    read.expect("the reply is text and ends");
    reply
}

/// Sends a request, and gives the connection.
#[track_caller]
pub(crate) fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = connect(address);
    let written = stream.write_all(request.as_bytes());
    written.expect("the request can be sent");
    stream
}

#[track_caller]
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the gateway accepts");
    let set = stream.set_read_timeout(Some(PATIENCE));
    set.expect("a socket has a timeout");
    let set = stream.set_write_timeout(Some(PATIENCE));
    set.expect("a socket has a timeout");
    stream
}
