//! The texts of a storm: configurations that are good and different each time, and bad ones.
//!
//! Owns what an edit changes. Every good one keeps the echo server reached as it was and the child
//! defined as it was, so a gateway has no reason to interrupt either. Does not write files.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// The child whose definition never changes.
pub(super) const CHILD: &str = "clock";

/// Makes one edit after the other, good and bad in turn.
pub(super) struct Edits {
    addresses: (SocketAddr, SocketAddr),
    upstream: SocketAddr,
    program: String,
    number: u64,
    settled_path: String,
}

/// What differs between good edits.
#[derive(Default)]
struct Parts {
    echo: String,
    child: String,
    servers: String,
    endpoints: String,
}

impl Edits {
    /// `addresses` are those of the clients and of the operators.
    pub(super) fn new(
        addresses: (SocketAddr, SocketAddr),
        upstream: SocketAddr,
        program: &Path,
    ) -> Self {
        Self {
            addresses,
            upstream,
            program: program.display().to_string(),
            number: 0,
            settled_path: String::new(),
        }
    }

    pub(super) fn next(&mut self) -> String {
        self.number += 1;
        let turn = self.number / 2;
        if self.number.is_multiple_of(2) {
            self.good(turn)
        } else {
            self.bad(turn)
        }
    }

    /// A good one that can be told by an endpoint of its own.
    pub(super) fn settled(&mut self) -> String {
        self.number += 1;
        self.settled_path = format!("/settled-{}", self.number);
        let mut parts = Parts::default();
        write(
            &mut parts.endpoints,
            format_args!(
                "  settled: {{ path: {}, servers: [echo] }}\n",
                self.settled_path
            ),
        );
        self.text(&parts)
    }

    /// The path of the endpoint that the last settled edit has.
    pub(super) fn settled_path(&self) -> &str {
        &self.settled_path
    }

    /// Another timeout, another server, or another name, each never seen before.
    fn good(&self, turn: u64) -> String {
        let mut parts = Parts::default();
        match turn % 3 {
            0 => {
                let milliseconds = 60_000 + turn;
                let timeouts = format_args!(", timeouts: {{ total: {milliseconds}ms }}");
                write(&mut parts.echo, timeouts);
            }
            1 => {
                let upstream = self.upstream;
                write(
                    &mut parts.servers,
                    format_args!("  other: {{ url: \"http://{upstream}/{turn}\", era: modern }}\n"),
                );
                parts
                    .endpoints
                    .push_str("  other: { path: /other, servers: [other] }\n");
            }
            _ => {
                let rename = format_args!(", tools: {{ rename: {{ now: now-{turn} }} }}");
                write(&mut parts.child, rename);
            }
        }
        self.text(&parts)
    }

    /// A typing error, half a file, an empty one, a secret without a value, an unknown server.
    fn bad(&self, turn: u64) -> String {
        let mut parts = Parts::default();
        match turn % 5 {
            0 => self.text(&parts).replacen("servers:", "servrs:", 1),
            1 => {
                // Within quotes, so that what is left cannot be read as something else.
                let whole = self.text(&parts);
                let half = whole.split_once("http://").map(|(before, _)| before);
                half.unwrap_or_default().to_owned()
            }
            2 => String::new(),
            3 => {
                parts
                    .echo
                    .push_str(", headers: { Authorization: $<MCPC_STORM_ABSENT> }");
                self.text(&parts)
            }
            _ => {
                parts
                    .endpoints
                    .push_str("  lost: { path: /lost, servers: [nobody] }\n");
                self.text(&parts)
            }
        }
    }

    fn text(&self, parts: &Parts) -> String {
        let (clients, operators) = self.addresses;
        let (upstream, program) = (self.upstream, &self.program);
        let Parts {
            echo,
            child,
            servers,
            endpoints,
        } = parts;
        format!(
            "version: 1\nlisten: {{ address: \"{clients}\" }}\n\
             admin: {{ address: \"{operators}\" }}\nservers:\n\
             \x20 echo: {{ url: \"http://{upstream}/mcp\", era: modern{echo} }}\n\
             \x20 {CHILD}: {{ command: '{program}', args: [demo, clock]{child} }}\n{servers}\
             endpoints:\n  echo: {{ path: /mcp, servers: [echo] }}\n\
             \x20 {CHILD}: {{ path: /{CHILD}, servers: [{CHILD}] }}\n{endpoints}"
        )
    }
}

fn write(text: &mut String, more: std::fmt::Arguments<'_>) {
    let written = text.write_fmt(more);
    // Writing into a String cannot fail.
    debug_assert!(written.is_ok());
}
