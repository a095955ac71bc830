//! Secrets of a running gateway reach their server and nobody else: not the plan, the log at its
//! highest level, a diagnostic, the status pages or an error reply.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;
use serde_json::json;

use crate::invocation::Folder;
use mcpc_process::{PATIENCE, Running};

const HEADER: &str = "canary-header-5f1c";
const VARIABLE: &str = "canary-variable-81d0";
const FILED: &str = "canary-file-c93a";

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
    for canary in [HEADER, VARIABLE, FILED] {
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
            .env("CANARY_VARIABLE", VARIABLE);
        command
    };
    for arguments in [
        &["plan"][..],
        &["plan", "--json"],
        &["check", "--env", "--format", "json"],
    ] {
        let output = with_secrets(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        assert_clean(
            &format!("{arguments:?}"),
            &String::from_utf8(output.stdout).unwrap(),
        );
        assert_clean(
            &format!("{arguments:?}"),
            &String::from_utf8(output.stderr).unwrap(),
        );
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
    assert_clean("the status", &served.status().to_string());
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
