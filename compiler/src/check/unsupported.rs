//! What the language has and the data plane does not enforce yet is refused, never ignored: a
//! configuration that looks safer than the gateway is would be worse than none.

use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::Resolved;

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
    let what = format!("`{place}`");
    let label = "this version does not act on it";
    let span = resolved.key_span(place);
    let message = format!("{what} is not supported yet");
    let diagnostic = Diagnostic::error(codes::NOT_SUPPORTED_YET, message, span, label)
        .help(format!("remove {what}"))
        .note("it is refused because a setting that is silently ignored looks like protection");
    sink.report(diagnostic);
}
