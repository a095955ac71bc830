//! Plans and servers behind TLS, under an authority that operators name in `SSL_CERT_FILE`.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mcpc_faults::{Harm, HttpServer, Network, Way};
use mcpc_process::{Page, Running, until};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::certificates::{Authority, Valid};
use crate::stage::{GATEWAY, Stage, TIMEOUTS, plan};
use crate::tls_server::TlsServer;

/// A page with a plan, a network that may fail, and TLS in front of both.
struct Source {
    folder: TempDir,
    authority: Authority,
    page: Page,
    network: Network,
    door: TlsServer,
}

impl Source {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("an authority");
        authority.write(&folder.path().join("authority.pem"));
        let page = Page::serve(plan_at("/one"));
        let network = Network::start(page.address(), 1).unwrap();
        let door = TlsServer::start(network.address, authority.issue("localhost", Valid::Now));
        Self {
            folder,
            authority,
            page,
            network,
            door,
        }
    }

    fn command(&self, flags: &[&str]) -> Command {
        let url = format!("https://localhost:{}/plan.json", self.door.address.port());
        let mut command = Command::new(GATEWAY);
        command
            .args(["--plan", &url])
            .args(flags)
            .env_clear()
            .env("SSL_CERT_FILE", self.folder.path().join("authority.pem"))
            .stdin(Stdio::null());
        command
    }

    fn start(&self, flags: &[&str]) -> Running {
        Running::start(&mut self.command(flags))
    }

    /// What a gateway says that does not start.
    fn refusal(mut command: Command) -> String {
        let Output { status, stderr, .. } = command.output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains("MCPC0006"), "{said}");
        said
    }
}

/// A plan with an endpoint at this path.
fn plan_at(path: &str) -> Vec<u8> {
    plan(&format!(
        "servers: {{ none: {{ url: \"http://127.0.0.1:1/\" }} }}\nendpoints: {{ main: {{ path: {path} }} }}\n"
    ))
}

fn digest(plan: &[u8]) -> Value {
    let plan: Value = serde_json::from_slice(plan).unwrap();
    plan["digest"].clone()
}

