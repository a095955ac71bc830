//! Headers that the gateway writes itself, and headers that are written twice.

use std::collections::BTreeMap;

use mcpc_config::Server;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::resolve::Resolved;

/// Framing, connection and protocol: whoever could set these could break or smuggle requests.
const OWNED: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        let headers = match server.server {
            Server::Stdio(_) => continue,
            Server::Http(http) => &http.headers,
            Server::Replicated(replicated) => &replicated.headers,
        };
        let site = server.site().key("headers");
        let mut first: BTreeMap<String, &str> = BTreeMap::new();
        for name in headers.keys() {
            let span = resolved.key_span(&site.key(name));
            let lower = name.to_ascii_lowercase();
            if OWNED.contains(&lower.as_str()) || lower.starts_with("mcp-") {
                let message = format!("header `{name}` belongs to the gateway");
                let label = "the gateway sets this for every request";
                let diagnostic = Diagnostic::error(codes::OWNED_HEADER, message, span, label);
                sink.report(diagnostic.help("remove it"));
                continue;
            }
            let Some(before) = first.get(&lower) else {
                first.insert(lower, name);
                continue;
            };
            let message = format!("headers `{before}` and `{name}` are the same header");
            let diagnostic =
                Diagnostic::error(codes::HEADER_TWICE, message, span, "given again here")
                    .and(resolved.key_span(&site.key(before)), "first given here")
                    .help("keep one of the two")
                    .note("upper and lower case make no difference in the names of headers");
            sink.report(diagnostic);
        }
    }
}
