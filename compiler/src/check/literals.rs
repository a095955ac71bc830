//! Credentials in plain text where nothing is secret: in the arguments of a program and in the query of
//! a URL. Both are part of the plan, of logs and of status pages.
//!
//! Owns telling such a text by the name that it is given under, or by how it begins. The fields that
//! hold secrets are `credentials`'; variables in fields that are not secret are `misplaced_secrets`'. No
//! message repeats any part of a value.

use mcpc_config::Server;

use super::credentials::looks_secret;
use crate::codes;
use crate::diagnostic::{Diagnostic, Sink};
use crate::path::Path;
use crate::resolve::{Resolved, ResolvedServer};
use crate::secrets::tokens;

pub(super) fn check(resolved: &Resolved<'_>, sink: &mut Sink) {
    for server in &resolved.servers {
        for (site, name, remedy) in literals(server) {
            // What comes from a variable is not written here, and the name of the variable decides.
            let is_expanded = resolved.decoded.tree.placeholder(&site).is_some();
            if is_expanded || resolved.decoded.is_broken(&site) {
                continue;
            }
            let message = format!("`{name}` holds a credential in plain text");
            let label = "this value would stand in the plan and in version control";
            let span = resolved.span(&site);
            let diagnostic = Diagnostic::error(codes::LITERAL_CREDENTIAL, message, span, label)
                .help(remedy)
                .note("a credential that was ever committed should be replaced by a new one");
            sink.report(diagnostic);
        }
    }
}

/// Where a server has such a text, the name that tells it, and what to do instead.
fn literals<'a>(server: &ResolvedServer<'a>) -> Vec<(Path, &'a str, &'static str)> {
    let site = server.site();
    match server.server {
        Server::Stdio(stdio) => {
            let remedy =
                "pass it in `env`, from a variable or a file; most programs read it from there";
            let found = in_arguments(&stdio.args).into_iter();
            found
                .map(|(at, name)| (site.key("args").index(at), name, remedy))
                .collect()
        }
        Server::Http(http) => in_url(&site.key("url"), http.url.as_str()),
        Server::Replicated(replicated) => {
            let replicas = replicated.replicas.iter().enumerate();
            let found = replicas.flat_map(|(at, replica)| {
                let place = site.key("replicas").index(at).key("url");
                in_url(&place, replica.url.as_str())
            });
            found.collect()
        }
    }
}

/// A URL with such a text in its query.
fn in_url<'a>(place: &Path, url: &'a str) -> Vec<(Path, &'a str, &'static str)> {
    let remedy = "send it in `headers`, from a variable or a file";
    let found = in_query(url).into_iter();
    found.map(|name| (place.clone(), name, remedy)).collect()
}

/// The places of the values of `--api-key VALUE` and `--api-key=VALUE`, and the name of the flag.
fn in_arguments(args: &[String]) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, argument) in args.iter().enumerate() {
        if !tokens(argument).is_empty() {
            found.push((at, "args"));
            continue;
        }
        let Some(flag) = argument.strip_prefix("--") else {
            continue;
        };
        let (flag, value, place) = match flag.split_once('=') {
            Some((flag, value)) => (flag, Some(value), at),
            None => (flag, args.get(at + 1).map(String::as_str), at + 1),
        };
        // One that is known by how it begins is found as such.
        let is_found = value.is_some_and(|value| !tokens(value).is_empty());
        if !is_found && names_a_secret(flag) && value.is_some_and(is_literal) {
            found.push((place, flag));
        }
    }
    found
}

/// The parameters of a query that hold a credential.
fn in_query(url: &str) -> Option<&str> {
    if !tokens(url).is_empty() {
        return Some("url");
    }
    let (_, query) = url.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(name, value)| is_credential(name) && is_literal(value));
    found.map(|(name, _)| name)
}

/// A parameter that is called like this opens something; a flag `--key` more often names a file.
fn is_credential(parameter: &str) -> bool {
    let bare = ["key", "auth"];
    names_a_secret(parameter) || bare.iter().any(|name| parameter.eq_ignore_ascii_case(name))
}

/// Whether a value is the secret itself, not a path to it and not another flag.
fn is_literal(value: &str) -> bool {
    !value.is_empty() && !value.contains(['/', '\\']) && !value.starts_with(['-', '.'])
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

    #[test]
    fn flags_and_parameters_are_told_by_their_names() {
        let told = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
            let found = in_arguments(&args);
            found.into_iter().map(|(at, _)| at).collect::<Vec<_>>()
        };
        assert_eq!(told(&["--token", "abc", "--x", "y"]), [1]);
        assert_eq!(told(&["run", "--api-key=abc", "--apiKey", "d"]), [1, 3]);
        assert_eq!(
            told(&["--sort-key", "name", "--key", "tls.pem"]),
            [0_usize; 0]
        );
        assert_eq!(told(&["--token", "--verbose"]), [0_usize; 0]);
        assert_eq!(
            told(&["--password-file", "x", "--secret", "/run/x"]),
            [0_usize; 0]
        );
        assert_eq!(
            told(&["--max-tokens", "5", "token", "x", "--token="]),
            [0_usize; 0]
        );
        assert_eq!(
            in_query("http://h/mcp?a=1&tavilyApiKey=abc"),
            Some("tavilyApiKey")
        );
        // A flag `--key` names a file more often than not, and a parameter of a server does not.
        assert_eq!(in_query("http://h/mcp?api_key=&key=abc"), Some("key"));
        assert_eq!(in_query("http://h/mcp?sort_key=name&by=key"), None);
        assert_eq!(in_query("http://h/token=abc"), None);
    }
}
