//! Where credentials come from and where they go: never written into the configuration, never in
//! the clear over a network, and each to one host.
//!
//! No message repeats any part of a value.

use std::collections::BTreeMap;

use mcpc_config::{Secret, Server, Url};
use mcpc_plan::{Part, Scheme, Source, Template};

use super::announced::{Form, PLACEHOLDER, announced, opened};
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::placeholder::{Kind, pieces, template};
use crate::resolve::{Resolved, ResolvedServer};
use crate::url::UrlParts;

/// A field of a server that holds a credential.
struct Credential<'a> {
    server: &'a ResolvedServer<'a>,
    /// `env` or `headers`.
    key: &'static str,
    name: &'a str,
    template: Template,
    /// Whether `expand` has found fault with a placeholder in it.
    is_faulty: bool,
    /// Whether its text holds a credential by itself, whatever it is called, and whether one of its defaults does.
    holds: bool,
    default_holds: bool,
}

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    let mut hosts: BTreeMap<Source, (String, Path)> = BTreeMap::new();
    for server in &resolved.servers {
        let (key, fields, urls) = match server.server {
            Server::Stdio(stdio) => ("env", &stdio.env, Vec::new()),
            Server::Http(http) => (
                "headers",
                &http.headers,
                vec![(&http.url, url_site(server))],
            ),
            Server::Replicated(replicated) => {
                let replicas = replicated.replicas.iter().enumerate();
                let site = |index| server.site().key("replicas").index(index).key("url");
                let urls = replicas.map(|(index, replica)| (&replica.url, site(index)));
                ("headers", &replicated.headers, urls.collect())
            }
        };
        let credentials = fields
            .iter()
            .filter_map(|field| credential(server, key, field));
        for credential in credentials {
            credential.literal(resolved, sink);
            credential.in_the_clear(resolved, &urls, sink);
            credential.other_host(resolved, &urls, &mut hosts, sink);
        }
    }
}

/// Whether a text without its placeholders still holds a credential: a token, an address with a password, a
/// command line with one, or in a header what follows a scheme.
fn holds_literal(opened: &str, key: &str) -> bool {
    let mut found = announced(opened, None).into_iter();
    let is_literal = |text: &str| text.chars().any(|it| it != PLACEHOLDER);
    let is_found = found.any(|it| {
        let text = opened.get(it.range).unwrap_or_default();
        // A scheme stands before the name of a header's variable.
        is_literal(text) && !(it.form == Form::Header && text.contains(PLACEHOLDER))
    });
    let scheme = opened.split_once(' ').filter(|_| key == "headers");
    let is_scheme = |it: &str| {
        ["bearer", "basic"]
            .iter()
            .any(|known| it.eq_ignore_ascii_case(known))
    };
    is_found
        || scheme.is_some_and(|(scheme, rest)| {
            is_scheme(scheme) && !rest.trim().is_empty() && !rest.contains(PLACEHOLDER)
        })
}

fn url_site(server: &ResolvedServer<'_>) -> Path {
    server.site().key("url")
}

fn credential<'a>(
    server: &'a ResolvedServer<'a>,
    key: &'static str,
    (name, value): (&'a String, &Secret),
) -> Option<Credential<'a>> {
    let template = template(value.template());
    let from_secret = template.0.iter().any(|part| match part {
        Part::Reference {
            source: Source::Variable(name),
            ..
        } => looks_secret(name),
        Part::Reference {
            source: Source::File(_),
            ..
        } => true,
        Part::Text(_) => false,
    });
    let is_faulty =
        pieces(value.template()).any(|piece| matches!(piece.kind, Kind::Stray | Kind::Fault(_)));
    let holds = |with_defaults| holds_literal(&opened(value.template(), with_defaults), key);
    let (holds, default_holds) = (holds(false), holds(true));
    let is_credential = default_holds
        || holds
        || from_secret
        || looks_secret(name)
        || (key == "headers" && is_credential_header(name));
    is_credential.then_some(Credential {
        server,
        key,
        name,
        template,
        is_faulty,
        holds,
        default_holds,
    })
}

