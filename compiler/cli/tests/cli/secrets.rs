//! Secrets of a running gateway reach their server and nobody else: not the plan, the log at its
//! highest level, a diagnostic, the status pages or an error reply.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;
use serde_json::json;

use crate::invocation::Folder;
use mcpc_process::{PATIENCE, Running};

const HEADER: &str = "canary-header-5f1c";
const VARIABLE: &str = "canary-variable-81d0";
const FILED: &str = "canary-file-c93a";
const WRITTEN: &str = "canary-written-e27b";

/// Everything that can be asked of the admin listener, and a path that is none.
const PAGES: [&str; 6] = ["/livez", "/readyz", "/startupz", "/health", "/status", "/x"];

fn config(server: SocketAddr, secret_file: &str) -> String {
    format!(
        "version: 1\n\
         listen: {{ address: 127.0.0.1:0 }}\n\
         admin: {{ address: 127.0.0.1:0 }}\n\
         servers:\n\
         \x20 web:\n\
         \x20   url: http://{server}/mcp\n\
         \x20   headers: {{ Authorization: \"Bearer $<CANARY_HEADER>\", X-Key: \"$<file:{secret_file}>\" }}\n\
         \x20   timeouts: {{ first_byte: 2s }}\n\
         \x20 shell:\n\
         \x20   command: mcpc\n\
         \x20   args: [demo, clock]\n\
         \x20   env: {{ TOKEN: $<CANARY_VARIABLE> }}\n"
    )
}

/// A server that answers everything with an error page that repeats what it was told; what it was
/// told comes out at the other end.
fn mirror() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n")
                && reader.read_line(&mut head).is_ok_and(|read| read > 0)
            {}
            let reply = format!(
                "HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{head}",
                head.len()
            );
            // A gateway that has already gone needs no answer.
            let _gone = reader.get_mut().write_all(reply.as_bytes());
            if sender.send(head).is_err() {
                return;
            }
        }
    });
    (address, heads)
}

fn assert_clean(place: &str, text: &str) {
    for canary in [HEADER, VARIABLE, FILED, WRITTEN] {
        assert!(!text.contains(canary), "{canary} is in {place}:\n{text}");
    }
}

#[test]
fn secrets_go_to_their_server_and_nowhere_else() {
    let (address, heads) = mirror();
    let folder = Folder::new();
    let filed = folder.write("secret", format!("{FILED}\n"));
    let text = config(address, filed.to_str().unwrap());
    folder.write("mcpc.yaml", &text);
    let with_secrets = |arguments: &[&str]| {
        let mut command = folder.command(arguments);
        command
            .env("CANARY_HEADER", HEADER)
            .env("CANARY_VARIABLE", VARIABLE)
            // Libraries below log what they send; nothing that a user can set turns that on.
            .env("RUST_LOG", "trace");
        command
    };
    for arguments in [&["plan"][..], &["plan", "--json"]] {
        assert!(is_clean_and_succeeds(&mut with_secrets(arguments)));
    }
    for format in FORMATS {
        let arguments = ["check", "--env", "--format", format];
        assert!(is_clean_and_succeeds(&mut with_secrets(&arguments)));
    }
    for format in ["human", "json"] {
        folder.write("mcpc.yaml", &text);
        let flags = ["run", "--log-level", "trace", "--log-format", format];
        let served = Running::start(&mut with_secrets(&flags));
        let head = heads.recv_timeout(PATIENCE).unwrap();
        assert!(
            head.contains(&format!("Bearer {HEADER}")) && head.contains(FILED),
            "{head}"
        );
        run_through(served, &folder, &text);
    }
}

/// Makes calls that fail and edits that are refused, and looks at everything that is said.
fn run_through(mut served: Running, folder: &Folder, text: &str) {
    assert_clean("a reply", &served.call("web__x", &json!({})));
    let unusable = json!({ "offset": VARIABLE.len() });
    assert_clean("a reply", &served.call("shell__now", &unusable));
    for page in PAGES {
        assert_clean(page, &served.page(page));
    }
    let admin = served.admin.to_string();
    for arguments in [
        &["status", "--admin", &admin][..],
        &["status", "--json", "--admin", &admin],
    ] {
        is_clean_and_succeeds(&mut folder.command(arguments));
    }
    folder.write("mcpc.yaml", text.replace("timeouts", "timeoutz"));
    served.hears("MCPC3001");
    let missing = text.replace("CANARY_VARIABLE", "CANARY_THAT_IS_NOT_SET");
    folder.write("mcpc.yaml", missing);
    served.hears("CANARY_THAT_IS_NOT_SET");
    assert_clean("the status", &served.status().to_string());
    served.signal(Signal::TERM);
    let (code, log) = served.rest();
    assert_eq!(code, Some(0));
    assert!(log.contains("DEBUG"), "the log is not at its highest level");
    assert_clean("the log", &log);
}

const FORMATS: [&str; 8] = [
    "human", "concise", "json", "sarif", "github", "gitlab", "junit", "markdown",
];

/// Runs a command, looks at all that it says, and tells whether it succeeded.
#[track_caller]
fn is_clean_and_succeeds(command: &mut Command) -> bool {
    let output = command.output().unwrap();
    for said in [&output.stdout, &output.stderr] {
        assert_clean(&format!("{command:?}"), &String::from_utf8_lossy(said));
    }
    output.status.success()
}

/// Mistakes on, beside and in a secret that somebody wrote down where it does not belong.
fn written_down() -> [String; 7] {
    let server = |lines: &str| {
        format!("version: 1\nservers:\n  web:\n    url: http://127.0.0.1:1/mcp\n{lines}")
    };
    [
        server(&format!(
            "    headers: {{ Authorization: Bearer {WRITTEN} }}\n"
        )),
        server(&format!(
            "    headers: {{ Authorization: Bearer {WRITTEN}, X-Key: [1] }}\n"
        )),
        server(&format!(
            "    headers: {{ Authorization: \"Bearer {WRITTEN}\\n\" }}\n"
        )),
        server(&format!(
            "    heders: {{ Authorization: Bearer {WRITTEN} }}\n"
        )),
        server(&format!(
            "    headers: {{ Authorization: {{ {WRITTEN}: 1 }} }}\n"
        )),
        server(&format!(
            "    headers: {{ Authorization: Bearer $<A:-{WRITTEN}> }}\n"
        )),
        format!(
            "version: 1\nservers:\n  a:\n    command: x\n    env: {{ TOKEN: {WRITTEN}, TOKEN: {WRITTEN} }}\n"
        ),
    ]
}

#[test]
fn a_secret_that_is_written_down_is_found_and_not_repeated() {
    let folder = Folder::new();
    for text in written_down() {
        folder.write("mcpc.yaml", &text);
        for format in FORMATS {
            let ok = is_clean_and_succeeds(&mut folder.command(&["check", "--format", format]));
            assert!(!ok || format == "sarif", "{text}");
        }
        for command in ["plan", "run"] {
            assert!(
                !is_clean_and_succeeds(&mut folder.command(&[command])),
                "{text}"
            );
        }
    }
}
