//! A gateway in a process of its own: what it says, what it answers, and signals to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Nothing here takes this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running `mcpc run`.
pub(crate) struct Served {
    child: Child,
    lines: Receiver<String>,
    /// Everything that it has said so far.
    said: Vec<String>,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Served {
    /// Starts a gateway and waits until it says where it serves.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with_input(command, None)
    }

    pub(crate) fn start_with_input(command: &mut Command, input: Option<&str>) -> Self {
        let command = command
            .env("PATH", "")
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        if input.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let Some(input) = input {
            child
                .stdin
                .take()
                .unwrap()
                .write_all(input.as_bytes())
                .unwrap();
        }
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut served = Self {
            child,
            lines,
            said: Vec::new(),
            address: nowhere,
            admin: nowhere,
        };
        let serving = served.hears("serving");
        served.address = address_after(&serving, "address");
        served.admin = address_after(&serving, "admin");
        served
    }

    /// Waits for a line that contains this text, and gives it.
    #[track_caller]
    pub(crate) fn hears(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{text:?} was never said, only this: {:#?}", self.said);
            };
            self.said.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Everything that was said before it ended.
    pub(crate) fn rest(mut self) -> (Option<i32>, String) {
        let code = self.ended();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        (code, self.said.join("\n"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits for the end, and gives the exit code.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        // Its standard error ends with it, which is worth waiting for without looking again and again.
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said.push(line),
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    panic!("it goes on: {:#?}", self.said)
                }
            }
        }
        self.child.wait().unwrap().code()
    }

    /// Asks it to stop, and holds it to stopping well.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ended(), Some(0), "{:#?}", self.said);
    }

    /// Calls a tool as a client of 2026-07-28 does, and gives the whole reply.
    pub(crate) fn call(&self, tool: &str, arguments: &Value) -> String {
        exchange(self.address, &call_request(self.address, tool, arguments))
    }

    /// Sends a call and gives the connection on which its reply will come.
    pub(crate) fn begin_call(&self, tool: &str, arguments: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = call_request(self.address, tool, arguments);
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The status document.
    pub(crate) fn status(&self) -> Value {
        let request = format!(
            "GET /status HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.admin
        );
        let reply = exchange(self.admin, &request);
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn call_request(address: SocketAddr, tool: &str, arguments: &Value) -> String {
    let body = json!({
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
    .to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends one request and reads until the other side closes.
fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// The address behind a name, in a log line for people (`name=`) or in JSON (`"name":"`).
fn address_after(line: &str, name: &str) -> SocketAddr {
    let (_, rest) = line.split_once(name).unwrap();
    let rest = rest.trim_start_matches(['"', ':', '=']);
    let end = rest.find(['"', ' ']).unwrap_or(rest.len());
    rest.get(..end).unwrap().parse().unwrap()
}