impl Credential<'_> {
    fn site(&self) -> Path {
        self.server.site().key(self.key).key(self.name)
    }

    /// The value stands in the configuration, and would stand in the plan.
    fn literal(&self, resolved: &Resolved<'_>, sink: &mut Sink) {
        let by_name =
            looks_secret(self.name) || (self.key == "headers" && is_credential_header(self.name));
        let has_text = |part: &Part| matches!(part, Part::Text(text) if !text.trim().is_empty());
        let has_default = |part: &Part| matches!(part, Part::Reference { default: Some(default), .. } if !default.is_empty());
        let refers = self
            .template
            .0
            .iter()
            .any(|part| matches!(part, Part::Reference { .. }));
        if self.is_faulty {
            return;
        }
        let is_secret = by_name && !refers && self.template.0.iter().any(has_text);
        let label = if is_secret || self.holds {
            "this value would stand in the plan and in version control"
        } else if self.default_holds || self.template.0.iter().any(has_default) {
            "the default of this value would stand in the plan and in version control"
        } else {
            return;
        };
        let span = resolved.span(&self.site());
        let message = format!("`{}` holds a credential in plain text", self.name);
        let help = format!("keep it in a variable or a file: `{}`", self.suggestion());
        let diagnostic =
            Diagnostic::error(codes::LITERAL_CREDENTIAL, message, span, label).help(help);
        sink.report(
            diagnostic.note("a credential that was ever committed should be replaced by a new one"),
        );
    }

    /// `Bearer $<GITHUB_TOKEN>` for the header, `$<NAME>` for a variable of a child.
    fn suggestion(&self) -> String {
        if self.key == "env" {
            return format!("$<{}>", self.name);
        }
        let scheme = match self.template.0.first() {
            Some(Part::Text(text)) if text.to_ascii_lowercase().starts_with("bearer ") => "Bearer ",
            Some(Part::Text(text)) if text.to_ascii_lowercase().starts_with("basic ") => "Basic ",
            _ => "",
        };
        let server = self.server.name.to_ascii_uppercase().replace('-', "_");
        format!("{scheme}$<{server}_TOKEN>")
    }

    /// Anybody on the way could read it.
    fn in_the_clear(&self, resolved: &Resolved<'_>, urls: &[(&Url, Path)], sink: &mut Sink) {
        let clear = urls.iter().find(|(url, site)| {
            let parts = UrlParts::of(url.as_str());
            let is_clear = parts.scheme == Scheme::Http && !parts.is_loopback();
            is_clear && !resolved.decoded.is_broken(site)
        });
        let Some((_, site)) = clear else { return };
        let message = format!(
            "`{}` is sent to server `{}` unencrypted",
            self.name, self.server.name
        );
        let label = "plain HTTP to another machine";
        let diagnostic = Diagnostic::warning(
            codes::CREDENTIAL_IN_THE_CLEAR,
            message,
            resolved.span(site),
            label,
        )
        .and(
            resolved.key_span(&self.site()),
            "this credential goes with every request",
        )
        .help("use `https://`");
        sink.report(diagnostic);
    }

    /// A credential belongs to one host; a second one that gets it can use it at the first.
    fn other_host(
        &self,
        resolved: &Resolved<'_>,
        urls: &[(&Url, Path)],
        hosts: &mut BTreeMap<Source, (String, Path)>,
        sink: &mut Sink,
    ) {
        let Some((url, site)) = urls.first() else {
            return;
        };
        if resolved.decoded.is_broken(site) {
            return;
        }
        let host = UrlParts::of(url.as_str()).host;
        for part in &self.template.0 {
            let Part::Reference { source, .. } = part else {
                continue;
            };
            let Some((first, site)) = hosts.get(source) else {
                hosts.insert(source.clone(), (host.clone(), self.site()));
                continue;
            };
            if *first == host {
                continue;
            }
            let what = match source {
                Source::Variable(name) => format!("`$<{name}>`"),
                Source::File(path) => format!("`$<file:{path}>`"),
            };
            let message = format!("{what} goes to two hosts");
            let label = |host: &str| format!("sent to `{host}`");
            let span = |path| resolved.span(path);
            let diagnostic = Diagnostic::warning(
                codes::CREDENTIAL_TO_TWO_HOSTS,
                message,
                span(&self.site()),
                label(&host),
            )
            .and(span(site), label(first))
            .help("use one credential for each host")
            .note("whoever runs one of the hosts could use the credential at the other");
            sink.report(diagnostic);
        }
    }
}

pub(super) fn is_credential_header(name: &str) -> bool {
    let known = [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "api-key",
    ];
    known.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the name of a variable or header says that its value is secret.
pub(super) fn looks_secret(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let mut words = upper
        .split(['_', '-'])
        .filter(|word| !word.is_empty())
        .rev();
    let Some(last) = words.next() else {
        return false;
    };
    // The path, address or name of a secret is not the secret.
    let about = [
        "FILE", "PATH", "DIR", "URL", "URI", "NAME", "ID", "TYPE", "TTL", "LIMIT", "SHA256",
    ];
    if about.contains(&last) {
        return false;
    }
    let endings = ["KEY", "PAT"];
    // Also where no sign parts them from the word before: `MYTOKEN`, `PGPASSWORD`.
    let tails = ["TOKEN", "APIKEY", "SECRET", "PASSWORD", "PASSWD"];
    let before = words.clone().next();
    // The place in a list is called a token as well.
    let places = ["PAGE", "NEXT", "CONTINUATION", "SYNC"];
    if last == "TOKEN" && before.is_some_and(|before| places.contains(&before)) {
        return false;
    }
    let anywhere = [
        "SECRET",
        "SECRETS",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "CREDENTIAL",
        "CREDENTIALS",
    ];
    let is_secret = |word: &str| anywhere.contains(&word);
    let is_public = last == "KEY" && before == Some("PUBLIC");
    let has_tail = tails.iter().any(|tail| last.ends_with(tail));
    !is_public && (has_tail || endings.contains(&last) || is_secret(last) || words.any(is_secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_secrets_from_what_is_only_about_them() {
        for name in [
            "GITHUB_TOKEN",
            "API_KEY",
            "OPENAI_API_KEY",
            "X-Api-Key",
            "DB_PASSWORD",
            "SECRET",
            "CLIENT_SECRET_V2",
            "AWS_SECRET_ACCESS_KEY",
            "token",
            "MYTOKEN",
            "PGPASSWORD",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in [
            "MAX_TOKENS",
            "TOKEN_LIMIT",
            "PASSWORD_FILE",
            "KEYBOARD",
            "MONKEY",
            "PUBLIC_KEY",
            "SECRET_NAME",
            "LOG_LEVEL",
            "",
            "__",
            "KEY_ID",
            "PAGE_TOKEN",
            "PATH",
        ] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