/// The plan with this path goes on, and the status says for this reason why it is no other one.
#[track_caller]
fn goes_on(gateway: &Running, path: &str, reason: &str) {
    let status = gateway.status();
    assert_eq!(
        status["live"]["digest"],
        digest(&plan_at(path)),
        "{status:#}"
    );
    assert_eq!(status["refused"]["code"], "MCPC0006", "{status:#}");
    let said = status["refused"]["reason"].to_string();
    assert!(said.contains(reason), "{reason:?} is not in {said}");
    assert!(gateway.page("/readyz").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_plan_over_tls_is_followed_and_outlives_its_server() {
    let mut source = Source::open();
    let mut gateway = source.start(&["--poll", "1s"]);
    assert_eq!(gateway.status()["live"]["digest"], digest(&plan_at("/one")));
    source.page.replace(plan_at("/two"));
    gateway.hears("the new plan is live");

    source.door.shut();
    gateway.hears("MCPC0006");
    goes_on(&gateway, "/two", "Connection refused");
    source.page.replace(plan_at("/three"));
    source.door.open();
    gateway.hears("the new plan is live");

    source.page.refuse(302);
    gateway.hears("MCPC0006");
    goes_on(&gateway, "/three", "redirects are not followed");
    // It is asked again, and only there.
    let asked = source.page.seen().len();
    until("it is asked again", || source.page.seen().len() > asked);
    gateway.stop();
}

#[test]
fn a_certificate_that_proves_nothing_is_refused_and_the_live_plan_goes_on() {
    let source = Source::open();
    let stranger = Authority::new("an authority");
    let mut gateway = source.start(&["--no-watch"]);
    source.page.replace(plan_at("/two"));
    let name_of_other = source.authority.issue("localhost.test", Valid::Now);
    for (shown, reason) in [
        (name_of_other, "not valid for name"),
        (
            source.authority.issue("localhost", Valid::NoLonger),
            "expired",
        ),
        (
            stranger.issue("localhost", Valid::Now),
            "invalid peer certificate",
        ),
    ] {
        source.door.show(shown);
        gateway.signal(Signal::HUP);
        gateway.hears("MCPC0006");
        goes_on(&gateway, "/one", reason);
        let said = Source::refusal(source.command(&[]));
        assert!(said.contains(reason), "{reason:?} is not in {said}");
    }
    assert!(
        source.page.seen().len() == 1,
        "nothing was asked of whom nobody trusts"
    );
    source
        .door
        .show(source.authority.issue("localhost", Valid::Now));
    gateway.signal(Signal::HUP);
    gateway.hears("the new plan is live");
    gateway.stop();
}

#[test]
fn an_authority_that_nobody_names_is_not_trusted_and_a_file_without_one_is_told() {
    let source = Source::open();
    let mut command = source.command(&[]);
    command.env_remove("SSL_CERT_FILE");
    Source::refusal(command);
    std::fs::write(source.folder.path().join("empty.pem"), "no certificate\n").unwrap();
    for name in ["missing.pem", "empty.pem"] {
        let mut command = source.command(&[]);
        command.env("SSL_CERT_FILE", source.folder.path().join(name));
        let said = Source::refusal(command);
        assert!(said.contains("no authority is trusted"), "{said}");
    }
}

#[test]
fn a_plan_that_comes_too_slowly_or_without_end_changes_nothing() {
    let source = Source::open();
    let mut gateway = source.start(&["--no-watch"]);
    source.page.replace(plan_at("/two"));
    let pause = Duration::from_millis(100);
    source
        .network
        .harm(Way::ToClient, Harm::Drip { bytes: 1, pause });
    gateway.signal(Signal::HUP);
    gateway.hears("MCPC0006");
    goes_on(&gateway, "/one", "no answer within 10 s");
    source.network.heal();

    source.network.harm(Way::ToClient, Harm::Cut { after: 200 });
    gateway.signal(Signal::HUP);
    gateway.hears("MCPC0006");
    goes_on(&gateway, "/one", "");
    source.network.heal();

    source.page.promise(1 << 40);
    gateway.signal(Signal::HUP);
    gateway.hears("MCPC0006");
    goes_on(&gateway, "/one", "the answer is too large");

    source.page.replace(plan_at("/two"));
    gateway.signal(Signal::HUP);
    gateway.hears("the new plan is live");
    gateway.stop();
}

#[test]
fn servers_over_tls_are_called_under_an_authority_of_ones_own() {
    let server = HttpServer::start(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let authority = Authority::new("an authority");
    let good = TlsServer::start(server.address, authority.issue("localhost", Valid::Now));
    let by_address = TlsServer::start(server.address, authority.issue("127.0.0.1", Valid::Now));
    let wrong = TlsServer::start(server.address, authority.issue("other.test", Valid::Now));
    let old = TlsServer::start(
        server.address,
        authority.issue("localhost", Valid::NoLonger),
    );
    let line = |name: &str, host: &str, port: u16| {
        format!("  {name}: {{ url: \"https://{host}:{port}/mcp\", timeouts: {TIMEOUTS} }}\n")
    };
    let text = [
        "servers:\n".to_owned(),
        line("good", "localhost", good.address.port()),
        line("address", "127.0.0.1", by_address.address.port()),
        line("wrong", "localhost", wrong.address.port()),
        line("old", "localhost", old.address.port()),
    ];
    let stage = Stage::open_trusting(&text.concat(), |path| authority.write(path));
    let mut caller = stage.client();
    for mark in 0..3 {
        caller.echoes("good__echo", mark);
        caller.echoes("address__echo", mark);
        caller.fails("wrong__echo", &["MCPC9301"]);
        caller.fails("old__echo", &["MCPC9301"]);
    }
    assert_eq!(
        server.called(),
        6,
        "nothing was asked of whom nobody trusts"
    );
    stage.gateway.stop();
}
