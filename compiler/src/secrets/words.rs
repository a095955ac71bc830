//! Words that announce a secret, and where in a text it then begins.
//!
//! Owns the list of words. Every function takes time in proportion to the text, whatever it is.

use crate::suggest::nearest;

/// Parts of names that announce a secret.
const TELLING: [&str; 10] = [
    "auth", "token", "secret", "passw", "pwd", "key", "cred", "cookie", "header", "env",
];

/// Flags that are still known if they are misspelt.
const FLAGS: [&str; 4] = ["token", "secret", "password", "apikey"];

/// Whether a key announces a secret.
pub(super) fn is_telling(key: &str) -> bool {
    first_word(&key.to_ascii_lowercase()).is_some() || is_carrier(key)
}

/// Whether a key is, or was meant to be, that of a map whose values are secrets.
pub(super) fn is_carrier(key: &str) -> bool {
    nearest(key, ["headers", "env"]).is_some()
}

/// Whether an argument is a flag that takes a secret as the next argument.
pub(super) fn announces_next(argument: &str) -> bool {
    let Some(flag) = argument.strip_prefix('-') else {
        return false;
    };
    let flag = flag.trim_start_matches('-');
    let last = flag.rsplit('-').next().unwrap_or(flag);
    !flag.contains(['=', ' ']) && (is_telling(flag) || nearest(last, FLAGS).is_some())
}

/// Where a secret begins in a text that may have other parts: after the sign that follows a telling
/// name, after a telling flag, after `Bearer`, or where the user of a URL begins.
pub(super) fn announced(text: &str) -> Option<usize> {
    let after_sign = signs(text).find_map(|(name, after)| is_telling_word(name).then_some(after));
    let at = first(after_sign, after_piece(text))?;
    (at < text.len()).then_some(at)
}

/// The same in a line of which nothing is known: whatever follows a telling name counts, and the secret
/// may begin on the next line.
pub(super) fn announced_in_line(text: &str) -> Option<usize> {
    let word = first_word(&text.to_ascii_lowercase());
    first(
        word.and_then(|word| after_name(text, word)),
        after_piece(text),
    )
}

/// The place after the name that a word belongs to, and after its sign. Prose without any sign is left
/// alone.
fn after_name(text: &str, word: usize) -> Option<usize> {
    let is_part = |it: char| it.is_alphanumeric() || matches!(it, '-' | '_');
    let rest = text.get(word..)?;
    let after = rest.trim_start_matches(is_part);
    if after.trim().is_empty() {
        return Some(text.len());
    }
    let sign = after.trim_start_matches(|it: char| is_part(it) || it == ' ');
    // Nothing of it follows the bracket that closes its map, or the mark of a comment.
    let is_prose = sign.is_empty();
    if is_prose || sign.starts_with('#') || sign.starts_with("} ") || sign.starts_with("] ") {
        return None;
    }
    let start = after.trim_start_matches(['"', '\'', ' ']);
    let skipped = usize::from(start.starts_with([':', '=', ',']));
    let is_sign = skipped == 1 || start.len() == after.trim_start().len();
    Some(text.len() - if is_sign { start } else { after }.len() + skipped)
}

fn first(one: Option<usize>, other: Option<usize>) -> Option<usize> {
    one.into_iter().chain(other).min()
}

fn first_word(lower: &str) -> Option<usize> {
    TELLING.iter().filter_map(|word| lower.find(word)).min()
}

fn is_telling_word(name: &str) -> bool {
    first_word(&name.to_ascii_lowercase()).is_some()
}

/// Each `:` and `=`, as the name before it and the place after it. No host of a URL is a name.
fn signs(text: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut start = 0;
    text.match_indices([':', '=']).map(move |(at, _)| {
        let before = text.get(start..at).unwrap_or_default();
        start = at + 1;
        let before = before.trim_end_matches([' ', '\t', '"', '\'']);
        let is_part = |it: char| it.is_alphanumeric() || matches!(it, '-' | '_' | '.');
        let rest = before.trim_end_matches(is_part);
        let name = before.get(rest.len()..).unwrap_or_default();
        let is_host = rest.ends_with("//");
        (if is_host { "" } else { name }, at + 1)
    })
}

/// Where a secret begins after a flag, after a scheme of `Authorization`, or in a URL.
fn after_piece(text: &str) -> Option<usize> {
    let mut end = 0;
    for piece in text.split_inclusive(is_gap) {
        let start = end;
        end += piece.len();
        let word = piece.trim_end_matches(is_gap);
        if let Some(user) = word.find("://").map(|at| at + 3)
            && word.get(user..).is_some_and(|rest| rest.contains('@'))
        {
            return Some(start + user);
        }
        if announces_next(word) || word.eq_ignore_ascii_case("bearer") {
            return Some(end);
        }
    }
    None
}

const fn is_gap(character: char) -> bool {
    character.is_whitespace() || matches!(character, '"' | '\'' | '`' | ',' | '[' | ']' | '{' | '}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_begin_after_what_announces_them() {
        for (text, secret) in [
            ("--api-key=abc", "abc"),
            ("serve --token abc", "abc"),
            ("X-Api-Key: abc", " abc"),
            ("page=1&apiToken=abc", "abc"),
            ("X: bearer abc", "abc"),
            ("postgres://u:abc@h/db", "u:abc@h/db"),
            (
                "\"passwort\" = 1, \"password\" : \"abc\"",
                " 1, \"password\" : \"abc\"",
            ),
            ("Töken–key=äbc", "äbc"),
        ] {
            let at = announced(text).unwrap_or(text.len());
            assert_eq!(&text[at..], secret, "{text}");
        }
        for text in [
            "https://auth.example.com:80/mcp?page=1",
            "https://tokens:8080/mcp",
            "--port=80 --verbose",
            "the key to everything",
            "--token",
            "mail@host",
            "",
        ] {
            assert_eq!(announced(text), None, "{text}");
        }
        for (text, secret) in [
            ("the key of ß: x", "of ß: x"),
            ("TOKEN x: y", "x: y"),
            ("\"token\" : x", " x"),
            ("api-token\u{1}x", "\u{1}x"),
            ("?api_token", ""),
        ] {
            let at = announced_in_line(text).unwrap_or_default();
            assert_eq!(&text[at..], secret, "{text}");
        }
        assert_eq!(announced_in_line("the key to everything"), None);
    }

    #[test]
    fn flags_announce_the_next_argument() {
        for flag in [
            "--token",
            "--api-key",
            "-password",
            "--tokne",
            "--client-secret",
        ] {
            assert!(announces_next(flag), "{flag}");
        }
        for other in ["token", "--token=x", "--port", "-", "--", "-x"] {
            assert!(!announces_next(other), "{other}");
        }
    }
}
