//! Just enough of Rust's lexical structure for the rules: code without comments and literals,
//! the extent of functions, and what is compiled for tests only.
//!
//! Works on text that rustfmt accepts. Lines keep their numbers, so a finding points at its line.

use std::ops::RangeInclusive;

/// A function and the lines it spans, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// The line of the word `fn`.
    pub(crate) first_line: usize,
    /// The line of its closing brace.
    pub(crate) last_line: usize,
}

impl Function {
    /// How many lines it takes on the screen.
    pub(crate) fn lines(&self) -> usize {
        self.last_line - self.first_line + 1
    }
}

/// The text with comments and literals blanked out, line by line the same. Always ASCII, so that
/// offsets in it are offsets of characters.
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(&next) = chars.get(at) {
        let rest = chars.get(at..).unwrap_or_default();
        let length = blank_length(rest, chars.get(at.wrapping_sub(1)).copied());
        if length == 0 {
            out.push(if next.is_ascii() { next } else { '_' });
            at += 1;
        } else {
            let blanked = rest.iter().take(length);
            out.extend(blanked.map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at += length;
        }
    }
    out
}

/// How many characters from here are a comment or a literal; 0 if it is code.
fn blank_length(rest: &[char], before: Option<char>) -> usize {
    let inside_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    match rest {
        ['/', '/', ..] => rest.iter().take_while(|c| **c != '\n').count(),
        ['/', '*', ..] => block_comment_length(rest),
        ['r', '#' | '"', ..] if !inside_word => raw_text_length(rest, 1),
        ['b' | 'c', 'r', '#' | '"', ..] if !inside_word => raw_text_length(rest, 2),
        ['"', ..] => quoted_length(rest, '"'),
        ['\'', '\\', ..] => quoted_length(rest, '\''),
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    }
}

fn block_comment_length(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match rest.get(at..).unwrap_or_default() {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// A raw literal after its letters; 0 if this is a raw identifier instead.
fn raw_text_length(rest: &[char], letters: usize) -> usize {
    let after = rest.get(letters..).unwrap_or_default();
    let hashes = after.iter().take_while(|c| **c == '#').count();
    if after.get(hashes) != Some(&'"') {
        return 0;
    }
    let mut at = letters + hashes + 1;
    while at < rest.len() {
        let tail = rest.get(at + 1..).unwrap_or_default();
        let closing = tail.iter().take_while(|c| **c == '#').count() >= hashes;
        if rest.get(at) == Some(&'"') && closing {
            return at + 1 + hashes;
        }
        at += 1;
    }
    rest.len()
}

fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while let Some(c) = rest.get(at) {
        match c {
            '\\' => at += 2,
            c if *c == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Every function with a body, in the order of their first lines. Takes [`code_only`] text.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (offset, _) in code.match_indices("fn ") {
        let before = code.get(..offset).unwrap_or_default();
        let starts_word = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = code.get(offset + 3..).unwrap_or_default();
        let name: String = rest
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        if let Some(length) = body_end(rest) {
            let first_line = before.matches('\n').count() + 1;
            let spanned = rest.get(..length).unwrap_or_default();
            found.push(Function {
                name,
                first_line,
                last_line: first_line + spanned.matches('\n').count(),
            });
        }
    }
    found
}

/// The offset after the brace that closes the next body; `None` if a `;` ends the item first.
fn body_end(code: &str) -> Option<usize> {
    let mut brackets = 0_i32;
    let mut braces = 0_i32;
    for (offset, c) in code.char_indices() {
        match c {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets -= 1,
            ';' if brackets == 0 && braces == 0 => return None,
            '{' => braces += 1,
            '}' => {
                braces -= 1;
                if braces == 0 && brackets == 0 {
                    return Some(offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// How many lines a reader of the product must read: all but the items under `#[cfg(test)]`.
pub(crate) fn production_lines(text: &str) -> usize {
    let code = code_only(text);
    let for_tests: usize = test_items(&code)
        .into_iter()
        .map(|(start, end)| code.get(start..end).unwrap_or_default().lines().count())
        .sum();
    text.lines().count() - for_tests
}

/// The lines of items under `#[cfg(test)]`, from their attributes to their ends.
pub(crate) fn test_lines(text: &str) -> Vec<RangeInclusive<usize>> {
    let code = code_only(text);
    let line_of = |offset| code.get(..offset).unwrap_or_default().matches('\n').count() + 1;
    let items = test_items(&code).into_iter();
    items
        .map(|(start, end)| line_of(start)..=line_of(end))
        .collect()
}

/// [`code_only`] with every item under `#[cfg(test)]` blanked out too.
pub(crate) fn production_code(text: &str) -> String {
    let mut code = code_only(text);
    for (start, end) in test_items(&code) {
        let item = code.get(start..end).unwrap_or_default();
        let blank: String = item
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        code.replace_range(start..end, &blank);
    }
    code
}

/// The byte ranges of items under `#[cfg(test)]`, from the attribute to the end of the item.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (start, mark) in code.match_indices("#[cfg(") {
        let condition = code.get(start + mark.len()..).unwrap_or_default();
        let is_for_tests = ["test)]", "all(test,", "any(test, fuzzing))]"]
            .iter()
            .any(|test| condition.starts_with(test));
        let is_inside = found.last().is_some_and(|(_, end)| start < *end);
        if let Some(closing) = condition.find(")]").filter(|_| is_for_tests && !is_inside) {
            let item = start + mark.len() + closing + 2;
            let length = item_end(code.get(item..).unwrap_or_default());
            found.push((start, item + length));
        }
    }
    found
}

/// The length of the item that starts here: up to its `;`, or its closing brace.
fn item_end(code: &str) -> usize {
    let semicolon = {
        let mut depth = 0_i32;
        code.char_indices().find_map(|(offset, c)| {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _ => {}
            }
            (c == ';' && depth == 0).then_some(offset + 1)
        })
    };
    match (semicolon, body_end(code)) {
        (Some(semicolon), Some(body)) => semicolon.min(body),
        (Some(end), None) | (None, Some(end)) => end,
        (None, None) => code.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_blank_and_lines_stay() {
        let text = "let a = \"x{\\\"}\"; // fn no() {\n/* { /* { */\n */ let b = '{'; r#\"}\"#; 'l: loop {}";
        let code = code_only(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(code.matches(['{', '}']).collect::<String>(), "{}");
        assert!(code.contains("let b =") && code.contains("'l: loop"));
    }

    #[test]
    fn functions_span_from_the_word_to_the_closing_brace() {
        let text = "trait T {\n    fn no(&self) -> [u8; 4];\n}\npub fn yes(\n    a: [u8; 2],\n) -> u8 {\n    if a { 1 } else { 2 }\n}\n";
        let found = functions(&code_only(text));
        let expected = Function {
            name: "yes".to_owned(),
            first_line: 4,
            last_line: 8,
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn items_for_tests_do_not_count() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { c.unwrap() }\n}\nfn d() {}\n#[cfg(all(test, unix))]\nuse x::{y, z};\n";
        assert_eq!(production_lines(text), 2);
        let code = production_code(text);
        assert!(!code.contains("unwrap") && code.contains("fn d"));
        assert_eq!(test_lines(text), [2..=5, 7..=8]);
    }
}
