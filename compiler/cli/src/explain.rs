//! `mcpc explain`: the page of a code, the list of all, and with `--tool` what `trace` tells.

use std::fmt::Write;

use mcpc_compiler::{CODES, near_codes};

use crate::terminal::{Terminal, print, say};
use crate::{Exit, args, trace};

pub(crate) fn run(explain: &args::Explain, terminal: Terminal) -> Exit {
    if let Some(tool) = &explain.tool {
        return trace::run(tool, explain, terminal);
    }
    if explain.list {
        return print(list().as_bytes());
    }
    let asked = explain.subject.as_deref().unwrap_or_default();
    let digits = digits_of(asked);
    let number = digits.parse::<u16>().ok().filter(|_| digits.len() <= 4);
    if let Some(entry) = CODES.iter().find(|entry| Some(entry.code.0) == number) {
        print(entry.page.as_bytes())
    } else {
        say(&unknown(digits));
        Exit::Failed
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
    for entry in near_codes(digits) {
        let _infallible = writeln!(text, "  {}  {}", entry.code, entry.title);
    }
    text.push_str("`mcpc explain --list` lists them all\n");
    text
}
