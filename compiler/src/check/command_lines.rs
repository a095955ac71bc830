//! Commands that hold their arguments: no shell takes them apart, so no program has such a name.

use mcpc_config::Server;

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::resolve::Resolved;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        let Server::Stdio(stdio) = server.server else {
            continue;
        };
        if !is_line(&stdio.command) {
            continue;
        }
        let place = server.site().key("command");
        let message = format!("`{place}` reads like a whole command line");
        let span = resolved.span(&place);
        let label = "taken as the name of one program, spaces included";
        let diagnostic = Diagnostic::warning(codes::COMMAND_LINE, message, span, label);
        sink.report(
            diagnostic.help("write the program alone, and what follows it as a list under `args`"),
        );
    }
}

/// Whether words follow that are not part of a path with spaces: `npx -y x` and `/bin/sh -c x` are lines, `/opt/My
/// Tools/serve` is none.
fn is_line(command: &str) -> bool {
    let Some((program, rest)) = command.trim().split_once(char::is_whitespace) else {
        return false;
    };
    let is_path = program.contains(['/', '\\']);
    !is_path || rest.split_whitespace().any(|word| word.starts_with('-'))
}
