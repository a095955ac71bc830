//! Names that refer to something: servers, roles and endpoints, wherever they are mentioned.
//!
//! Owns the messages about names that refer to nothing, with the nearest name that would. Serves
//! `resolve`. Is silent about a name whose definition is itself in error.

use std::collections::BTreeSet;

use mcpc_config::{Glob, Rule};

use crate::codes;
use crate::decode::Decoded;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::path::{Path, Step};
use crate::suggest::nearest;
use crate::tree::Content;

/// How many near names are looked for in one run; a text full of mistakes must not become slow.
const SUGGESTIONS_MAX: usize = 50;

/// Looks up what names refer to.
pub(crate) struct References<'a> {
    decoded: &'a Decoded,
    suggestions_left: usize,
}

impl<'a> References<'a> {
    pub(crate) fn new(decoded: &'a Decoded) -> Self {
        Self {
            decoded,
            suggestions_left: SUGGESTIONS_MAX,
        }
    }

    /// A server is mentioned that is not there.
    pub(crate) fn unknown_server(&mut self, name: &str, place: &Path, sink: &mut Sink) {
        if self.decoded.is_broken(&Path::of(["servers", name])) {
            return;
        }
        let near = self.near(name, self.decoded.config.servers.keys());
        let message = format!("unknown server {}", self.shown(name, place));
        let span = self.decoded.tree.value_span(place);
        let mut diagnostic = Diagnostic::error(
            codes::UNKNOWN_SERVER,
            message,
            span,
            "no server has this name",
        );
        diagnostic = match near {
            // Only a whole scalar can be replaced; a pattern holds more than the name.
            Some(near) if self.is_whole(name, place) => diagnostic
                .help(format!("did you mean `{near}`?"))
                .fix(span, near),
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("name one of the servers under `servers`"),
        };
        sink.report(diagnostic);
    }

    /// Roles and servers in access rules.
    pub(crate) fn check_access(&mut self, sink: &mut Sink) {
        let Some(access) = &self.decoded.config.access else {
            return;
        };
        let roles = self.known_roles();
        let site = Path::of(["access", "rules"]);
        for (index, rule) in access.rules.iter().enumerate() {
            let site = site.index(index);
            for (key, names) in [("allow", &rule.allow), ("deny", &rule.deny)] {
                for (index, role) in names.iter().flatten().enumerate() {
                    self.check_role(role, &site.key(key).index(index), roles.as_ref(), sink);
                }
            }
            for (key, patterns) in rule_patterns(rule) {
                for (index, pattern) in patterns.iter().enumerate() {
                    self.check_target(pattern.as_str(), &site.key(key).index(index), sink);
                }
            }
        }
    }

    /// Roles, endpoints and servers in tests.
    pub(crate) fn check_tests(&mut self, sink: &mut Sink) {
        let roles = self.known_roles();
        for (index, test) in self.decoded.config.tests.iter().flatten().enumerate() {
            let site = Path::root().key("tests").index(index);
            self.check_role(&test.role, &site.key("as"), roles.as_ref(), sink);
            self.check_target(&test.call, &site.key("call"), sink);
            if let Some(name) = &test.endpoint {
                self.check_endpoint(name, &site.key("endpoint"), sink);
            }
        }
    }

