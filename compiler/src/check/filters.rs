//! Entries of `allow` and `deny` that do nothing, or the opposite of what they say.
//!
//! Names only: what becomes of renamed ones is in `renames`. A pattern covers another one exactly
//! if it matches the other's text, where a star is met by a star only.

use mcpc_config::Glob;

use crate::codes;
use crate::diagnostic::{Code, Diagnostic, Sink, plain_text};
use crate::path::Path;
use crate::resolve::{Kind, Resolved};
use crate::surface::PatternSet;

/// Each pattern with a star is compared with every name of a list at run time.
const STARS_MAX: usize = 100;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        for kind in Kind::ALL {
            let surface = server.surface(kind);
            if let Some(filter) = surface.filter {
                let site = server.site().key(kind.key());
                let allow = filter.allow.as_deref().zip(surface.allow.as_ref());
                let lists = Lists {
                    resolved,
                    site,
                    allow,
                    deny: (&filter.deny, &surface.deny),
                };
                lists.check(sink);
            }
        }
        if let Some(filter) = server.server.resources() {
            let site = server.site().key("resources");
            let allow = filter.allow.as_deref().map(PatternSet::new);
            let allow = filter.allow.as_deref().zip(allow.as_ref());
            let deny = PatternSet::new(&filter.deny);
            Lists {
                resolved,
                site,
                allow,
                deny: (&filter.deny, &deny),
            }
            .check(sink);
        }
    }
}

type List<'a> = (&'a [Glob], &'a PatternSet<'a>);

/// The two lists of one filter.
struct Lists<'a> {
    resolved: &'a Resolved<'a>,
    site: Path,
    allow: Option<List<'a>>,
    deny: List<'a>,
}

impl Lists<'_> {
    fn check(&self, sink: &mut Sink) {
        let lists = [("allow", self.allow), ("deny", Some(self.deny))];
        for (key, list) in lists {
            let Some((patterns, set)) = list else {
                continue;
            };
            if set.stars().len() > STARS_MAX {
                self.too_many(key, set.stars().len(), sink);
                return;
            }
            self.redundant(key, patterns, set, sink);
        }
        if let Some(allow) = self.allow {
            self.denied(allow, sink);
            // What is missing in a list that is in error may be what the deny is about.
            if !self.resolved.decoded.is_partial(&self.site.key("allow")) {
                self.needless(allow.1, sink);
            }
        }
    }

    fn too_many(&self, key: &str, count: usize, sink: &mut Sink) {
        let message = format!("`{key}` has {count} patterns with a star");
        let span = self.resolved.key_span(&self.site.key(key));
        let label = format!("a list has at most {STARS_MAX} of them");
        let diagnostic = Diagnostic::error(codes::TOO_MANY_PATTERNS, message, span, label)
            .help("use fewer, wider patterns, or whole names, of which there may be any number")
            .note("every name in a server's lists is compared with every pattern that has a star");
        sink.report(diagnostic);
    }

    fn redundant(&self, key: &str, patterns: &[Glob], set: &PatternSet<'_>, sink: &mut Sink) {
        for (index, pattern) in patterns.iter().enumerate() {
            let Some(other) = set.covering(index, pattern.as_str()) else {
                continue;
            };
            let text = plain_text(pattern.as_str());
            let wider = patterns.get(other).map_or("", Glob::as_str);
            let (message, label) = if wider == pattern.as_str() {
                (
                    format!("`{text}` is listed twice"),
                    "listed again here".to_owned(),
                )
            } else {
                let wider = plain_text(wider);
                let message = format!("`{text}` is already covered by `{wider}`");
                (
                    message,
                    format!("every name that this matches is matched by `{wider}`"),
                )
            };
            let span = |index| self.resolved.span(&self.site.key(key).index(index));
            let diagnostic =
                Diagnostic::warning(codes::REDUNDANT_PATTERN, message, span(index), label)
                    .and(span(other), "already listed here")
                    .help("remove one of the two");
            sink.report(diagnostic);
        }
    }

    /// Allowed, and denied altogether.
    fn denied(&self, (patterns, _): List<'_>, sink: &mut Sink) {
        for (index, pattern) in patterns.iter().enumerate() {
            if let Some(deny) = self.deny.1.matching(pattern.as_str()) {
                let text = plain_text(pattern.as_str());
                let message = format!("`{text}` is allowed and denied");
                let label = "this allows nothing: a deny always wins";
                let diagnostic = self.pair(codes::ALLOWED_AND_DENIED, message, index, deny, label);
                sink.report(diagnostic.help("remove it from one of the two lists"));
            }
        }
    }

    fn pair(
        &self,
        code: Code,
        message: String,
        allow: usize,
        deny: usize,
        label: &str,
    ) -> Diagnostic {
        let span = |key, index| self.resolved.span(&self.site.key(key).index(index));
        Diagnostic::error(code, message, span("allow", allow), label)
            .and(span("deny", deny), "denied here")
    }

    /// Denied, although it was never allowed.
    fn needless(&self, allow: &PatternSet<'_>, sink: &mut Sink) {
        for (index, pattern) in self.deny.0.iter().enumerate() {
            if allow.meets(pattern.as_str()) {
                continue;
            }
            let text = plain_text(pattern.as_str());
            let message = format!("denying `{text}` takes nothing away");
            let span = self.resolved.span(&self.site.key("deny").index(index));
            let label = "matches no name that is allowed";
            let allow_span = self.resolved.key_span(&self.site.key("allow"));
            let diagnostic = Diagnostic::warning(codes::NEEDLESS_DENY, message, span, label)
                .and(allow_span, "only these are allowed")
                .help("remove it, or correct the pattern");
            sink.report(diagnostic);
        }
    }
}
