//! Reads one HTTP/1.1 reply and proves that it answers the call.
//!
//! Owns: the head, announced and chunked bodies, and the check of id and size. It is written by
//! hand to be cheap, because it shares two cores with what it measures, and it is strict: a reply
//! that it does not understand stops the run. Does not send anything: see `client`.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::failure::Failure;

/// The largest head and the largest body that a reply may have.
const HEAD_BYTES_LIMIT: usize = 16 << 10;
const BODY_BYTES_LIMIT: usize = 8 << 20;
/// How far into a body the members before the text may reach.
const ENVELOPE_BYTES_LIMIT: usize = 512;

/// The buffers of one connection, used again for each reply.
#[derive(Default)]
pub(crate) struct ReplyReader {
    incoming: Vec<u8>,
    joined: Vec<u8>,
    session: Option<String>,
}

/// Where the body is and what the head said.
struct Head {
    status: u16,
    bytes: usize,
    length: Option<usize>,
    chunked: bool,
    session: Option<String>,
}

impl ReplyReader {
    /// The session id of the last reply that carried one.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether no byte of the last reply has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.incoming.is_empty()
    }

    /// Reads one reply to its last byte and returns its status and body.
    pub(crate) async fn read(&mut self, stream: &mut TcpStream) -> Result<(u16, &[u8]), Failure> {
        self.incoming.clear();
        let mut head = self.read_head(stream).await?;
        if let Some(session) = head.session.take() {
            self.session = Some(session);
        }
        if head.chunked {
            self.read_chunks(stream, head.bytes).await?;
            return Ok((head.status, &self.joined));
        }
        let length = head.length.unwrap_or(0);
        if length > BODY_BYTES_LIMIT {
            return Err(Failure::new(
                "a reply is larger than any that was asked for",
            ));
        }
        let total = head.bytes + length;
        self.incoming
            .reserve(total.saturating_sub(self.incoming.len()));
        while self.incoming.len() < total {
            self.read_more(stream).await?;
        }
        match self.incoming.get(head.bytes..) {
            Some(body) if body.len() == length => Ok((head.status, body)),
            _ => Err(Failure::new("a reply has bytes after its end")),
        }
    }

    async fn read_head(&mut self, stream: &mut TcpStream) -> Result<Head, Failure> {
        loop {
            self.incoming.reserve(4096);
            self.read_more(stream).await?;
            let searched = self.incoming.len().min(HEAD_BYTES_LIMIT);
            let searched = self.incoming.get(..searched).unwrap_or_default();
            if let Some(end) = find(searched, b"\r\n\r\n") {
                let head = searched.get(..end).unwrap_or_default();
                return parse_head(head)
                    .ok_or_else(|| Failure::new("a reply has a head that makes no sense"));
            }
            if searched.len() == HEAD_BYTES_LIMIT {
                return Err(Failure::new("a reply has too large a head"));
            }
        }
    }

    /// Joins the chunks; `at` is where the first one starts.
    async fn read_chunks(&mut self, stream: &mut TcpStream, mut at: usize) -> Result<(), Failure> {
        self.joined.clear();
        loop {
            match take_chunk(&self.incoming, at, &mut self.joined) {
                Chunk::Taken(after) => at = after,
                Chunk::Last(after) if after == self.incoming.len() => return Ok(()),
                Chunk::Last(_) => return Err(Failure::new("a reply has bytes after its end")),
                Chunk::Broken => return Err(Failure::new("a reply has a broken chunk")),
                Chunk::Needs(bytes) => {
                    self.incoming.reserve(bytes.max(16 << 10));
                    self.read_more(stream).await?;
                }
            }
        }
    }

    async fn read_more(&mut self, stream: &mut TcpStream) -> Result<(), Failure> {
        match stream.read_buf(&mut self.incoming).await {
            Ok(0) => Err(Failure::new("the connection was closed before the reply")),
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::at("read a reply", &error)),
        }
    }
}

/// What is at a place where a chunk should start.
enum Chunk {
    /// A whole one, now joined; the next starts here.
    Taken(usize),
    /// The empty one; the reply ends here.
    Last(usize),
    /// The start of one; so many bytes are missing at least.
    Needs(usize),
    Broken,
}

