//! Where a text that is not secret as a whole holds a credential, told by its place: after a flag, under the
//! name of a variable, a header or a parameter, before the host of a URL, or by how it begins.
//!
//! Owns the one set of rules for texts of every kind, be they literal or to be expanded. Which text is judged,
//! and what is said about it, is for the rules that ask: `literals`, `credentials`, `misplaced_secrets`.

use std::ops::Range;

use super::credentials::{is_credential_header, looks_secret};
use crate::placeholder::{Kind, pieces};
use crate::secrets::tokens;

/// Stands for a placeholder in a text that is judged before it is expanded. No argument can have it.
pub(super) const PLACEHOLDER: char = '\0';

/// A credential in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Announced<'a> {
    /// What announces it, in words that are no part of it; nothing if it is known by itself.
    pub(super) name: Option<&'a str>,
    /// How it is given.
    pub(super) form: Form,
    /// Its bytes.
    pub(super) range: Range<usize>,
}

/// How a credential is given, which decides on what to do instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `--token VALUE`
    Flag,
    /// `NAME=VALUE`
    Variable,
    /// `Authorization: VALUE`
    Header,
    /// `?token=VALUE`
    Parameter,
    /// `scheme://user:VALUE@host`
    Password,
    /// `ghp_…`
    Token,
}

/// The text with its placeholders as [`PLACEHOLDER`], or as their defaults where these are wanted.
pub(super) fn opened(text: &str, with_defaults: bool) -> String {
    let mut opened = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece.kind {
            Kind::Placeholder(it) if with_defaults && it.default.is_some() => {
                opened.push_str(it.default.unwrap_or_default());
            }
            Kind::Placeholder(_) => opened.push(PLACEHOLDER),
            Kind::Text(text) => opened.push_str(text),
            Kind::Stray | Kind::Fault(_) => {
                opened.push_str(text.get(piece.range).unwrap_or_default());
            }
        }
    }
    opened
}

/// All credentials in a text that follows another one, which may be a flag. Takes time in proportion to the
/// text.
pub(super) fn announced<'a>(text: &'a str, before: Option<&'a str>) -> Vec<Announced<'a>> {
    let mut found: Vec<_> = tokens(text)
        .into_iter()
        .map(|range| Announced {
            name: None,
            form: Form::Token,
            range,
        })
        .collect();
    let flag = before.and_then(taking_flag);
    if let Some(flag) = flag.filter(|_| is_literal(text)) {
        found.push(Announced {
            name: Some(flag),
            form: Form::Flag,
            range: 0..text.len(),
        });
    }
    found.extend(pair(text, 0));
    in_words(text, &mut found);
    found.sort_by_key(|it| it.range.start);
    found.dedup_by(|next, first| next.range.start < first.range.end);
    found
}

/// `NAME=VALUE`, `--flag=VALUE`, `--flag=NAME=VALUE` and `Header: VALUE` as the whole text.
fn pair(text: &str, start: usize) -> Option<Announced<'_>> {
    let sign = text.find(['=', ':'])?;
    let (name, value) = (text.get(..sign)?, text.get(sign + 1..)?);
    let is_flag = name.starts_with('-');
    let name = name.trim_start_matches('-');
    let is_name = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_');
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    let at = start + sign + 1;
    let end = at + value.len();
    let found = |form| Announced {
        name: Some(name),
        form,
        range: at..end,
    };
    if text.as_bytes().get(sign) == Some(&b':') {
        return (is_header(name) && is_header_value(value)).then(|| found(Form::Header));
    }
    let is_named = if is_flag {
        names_a_secret(name)
    } else {
        looks_secret(name)
    };
    if is_named && is_literal(value) {
        return Some(found(if is_flag { Form::Flag } else { Form::Variable }));
    }
    // `--env=NAME=VALUE`, `--header=Name: VALUE`.
    (is_flag && !value.starts_with('-'))
        .then(|| pair(value, at))
        .flatten()
}

