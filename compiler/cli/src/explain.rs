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
    let Some(number) = number_of(asked) else {
        say("error: a code is `MCPC` and four digits, such as MCPC1008\n");
        return Exit::Failed;
    };
    let Some(entry) = CODES.iter().find(|entry| entry.code.0 == number) else {
        say(&unknown(number));
        return Exit::Failed;
    };
    print(entry.page.as_bytes())
}

fn list() -> String {
    let mut text = String::new();
    for entry in CODES {
        let _infallible = writeln!(text, "{}  {}", entry.code, entry.title);
    }
    text
}

fn number_of(asked: &str) -> Option<u16> {
    let digits = match asked.get(..4) {
        Some(head) if head.eq_ignore_ascii_case("mcpc") => asked.get(4..)?,
        _ => asked,
    };
    let is_number =
        (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

fn unknown(number: u16) -> String {
    let mut near: Vec<&CodeEntry> = CODES.iter().collect();
    near.sort_by_key(|entry| (entry.code.0.abs_diff(number), entry.code));
    near.truncate(NEAR);
    near.sort_by_key(|entry| entry.code);
    let mut text = format!("error: there is no code MCPC{number:04}; near it are\n");
    for entry in near {
        let _infallible = writeln!(text, "  {}  {}", entry.code, entry.title);
    }
    text.push_str("`mcpc explain --list` lists them all\n");
    text
}