    fn check_endpoint(&mut self, name: &str, place: &Path, sink: &mut Sink) {
        let written = self.decoded.config.endpoints.as_ref();
        let known = written.map_or(name == "main", |endpoints| endpoints.contains_key(name));
        if known || self.decoded.is_broken(&Path::of(["endpoints", name])) {
            return;
        }
        let near = self.near(
            name,
            written.into_iter().flat_map(|endpoints| endpoints.keys()),
        );
        let diagnostic = Diagnostic::error(
            codes::UNKNOWN_ENDPOINT,
            format!("unknown endpoint {}", self.shown(name, place)),
            self.decoded.tree.value_span(place),
            "no endpoint has this name",
        );
        sink.report(diagnostic.help(near.map_or_else(
            || "name one of the endpoints under `endpoints`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        )));
    }

    fn check_role(
        &mut self,
        role: &str,
        place: &Path,
        roles: Option<&BTreeSet<&'a str>>,
        sink: &mut Sink,
    ) {
        let Some(roles) = roles else { return };
        if role == "*" || roles.contains(role) || self.decoded.is_broken(place) {
            return;
        }
        let near = self.near(role, roles.iter());
        let diagnostic = Diagnostic::error(
            codes::UNKNOWN_ROLE,
            format!("unknown role {}", self.shown(role, place)),
            self.decoded.tree.value_span(place),
            "nobody can have this role",
        )
        .note("roles are given by `identity.api_keys`; no `identity.jwt` brings others");
        sink.report(diagnostic.help(near.map_or_else(
            || "give the role to a key under `identity.api_keys`, or correct its name".to_owned(),
            |near| format!("did you mean `{near}`?"),
        )));
    }

    /// A target is `server/pattern`; the server may itself be a pattern.
    fn check_target(&mut self, target: &str, place: &Path, sink: &mut Sink) {
        if target == "*" || self.decoded.is_broken(place) {
            return;
        }
        let Some((server, _)) = target.split_once('/') else {
            let diagnostic = Diagnostic::error(
                codes::TARGET_WITHOUT_SERVER,
                format!(
                    "{} does not say which server it means",
                    self.shown(target, place)
                ),
                self.decoded.tree.value_span(place),
                "a server's name and `/` are missing here",
            );
            sink.report(diagnostic.help("write `SERVER/NAME`, or `*/NAME` for every server"));
            return;
        };
        if server.contains('*') || self.decoded.config.servers.contains_key(server) {
            return;
        }
        self.unknown_server(server, place, sink);
    }

    /// The roles there can be; nothing if tokens can bring any role, or if identity is in error.
    fn known_roles(&self) -> Option<BTreeSet<&'a str>> {
        if self.decoded.is_partial(&Path::of(["identity"])) {
            return None;
        }
        let Some(identity) = &self.decoded.config.identity else {
            return Some(BTreeSet::new());
        };
        if !identity.jwt.is_empty() {
            return None;
        }
        let keys = identity.api_keys.iter();
        Some(
            keys.flat_map(|key| key.roles.iter().map(String::as_str))
                .collect(),
        )
    }

    fn near<'n>(
        &mut self,
        name: &str,
        known: impl IntoIterator<Item = &'n (impl AsRef<str> + 'n + ?Sized)>,
    ) -> Option<String> {
        self.suggestions_left = self.suggestions_left.checked_sub(1)?;
        nearest(name, known.into_iter().map(AsRef::as_ref)).map(ToOwned::to_owned)
    }

    fn is_whole(&self, name: &str, place: &Path) -> bool {
        let tree = &self.decoded.tree;
        let text = tree.find(place).map(|id| tree.content(id));
        let same = matches!(text, Some(Content::Text(text)) if **text == *name);
        same && tree.placeholder(place).is_none()
    }

    /// The name for a message; what a placeholder gave is not repeated.
    fn shown(&self, name: &str, place: &Path) -> String {
        match self.decoded.tree.placeholder(place) {
            Some(origin) => format!("from `{}`", plain_text(origin)),
            None => format!("`{}`", plain_text(name)),
        }
    }
}

/// The three lists of a rule, by key.
pub(crate) fn rule_patterns(rule: &Rule) -> [(&'static str, &[Glob]); 3] {
    [
        ("tools", &rule.tools),
        ("prompts", &rule.prompts),
        ("resources", &rule.resources),
    ]
}

/// How many names of a section are in error.
pub(crate) fn broken_count(decoded: &Decoded, section: &str) -> usize {
    let in_section = |path: &&Path| match path.steps() {
        [Step::Key(first), Step::Key(_)] => first == section,
        _ => false,
    };
    decoded.broken.iter().filter(in_section).count()
}
