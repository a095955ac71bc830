//! What the language has and the data plane does not enforce yet is refused, never ignored: a
//! configuration that looks safer than the gateway is would be worse than none.

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::Resolved;
use crate::shape::Refused;
use crate::source::Span;
use crate::tree::{Entry, Tree};

/// Where the sections stand of which nothing is acted on.
const SECTIONS: [&[&str]; 5] = [
    &["identity"],
    &["access"],
    &["pins"],
    &["tests"],
    &["listen", "tls"],
];

/// The path of a key, if it is that of such a section.
pub(crate) fn section(tree: &Tree, entry: &Entry) -> Option<Path> {
    // Most keys need no path to be told apart.
    let may_be = SECTIONS
        .iter()
        .any(|steps| steps.last() == Some(&&*entry.key));
    let path = may_be.then(|| tree.path(entry.value));
    path.filter(|path| {
        let mut sections = SECTIONS.iter();
        sections.any(|steps| *path == Path::of(steps.iter().copied()))
    })
}

/// Refuses those in which something is wrong, in place of that. The others are refused as all settings are.
pub(crate) fn refuse_sections(sections: &[Refused], sink: &mut Sink) {
    for Refused { path, key, found } in sections {
        if !found.is_empty() {
            sink.report(not_supported(path, *key));
        }
    }
}

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    let config = resolved.config();
    let sections = [
        ("identity", config.identity.is_some()),
        ("access", config.access.is_some()),
        ("pins", config.pins.is_some()),
        ("tests", config.tests.is_some()),
    ];
    for (key, is_present) in sections {
        if is_present {
            refuse(resolved, &Path::of([key]), sink);
        }
    }
    if config.listen.tls.is_some() {
        refuse(resolved, &Path::of(["listen", "tls"]), sink);
    }
    if config.limits.requests.is_some() {
        refuse(resolved, &Path::of(["limits", "requests"]), sink);
    }
    for endpoint in &resolved.endpoints {
        if endpoint
            .written
            .is_some_and(|written| written.budget.is_some())
        {
            refuse(resolved, &endpoint.site().key("budget"), sink);
        }
    }
}

fn refuse(resolved: &Resolved<'_>, place: &Path, sink: &mut Sink) {
    // What has a mistake in it is reported already, and one finding is enough for one setting.
    if resolved.decoded.is_partial(place) {
        return;
    }
    sink.report(not_supported(place, resolved.key_span(place)));
}

/// The finding that a setting is known and not acted on; `span` is its key.
fn not_supported(place: &Path, span: Span) -> Diagnostic {
    let what = format!("`{place}`");
    let label = "this version does not act on it";
    let message = format!("{what} is not supported yet");
    Diagnostic::error(codes::NOT_SUPPORTED_YET, message, span, label)
        .help(format!("remove {what}"))
        .note("it is refused because a setting that is silently ignored looks like protection")
}
