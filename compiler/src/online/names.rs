//! Names and patterns of filters that a server has nothing for.
//!
//! A name that was to be exposed and is not there fails when it is called. One that was to be denied is
//! there under another name, or will be: nobody can tell, so that is a warning.

use std::collections::BTreeSet;

use mcpc_config::Glob;
use mcpc_plan::Pattern;

use super::{Answers, Listed, Offer, offers};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink, plain_text};
use crate::path::Path;
use crate::resolve::{Kind, Resolved, ResolvedServer};
use crate::suggest::nearest;

/// How many names of a server are shown where none is near.
const NAMES_SHOWN: usize = 5;

pub(super) fn check(resolved: &Resolved<'_>, answers: &Answers<'_>, sink: &mut Sink) {
    for (server, said) in answers.all(resolved) {
        let offers: Vec<&Offer> = offers(said).collect();
        for kind in Kind::ALL {
            let lists: Vec<&Listed> = offers.iter().map(|offer| offer.of(kind)).collect();
            if let Some((filter, names)) = server.surface(kind).filter.zip(all_names(&lists)) {
                let filtered = Filtered {
                    resolved,
                    server,
                    site: server.site().key(kind.key()),
                    what: kind.one(),
                    names,
                };
                let allow = filter.allow.as_deref().unwrap_or_default();
                filtered.patterns("allow", allow.iter().enumerate(), sink);
                let deny = filter.deny.iter();
                let surface = server.surface(kind);
                // What takes nothing away whatever the server has was told without it.
                let is_needed = |glob: &&Glob| {
                    let allow = surface.allow.as_ref();
                    allow.is_none_or(|allow| allow.meets(glob.as_str()))
                };
                let deny = deny.enumerate().filter(|(_, glob)| is_needed(glob));
                filtered.patterns("deny", deny, sink);
                filtered.renames(allow, filter.rename.keys(), sink);
            }
        }
        uris(resolved, server, &offers, sink);
    }
}

/// What the replicas of a server have together; nothing if that is not known to be all.
fn all_names<'a>(lists: &[&'a Listed]) -> Option<BTreeSet<&'a str>> {
    if lists.is_empty() || lists.iter().any(|list| list.is_cut) {
        return None;
    }
    let names = lists.iter().flat_map(|list| &list.names);
    Some(names.map(String::as_str).collect())
}

/// Resources are listed in part only: what a template stands for is not.
fn uris(resolved: &Resolved<'_>, server: &ResolvedServer<'_>, offers: &[&Offer], sink: &mut Sink) {
    let mut templates = offers.iter().map(|offer| &offer.templates);
    if templates.any(|templates| templates.is_cut || !templates.names.is_empty()) {
        return;
    }
    let lists: Vec<&Listed> = offers.iter().map(|offer| &offer.resources).collect();
    if let Some((filter, names)) = server.server.resources().zip(all_names(&lists)) {
        let filtered = Filtered {
            resolved,
            server,
            site: server.site().key("resources"),
            what: "resource",
            names,
        };
        let allow = filter.allow.as_deref().unwrap_or_default();
        filtered.patterns("allow", allow.iter().enumerate(), sink);
        filtered.patterns("deny", filter.deny.iter().enumerate(), sink);
    }
}

/// One filter, and the names that it is about.
struct Filtered<'a> {
    resolved: &'a Resolved<'a>,
    server: &'a ResolvedServer<'a>,
    site: Path,
    what: &'static str,
    names: BTreeSet<&'a str>,
}

impl Filtered<'_> {
    fn patterns<'g>(
        &self,
        key: &str,
        patterns: impl Iterator<Item = (usize, &'g Glob)>,
        sink: &mut Sink,
    ) {
        for (index, glob) in patterns {
            let text = glob.as_str();
            let site = self.site.key(key).index(index);
            if glob.is_exact() {
                if !self.names.contains(text) {
                    sink.report(self.missing(key, text, &site));
                }
                continue;
            }
            let pattern = Pattern::new(text);
            if !self.names.iter().any(|name| pattern.matches(name)) {
                let (server, what) = (self.server.name, self.what);
                let shown = plain_text(text);
                let message = format!("`{shown}` matches no {what} of server `{server}`");
                let span = self.resolved.span(&site);
                let label = self.what_there_is();
                let diagnostic =
                    Diagnostic::warning(codes::PATTERN_WITHOUT_NAME, message, span, label);
                sink.report(diagnostic.help("remove it, or correct the pattern"));
            }
        }
    }

    /// A name that `allow` has as well is told there.
    fn renames<'n>(
        &self,
        allow: &[Glob],
        renamed: impl Iterator<Item = &'n String>,
        sink: &mut Sink,
    ) {
        for name in renamed {
            let is_told = allow.iter().any(|glob| glob.as_str() == name);
            if !is_told && !self.names.contains(name.as_str()) {
                let site = self.site.key("rename").key(name);
                sink.report(self.missing("rename", name, &site));
            }
        }
    }

    fn missing(&self, key: &str, name: &str, site: &Path) -> Diagnostic {
        let (server, what) = (self.server.name, self.what);
        let message = format!("server `{server}` has no {what} `{}`", plain_text(name));
        let label = self.what_there_is();
        let (code, near) = (codes::NAME_NOT_THERE, self.near(name));
        let diagnostic = match key {
            "deny" => Diagnostic::warning(code, message, self.resolved.span(site), label)
                .note("what was meant to be denied may be exposed under its right name"),
            "rename" => Diagnostic::error(code, message, self.resolved.key_span(site), label)
                .note("calls of the new name would fail"),
            _ => Diagnostic::error(code, message, self.resolved.span(site), label)
                .note("calls of it would fail"),
        };
        diagnostic.help(near)
    }

    fn near(&self, name: &str) -> String {
        let server = self.server.name;
        // What people see in their clients begins with the prefix of an endpoint.
        let members = self.resolved.endpoints.iter().flat_map(|it| &it.members);
        let prefixes = members
            .filter(|member| {
                let of = self.resolved.server(member.server);
                of.is_some_and(|of| of.name == server)
            })
            .map(|member| member.prefix.as_str());
        let own = prefixes
            .filter(|prefix| !prefix.is_empty())
            .filter_map(|prefix| name.strip_prefix(prefix));
        if let Some(own) = own.into_iter().find(|own| self.names.contains(own)) {
            let own = plain_text(own);
            return format!(
                "write `{own}`: a filter takes the server's own names, without the prefix"
            );
        }
        match nearest(name, self.names.iter().copied()) {
            Some(near) => format!("did you mean `{}`?", plain_text(near)),
            None if self.names.is_empty() => "remove it".to_owned(),
            None => {
                let some = self.names.iter().take(NAMES_SHOWN);
                let some: Vec<String> =
                    some.map(|name| format!("`{}`", plain_text(name))).collect();
                let more = self.names.len() - some.len();
                let tail = match more {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("the server has {}{tail}", some.join(", "))
            }
        }
    }

    fn what_there_is(&self) -> String {
        let (count, what) = (self.names.len(), self.what);
        match count {
            0 => format!("the server lists no {what} at all"),
            1 => format!("the one {what} that the server lists is another one"),
            count => format!("none of the {count} {what}s that the server lists"),
        }
    }
}
