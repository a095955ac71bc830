//! What stands between the clients and the upstream: nginx or a gateway, as processes of ours.
//!
//! Owns: their configuration in a folder of its own, their start, and their end by process id on
//! every way out (on drop: SIGTERM, then SIGKILL for what is left of the tree). Does not measure.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::lists_tool;
use crate::failure::Failure;
use crate::system;
use crate::upstream::Era;

/// How long a subject may take to answer, and to end when it is asked to.
const START_LIMIT: Duration = Duration::from_secs(10);
const END_LIMIT: Duration = Duration::from_secs(3);

/// What the configuration of a gateway is called in its folder.
pub(crate) const CONFIG: &str = "mcpc.yaml";

/// A running proxy.
pub(crate) struct Subject {
    pub(crate) address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// nginx, with what it needs to treat 64 KiB and 1 MiB replies fairly (see the README).
pub(crate) fn nginx(
    program: &Path,
    upstream: SocketAddr,
    buffer_kib: u32,
) -> Result<Subject, Failure> {
    let folder = folder()?;
    let address = free_address()?;
    let at = folder.path().display();
    let busy_kib = buffer_kib * 2;
    let config = format!(
        "worker_processes 2;\ndaemon off;\npid {at}/nginx.pid;\nerror_log {at}/stderr error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n  access_log off;\n  keepalive_requests 1000000000;\n\
         \x20 client_max_body_size 4m;\n\
         \x20 client_body_temp_path {at}/body;\n  proxy_temp_path {at}/proxy;\n\
         \x20 fastcgi_temp_path {at}/fastcgi;\n  uwsgi_temp_path {at}/uwsgi;\n\
         \x20 scgi_temp_path {at}/scgi;\n\
         \x20 upstream echo {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}\n\
         \x20 server {{\n    listen {address};\n    location / {{\n\
         \x20     proxy_pass http://echo;\n      proxy_http_version 1.1;\n\
         \x20     proxy_set_header Connection \"\";\n      proxy_set_header Host $http_host;\n\
         \x20     proxy_buffer_size {buffer_kib}k;\n      proxy_buffers 8 {buffer_kib}k;\n\
         \x20     proxy_busy_buffers_size {busy_kib}k;\n      proxy_max_temp_file_size 0;\n\
         \x20   }}\n  }}\n}}\n"
    );
    let file = write(&folder, "nginx.conf", &config)?;
    let mut command = Command::new(program);
    command.arg("-c").arg(file).arg("-p").arg(folder.path());
    command.arg("-e").arg(folder.path().join("stderr"));
    start(command, address, folder)
}

/// `mcpc run` with the echo upstream as its only server.
pub(crate) fn gateway(program: &Path, upstream: SocketAddr, era: Era) -> Result<Subject, Failure> {
    let address = free_address()?;
    let config = format!(
        "version: 1\nlisten: {{ address: \"{address}\" }}\nadmin: {{ address: \"{}\" }}\n\
         servers:\n  echo: {{ url: \"http://{upstream}/mcp\", era: {} }}\n",
        free_address()?,
        era.name()
    );
    gateway_with(program, &[], address, &config)
}

/// `mcpc run` with a configuration that lets it listen at this address.
pub(crate) fn gateway_with(
    program: &Path,
    flags: &[&str],
    address: SocketAddr,
    config: &str,
) -> Result<Subject, Failure> {
    let folder = folder()?;
    let file = write(&folder, CONFIG, config)?;
    let mut command = Command::new(program);
    command.arg("run").args(flags).arg(file);
    start(command, address, folder)
}

fn start(mut command: Command, address: SocketAddr, folder: TempDir) -> Result<Subject, Failure> {
    let failed = |error: std::io::Error| Failure::at("start the proxy", &error);
    let talk = File::create(folder.path().join("talk")).map_err(failed)?;
    let also = talk.try_clone().map_err(failed)?;
    command.stdin(Stdio::null()).stdout(talk).stderr(also);
    let child = command.spawn().map_err(failed)?;
    Ok(Subject {
        address,
        child,
        folder,
    })
}

impl Subject {
    /// Waits until a tools/list through it is answered; tries again every 200 µs.
    pub(crate) async fn answered(&mut self, era: Era) -> Result<(), Failure> {
        self.answered_with(era, "echo").await
    }

    /// The same until its list has this tool.
    pub(crate) async fn answered_with(&mut self, era: Era, tool: &str) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let last = match lists_tool(self.address, era, tool).await {
                Ok(true) => return Ok(()),
                Ok(false) => Failure::new(format!("its list has no tool {tool}")),
                Err(failure) => failure,
            };
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || begun.elapsed() > START_LIMIT {
                let what = if ended {
                    "has ended"
                } else {
                    "does not answer"
                };
                return Err(Failure::new(format!(
                    "the proxy {what}: {last}\n{}",
                    self.talk()
                )));
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// Waits for it to end by itself, for so long at most. Gives its exit code; nothing for one that goes on
    /// or was ended by a signal.
    pub(crate) async fn exit_code(&mut self, limit: Duration) -> Result<Option<i32>, Failure> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            let looked = self.child.try_wait();
            let ended = looked.map_err(|error| Failure::at("wait for the proxy", &error))?;
            if let Some(status) = ended {
                return Ok(status.code());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(None)
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The process and its descendants: nginx answers from workers.
    pub(crate) fn processes(&self) -> Vec<u32> {
        system::tree(self.child.id())
    }

    /// Where its configuration is.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends SIGHUP, which asks a gateway to load its configuration again.
    pub(crate) fn hang_up(&self) {
        signal(self.child.id(), Signal::HUP);
    }

    /// All that it said.
    pub(crate) fn said(&self) -> String {
        let read = |name: &str| fs::read(self.folder.path().join(name)).unwrap_or_default();
        let talk = [read("talk"), read("stderr")].concat();
        String::from_utf8_lossy(&talk).into_owned()
    }

    /// What it said last, for the person who has to find out why it failed.
    pub(crate) fn talk(&self) -> String {
        let talk = self.said();
        let lines: Vec<&str> = talk.lines().collect();
        let first = lines.len().saturating_sub(20);
        lines.get(first..).unwrap_or_default().join("\n")
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // What has ended was waited for, and its id may be somebody else's by now.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // The tree is read before anything ends: orphans could not be found any more.
        let members = self.processes();
        signal(self.child.id(), Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < END_LIMIT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = !matches!(self.child.try_wait(), Ok(None));
        // After a clean end the ids of the others may belong to somebody else already.
        if !ended {
            for member in members {
                signal(member, Signal::KILL);
            }
            let _reaped = self.child.wait();
        }
    }
}

/// Sends a signal to a process that this program has started, or that such a one has.
pub(crate) fn signal(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    if let Some(process) = process {
        let _gone_already = kill_process(process, signal);
    }
}

fn folder() -> Result<TempDir, Failure> {
    tempfile::tempdir().map_err(|error| Failure::at("make a folder", &error))
}

fn write(folder: &TempDir, name: &str, text: &str) -> Result<PathBuf, Failure> {
    let path = folder.path().join(name);
    fs::write(&path, text).map_err(|error| Failure::at("write a configuration", &error))?;
    Ok(path)
}

/// An address that is free now. Somebody else could take it before the subject does; then the
/// subject fails to start and says so.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| Failure::at("find a free port", &error))
}