fn take_chunk(incoming: &[u8], at: usize, joined: &mut Vec<u8>) -> Chunk {
    /// Sizes are short: the clients of this program ask for no extensions.
    const SIZE_LINE_LIMIT: usize = 64;
    let rest = incoming.get(at..).unwrap_or_default();
    let searched = rest.get(..SIZE_LINE_LIMIT).unwrap_or(rest);
    let Some(line) = find(searched, b"\r\n") else {
        let broken = searched.len() == SIZE_LINE_LIMIT;
        return if broken {
            Chunk::Broken
        } else {
            Chunk::Needs(1)
        };
    };
    let digits = std::str::from_utf8(rest.get(..line).unwrap_or_default());
    let size = digits.map_or(None, |digits| usize::from_str_radix(digits, 16).ok());
    let room = BODY_BYTES_LIMIT - joined.len().min(BODY_BYTES_LIMIT);
    let Some(size) = size.filter(|&size| size <= room) else {
        return Chunk::Broken;
    };
    let (start, end) = (line + 2, line + 2 + size);
    match (rest.get(start..end), rest.get(end..end + 2)) {
        (Some(_), Some(b"\r\n")) if size == 0 => Chunk::Last(at + end + 2),
        (Some(bytes), Some(b"\r\n")) => {
            joined.extend_from_slice(bytes);
            Chunk::Taken(at + end + 2)
        }
        (_, Some(_)) => Chunk::Broken,
        (_, None) => Chunk::Needs(end + 2 - rest.len()),
    }
}

fn parse_head(head: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let mut parsed = Head {
        status: status.parse().ok()?,
        bytes: head.len() + 4,
        length: None,
        chunked: false,
        session: None,
    };
    for line in lines {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") {
            parsed.length = Some(value.trim().parse().ok()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            parsed.chunked = value.trim().eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("mcp-session-id") {
            parsed.session = Some(value.trim().to_owned());
        }
    }
    Some(parsed)
}

/// Whether a body is the echo of the call: its id, and a text of exactly so many bytes.
pub(crate) fn answers(body: &[u8], id: &[u8], text_bytes: usize) -> bool {
    let envelope = body.get(..body.len().min(ENVELOPE_BYTES_LIMIT));
    let envelope = envelope.unwrap_or_default();
    // The id may stand before or after the result; nothing fixes the order of members.
    let tail = body.len().saturating_sub(ENVELOPE_BYTES_LIMIT);
    let tail = body.get(tail..).unwrap_or_default();
    let identified = [envelope, tail].into_iter().any(|part| has_id(part, id));
    let Some(start) = find(envelope, br#""text":""#) else {
        return false;
    };
    let text = body.get(start + 8..).unwrap_or_default();
    let closed = text.get(text_bytes) == Some(&b'"');
    let ends = [text.first(), text.get(text_bytes.wrapping_sub(1))];
    identified && closed && ends.into_iter().all(|end| end == Some(&b'x'))
}

fn has_id(part: &[u8], id: &[u8]) -> bool {
    let Some(at) = find(part, br#""id":"#) else {
        return false;
    };
    let value = part.get(at + 5..).unwrap_or_default();
    match value.strip_prefix(id) {
        Some(after) => matches!(after.first(), Some(b',' | b'}')),
        None => false,
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len())
        .position(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::{Chunk, answers, parse_head, take_chunk};

    const ECHO: &[u8] = br#"{"jsonrpc":"2.0","id":123,"result":{"content":[{"text":"xxx"}]}}"#;

    #[test]
    fn only_the_echo_of_the_same_id_and_size_answers() {
        assert!(answers(ECHO, b"123", 3));
        assert!(!answers(ECHO, b"12", 3));
        assert!(!answers(ECHO, b"124", 3));
        assert!(!answers(ECHO, b"123", 2));
        assert!(!answers(ECHO, b"123", 4));
        let error = br#"{"jsonrpc":"2.0","id":123,"error":{"code":-32603,"message":""}}"#;
        assert!(!answers(error, b"123", 3));
        let id_last = br#"{"result":{"content":[{"text":"xxx"}]},"jsonrpc":"2.0","id":123}"#;
        assert!(answers(id_last, b"123", 3));
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let sent = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        for first in 0..sent.len() {
            let mut joined = Vec::new();
            let (mut at, mut seen) = (0, first);
            loop {
                match take_chunk(sent.get(..seen).unwrap_or(sent), at, &mut joined) {
                    Chunk::Taken(after) => at = after,
                    Chunk::Needs(bytes) => {
                        assert!(bytes > 0 && seen < sent.len(), "waits for bytes at the end");
                        seen += 1;
                    }
                    Chunk::Last(after) => {
                        assert_eq!(after, sent.len());
                        break;
                    }
                    Chunk::Broken => unreachable!("the chunks are well formed"),
                }
            }
            assert_eq!(joined, b"abcde");
        }
    }

    #[test]
    fn broken_chunks_are_noticed() {
        for broken in ["x\r\nabc\r\n", "2\r\nabc\r\n", "ffffffffffffffff\r\n"] {
            let taken = take_chunk(broken.as_bytes(), 0, &mut Vec::new());
            assert!(matches!(taken, Chunk::Broken), "{broken:?}");
        }
    }

    #[test]
    fn the_head_tells_the_status_and_the_framing() {
        let head = parse_head(b"HTTP/1.1 200 OK\r\ncontent-length: 17");
        assert!(head.is_some_and(|head| head.status == 200 && head.length == Some(17)));
        let head = parse_head(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked");
        assert!(head.is_some_and(|head| head.status == 404 && head.chunked));
        assert!(parse_head(b"HTTP/1.0 200 OK").is_none());
    }
}
