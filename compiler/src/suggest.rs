//! Did you mean: the nearest of some names.
//!
//! Owns what counts as near. Knows nothing of what the names stand for.

/// The candidate that was probably meant: the nearest one, at most a third of the name's length
/// away. One change is always a slip, except in a name of one character, where it is another name.
/// Two characters in each other's place are one change. Case, `-` and `_` do not count. Of several
/// as near, the first in the alphabet.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const LENGTH_MAX: usize = 64;
    if name.len() > LENGTH_MAX || name.is_empty() {
        return None;
    }
    let folded = fold(name);
    let limit = match folded.chars().count() {
        0 | 1 => 0,
        count => (count / 3).max(1),
    };
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= limit + 3)
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded, &fold(candidate));
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// What a name of another tool is called here.
pub(crate) fn synonym(name: &str) -> Option<&'static str> {
    Some(match name {
        "mcpServers" | "mcp_servers" | "upstreams" | "backends" => "servers",
        "cmd" | "program" | "exec" => "command",
        "arguments" => "args",
        "environment" => "env",
        "uri" | "serverUrl" | "httpUrl" => "url",
        "http_headers" | "requestInit" => "headers",
        "workdir" | "working_dir" | "working_directory" => "cwd",
        "timeout" => "timeouts",
        "include" | "allowed" | "allowlist" => "allow",
        "exclude" | "denied" | "denylist" => "deny",
        "addr" | "bind" => "address",
        _ => return None,
    })
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(|character| !matches!(character, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_takes_a_typo_and_leaves_a_stranger() {
        const KEYS: [&str; 6] = ["command", "args", "env", "first_byte", "country", "port"];
        for (name, expected) in [
            ("comand", Some("command")),
            ("contry", Some("country")),
            ("prot", Some("port")),
            ("firstByte", Some("first_byte")),
            ("ARGS", Some("args")),
            ("arg", Some("args")),
            ("enf", Some("env")),
            ("evn", Some("env")),
            ("nev", Some("env")),
            ("en", Some("env")),
            ("E-N-V", Some("env")),
            ("x", None),
            ("", None),
            ("weight", None),
        ] {
            assert_eq!(nearest(name, KEYS), expected, "{name}");
        }
    }

    #[test]
    fn nearest_is_the_same_in_any_order() {
        assert_eq!(nearest("d", ["a", "b", "D"]), Some("D"));
        assert_eq!(nearest("abcx", ["abcz", "abcy"]), Some("abcy"));
        assert_eq!(nearest("abcx", ["abcy", "abcz"]), Some("abcy"));
    }
}
