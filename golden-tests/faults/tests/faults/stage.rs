//! A configuration becomes a plan, and a gateway process serves it.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mcpc_compiler::{Input, Overrides, Source, Tier, Variables, compile};
use mcpc_process::{Client, Reply, Running, call_message, exchange, post};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The misbehaving server.
pub(crate) const FAULTY: &str = env!("CARGO_BIN_EXE_mcpc-faulty");

/// The deadlines of every server of these tests, and the longest that a call may take with them.
pub(crate) const TIMEOUTS: &str = "{ connect: 2s, first_byte: 2s, idle: 2s, total: 5s }";
const TOTAL: Duration = Duration::from_secs(5);

/// What a loaded machine may add to that.
const SLACK: Duration = Duration::from_secs(5);

/// The longest that the traffic beside a test goes on.
const RUN_MAX: Duration = Duration::from_secs(300);

/// A gateway, and the directory that it was started in.
pub(crate) struct Stage {
    pub(crate) gateway: Running,
    folder: TempDir,
    flags: Vec<String>,
}

/// Traffic beside a test: its threads go on until the test is over.
pub(crate) struct Traffic {
    is_over: AtomicBool,
    began: Instant,
}

/// Ends the traffic when it is dropped, thus also when the test fails: a scope waits for its threads,
/// and those that nobody tells would keep it waiting for good.
pub(crate) struct Over<'a>(&'a Traffic);

struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// A plan of a configuration without its addresses, as bytes.
pub(crate) fn plan(text: &str) -> Vec<u8> {
    let head = "version: 1\nlisten: { address: 127.0.0.1:0 }\nadmin: { address: 127.0.0.1:0 }\n";
    let source = Source::new("mcpc.yaml", format!("{head}{text}"));
    let outcome = compile(&Input {
        source: &source,
        variables: &NoVariables,
        tier: Tier::Plan,
        overrides: Overrides::default(),
    });
    let found = outcome.findings.diagnostics;
    let plan = outcome.plan;
    plan.unwrap_or_else(|| unreachable!("{found:#?}"))
        .to_bytes()
        .unwrap()
}

impl Traffic {
    pub(crate) fn begin() -> Self {
        Self {
            is_over: AtomicBool::new(false),
            began: Instant::now(),
        }
    }

    /// What its owner drops when the test is over.
    pub(crate) fn over(&self) -> Over<'_> {
        Over(self)
    }

    /// Calls tools in turn until the test is over, and gives how often it did. Every call must go well.
    #[track_caller]
    pub(crate) fn echoes(&self, caller: &mut Caller, tools: &[&str]) -> u64 {
        let mut turns = 0;
        while self.goes_on() {
            turns += 1;
            for tool in tools {
                caller.echoes(tool, turns);
            }
        }
        turns
    }

    /// Whether there is a next turn. Fails the test that takes too long.
    #[track_caller]
    pub(crate) fn goes_on(&self) -> bool {
        assert!(self.began.elapsed() < RUN_MAX, "the traffic never ended");
        !self.is_over.load(Ordering::Relaxed)
    }
}

/// Does this for every row at once, and beside it calls that must go on.
#[track_caller]
pub(crate) fn all_beside<T: Sync>(
    mut other: Caller,
    tool: &str,
    rows: &[T],
    fails: impl Fn(&T) + Sync,
) {
    let (traffic, fails) = (Traffic::begin(), &fails);
    let calls = std::thread::scope(|scope| {
        let over = traffic.over();
        let others = scope.spawn(|| traffic.echoes(&mut other, &[tool]));
        let failing = rows.iter().map(|row| scope.spawn(move || fails(row)));
        for failed in failing.collect::<Vec<_>>() {
            failed.join().unwrap();
        }
        drop(over);
        others.join().unwrap()
    });
    assert!(calls > 10, "only {calls} calls went on");
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

/// The gateway.
pub(crate) const GATEWAY: &str = env!("CARGO_BIN_EXE_mcpc-faults-gateway");

/// A gateway in a folder that holds its plan.
fn command(folder: &Path, flags: &[&str]) -> Command {
    serving(Command::new(GATEWAY), folder, flags)
}

/// The same, started by a shell that has set these limits for itself.
fn limited(limits: &str, folder: &Path, flags: &[&str]) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &format!("{limits} && exec \"$0\" \"$@\""), GATEWAY]);
    serving(shell, folder, flags)
}

