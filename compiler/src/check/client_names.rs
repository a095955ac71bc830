//! Clients hand tool names to models, and change or refuse what the models do not take: many
//! allow 64 characters, and turn everything but letters and digits into `_`.

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::resolve::{Kind, Resolved, ResolvedEndpoint};

use super::collisions::{exposed_names, origin};

/// What the model interfaces in use today allow.
pub(crate) const NAME_CHARS_MAX: usize = 64;
/// Half of it should be left for the server's own name.
const PREFIX_CHARS_MAX: usize = 32;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    // How long names become with a prefix that is not known, nobody can tell.
    let is_known = |endpoint: &&ResolvedEndpoint<'_>| {
        !resolved.decoded.is_broken(&endpoint.site().key("prefix"))
    };
    for endpoint in resolved.endpoints.iter().filter(is_known) {
        long_prefixes(resolved, endpoint, sink);
        prefix_that_says_none(resolved, endpoint, sink);
        let exposed = exposed_names(resolved, endpoint, Kind::Tools);
        for tool in &exposed {
            let length = tool.name.chars().count();
            if length > NAME_CHARS_MAX {
                let message = format!("tool name `{}` has {length} characters", tool.name);
                let span = resolved.span(&origin(resolved, tool, Kind::Tools));
                let label = format!("exposed with {length} characters, prefix included");
                let diagnostic = Diagnostic::warning(codes::NAME_TOO_LONG, message, span, label)
                    .help(
                        "give it a shorter name under `rename`, or the endpoint a shorter `prefix`",
                    )
                    .note("many clients refuse tool names of more than 64 characters");
                sink.report(diagnostic);
            }
        }
        same_after_cleaning(resolved, &exposed, sink);
    }
}

fn long_prefixes(resolved: &Resolved<'_>, endpoint: &ResolvedEndpoint<'_>, sink: &mut Sink) {
    let written = endpoint
        .written
        .is_some_and(|written| written.prefix.is_some());
    let long = endpoint
        .members
        .iter()
        .filter(|member| member.prefix.len() > PREFIX_CHARS_MAX);
    for member in long {
        let length = member.prefix.len();
        let span = if written {
            resolved.span(&endpoint.site().key("prefix"))
        } else {
            resolved.member_span(endpoint, member)
        };
        let message = format!("prefix `{}` has {length} characters", member.prefix);
        let left = NAME_CHARS_MAX.saturating_sub(length);
        let label = format!("leaves {left} characters for the name of a tool");
        let diagnostic = Diagnostic::warning(codes::PREFIX_TOO_LONG, message, span, label)
            .help("give the server a shorter name, or the endpoint a shorter `prefix`")
            .note("many clients refuse tool names of more than 64 characters");
        sink.report(diagnostic);
    }
}

/// Words that people write for nothing. `no` and `off` are told as look-alikes already.
const WORDS_FOR_NOTHING: [&str; 4] = ["none", "null", "nil", "empty"];

fn prefix_that_says_none(
    resolved: &Resolved<'_>,
    endpoint: &ResolvedEndpoint<'_>,
    sink: &mut Sink,
) {
    let prefix = endpoint.written.and_then(|it| it.prefix.as_deref());
    let is_nothing = |prefix: &&str| {
        let mut words = WORDS_FOR_NOTHING.iter();
        words.any(|word| prefix.eq_ignore_ascii_case(word))
    };
    let Some(prefix) = prefix.filter(is_nothing) else {
        return;
    };
    let message = format!("the prefix is the word `{prefix}`");
    let span = resolved.span(&endpoint.site().key("prefix"));
    let label = format!("a tool `read` becomes `{prefix}read`");
    let diagnostic = Diagnostic::warning(codes::PREFIX_SAYS_NONE, message, span, label)
        .help("write `prefix: \"\"` for no prefix");
    sink.report(diagnostic);
}

/// A tool name as some clients hand it to models.
pub(crate) fn cleaned(name: &str) -> String {
    let keep = |character: char| character.is_ascii_alphanumeric();
    name.chars()
        .map(|character| if keep(character) { character } else { '_' })
        .collect()
}

fn same_after_cleaning(
    resolved: &Resolved<'_>,
    exposed: &[super::collisions::Exposed<'_>],
    sink: &mut Sink,
) {
    let mut by_look: Vec<_> = exposed
        .iter()
        .map(|tool| (cleaned(&tool.name), tool))
        .collect();
    // Stable: within one cleaned name the exposed names stay sorted.
    by_look.sort_by(|(a, _), (b, _)| a.cmp(b));
    for pair in by_look.windows(2) {
        let [(name, one), (other_name, two)] = pair else {
            continue;
        };
        if name != other_name || one.name == two.name {
            continue;
        }
        let message = format!(
            "tool names `{}` and `{}` are the same to some clients",
            plain_text(&one.name),
            plain_text(&two.name)
        );
        let span = |tool| resolved.span(&origin(resolved, tool, Kind::Tools));
        let label = format!("becomes `{}`", plain_text(name));
        let diagnostic =
            Diagnostic::warning(codes::SAME_TO_CLIENTS, message, span(two), label.clone())
                .and(span(one), label)
                .help("rename one of the two so that they differ in letters or digits")
                .note("some clients replace every character that is not a letter or digit by `_`");
        sink.report(diagnostic);
    }
}
