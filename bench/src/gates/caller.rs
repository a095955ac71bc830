//! A client that calls tools of its choice, with a session or without.
//!
//! Owns one connection and what is sent on it. How a request looks is `client`'s, how a reply is read
//! `reply`'s.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::client::{META, REVISION, dial, initialize, modern_headers, post, request};
use crate::failure::Failure;
use crate::reply::ReplyReader;

/// See the file's header.
pub(super) struct Caller {
    address: SocketAddr,
    stream: TcpStream,
    reader: ReplyReader,
    /// The headers of its session; a client of 2026-07-28 has none.
    session: Option<String>,
    next_id: u64,
}

impl Caller {
    /// A client of 2026-07-28.
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            address,
            stream: dial(address).await?,
            reader: ReplyReader::default(),
            session: None,
            next_id: 1,
        })
    }

    /// A client of 2025-11-25 in a session of its own.
    pub(super) async fn greet(address: SocketAddr) -> Result<Self, Failure> {
        let mut caller = Self::connect(address).await?;
        let session = initialize(address, REVISION, &mut caller.stream, &mut caller.reader).await?;
        caller.session = Some(session);
        Ok(caller)
    }

    /// Opens the stream of its session, and waits until there is one.
    pub(super) async fn listen(&mut self) -> Result<(), Failure> {
        let (address, session) = (self.address, self.session.as_deref().unwrap_or_default());
        let message = format!(
            "GET /mcp HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n{session}\r\n"
        );
        self.write(message.as_bytes()).await?;
        let begun = self.take(16).await?;
        if begun.starts_with(b"HTTP/1.1 200") {
            return Ok(());
        }
        Err(Failure::new("a stream was refused"))
    }

    /// Sends a call. Gives its id.
    pub(super) async fn send(&mut self, tool: &str, arguments: &str) -> Result<u64, Failure> {
        let id = self.next_id;
        self.next_id += 1;
        let (headers, meta) = self.session.as_ref().map_or_else(
            || (modern_headers("tools/call", Some(tool)), format!(",{META}")),
            |session| (session.clone(), String::new()),
        );
        let params = format!(r#""name":"{tool}","arguments":{arguments}{meta}"#);
        let message = post(self.address, &headers, &request(id, "tools/call", &params));
        self.write(&message).await?;
        Ok(id)
    }

    /// The next reply, whatever its status.
    pub(super) async fn reply(&mut self) -> Result<String, Failure> {
        let (_, body) = self.reader.read(&mut self.stream).await?;
        Ok(String::from_utf8_lossy(body).into_owned())
    }

    /// Whether nothing at all has come since the last reply.
    pub(super) fn has_read_nothing(&self) -> bool {
        self.reader.is_empty()
    }

    /// Calls a tool that gives back this mark, and holds it to that.
    pub(super) async fn echo(&mut self, tool: &str, mark: u64) -> Result<(), Failure> {
        let id = self.send(tool, &marked(mark, "")).await?;
        let reply = self.reply().await?;
        if is_echo(&reply, id, mark) {
            return Ok(());
        }
        Err(Failure::new(format!("the reply is wrong: {reply}")))
    }

    /// So many bytes, whatever they mean.
    pub(super) async fn take(&mut self, bytes: usize) -> Result<Vec<u8>, Failure> {
        let mut taken = vec![0; bytes];
        let read = tokio::io::AsyncReadExt::read_exact(&mut self.stream, &mut taken).await;
        read.map_err(|error| Failure::at("read a stream", &error))?;
        Ok(taken)
    }

    /// Leaves without a word: what has not been read is thrown away, and the other side is told so.
    pub(super) fn vanish(self) -> Result<(), Failure> {
        let set = self.stream.set_zero_linger();
        set.map_err(|error| Failure::at("leave without a word", &error))
    }

    async fn write(&mut self, message: &[u8]) -> Result<(), Failure> {
        let sent = self.stream.write_all(message).await;
        sent.map_err(|error| Failure::at("send a request", &error))
    }
}

/// The arguments of a call that gives back a mark, and more of them.
pub(super) fn marked(mark: u64, more: &str) -> String {
    format!(r#"{{"mark":"mark {mark}"{more}}}"#)
}

/// Whether a reply is the answer to this call.
pub(super) fn is_echo(reply: &str, id: u64, mark: u64) -> bool {
    let named = format!(r#""id":{id}"#);
    let is_named = reply
        .split_once(&named)
        .is_some_and(|(_, rest)| rest.starts_with([',', '}']));
    is_named && reply.contains(&format!(r#""text":"mark {mark}""#))
}
