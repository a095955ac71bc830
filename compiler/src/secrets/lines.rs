//! Secrets in lines of which no tree tells: all lines of a text that could not be read, and comments.
//!
//! Owns a reading that errs on the side of hiding: whatever stands after a word that announces a
//! secret, until a line says in so many words that something else begins.

use super::shown::Shown;
use super::words::{announced_in_line, is_carrier};
use crate::source::{Source, Span};

/// Which part of the lines is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// All of it.
    Everything,
    /// What follows a `#`. A value that is commented out may be a secret still.
    Comments,
}

/// What follows a telling word, over as many lines as it takes.
struct Region {
    /// A line that begins before this column can end it: first the one after where its own line begins.
    end: usize,
    /// Whether that is an item of a list, so that the next item ends it.
    is_item: bool,
    /// Brackets that are still open.
    depth: usize,
    quote: Option<char>,
    /// Whether nothing follows the word on its own line, so that the next one belongs to it whatever it
    /// looks like.
    owes_line: bool,
}

/// The places to hide on the lines that are shown. What is above them decides as well.
pub(super) fn hidden(source: &Source, shown: &Shown, reading: Reading) -> Vec<Span> {
    let mut hidden = Vec::new();
    let mut region: Option<Region> = None;
    for number in 1..=shown.last() {
        let line = source.line(number);
        let text = source.slice(line);
        let Some(start) = begin(text, reading) else {
            region = None;
            continue;
        };
        let text = text.get(start..).unwrap_or_default();
        if text.trim().is_empty() {
            continue;
        }
        let from = step(&mut region, text);
        if let Some(from) = from.filter(|_| shown.holds(number)) {
            let rest = text.get(from..).unwrap_or_default();
            let blank = rest.len() - rest.trim_start().len();
            hidden.push(Span::new(line.start + start + from + blank, line.end));
        }
        if reading == Reading::Comments && start > 0 && !is_comment(source.slice(line)) {
            // What stands behind a value speaks of that value alone.
            region = None;
        }
    }
    hidden
}

/// Where that part of a line begins.
fn begin(line: &str, reading: Reading) -> Option<usize> {
    if reading == Reading::Everything {
        return Some(0);
    }
    let mut signs = line.match_indices('#').map(|(at, _)| at);
    let is_first = |at: &usize| {
        let before = line.get(..*at).unwrap_or_default();
        before.is_empty() || before.ends_with(char::is_whitespace)
    };
    signs.find(is_first).map(|at| at + 1)
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// Where on a line that is not blank something is to be hidden; goes on with the region or ends it.
fn step(region: &mut Option<Region>, text: &str) -> Option<usize> {
    let trimmed = text.trim_start();
    let indent = text.len() - trimmed.len();
    if region
        .as_ref()
        .is_some_and(|it| it.ends_before(indent, trimmed))
    {
        *region = None;
    }
    let from = if let Some(region) = region {
        if region.owes_line && !region.is_item && entry(trimmed).is_some() {
            // What belongs to it may not be indented.
            region.end = region.end.min(indent);
        }
        region.owes_line = false;
        let is_inside = region.depth > 0 || region.quote.is_some();
        let value = entry(trimmed).filter(|_| !is_inside);
        indent + value.map_or(0, |(_, value)| value)
    } else {
        let carrier = entry(trimmed).filter(|(key, _)| is_carrier(key));
        let carrier = carrier.map(|(_, value)| indent + value);
        announced_in_line(text).or(carrier)?
    };
    let rest = text.get(from..).unwrap_or_default();
    let region = region.get_or_insert_with(|| Region {
        end: indent + 1,
        is_item: is_item(trimmed),
        depth: 0,
        quote: None,
        owes_line: rest.trim_matches(['"', '\'', ',', ' ']).is_empty(),
    });
    region.read(rest);
    Some(from)
}

impl Region {
    fn ends_before(&self, indent: usize, line: &str) -> bool {
        let is_open = self.depth > 0 || self.quote.is_some() || self.owes_line;
        !is_open && indent < self.end && (entry(line).is_some() || (self.is_item && is_item(line)))
    }

    fn read(&mut self, text: &str) {
        let mut before = ' ';
        for character in text.chars() {
            match (self.quote, character) {
                (Some(quote), _) if quote == character => self.quote = None,
                (None, '"' | '\'') if !before.is_alphanumeric() => self.quote = Some(character),
                (None, '[' | '{') => self.depth += 1,
                (None, ']' | '}') => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            before = character;
        }
    }
}

fn is_item(line: &str) -> bool {
    line.starts_with("- ")
}

/// The key, and the place after its colon, if a line is an entry of a map.
fn entry(line: &str) -> Option<(&str, usize)> {
    let (before, after) = line.split_once(':')?;
    let key = before.trim_start_matches("- ").trim();
    let key = key.trim_matches(['"', '\'']);
    let is_part = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.');
    let is_key = !key.is_empty() && key.chars().all(is_part);
    let is_entry = is_key && (after.is_empty() || after.starts_with(' '));
    is_entry.then_some((key, before.len() + 1))
}
