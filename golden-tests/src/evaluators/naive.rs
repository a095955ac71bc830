//! The second evaluator: what the reference of the configuration says, in the fewest words and without
//! a thought about speed.
//!
//! Uses nothing of the compiler, the plan or the data plane.

use super::written::{Filter, Server, Shown, Written};

/// Everything that a name on an endpoint could stand for: servers, and what they themselves call it.
pub(super) fn reach(
    written: &Written,
    shown: &Shown,
    name: &str,
    filter: impl Fn(&Server) -> &Filter,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for server in servers(written, shown) {
        let filter = filter(server);
        let prefix = prefix(written, shown, server);
        // A server may have any name; those that could be shown as this one are the rest of it, and
        // whatever has a new name.
        let mut own: Vec<&str> = filter
            .rename
            .iter()
            .map(|(from, _)| from.as_str())
            .collect();
        own.extend(name.strip_prefix(&prefix));
        own.sort_unstable();
        own.dedup();
        for own in own {
            if exposed(filter, &prefix, own).as_deref() == Some(name) {
                found.push((server.name.clone(), own.to_owned()));
            }
        }
    }
    found
}

/// As what clients see a server's own name; nothing if they do not.
pub(super) fn exposed(filter: &Filter, prefix: &str, own: &str) -> Option<String> {
    let is_listed = |list: &[String]| {
        list.iter()
            .any(|glob| matches(glob.as_bytes(), own.as_bytes()))
    };
    // "Only these; `*` stands for any characters. Absent: all. Empty: none."
    let is_allowed = filter.allow.as_ref().is_none_or(|allow| is_listed(allow));
    // "Not these, also if allowed."
    if own.is_empty() || !is_allowed || is_listed(&filter.deny) {
        return None;
    }
    // "New names, by the server's own name."
    let new = filter.rename.iter().find(|(from, _)| from == own);
    if let Some((_, new)) = new {
        return Some(format!("{prefix}{new}"));
    }
    // A new name wins over an own name.
    let is_taken = filter.rename.iter().any(|(_, new)| new == own);
    (!is_taken).then(|| format!("{prefix}{own}"))
}

/// "Put in front of every tool and prompt name; `{server}` stands for the server's name. Absent:
/// `{server}__` if the endpoint has more than one server, otherwise nothing."
pub(super) fn prefix(written: &Written, shown: &Shown, server: &Server) -> String {
    match &shown.prefix {
        Some(prefix) => prefix.replace("{server}", &server.name),
        None if servers(written, shown).count() > 1 => format!("{}__", server.name),
        None => String::new(),
    }
}

/// The servers of an endpoint; all, if it lists none.
fn servers<'w>(written: &'w Written, shown: &'w Shown) -> impl Iterator<Item = &'w Server> {
    let is_listed = |server: &&Server| {
        let listed = shown.servers.as_ref();
        listed.is_none_or(|listed| listed.contains(&server.name))
    };
    written.servers.iter().filter(is_listed)
}

/// Whether a pattern with stars matches, tried in every way.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => matches(rest, name),
        (Some((b'*', rest)), Some((_, after))) => matches(rest, name) || matches(glob, after),
        (Some((one, rest)), Some((other, after))) => one == other && matches(rest, after),
        (None, Some(_)) | (Some(_), None) => false,
    }
}
