//! What a server reaches when it is asked to: files, the network, other processes.
//!
//! Owns the tools `read_file`, `write_file`, `truncate_file`, `connect`, `send`, `run`, `signal` and
//! `limit`. They answer `done`, or what the system said.

use std::fs::{self, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Command;

use rustix::process::{Pid, Resource, getrlimit, prlimit, test_kill_process};
use serde_json::Value;

/// These tools.
pub(crate) const TOOLS: [&str; 8] = [
    "read_file",
    "write_file",
    "truncate_file",
    "connect",
    "send",
    "run",
    "signal",
    "limit",
];

/// What came of the tool, if it is one of these.
pub(crate) fn reach(tool: &str, arguments: &Value) -> Option<String> {
    let text = |name: &str| {
        let text = arguments.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let path = text("path");
    let came = match tool {
        "read_file" => fs::read(path).map(drop),
        "write_file" => fs::write(path, "written"),
        "truncate_file" => truncate(&path),
        "connect" => address(&text("address")).and_then(|to| TcpStream::connect(to).map(drop)),
        "send" => address(&text("address")).and_then(send),
        "run" => Command::new(path).output().map(drop),
        // No signal is sent; the system says whether it could be.
        "signal" => process(arguments).and_then(|id| Ok(test_kill_process(id)?)),
        "limit" => process(arguments).and_then(limit),
        _ => return None,
    };
    Some(came.map_or_else(|error| error.to_string(), |()| "done".to_owned()))
}

fn truncate(path: &str) -> Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?;
    Ok(())
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse()
        .map_err(|_| Error::from(ErrorKind::InvalidInput))
}

fn send(to: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.send_to(b"hello", to)?;
    Ok(())
}

/// Which one is meant.
fn process(arguments: &Value) -> Result<Pid> {
    let id = arguments.get("pid").and_then(Value::as_i64);
    let id = id.and_then(|id| i32::try_from(id).ok());
    id.and_then(Pid::from_raw)
        .ok_or(Error::from(ErrorKind::InvalidInput))
}

/// Sets a limit of it, to what this process has inherited from it.
fn limit(id: Pid) -> Result<()> {
    prlimit(Some(id), Resource::Core, getrlimit(Resource::Core))?;
    Ok(())
}
