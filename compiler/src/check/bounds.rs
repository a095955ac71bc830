//! Bounds that a plan cannot hold: sizes of nothing or beyond what one message may take, and more
//! servers than there are ids.

use mcpc_config::{ChildLimits, Server, Size, StdioServer};
use mcpc_plan::{Limits, ProcessLimits, UpstreamId};

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::Resolved;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    let limits = &resolved.config().limits;
    size(resolved, "body", limits.body, Limits::BODY_BYTES_MAX, sink);
    size(
        resolved,
        "reply",
        limits.reply,
        Limits::REPLY_BYTES_MAX,
        sink,
    );
    for server in &resolved.servers {
        if let Server::Stdio(StdioServer {
            limits: Some(limits),
            ..
        }) = server.server
        {
            memory(resolved, &server.site(), limits, sink);
        }
    }
    let least = Limits::MEMORY_BYTES_MIN;
    if limits
        .memory
        .is_some_and(|memory| memory.as_bytes() < least)
    {
        let place = Path::of(["limits", "memory"]);
        let message = format!("`{place}` is out of bounds");
        let span = resolved.span(&place);
        let label = "no gateway is this small";
        let diagnostic = Diagnostic::error(codes::OUT_OF_BOUNDS, message, span, label);
        let least = Size::from_bytes(least);
        sink.report(diagnostic.help(format!("use a size from {least} on, or leave it out")));
    }
    let count = resolved.servers.len();
    if UpstreamId::new(count).is_none() {
        let message = format!("there are {count} servers");
        let span = resolved.key_span(&Path::of(["servers"]));
        let label = "a plan holds at most 65535";
        let diagnostic = Diagnostic::error(codes::OUT_OF_BOUNDS, message, span, label);
        sink.report(diagnostic.help("divide the servers among several gateways"));
    }
}

/// Programs do not start with less.
fn memory(resolved: &Resolved<'_>, server: &Path, limits: &ChildLimits, sink: &mut Sink) {
    let least = ProcessLimits::MEMORY_BYTES_MIN;
    if limits.memory.is_none_or(|size| size.as_bytes() >= least) {
        return;
    }
    let least = Size::from_bytes(least);
    let place = server.key("limits").key("memory");
    let message = format!("`{place}` is out of bounds");
    let label = "no program starts with this little";
    let diagnostic = Diagnostic::error(codes::OUT_OF_BOUNDS, message, resolved.span(&place), label);
    sink.report(diagnostic.help(format!("use a size from {least} on")));
}

fn size(resolved: &Resolved<'_>, key: &str, size: Size, bytes_max: u64, sink: &mut Sink) {
    let most = Size::from_bytes(bytes_max);
    let label = match size.as_bytes() {
        0 => "no message is this small".to_owned(),
        bytes if bytes > bytes_max => format!("at most {most}"),
        _ => return,
    };
    let place = Path::of(["limits", key]);
    let message = format!("`{place}` is out of bounds");
    let diagnostic = Diagnostic::error(codes::OUT_OF_BOUNDS, message, resolved.span(&place), label);
    sink.report(diagnostic.help(format!("use a size from 1B to {most}")));
}
