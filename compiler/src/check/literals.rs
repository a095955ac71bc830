//! Credentials in plain text where nothing is secret: in the arguments of a program and in a URL. Both are part
//! of the plan, of logs and of status pages.
//!
//! Owns which texts of a server are looked at once their placeholders are expanded, and what is said: a literal
//! should not stand in the configuration, and a value that came from a variable not in the plan. How one is told
//! is for `announced`. No message repeats any part of a value.

use mcpc_config::Server;

use super::announced::{Announced, Form, announced};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::{Path, Step};
use crate::resolve::{Resolved, ResolvedServer};

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        // Where an argument is missing, what stands next to each other was not written so.
        let is_whole = !resolved.decoded.is_partial(&server.site().key("args"));
        each_text(server, |site, text, before| {
            let before = before.filter(|_| is_whole);
            let Some(found) = announced(text, before).into_iter().next() else {
                return;
            };
            let site = site();
            if resolved.decoded.is_broken(&site) {
                return;
            }
            let is_expanded = resolved.decoded.tree.placeholder(&site).is_some();
            let is_url = !matches!(server.server, Server::Stdio(_));
            let help = remedy(found.form, is_url);
            if is_expanded {
                report_expanded(resolved, &site, help, sink);
            } else {
                report_literal(resolved, &site, &found, help, sink);
            }
        });
    }
}

/// The command line of a child, each argument with the one before it, or the URLs of a server.
fn each_text(
    server: &ResolvedServer<'_>,
    mut look: impl FnMut(&dyn Fn() -> Path, &str, Option<&str>),
) {
    match server.server {
        Server::Stdio(stdio) => {
            look(&|| server.site().key("command"), &stdio.command, None);
            let mut before = None;
            for (index, text) in stdio.args.iter().enumerate() {
                look(&|| server.site().key("args").index(index), text, before);
                before = Some(text.as_str());
            }
            if let Some(cwd) = &stdio.cwd {
                look(&|| server.site().key("cwd"), cwd, None);
            }
        }
        Server::Http(http) => look(&|| server.site().key("url"), http.url.as_str(), None),
        Server::Replicated(replicated) => {
            for (at, replica) in replicated.replicas.iter().enumerate() {
                let site = || server.site().key("replicas").index(at).key("url");
                look(&site, replica.url.as_str(), None);
            }
        }
    }
}

/// What came from a variable is not told in any part, not even the name in front of it.
fn report_expanded(resolved: &Resolved<'_>, site: &Path, help: &str, sink: &mut Sink) {
    let mut steps = site.steps().to_vec();
    // Arguments that were reported before are missing, so that the number could be another one.
    steps.pop_if(|step| matches!(step, Step::Index(_)));
    let field = Path::from_steps(steps);
    let message = format!("`{field}` would put a credential into the plan");
    let label = "what the variable stands for holds a credential";
    let span = resolved.span(site);
    sink.report(Diagnostic::error(codes::MISPLACED_SECRET, message, span, label).help(help));
}

fn report_literal(
    resolved: &Resolved<'_>,
    site: &Path,
    found: &Announced<'_>,
    help: &str,
    sink: &mut Sink,
) {
    let field = site.steps().iter().rev().find_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    let name = found.name.or(field).unwrap_or("args");
    let message = format!("`{name}` holds a credential in plain text");
    let label = "this value would stand in the plan and in version control";
    let span = resolved.span(site);
    let diagnostic = Diagnostic::error(codes::LITERAL_CREDENTIAL, message, span, label)
        .help(help)
        .note("a credential that was ever committed should be replaced by a new one");
    sink.report(diagnostic);
}

/// What to do instead.
pub(super) const fn remedy(form: Form, is_url: bool) -> &'static str {
    match form {
        _ if is_url => "send it in `headers`, from a variable or a file",
        Form::Flag | Form::Token => {
            "pass it in `env`, from a variable or a file; most programs read it from there"
        }
        Form::Variable => {
            "put the name alone into the argument, and the value into `env`, from a variable or a file"
        }
        Form::Header | Form::Parameter => {
            "reach the server with `url`, and send it in `headers`, from a variable or a file"
        }
        Form::Password => {
            "pass the whole address in `env`, with the password from a variable or a file"
        }
    }
}