/// The words of a text, each after the one before it, and the URLs among them.
fn in_words<'a>(text: &'a str, found: &mut Vec<Announced<'a>>) {
    let mut end = 0;
    let mut before: Option<&str> = None;
    let is_quote = |it: char| matches!(it, '"' | '\'' | '`');
    for piece in text.split_inclusive(char::is_whitespace) {
        let start = end;
        end += piece.len();
        let rest = piece.trim_start_matches(is_quote);
        let start = start + piece.len() - rest.len();
        let word = rest.trim_end().trim_end_matches(is_quote);
        if word.is_empty() {
            continue;
        }
        in_url(word, start, found);
        // A text of one word is judged as a whole.
        if word.len() < text.len() {
            let flag = before.and_then(taking_flag);
            if let Some(flag) = flag.filter(|_| is_literal(word)) {
                found.push(Announced {
                    name: Some(flag),
                    form: Form::Flag,
                    range: start..start + word.len(),
                });
            }
            found.extend(pair(word, start));
            let header = before.and_then(|it| it.strip_suffix(':'));
            let header = header.filter(|it| is_header(it));
            let rest = text.get(start..).unwrap_or_default();
            let header = header.filter(|_| is_header_value(rest));
            if let Some(name) = header {
                found.push(Announced {
                    name: Some(name),
                    form: Form::Header,
                    range: start..text.len(),
                });
            }
        }
        before = Some(word);
    }
}

/// The password of a URL, and the parameters of its query that are credentials.
fn in_url<'a>(word: &'a str, start: usize, found: &mut Vec<Announced<'a>>) {
    let Some(host) = word.find("://").map(|at| at + 3) else {
        return;
    };
    let rest = word.get(host..).unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password may have any sign but `@`, if whoever wrote it took no care.
    let user = authority.rsplit_once('@').or_else(|| rest.split_once('@'));
    let user = user.filter(|(user, _)| !user.starts_with('['));
    let password = user.and_then(|(user, _)| Some((user.find(':')? + 1, user.len())));
    if let Some((from, to)) = password {
        let value = rest.get(from..to).unwrap_or_default();
        if !value.is_empty() && !value.starts_with(['$', '{', '<', '/']) && !is_port(value) {
            found.push(Announced {
                name: None,
                form: Form::Password,
                range: start + host + from..start + host + to,
            });
        }
    }
    let Some(query) = word.find('?').map(|at| at + 1) else {
        return;
    };
    let mut at = start + query;
    for pair in word.get(query..).unwrap_or_default().split('&') {
        let from = at;
        at += pair.len() + 1;
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        if is_credential(name) && is_literal(value) {
            found.push(Announced {
                name: Some(name),
                form: Form::Parameter,
                range: from + name.len() + 1..from + pair.len(),
            });
        }
    }
}

/// `host:80/path@x` has no user.
fn is_port(value: &str) -> bool {
    value
        .split_once(['/', '?'])
        .is_some_and(|(port, _)| port.bytes().all(|it| it.is_ascii_digit()))
}

/// The name of a flag that takes a secret as the next word. `--no-token` and its like take nothing.
fn taking_flag(word: &str) -> Option<&str> {
    let flag = word.strip_prefix('-')?;
    let flag = flag.strip_prefix('-').unwrap_or(flag);
    let switches = [
        "no", "disable", "require", "use", "allow", "skip", "ignore", "verify", "show", "enable",
    ];
    let first = flag.split('-').next().unwrap_or_default();
    let is_switch = first.len() < flag.len() && switches.contains(&first);
    (!is_switch && !flag.contains(['=', ':']) && names_a_secret(flag)).then_some(flag)
}

/// A parameter that is called like this opens something; a flag `--key` more often names a file.
fn is_credential(parameter: &str) -> bool {
    let bare = ["key", "auth"];
    names_a_secret(parameter) || bare.iter().any(|name| parameter.eq_ignore_ascii_case(name))
}

fn is_header(name: &str) -> bool {
    is_credential_header(name) || (looks_secret(name) && name.contains(['-', '_']))
}

/// Whether what follows the name of a header is the secret itself, with or without a scheme.
fn is_header_value(value: &str) -> bool {
    let value = value.trim();
    let bare = value.split_once(' ').map_or(value, |(_, bare)| bare.trim());
    let is_scheme = ["bearer", "basic", "token"]
        .iter()
        .any(|scheme| value.eq_ignore_ascii_case(scheme));
    !bare.is_empty() && !is_scheme && !bare.starts_with(['$', '{', '<'])
}

