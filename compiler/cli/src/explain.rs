//! `mcpc explain`: the page of a code, and the list of all.

use std::fmt::Write;

use mcpc_compiler::{CODES, CodeEntry};

use crate::Exit;
use crate::args;
use crate::terminal::{print, say};

/// How many near codes are offered for one that does not exist.
const NEAR: usize = 3;

pub(crate) fn run(explain: &args::Explain) -> Exit {
    if explain.list {
        return print(list().as_bytes());
    }
    let asked = explain.code.as_deref().unwrap_or_default();
    let digits = digits_of(asked);
    let number = digits.parse::<u16>().ok().filter(|_| digits.len() <= 4);
    match CODES.iter().find(|entry| Some(entry.code.0) == number) {
        Some(entry) => print(entry.page.as_bytes()),
        None => {
            say(&unknown(digits));
            Exit::Failed
        }
    }
}

fn list() -> String {
    let mut text = String::new();
    for entry in CODES {
        let _infallible = writeln!(text, "{}  {}", entry.code, entry.title);
    }
    text
}

/// What is left of a code without `MCPC`, in upper or lower case.
fn digits_of(asked: &str) -> &str {
    match asked.split_at_checked(4) {
        Some((head, digits)) if head.eq_ignore_ascii_case("mcpc") => digits,
        _ => asked,
    }
}

fn unknown(digits: &str) -> String {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return "error: a code is `MCPC` and four digits, such as MCPC1008\n\
                `mcpc explain --list` lists them all\n"
            .to_owned();
    }
    let mut text = format!("error: there is no code MCPC{digits}; near it are\n");
    for entry in near(digits) {
        let _infallible = writeln!(text, "  {}  {}", entry.code, entry.title);
    }
    text.push_str("`mcpc explain --list` lists them all\n");
    text
}

/// The codes that are the fewest slips away: a digit left out, doubled, swapped or mistaken. Of
/// those as near, what starts alike comes first.
fn near(digits: &str) -> Vec<&'static CodeEntry> {
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
    near.truncate(NEAR);
    near.sort_by_key(|entry| entry.code);
    near
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_codes_are_few_slips_away() {
        for (asked, first) in [
            ("930", 9301),
            ("93011", 9301),
            ("3901", 9301),
            ("9391", 9301),
            ("10008", 1008),
            ("0000", 1),
            ("9", 9001),
        ] {
            let near = near(asked);
            assert_eq!(near.len(), NEAR);
            let codes: Vec<u16> = near.iter().map(|entry| entry.code.0).collect();
            assert!(codes.contains(&first), "{asked}: {codes:?}");
        }
    }
}
