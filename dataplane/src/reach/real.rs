//! The real outside: sockets, TLS, processes and the environment.
//!
//! Owns how a connection and a process are made, and that the credentials file
//! (`credentials_file`) comes before the environment. Does not keep deadlines (callers do), restart
//! anything (`upstream::child`) or decide which variables are needed (the plan does).

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
#[cfg(unix)]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use mcpc_plan::{Limits, Scheme};
#[cfg(unix)]
use mcpc_plan::{ProcessLimits, StdioTransport};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::credentials_file::{self, Credentials};
#[cfg(unix)]
use super::terms::{Grouping, Terms};
use super::{Dialed, Ended, Launch, Process, Reach, ReachFuture, Signals, Target, text_file};
use crate::descriptors::{self, Held};
use crate::silence;
use crate::{Refusal, Secret};

/// The variables of the gateway that a child gets besides those of its definition.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "TMPDIR", "USER", "SHELL"];

/// The real outside. Cheap to start: roots are loaded with the first TLS connection.
pub struct Real {
    credentials: ArcSwap<Credentials>,
    executable: Option<PathBuf>,
    tls: Arc<OnceCell<TlsConnector>>,
    silent_at_most_ms: AtomicU64,
    /// Looked for when the first server with limits starts.
    #[cfg(unix)]
    groups: OnceLock<Option<Grouping>>,
}

impl Real {
    /// Reads the credentials file, if there is one: `MCPC_CREDENTIALS_FILE`, or
    /// `~/.config/mcpc/credentials.json`.
    ///
    /// # Errors
    /// The file is there but cannot be used.
    pub fn new() -> Result<Self, Refusal> {
        Ok(Self {
            credentials: ArcSwap::from_pointee(credentials_file::read()?),
            executable: None,
            tls: Arc::new(OnceCell::new()),
            silent_at_most_ms: AtomicU64::new(Limits::UNACKNOWLEDGED_MS),
            #[cfg(unix)]
            groups: OnceLock::new(),
        })
    }

    /// Starts children through [`child_entry`](crate::child_entry) of this executable, so that each
    /// gets a session and a warden, and nothing of it outlives it or the gateway. Without it they get
    /// a group only.
    #[must_use]
    pub fn with_children_through(mut self, executable: impl Into<PathBuf>) -> Self {
        self.executable = Some(executable.into());
        self
    }
}

impl Reach for Real {
    fn connect(&self, target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        let target = target.clone();
        let tls = Arc::clone(&self.tls);
        let silent_at_most = Duration::from_millis(self.silent_at_most_ms.load(Ordering::Relaxed));
        Box::pin(async move {
            let stream = dial(&target.host, target.port, silent_at_most).await?;
            if target.scheme == Scheme::Http {
                return Ok(Box::new(stream) as Box<dyn Dialed>);
            }
            let connector = tls.get_or_try_init(load_tls).await?;
            let name = ServerName::try_from(target.host.to_string()).map_err(io::Error::other)?;
            Ok(Box::new(connector.connect(name, stream).await?) as Box<dyn Dialed>)
        })
    }

    fn launch(&self, launch: &Launch<'_>) -> io::Result<Process> {
        let mut command = self.command(launch)?;
        command.env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        for (name, value) in launch.env {
            command.env(name.as_ref(), value.expose());
        }
        if let Some(folder) = &launch.definition.cwd {
            usable(folder)?;
            command.current_dir(folder.as_ref());
        }
        room_for_servers()?;
        #[cfg(unix)]
        if self.executable.is_some() {
            let terms = self.terms(launch.definition)?;
            let groups = self.groups.get().cloned().flatten();
            let program = [terms.as_str(), &launch.definition.command];
            let arguments = launch.definition.args.iter().map(AsRef::as_ref);
            let server: Vec<&str> = program.into_iter().chain(arguments).collect();
            return super::ward::start(command, &server, move || clear_groups(groups));
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        process(command.spawn()?)
    }

    fn give_up_after(&self, silence: Duration) {
        let silence_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        self.silent_at_most_ms.store(silence_ms, Ordering::Relaxed);
    }

    fn renew(&self) -> Result<(), Refusal> {
        self.credentials.store(Arc::new(credentials_file::read()?));
        Ok(())
    }

    fn variable(&self, name: &str) -> Option<Secret> {
        let known = self.credentials.load().get(name).cloned();
        known.or_else(|| std::env::var(name).ok().map(Secret::new))
    }

    fn file(&self, path: &str) -> io::Result<Secret> {
        let text = text_file::read(Path::new(path))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
    }
}

impl Real {
    fn command(&self, launch: &Launch<'_>) -> io::Result<Command> {
        let definition = launch.definition;
        #[cfg(unix)]
        if let Some(executable) = &self.executable {
            let mut command = Command::new(executable);
            command.arg(super::warden::ENTRY);
            return Ok(command);
        }
        if !definition.limits.is_none() || definition.sandbox.is_some() {
            // Nobody is there to set them.
            return Err(io::ErrorKind::Unsupported.into());
        }
        let mut command = Command::new(definition.command.as_ref());
        command.args(definition.args.iter().map(AsRef::as_ref));
        #[cfg(unix)]
        command.process_group(0);
        Ok(command)
    }
}

#[cfg(unix)]
impl Real {
    /// On what terms a server is started, as text.
    fn terms(&self, definition: &StdioTransport) -> io::Result<String> {
        let groups = self.groups_for(&definition.limits);
        Terms::of(definition, descriptors::inherited(), groups)?.argument()
    }

