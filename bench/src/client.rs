//! One keep-alive client: sends requests as a modern MCP client would and waits for each reply.
//!
//! Owns: the bytes of a request, with every header that 2026-07-28 asks for, and the connection.
//! A call's bytes are built once; only the digits of its id change. Reading is in `reply`.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::reply::{ReplyReader, answers};

/// Ids have a fixed number of digits, so that the length of a request never changes.
const FIRST_ID: u64 = 100_000_000;
/// Each client counts within a range of its own.
const IDS_PER_CLIENT: u64 = 10_000_000;

/// What a call asks of the echo upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of text in the reply.
    pub(crate) text_bytes: usize,
    /// How the upstream answers.
    pub(crate) form: Form,
}

/// How the upstream answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    EventStream,
}

/// A connection and the call that it repeats.
pub(crate) struct Client {
    stream: TcpStream,
    reader: ReplyReader,
    request: Vec<u8>,
    id_at: usize,
    next_id: u64,
    text_bytes: usize,
}

impl Client {
    /// `number` tells the clients of a run apart; at most 89 keep their ids apart.
    pub(crate) async fn connect(
        address: SocketAddr,
        shape: Shape,
        number: u64,
    ) -> Result<Self, Failure> {
        let stream = dial(address).await?;
        let stream_member = match shape.form {
            Form::Json => "",
            Form::EventStream => r#","stream":true"#,
        };
        let arguments = format!(r#"{{"bytes":{}{stream_member}}}"#, shape.text_bytes);
        let params = format!(r#""name":"echo","arguments":{arguments},{META}"#);
        let request = post(address, FIRST_ID, "tools/call", Some("echo"), &params);
        let id_at = find_id(&request).ok_or_else(|| Failure::new("a request has no id"))?;
        Ok(Self {
            stream,
            reader: ReplyReader::default(),
            request,
            id_at,
            next_id: FIRST_ID + number * IDS_PER_CLIENT,
            text_bytes: shape.text_bytes,
        })
    }

    /// One call and its verified reply.
    pub(crate) async fn call(&mut self) -> Result<(), Failure> {
        let id = self.next_id.to_string();
        self.next_id += 1;
        let digits = self.request.get_mut(self.id_at..self.id_at + id.len());
        let digits = digits.ok_or_else(|| Failure::new("the ids of a client are used up"))?;
        digits.copy_from_slice(id.as_bytes());
        let sent = self.stream.write_all(&self.request).await;
        sent.map_err(|error| Failure::at("send a call", &error))?;
        let (status, body) = self.reader.read(&mut self.stream).await?;
        if status == 200 && answers(body, id.as_bytes(), self.text_bytes) {
            return Ok(());
        }
        let start = body.get(..body.len().min(400)).unwrap_or_default();
        let start = String::from_utf8_lossy(start);
        Err(Failure::new(format!(
            "the reply to call {id} is wrong: status {status}, {start}"
        )))
    }
}

/// Asks once for the tools, on a connection of its own. `Ok(true)` if the echo tool is listed.
pub(crate) async fn lists_echo(address: SocketAddr) -> Result<bool, Failure> {
    let mut stream = dial(address).await?;
    let request = post(address, FIRST_ID, "tools/list", None, META);
    let sent = stream.write_all(&request).await;
    sent.map_err(|error| Failure::at("send tools/list", &error))?;
    let mut reader = ReplyReader::default();
    let (status, body) = reader.read(&mut stream).await?;
    let listed = body.windows(13).any(|window| window == br#""name":"echo""#);
    Ok(status == 200 && listed)
}

async fn dial(address: SocketAddr) -> Result<TcpStream, Failure> {
    let connected = TcpStream::connect(address).await;
    let stream = connected.map_err(|error| Failure::at("connect", &error))?;
    let undelayed = stream.set_nodelay(true);
    undelayed.map_err(|error| Failure::at("set TCP_NODELAY", &error))?;
    Ok(stream)
}

const META: &str = concat!(
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"mcpc-bench","version":"1.0.0"},"#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}"#
);

fn post(address: SocketAddr, id: u64, method: &str, name: Option<&str>, params: &str) -> Vec<u8> {
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#);
    let name = name.map_or(String::new(), |name| format!("mcp-name: {name}\r\n"));
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nuser-agent: mcpc-bench\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{name}content-length: {}\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}

fn find_id(request: &[u8]) -> Option<usize> {
    let member = br#""id":"#;
    let found = request
        .windows(member.len())
        .position(|window| window == member)?;
    Some(found + member.len())
}
