//! One keep-alive client: sends requests as an MCP client of either era would and waits for replies.
//!
//! Owns: the bytes of a request, with every header that its revision asks for, the connection and,
//! in the legacy era, the session. A call's bytes are built once; only the digits of its id
//! change. Reading is in `reply`.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::failure::Failure;
use crate::reply::{ReplyReader, answers};
use crate::upstream::Era;

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
    /// What the client speaks.
    pub(crate) era: Era,
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
        let mut stream = dial(address).await?;
        let mut reader = ReplyReader::default();
        let headers = match shape.era {
            Era::Modern => modern_headers("tools/call", Some("echo")),
            Era::Legacy => initialize(address, REVISION, &mut stream, &mut reader).await?,
        };
        let stream_member = match shape.form {
            Form::Json => "",
            Form::EventStream => r#","stream":true"#,
        };
        let arguments = format!(r#"{{"bytes":{}{stream_member}}}"#, shape.text_bytes);
        let meta = match shape.era {
            Era::Modern => format!(",{META}"),
            Era::Legacy => String::new(),
        };
        let params = format!(r#""name":"echo","arguments":{arguments}{meta}"#);
        let message = request(FIRST_ID, "tools/call", &params);
        let request = post(address, &headers, &message);
        let id_at = find_id(&request).ok_or_else(|| Failure::new("a request has no id"))?;
        Ok(Self {
            stream,
            reader,
            request,
            id_at,
            next_id: FIRST_ID + number * IDS_PER_CLIENT,
            text_bytes: shape.text_bytes,
        })
    }

    /// One call and its verified reply.
    pub(crate) async fn call(&mut self) -> Result<(), Failure> {
        self.attempt().await.map_err(|miss| match miss {
            Miss::Cut(failure) | Miss::Wrong(failure) => failure,
        })
    }

    /// One call and its verified reply, for those who go on after a miss.
    pub(crate) async fn attempt(&mut self) -> Result<(), Miss> {
        let id = self.next_id.to_string();
        self.next_id += 1;
        let digits = self.request.get_mut(self.id_at..self.id_at + id.len());
        let used_up = || Miss::Wrong(Failure::new("the ids of a client are used up"));
        digits.ok_or_else(used_up)?.copy_from_slice(id.as_bytes());
        let exchanged = exchange(&mut self.stream, &mut self.reader, &self.request).await;
        let (status, body) = exchanged.map_err(Miss::Cut)?;
        if status == 200 && answers(body, id.as_bytes(), self.text_bytes) {
            return Ok(());
        }
        let start = body.get(..body.len().min(400)).unwrap_or_default();
        let start = String::from_utf8_lossy(start);
        Err(Miss::Wrong(Failure::new(format!(
            "the reply to call {id} is wrong: status {status}, {start}"
        ))))
    }
}

/// How a call went without its reply.
pub(crate) enum Miss {
    /// The connection ended, or what came over it could not be read.
    Cut(Failure),
    /// A whole reply came, but not the one that was due.
    Wrong(Failure),
}

/// Asks once for the tools, on a connection of its own. `Ok(true)` if this tool is listed.
pub(crate) async fn lists_tool(address: SocketAddr, era: Era, tool: &str) -> Result<bool, Failure> {
    let mut stream = dial(address).await?;
    let mut reader = ReplyReader::default();
    let (headers, params) = match era {
        Era::Modern => (modern_headers("tools/list", None), META),
        Era::Legacy => (
            initialize(address, REVISION, &mut stream, &mut reader).await?,
            "",
        ),
    };
    let message = post(address, &headers, &request(FIRST_ID, "tools/list", params));
    let (status, body) = exchange(&mut stream, &mut reader, &message).await?;
    let named = format!(r#""name":"{tool}""#);
    let mut windows = body.windows(named.len());
    let listed = windows.any(|window| window == named.as_bytes());
    Ok(status == 200 && listed)
}

/// Fetches a document of the admin listener, on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<(u16, Vec<u8>), Failure> {
    let mut stream = dial(address).await?;
    let mut reader = ReplyReader::default();
    let message = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let (status, body) = exchange(&mut stream, &mut reader, message.as_bytes()).await?;
    Ok((status, body.to_vec()))
}

pub(crate) async fn dial(address: SocketAddr) -> Result<TcpStream, Failure> {
    let connected = TcpStream::connect(address).await;
    let stream = connected.map_err(|error| Failure::at("connect", &error))?;
    let undelayed = stream.set_nodelay(true);
    undelayed.map_err(|error| Failure::at("set TCP_NODELAY", &error))?;
    Ok(stream)
}

pub(crate) const META: &str = concat!(
    r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientInfo":{"name":"mcpc-bench","version":"1.0.0"},"#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}"#
);

/// The last revision with sessions.
pub(crate) const REVISION: &str = "2025-11-25";

/// Opens a session and returns the headers that each of its requests carries.
pub(crate) async fn initialize(
    address: SocketAddr,
    revision: &str,
    stream: &mut TcpStream,
    reader: &mut ReplyReader,
) -> Result<String, Failure> {
    let params = format!(
        r#""protocolVersion":"{revision}","capabilities":{{}},"clientInfo":{{"name":"mcpc-bench","version":"1.0.0"}}"#
    );
    let opening = post(address, "", &request(FIRST_ID, "initialize", &params));
    let (status, _) = exchange(stream, reader, &opening).await?;
    let session = reader.session().filter(|_| status == 200);
    let session = session.ok_or_else(|| Failure::new("initialize opened no session"))?;
    let headers = format!("mcp-session-id: {session}\r\nmcp-protocol-version: {revision}\r\n");
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let initialized = post(address, &headers, initialized);
    match exchange(stream, reader, &initialized).await? {
        (202, _) => Ok(headers),
        (status, _) => Err(Failure::new(format!(
            "notifications/initialized was answered with status {status}"
        ))),
    }
}

pub(crate) async fn exchange<'a>(
    stream: &mut TcpStream,
    reader: &'a mut ReplyReader,
    message: &[u8],
) -> Result<(u16, &'a [u8]), Failure> {
    let sent = stream.write_all(message).await;
    sent.map_err(|error| Failure::at("send a request", &error))?;
    reader.read(stream).await
}

pub(crate) fn modern_headers(method: &str, name: Option<&str>) -> String {
    let name = name.map_or(String::new(), |name| format!("mcp-name: {name}\r\n"));
    format!("mcp-protocol-version: 2026-07-28\r\nmcp-method: {method}\r\n{name}")
}

pub(crate) fn request(id: u64, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#)
}

pub(crate) fn post(address: SocketAddr, headers: &str, message: &str) -> Vec<u8> {
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {address}\r\nuser-agent: mcpc-bench\r\n\
         content-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         {headers}content-length: {}\r\n\r\n",
        message.len()
    );
    [head.as_str(), message].concat().into_bytes()
}

fn find_id(request: &[u8]) -> Option<usize> {
    let member = br#""id":"#;
    let found = request
        .windows(member.len())
        .position(|window| window == member)?;
    Some(found + member.len())
}
