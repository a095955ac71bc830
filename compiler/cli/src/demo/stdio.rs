//! One message per line: reads standard input, writes standard output.
//!
//! Owns framing and its bound. What a message means is `session.rs`.

use std::io::{self, BufRead, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::Demo;
use super::rpc::{self, RpcError};
use super::session::Session;

/// The longest line that is read. A longer one is answered with an error and skipped.
const LINE_BYTES_LIMIT: u64 = 4 << 20;

/// Where answers and notifications go; shared by the threads of slow calls.
#[derive(Clone)]
pub(super) struct Outbox {
    sink: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl Outbox {
    pub(super) fn new(sink: impl Write + Send + 'static) -> Self {
        Self {
            sink: Arc::new(Mutex::new(Box::new(sink))),
        }
    }

    /// Writes one message as one line. A client that has gone away is noticed when input ends, so
    /// a failed write needs no answer of its own.
    pub(super) fn send(&self, message: &Value) {
        let mut line = message.to_string();
        line.push('\n');
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let _gone = sink.write_all(line.as_bytes()).and_then(|()| sink.flush());
    }
}

/// Serves one client until input ends. Calls that still run then are dropped with the process.
pub(super) fn serve(demo: impl Demo) -> io::Result<()> {
    let outbox = Outbox::new(io::stdout());
    let session = Session::new(demo, outbox.clone());
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    loop {
        match read_line(&mut input, &mut line)? {
            Line::End => return Ok(()),
            Line::Whole if line.trim_ascii().is_empty() => {}
            Line::Whole => session.receive(&line),
            Line::TooLong => outbox.send(&rpc::failure(
                None,
                RpcError::new(rpc::INVALID_REQUEST, "the line is longer than 4 MiB"),
            )),
        }
    }
}

enum Line {
    Whole,
    TooLong,
    End,
}

fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    let read = input
        .by_ref()
        .take(LINE_BYTES_LIMIT)
        .read_until(b'\n', line)?;
    if read == 0 {
        return Ok(Line::End);
    }
    if line.ends_with(b"\n") || (read as u64) < LINE_BYTES_LIMIT {
        return Ok(Line::Whole);
    }
    line.clear();
    skip_line(input)?;
    Ok(Line::TooLong)
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffered = input.fill_buf()?;
        let (length, ends) = match buffered.iter().position(|byte| *byte == b'\n') {
            Some(index) => (index + 1, true),
            None => (buffered.len(), buffered.is_empty()),
        };
        input.consume(length);
        if ends {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

    use super::*;

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_one_is_read() {
        let mut text = vec![b'x'; usize::try_from(LINE_BYTES_LIMIT).unwrap() + 10];
        text.extend_from_slice(b"\n{}\nlast");
        let mut input = io::Cursor::new(text);
        let mut line = Vec::new();
        assert!(matches!(
            read_line(&mut input, &mut line).unwrap(),
            Line::TooLong
        ));
        assert!(matches!(
            read_line(&mut input, &mut line).unwrap(),
            Line::Whole
        ));
        assert_eq!(line, b"{}\n");
        assert!(matches!(
            read_line(&mut input, &mut line).unwrap(),
            Line::Whole
        ));
        assert_eq!(line, b"last");
        assert!(matches!(
            read_line(&mut input, &mut line).unwrap(),
            Line::End
        ));
    }
}
