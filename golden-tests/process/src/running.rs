//! One gateway process.
//!
//! Owns the process and what it says: standard output and standard error are read by threads all the
//! time, so that a test that does not listen never blocks it. Lines of the two come in the order in
//! which they were read. The process ends with the value.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::exchange::{self, call_message, exchange, post};
use crate::{PATIENCE, until};

/// A running gateway.
pub struct Running {
    child: Child,
    lines: Receiver<Line>,
    /// Everything that it has said so far.
    said: Vec<Line>,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where its admin pages are.
    pub admin: SocketAddr,
}

/// A line of what a process says.
#[derive(Clone)]
struct Line {
    stream: Stream,
    text: String,
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.stream, self.text)
    }
}

/// Where a process says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Running {
    /// Starts a gateway and waits until it says where it serves.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::start_with_input(command, None)
    }

    /// The same with something on its standard input.
    #[track_caller]
    pub fn start_with_input(command: &mut Command, input: Option<&str>) -> Self {
        let command = command.stderr(Stdio::piped()).stdout(Stdio::piped());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().expect("the gateway can be started");
        if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
            stdin
                .write_all(input.as_bytes())
                .expect("the gateway reads its input");
        }
        let (sender, lines) = channel();
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        read_lines(stdout, Stream::Out, sender.clone());
        read_lines(stderr, Stream::Err, sender);
        let mut running = Self {
            child,
            lines,
            said: Vec::new(),
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            admin: SocketAddr::from(([0, 0, 0, 0], 0)),
        };
        let serving = running.hears("serving");
        running.address = address_after(&serving, "address");
        running.admin = address_after(&serving, "admin");
        running
    }

    /// Starts a gateway that logs to a file, and waits until it says there where it serves.
    #[track_caller]
    pub fn start_logging_to(command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).expect("the log can be made");
        let also = file.try_clone().expect("the log can be shared");
        let command = command.stderr(file).stdout(also);
        let child = command.spawn().expect("the gateway can be started");
        let mut serving = String::new();
        until("it serves", || {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            let line = said.split_inclusive('\n').find(|it| it.contains("serving"));
            line.is_some_and(|line| {
                line.clone_into(&mut serving);
                line.ends_with('\n')
            })
        });
        Self {
            child,
            lines: channel().1,
            said: Vec::new(),
            address: address_after(&serving, "address"),
            admin: address_after(&serving, "admin"),
        }
    }

    /// Starts a gateway and reads its standard error until it serves, and no further.
    #[track_caller]
    pub fn start_unread(command: &mut Command) -> (Self, impl Sized) {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway can be started");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let mut lines = BufReader::new(stderr).lines();
        let serving = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.contains("serving"))
            .expect("it serves");
        let running = Self {
            child,
            lines: channel().1,
            said: Vec::new(),
            address: address_after(&serving, "address"),
            admin: address_after(&serving, "admin"),
        };
        (running, lines)
    }

    /// Waits for a line that contains this text, and gives it.
    #[track_caller]
    pub fn hears(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{text:?} was never said, only this: {:#?}", self.said);
            };
            self.said.push(line.clone());
            if line.text.contains(text) {
                return line.text;
            }
        }
    }

    /// Everything that was said before it ended, and its exit code.
    #[track_caller]
    pub fn rest(mut self) -> (Option<i32>, String) {
        let code = self.ended();
        let lines: Vec<&str> = self.said.iter().map(|line| line.text.as_str()).collect();
        (code, lines.join("\n"))
    }

    /// Everything that was said here before it ended.
    #[track_caller]
    pub fn rest_of(&mut self, stream: Stream) -> String {
        self.ended();
        let lines = self.said.iter().filter(|line| line.stream == stream);
        let lines: Vec<&str> = lines.map(|line| line.text.as_str()).collect();
        lines.join("\n")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process has an id"), signal).expect("it can be signalled");
    }

    /// Waits for the end, and gives the exit code.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        // What it says ends with it, which is worth waiting for without looking again and again.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on: {:#?}", self.said),
            }
        }
        self.child.wait().expect("it can be waited for").code()
    }

    /// Asks it to stop, and holds it to stopping well.
    #[track_caller]
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ended(), Some(0), "{:#?}", self.said);
    }

    /// Calls a tool as a client of 2026-07-28 does, and gives the whole reply.
    #[track_caller]
    pub fn call(&self, tool: &str, arguments: &Value) -> String {
        exchange(self.address, &self.call_request(tool, arguments))
    }

    /// Sends a call and gives the connection on which its reply will come.
    #[track_caller]
    pub fn begin_call(&self, tool: &str, arguments: &Value) -> TcpStream {
        exchange::send(self.address, &self.call_request(tool, arguments))
    }

    fn call_request(&self, tool: &str, arguments: &Value) -> String {
        let body = call_message(tool, arguments).to_string();
        let mirrored = format!(
            "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n\
             Connection: close\r\n"
        );
        post(self.address, "/mcp", &mirrored, &body)
    }

    /// The status document.
    #[track_caller]
    pub fn status(&self) -> Value {
        let page = self.page("/status");
        let (_, body) = page.split_once("\r\n\r\n").expect("a reply has a body");
        serde_json::from_str(body).expect("the status is JSON")
    }

    /// The whole reply to a request for an admin page.
    #[track_caller]
    pub fn page(&self, path: &str) -> String {
        let admin = self.admin;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
        exchange(admin, &request)
    }

    /// What the status document says of one upstream.
    #[track_caller]
    pub fn upstream(&self, name: &str) -> Value {
        let status = self.status();
        let upstreams = status.get("upstreams").and_then(Value::as_array);
        let mut upstreams = upstreams.expect("the status lists upstreams").iter();
        let is_it = |upstream: &&Value| upstream.get("name").is_some_and(|it| it == name);
        upstreams
            .find(is_it)
            .expect("the upstream is listed")
            .clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn read_lines(reader: impl Read + Send + 'static, stream: Stream, sender: Sender<Line>) {
    std::thread::spawn(move || {
        for text in BufReader::new(reader).lines().map_while(Result::ok) {
            if sender.send(Line { stream, text }).is_err() {
                return;
            }
        }
    });
}

/// The address behind a name, in a log line for people (`name=`) or in JSON (`"name":"`).
#[track_caller]
fn address_after(line: &str, name: &str) -> SocketAddr {
    let (_, rest) = line.split_once(name).expect("the line has the address");
    let rest = rest.trim_start_matches(['"', ':', '=']);
    let text = rest.split(['"', ' ']).next().unwrap_or_default();
    text.parse().expect("it is an address")
}