fn serving(mut command: Command, folder: &Path, flags: &[&str]) -> Command {
    command
        .args(["--plan", "plan.json"])
        .args(flags)
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// A user without rights. Limits on processes, and modes of directories, do not bind root.
const NOBODY: u32 = 65_534;

/// Makes the folder, with copies of both programs in it, one of a user who is not root, and lets the
/// command run as that user. Tests that are not run by root are that user themselves.
fn without_rights(command: &mut Command, folder: &Path) {
    if rustix::process::geteuid().is_root() {
        for entry in std::fs::read_dir(folder).unwrap() {
            std::os::unix::fs::chown(entry.unwrap().path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
}

/// What a gateway says that does not start with these flags, and its exit code.
pub(crate) fn refusal(prepare: impl FnOnce(&Path), flags: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("servers:\n  child: {{ command: {FAULTY:?} }}\n");
    std::fs::write(folder.path().join("plan.json"), plan(&text)).unwrap();
    prepare(folder.path());
    let ended = command(folder.path(), flags).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    (ended.status.code(), said)
}

impl Stage {
    /// Serves a configuration without its addresses.
    pub(crate) fn open(text: &str) -> Self {
        Self::open_with(text, &[])
    }

    /// The same, with these flags.
    pub(crate) fn open_with(text: &str, flags: &[&str]) -> Self {
        Self::prepared(text, |_| {}, flags)
    }

    /// The same, with something in the folder.
    pub(crate) fn prepared(text: &str, prepare: impl FnOnce(&Path), flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        std::fs::write(folder.path().join("plan.json"), plan(text)).unwrap();
        Self::open_in(folder, flags)
    }

    /// Serves what is in a folder.
    fn open_in(folder: TempDir, flags: &[&str]) -> Self {
        Self {
            gateway: Running::start(&mut command(folder.path(), flags)),
            folder,
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
        }
    }

    /// Serves a configuration under limits that a shell sets: `ulimit -n 64`.
    pub(crate) fn open_under(limits: &str, text: &str) -> Self {
        Self::open_under_with(limits, text, &[])
    }

    /// The same, with these flags.
    pub(crate) fn open_under_with(limits: &str, text: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.json"), plan(text)).unwrap();
        let command = limited(limits, folder.path(), flags);
        Self {
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            ..Self::open_by(command, folder)
        }
    }

    /// Serves as a user who is not root. The text is made of the path of the misbehaving server.
    pub(crate) fn open_without_rights(text: impl FnOnce(&str) -> String, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |name| folder.path().join(name);
        std::fs::copy(GATEWAY, place("gateway")).unwrap();
        std::fs::copy(FAULTY, place("faulty")).unwrap();
        let text = text(place("faulty").to_str().unwrap());
        std::fs::write(place("plan.json"), plan(&text)).unwrap();
        let mut command = serving(Command::new(place("gateway")), folder.path(), flags);
        without_rights(&mut command, folder.path());
        Self::open_by(command, folder)
    }

    /// Serves a configuration, and trusts nobody but the authorities that are written into the file.
    pub(crate) fn open_trusting(text: &str, write: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authorities = folder.path().join("authorities.pem");
        write(&authorities);
        std::fs::write(folder.path().join("plan.json"), plan(text)).unwrap();
        let mut command = command(folder.path(), &[]);
        command.env("SSL_CERT_FILE", authorities);
        Self::open_by(command, folder)
    }

    /// Serves with the log in a file.
    pub(crate) fn open_logging_to(log: &Path, text: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.json"), plan(text)).unwrap();
        Self {
            gateway: Running::start_logging_to(&mut command(folder.path(), flags), log),
            folder,
            flags: Vec::new(),
        }
    }

    /// Lets the user that the gateway runs as, who is not root, have so many processes, and gives the
    /// number before. Only that user may do so: root of a container lacks the right for others.
    pub(crate) fn limit_processes(&self, to: &str) -> String {
        let process = self.gateway.id();
        let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
        let mut lines = limits.lines();
        let line = lines.find_map(|line| line.strip_prefix("Max processes"));
        let before = line.unwrap().split_whitespace().next().unwrap();
        let mut command = Command::new("prlimit");
        command.args([format!("--pid={process}"), format!("--nproc={to}:")]);
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        assert!(command.status().unwrap().success());
        before.to_owned()
    }

    fn open_by(mut command: Command, folder: TempDir) -> Self {
        Self {
            gateway: Running::start(&mut command),
            folder,
            flags: Vec::new(),
        }
    }

    /// Ends the gateway by force, and starts another one in its place.
    pub(crate) fn restart(self) -> Self {
        self.restart_after(|_| {})
    }

    /// The same, with something done to the folder in between.
    pub(crate) fn restart_after(self, prepare: impl FnOnce(&Path)) -> Self {
        let Self {
            mut gateway,
            folder,
            flags,
        } = self;
        gateway.signal(rustix::process::Signal::KILL);
        assert_eq!(gateway.ended(), None);
        prepare(folder.path());
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Self::open_in(folder, &flags)
    }

    /// Another gateway of the same plan with these flags, with pipes to it.
    pub(crate) fn beside(&self, flags: &[&str]) -> std::process::Child {
        let mut command = command(self.folder(), flags);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null()).spawn().unwrap()
    }

    /// Where it was started.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Puts another plan in place of the live one.
    pub(crate) fn swap(&self, text: &str) {
        self.replace_bytes(&plan(text));
    }

    /// The same, and waits until it is live.
    pub(crate) fn replace(&mut self, text: &str) {
        self.swap(text);
        self.gateway.hears("the new plan is live");
    }

    /// Puts bytes in place of the plan, and does not wait for the gateway to notice by itself.
    pub(crate) fn replace_bytes(&self, bytes: &[u8]) {
        self.put(bytes);
        self.gateway.signal(rustix::process::Signal::HUP);
    }

    /// Puts another plan in place of the live one, and waits until the gateway has noticed by itself.
    pub(crate) fn edit(&mut self, text: &str) {
        self.put(&plan(text));
        self.gateway.hears("the new plan is live");
    }

    fn put(&self, bytes: &[u8]) {
        let at = self.folder.path();
        std::fs::write(at.join("new"), bytes).unwrap();
        std::fs::rename(at.join("new"), at.join("plan.json")).unwrap();
    }

    /// Has the gateway load its plan again, and gives what came of it.
    pub(crate) fn reload(&self) -> Value {
        let admin = self.gateway.admin;
        let request = post(admin, "/reload", "Connection: close\r\n", "");
        let reply = exchange(admin, &request);
        let (_, body) = reply.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    /// Writes a file into the directory that is the gateway's home.
    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// A client.
    pub(crate) fn client(&self) -> Caller {
        Caller::connect(self.gateway.address)
    }
}

/// A modern client that calls one tool after the other on one connection.
pub(crate) struct Caller {
    client: Client,
    address: std::net::SocketAddr,
}

impl Caller {
    pub(crate) fn connect(address: std::net::SocketAddr) -> Self {
        Self {
            client: Client::connect(address),
            address,
        }
    }

    /// Begins a call, and gives the connection on which its reply will come.
    pub(crate) fn begin(mut self, tool: &str, arguments: &Value) -> Client {
        let request = self.request(tool, arguments);
        self.client.send(request);
        self.client
    }

    fn request(&self, tool: &str, arguments: &Value) -> String {
        let mirrored = format!(
            "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: {tool}\r\n"
        );
        let message = call_message(tool, arguments).to_string();
        post(self.address, "/mcp", &mirrored, &message)
    }

    /// Calls a tool and waits for the reply.
    #[track_caller]
    pub(crate) fn call(&mut self, tool: &str, arguments: &Value) -> Reply {
        let began = Instant::now();
        let request = self.request(tool, arguments);
        let reply = self.client.ask(request);
        let elapsed = began.elapsed();
        assert!(elapsed < TOTAL + SLACK, "{tool} took {elapsed:?}");
        let id = reply.message().get("id").cloned();
        assert_eq!(id, Some(json!("test")), "{tool}: {reply:?}");
        reply
    }

    /// Holds a tool to failing with this code.
    #[track_caller]
    pub(crate) fn fails(&mut self, tool: &str, codes: &[&str]) {
        let reply = self.call(tool, &json!({}));
        assert_eq!(reply.status, 200, "{tool}: {reply:?}");
        assert!(codes.contains(&reply.code().as_str()), "{tool}: {reply:?}");
    }

    /// Holds a tool to giving back a text that only this call has sent.
    #[track_caller]
    pub(crate) fn echoes(&mut self, tool: &str, mark: u64) {
        let reply = self.call(tool, &json!({ "mark": mark }));
        assert_eq!(
            text_of(&reply),
            json!({ "mark": mark }).to_string(),
            "{tool}"
        );
    }
}

/// The text that a tool has answered.
#[track_caller]
pub(crate) fn text_of(reply: &Reply) -> String {
    let message = reply.message();
    let text = message.pointer("/result/content/0/text");
    text.and_then(Value::as_str)
        .unwrap_or_else(|| unreachable!("{reply:#?}"))
        .to_owned()
}
