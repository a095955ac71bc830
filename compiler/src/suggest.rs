//! Did you mean: the nearest of some names.
//!
//! Owns what counts as near, for names and for codes. Knows nothing of what the names stand for.

use std::borrow::Cow;

use crate::codes::{CODES, CodeEntry};

/// The candidate that was probably meant: the nearest one, at most a third of the name's length
/// away. One change is always a slip, except in a name of one character, where it is another name.
/// Two characters in each other's place are one change. Case, `-` and `_` do not count. Of several
/// as near, the first in the alphabet. If none is near, the only one that the name is short for.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const LENGTH_MAX: usize = 64;
    const SHORT_MIN: usize = 3;
    if name.len() > LENGTH_MAX || name.is_empty() {
        return None;
    }
    let folded = fold(name);
    let limit = match folded.chars().count() {
        0 | 1 => 0,
        count => (count / 3).max(1),
    };
    let mut near: Option<(usize, &str)> = None;
    let mut long: Option<&str> = None;
    let mut is_short_for_several = false;
    for candidate in candidates {
        let other = fold(candidate);
        if distance_min(&folded, &other) <= limit {
            let distance = strsim::osa_distance(&folded, &other);
            if distance <= limit && near.is_none_or(|near| (distance, candidate) < near) {
                near = Some((distance, candidate));
            }
        }
        if folded.len() >= SHORT_MIN && other.starts_with(&*folded) {
            is_short_for_several |= long.is_some();
            long = Some(candidate);
        }
    }
    let long = long.filter(|_| !is_short_for_several);
    near.map(|(_, candidate)| candidate).or(long)
}

/// The three codes that are the fewest slips away from these digits: one left out, doubled, swapped
/// or mistaken. Of those as near, what starts alike comes first.
pub fn near_codes(digits: &str) -> Vec<&'static CodeEntry> {
    // A long number is no code with slips, and comparing takes its square.
    let digits = digits.get(..8).unwrap_or(digits);
    let slips = |entry: &CodeEntry| {
        let code = format!("{:04}", entry.code.0);
        let alike = code.bytes().zip(digits.bytes());
        let alike = alike.take_while(|(one, other)| one == other).count();
        (strsim::osa_distance(digits, &code), usize::MAX - alike)
    };
    let mut near: Vec<&CodeEntry> = CODES.iter().collect();
    near.sort_by_cached_key(|entry| slips(entry));
    near.truncate(3);
    near.sort_by_key(|entry| entry.code);
    near
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

/// What two names are apart at the least: how many characters one has that the other lacks. Counting
/// them costs little beside the distance itself, which takes the product of the two lengths, and most
/// pairs of names are further apart than any slip. Characters that share a slot only lower the bound.
fn distance_min(one: &str, other: &str) -> usize {
    let mut balance = [0_isize; 32];
    for (name, weight) in [(one, 1), (other, -1)] {
        for character in name.chars() {
            if let Some(slot) = balance.get_mut(character as usize % 32) {
                *slot += weight;
            }
        }
    }
    let surplus = balance.iter().filter(|slot| **slot > 0).sum::<isize>();
    let lack = balance.iter().filter(|slot| **slot < 0).sum::<isize>();
    surplus.unsigned_abs().max(lack.unsigned_abs())
}

fn fold(name: &str) -> Cow<'_, str> {
    if name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'))
    {
        return Cow::Borrowed(name);
    }
    let letters = name
        .chars()
        .filter(|character| !matches!(character, '-' | '_'));
    Cow::Owned(letters.flat_map(char::to_lowercase).collect())
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
            ("coun", Some("country")),
            ("x", None),
            ("co", None),
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

    #[test]
    fn no_pair_is_nearer_than_the_least_that_counting_says() {
        const NAMES: [&str; 8] = [
            "", "env", "vne", "headers", "server1", "äöü", "ae", "aabbcc",
        ];
        for one in NAMES {
            for other in NAMES {
                let (least, distance) =
                    (distance_min(one, other), strsim::osa_distance(one, other));
                assert!(least <= distance, "{one} {other}: {least} > {distance}");
            }
        }
        assert_eq!(distance_min("server", "headers"), 3);
        assert_eq!(distance_min("evn", "env"), 0);
    }

    #[test]
    fn near_codes_are_few_slips_away() {
        for (asked, expected) in [
            ("930", 9301),
            ("93011", 9301),
            ("3901", 9301),
            ("9391", 9301),
            ("10008", 1008),
            ("0000", 1),
            ("9", 9001),
        ] {
            let codes: Vec<u16> = near_codes(asked).iter().map(|entry| entry.code.0).collect();
            assert!(codes.contains(&expected), "{asked}: {codes:?}");
        }
    }
}
