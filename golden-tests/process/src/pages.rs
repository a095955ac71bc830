//! A small web server of a test: one page, which can be replaced and refused.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// See the file's header. Serves until the test's process ends.
pub struct Page {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    status: u16,
    body: Vec<u8>,
    /// How many bytes the head says that there are.
    promised: Option<usize>,
    /// Those that wait for an answer, if nobody gets one.
    unanswered: Option<Vec<TcpStream>>,
    seen: Vec<String>,
}

impl Page {
    /// Serves these bytes at every path.
    pub fn serve(body: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a page of a test is served");
        let page = Self {
            address: listener.local_addr().expect("a page of a test is served"),
            state: Arc::default(),
        };
        page.replace(body);
        let state = Arc::clone(&page.state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Whoever asks may leave before the answer.
                let _left = answer(stream.expect("a page of a test is served"), &state);
            }
        });
        page
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Serves other bytes from now on.
    pub fn replace(&self, body: impl Into<Vec<u8>>) {
        let mut state = self.state.lock().expect("a page of a test is served");
        state.status = 200;
        state.body = body.into();
        state.promised = None;
        for stream in state.unanswered.take().into_iter().flatten() {
            let _left = state.give(&stream);
        }
    }

    /// Takes requests and answers none, until the bytes are replaced. Those that wait get the new ones.
    pub fn hang(&self) {
        let mut state = self.state.lock().expect("a page of a test is served");
        state.unanswered = Some(Vec::new());
    }

    /// Says in the head that there are so many bytes, until the bytes are replaced.
    pub fn promise(&self, bytes: usize) {
        self.state
            .lock()
            .expect("a page of a test is served")
            .promised = Some(bytes);
    }

    /// Answers with this status, until the bytes are replaced.
    pub fn refuse(&self, status: u16) {
        self.state
            .lock()
            .expect("a page of a test is served")
            .status = status;
    }

    /// The heads of all requests until now.
    pub fn seen(&self) -> Vec<String> {
        self.state
            .lock()
            .expect("a page of a test is served")
            .seen
            .clone()
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(&stream);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut state = state.lock().expect("a page of a test is served");
    state.seen.push(head);
    if let Some(unanswered) = &mut state.unanswered {
        unanswered.push(stream);
        return Ok(());
    }
    state.give(&stream)
}

impl State {
    fn give(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let body = match self.status {
            200 => self.body.as_slice(),
            _ => b"not what was asked for",
        };
        let (status, promised) = (self.status, self.promised.unwrap_or(body.len()));
        write!(
            stream,
            "HTTP/1.1 {status} X\r\nLocation: /\r\nContent-Length: {promised}\r\n\r\n"
        )?;
        stream.write_all(body)
    }
}