/// Whether a value is the secret itself: not a path to it, not another flag, not a switch, and not a
/// reference that somebody else replaces.
fn is_literal(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    let is_path = value.starts_with(['/', '.', '~', '@'])
        || value.contains('\\')
        || value.contains("://")
        || value
            .rsplit_once('/')
            .is_some_and(|(_, last)| last.contains('.'));
    let switches = ["true", "false", "none", "null", "yes", "no", "auto"];
    let is_switch = switches.iter().any(|it| value.eq_ignore_ascii_case(it));
    let is_reference = value.starts_with(['$', '-', '<', '{', '%'])
        || value.starts_with("env:")
        || value.starts_with("file:");
    !value.is_empty() && !is_path && !is_switch && !is_reference
}

/// A `key` alone is too often the name of a file, of a column or of something else.
fn names_a_secret(name: &str) -> bool {
    let words: Vec<String> = name
        .split(['-', '_'])
        .map(str::to_ascii_lowercase)
        .collect();
    let is_plain_key = words.last().is_some_and(|last| last == "key")
        && !words
            .iter()
            .any(|word| ["api", "access", "secret", "auth"].contains(&word.as_str()));
    let camel = ["apikey", "accesstoken", "authtoken"];
    let is_camel = camel.iter().any(|ending| words.concat().ends_with(ending));
    is_camel || (looks_secret(name) && !is_plain_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, before: Option<&str>) -> Vec<String> {
        let found = announced(text, before).into_iter();
        found.map(|it| text[it.range].to_owned()).collect()
    }

    #[test]
    fn credentials_are_told_by_their_place() {
        for (text, secret) in [
            ("--api-key=abc", "abc"),
            ("--apiKey=abc", "abc"),
            ("--token=ab/cd+ef==", "ab/cd+ef=="),
            ("GITHUB_PERSONAL_ACCESS_TOKEN=abc", "abc"),
            ("PGPASSWORD=abc", "abc"),
            ("--env=API_TOKEN=abc", "abc"),
            ("Authorization: Bearer a/b", " Bearer a/b"),
            ("--header=X-Api-Key:abc", "abc"),
            ("https://h/mcp?a=1&tavilyApiKey=abc", "abc"),
            // A flag `--key` names a file more often than not, and a parameter of a server does not.
            ("http://h/mcp?api_key=&key=abc", "abc"),
            ("postgresql://u:a/b@h/db", "a/b"),
            ("redis://:abc@h", "abc"),
            ("git+https://u:abc@h/x.git", "abc"),
            ("exec x --api-key abc", "abc"),
            ("x --token 'abc' y", "abc"),
            ("API_TOKEN=abc npx y", "abc npx y"),
            ("curl -H \"Authorization: Bearer abc\"", "Bearer abc\""),
            ("ghp_abcdef0123456789", "ghp_abcdef0123456789"),
        ] {
            assert_eq!(told(text, None), [secret], "{text}");
        }
        for flag in [
            "--token",
            "-token",
            "--api-key",
            "--apiKey",
            "--db_password",
        ] {
            assert_eq!(told("abc", Some(flag)), ["abc"], "{flag}");
        }
    }

    #[test]
    fn what_only_looks_alike_is_left_alone() {
        for text in [
            "--sort-key=name",
            "--page-token=first",
            "--max-tokens=5",
            "--password-file=x",
            "--secret=/run/x",
            "--token-file=certs/x",
            "--password=certs/x.txt",
            "--token=$API_TOKEN",
            "API_TOKEN",
            "API_TOKEN=$API_TOKEN",
            "API_TOKEN=${API_TOKEN}",
            "Authorization:${AUTH}",
            "--token=",
            "--use-password=false",
            "x --api-key \"$API_KEY\"",
            "http://h/token=abc",
            "http://h/mcp?sort_key=name&by=key",
            "http://h:80/a@b",
            "ssh://git@h/x.git",
            "postgresql://user@h/db",
            "postgresql://user:$PASSWORD@h/db",
            "@scope/package@1.2.3",
            "1000:1000",
            "the password: it is never shown",
            "--description=what a token is",
            "op://vault/item",
        ] {
            assert_eq!(told(text, None), [""; 0], "{text}");
        }
        for (flag, value) in [
            ("--token", "--verbose"),
            ("--key", "tls.pem"),
            ("token", "x"),
            ("--no-token", "serve"),
            ("--page-token", "first"),
            ("--secret", "/run/x"),
        ] {
            assert_eq!(told(value, Some(flag)), [""; 0], "{flag}");
        }
    }
}