    /// Where control groups are made, if a server has limits that they can hold.
    fn groups_for(&self, limits: &ProcessLimits) -> Option<&Grouping> {
        let of_all = limits.cpu_percent.is_some()
            || limits.memory_bytes.is_some()
            || limits.processes.is_some();
        if !of_all {
            return None;
        }
        #[cfg(target_os = "linux")]
        return self.groups.get_or_init(super::groups::find).as_ref();
        #[cfg(not(target_os = "linux"))]
        return self.groups.get_or_init(|| None).as_ref();
    }
}

/// Without its folder a process fails to start as if its program were missing, and nobody looks for the folder.
fn usable(folder: &str) -> io::Result<()> {
    let found = std::fs::metadata(folder).map(|found| found.is_dir());
    let why = match found {
        Ok(true) => return Ok(()),
        Ok(false) => io::ErrorKind::NotADirectory.into(),
        Err(error) => error,
    };
    let text = format!("its working directory `{folder}` cannot be used: {why}");
    Err(io::Error::new(why.kind(), text))
}

/// Removes what wardens have left that were ended by somebody else.
#[cfg(unix)]
fn clear_groups(groups: Option<Grouping>) {
    #[cfg(target_os = "linux")]
    if let Some(groups) = groups {
        super::groups::sweep(groups.path.as_ref().into());
    }
    #[cfg(not(target_os = "linux"))]
    drop(groups);
}

/// The last descriptors are for operators. The error is the one that the system would give.
fn room_for_servers() -> io::Result<()> {
    if descriptors::has_room(descriptors::Purpose::Servers) {
        return Ok(());
    }
    Err(rustix::io::Errno::MFILE.into())
}

/// Connects to the first address that answers, in the order of the resolver. Without descriptors the
/// resolver would say that there is no such host.
async fn dial(host: &str, port: u16, silent_at_most: Duration) -> io::Result<TcpStream> {
    room_for_servers()?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        socket.set_nodelay(true)?;
        silence::bound(&socket, silent_at_most)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Loads the authorities that are trusted, off the runtime: reading them takes milliseconds.
async fn load_tls() -> io::Result<TlsConnector> {
    let loading = tokio::task::spawn_blocking(load_roots);
    let roots = loading.await.map_err(io::Error::other)??;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, as far as these are set, else those of the system. Without
/// any, each connection would fail for a reason that is not the reason.
fn load_roots() -> io::Result<RootCertStore> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = loaded.errors.first().map(ToString::to_string);
    let why = why.unwrap_or_else(|| "there are no certificates".to_owned());
    Err(io::Error::other(format!("no authority is trusted: {why}")))
}

/// Takes a started child apart.
fn process(mut child: Child) -> io::Result<Process> {
    let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
    let id = child.id().ok_or_else(missing)?;
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let stderr = child.stderr.take().ok_or_else(missing)?;
    let signals = GroupSignals {
        id,
        is_reaped: Arc::new(AtomicBool::new(false)),
    };
    let end = GroupEnd(signals.clone());
    let held = Held::for_a_process();
    Ok(Process {
        started: Box::pin(std::future::ready(Ok(id))),
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        ended: Box::pin(async move {
            let status = child.wait().await;
            drop(end);
            drop(held);
            status.map(ended)
        }),
        // The group is killed with the end of the process.
        cleared: Box::pin(std::future::ready(Ok(()))),
        signals: Box::new(signals),
    })
}

fn ended(status: ExitStatus) -> Ended {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return Ended::Signal(signal);
    }
    Ended::Code(status.code().unwrap_or(-1))
}

/// Ends what a process left behind in its group, when the process has ended or nobody watches it
/// any more. After that the number may belong to somebody else.
struct GroupEnd(GroupSignals);

impl Drop for GroupEnd {
    fn drop(&mut self) {
        self.0.kill();
        self.0.is_reaped.store(true, Ordering::Release);
    }
}

/// Signals to the group that a child leads.
#[derive(Clone)]
struct GroupSignals {
    id: u32,
    is_reaped: Arc<AtomicBool>,
}

impl Signals for GroupSignals {
    fn terminate(&self) {
        #[cfg(unix)]
        self.send(rustix::process::Signal::TERM);
    }

    fn kill(&self) {
        #[cfg(unix)]
        self.send(rustix::process::Signal::KILL);
    }
}

#[cfg(unix)]
impl GroupSignals {
    fn send(&self, signal: rustix::process::Signal) {
        if self.is_reaped.load(Ordering::Acquire) {
            return;
        }
        let Some(id) = i32::try_from(self.id)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        else {
            return;
        };
        // Right after its start a child may not lead a group yet. A process that is gone is no error.
        if rustix::process::kill_process_group(id, signal).is_err() {
            let _gone = rustix::process::kill_process(id, signal);
        }
    }
}
