//! Endpoint paths that no client would ever send as they are written.

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::resolve::Resolved;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for endpoint in &resolved.endpoints {
        let is_dotted = endpoint
            .path
            .split('/')
            .any(|part| part == "." || part == "..");
        let label = if is_dotted {
            "`.` and `..` are resolved before a request is sent"
        } else if endpoint.path.contains("//") {
            "there is nothing between two slashes"
        } else {
            continue;
        };
        if resolved.decoded.is_broken(&endpoint.site().key("path")) {
            continue;
        }
        let message = format!("path of endpoint `{}` cannot be reached", endpoint.name);
        let span = resolved.span(&endpoint.site().key("path"));
        let diagnostic = Diagnostic::error(codes::UNREACHABLE_PATH, message, span, label);
        sink.report(diagnostic.help("write the path as clients send it, for example `/mcp`"));
    }
}
