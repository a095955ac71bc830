//! Servers in a sandbox that try to get out, and one without beside them.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mcpc_process::{children, until};
use serde_json::{Value, json};

use crate::stage::{Caller, FAULTY, Stage, text_of};

/// What the system says to who may not.
const DENIED: &str = "Permission denied (os error 13)";

/// What it says to who may not, about processes.
const NOT_PERMITTED: &str = "Operation not permitted (os error 1)";

/// Files around a server: what it may read, what it may write, and what is none of its business.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["read", "write", "secret"] {
            let below = folder.path().join(name);
            fs::create_dir(&below).unwrap();
            fs::write(below.join("file"), name).unwrap();
            // For tests as root, in which the server is somebody else.
            for path in [&below, &below.join("file")] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
            }
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn content(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }
}

fn config(faulty: &str, place: &Place) -> String {
    let (read, write) = (place.at("read"), place.at("write"));
    let (read, write) = (read.display(), write.display());
    format!(
        "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n\
         \x20 locked: {{ command: {faulty:?}, era: modern, sandbox: {{ read: [\"{read}\"], write: [\"{write}\"], network: none }} }}\n\
         \x20 online: {{ command: {faulty:?}, era: modern, sandbox: {{ network: host }} }}\n\
         \x20 free: {{ command: {faulty:?}, era: modern }}\n"
    )
}

#[track_caller]
fn came(caller: &mut Caller, tool: &str, arguments: &Value) -> String {
    text_of(&caller.call(tool, arguments))
}

fn path(path: &Path) -> Value {
    json!({ "path": path })
}

/// Files: what is listed, as it is listed, and nothing else; the same without a sandbox is possible.
fn tries_files(caller: &mut Caller, place: &Place) {
    let cases = [
        ("read_file", "read/file", "done"),
        ("read_file", "write/file", "done"),
        ("read_file", "secret/file", DENIED),
        ("write_file", "write/new", "done"),
        ("write_file", "read/new", DENIED),
        ("write_file", "secret/new", DENIED),
        ("truncate_file", "read/file", DENIED),
        ("truncate_file", "secret/file", DENIED),
        ("run", "secret/file", DENIED),
    ];
    for (tool, name, expected) in cases {
        let tool = format!("locked.{tool}");
        let said = came(caller, &tool, &path(&place.at(name)));
        assert_eq!(said, expected, "{tool} {name}");
    }
    assert_eq!(place.content("read/file"), "read");
    assert_eq!(place.content("secret/file"), "secret");
    assert_eq!(place.content("write/new"), "written");
    // What every program needs is there, also to start others, which are locked in as well.
    assert_eq!(
        came(caller, "locked.run", &path("/bin/true".as_ref())),
        "done"
    );
    for tool in ["free.read_file", "free.write_file"] {
        assert_eq!(came(caller, tool, &path(&place.at("secret/file"))), "done");
    }
}

/// Neither connections nor datagrams, not even to its own machine.
fn tries_the_network(caller: &mut Caller) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = json!({ "address": listener.local_addr().unwrap() });
    let udp = json!({ "address": socket.local_addr().unwrap() });
    for server in ["online", "free"] {
        assert_eq!(came(caller, &format!("{server}.connect"), &tcp), "done");
        assert_eq!(came(caller, &format!("{server}.send"), &udp), "done");
    }
    for (tool, to) in [("locked.connect", &tcp), ("locked.send", &udp)] {
        let said = came(caller, tool, to);
        assert!(said.contains("unreachable"), "{tool}: {said}");
    }
}

/// The gateway itself: its environment, in which secrets may be, signals, and limits, of which one of
/// processor time would end it. The same without a sandbox is possible.
fn tries_the_gateway(caller: &mut Caller, gateway: u32) {
    let environment = path(format!("/proc/{gateway}/environ").as_ref());
    let pid = json!({ "pid": gateway });
    for (tool, arguments, refused) in [
        ("read_file", &environment, DENIED),
        ("signal", &pid, NOT_PERMITTED),
        ("limit", &pid, NOT_PERMITTED),
    ] {
        assert_eq!(came(caller, &format!("free.{tool}"), arguments), "done");
        for server in ["locked", "online"] {
            let tool = format!("{server}.{tool}");
            assert_eq!(came(caller, &tool, arguments), refused, "{tool}");
        }
    }
}

#[test]
fn a_server_in_a_sandbox_reaches_what_it_may_and_nothing_else() {
    let place = Place::make();
    let stage = Stage::open(&config(FAULTY, &place));
    let mut caller = stage.client();
    tries_files(&mut caller, &place);
    tries_the_network(&mut caller);
    tries_the_gateway(&mut caller, stage.gateway.id());
    stage.gateway.stop();
}

#[test]
fn a_gateway_without_rights_makes_sandboxes_as_well() {
    let place = Place::make();
    let stage = Stage::open_without_rights(|faulty| config(faulty, &place), &[]);
    let mut caller = stage.client();
    tries_files(&mut caller, &place);
    tries_the_network(&mut caller);
    tries_the_gateway(&mut caller, stage.gateway.id());
    stage.gateway.stop();
}

#[test]
fn without_its_sandbox_a_server_is_not_started() {
    let mut stage = Stage::open(&format!(
        "endpoints: {{ main: {{ path: /mcp, prefix: \"{{server}}.\" }} }}\n\
         servers:\n\
         \x20 open: {{ command: {FAULTY:?}, sandbox: {{ read: [/no/such/place] }} }}\n\
         \x20 free: {{ command: {FAULTY:?} }}\n"
    ));
    let mut caller = stage.client();
    caller.echoes("free.echo", 0);
    let said = stage.gateway.hears("cannot be locked in");
    assert!(said.contains("/no/such/place"), "{said}");
    caller.fails("open.echo", &["MCPC9321"]);
    let open = stage.gateway.upstream("open");
    assert_eq!(open["ends"][0]["how"], "not_confined", "{open:#}");
    until("nothing runs but the other one", || {
        children(stage.gateway.id()).len() == 1
    });
    caller.echoes("free.echo", 1);
    stage.gateway.stop();
}
