//! The regular expressions of the schema, and what each means.
//!
//! Owns a reader of its own for each expression: there are few, and an engine for all would be the
//! largest part of the program. A test holds each reader against its expression.

/// An expression of the schema.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// As it stands in the schema.
    pub(super) expression: &'static str,
    fits: fn(&str) -> bool,
    /// What a text that does not fit is not.
    pub(crate) label: &'static str,
    /// What a text has to look like.
    pub(crate) rule: &'static str,
}

impl Pattern {
    /// The pattern with an expression.
    pub(super) fn of(expression: &str) -> Option<&'static Self> {
        PATTERNS
            .iter()
            .find(|pattern| pattern.expression == expression)
    }

    /// Whether a text has the form.
    pub(crate) fn fits(&self, text: &str) -> bool {
        (self.fits)(text)
    }
}

static PATTERNS: [Pattern; 6] = [
    Pattern {
        expression: r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$",
        fits: |text| {
            text.len() <= 64
                && text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && has_only(text, b"_-")
        },
        label: "not an allowed name",
        rule: "a name has 1 to 64 letters, digits, `_` and `-`, and starts with a letter or digit",
    },
    Pattern {
        expression: r"^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        fits: |text| {
            text.len() <= 128
                && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
                && has_only(text, b"_")
        },
        label: "not an allowed name",
        rule: "a variable's name has letters, digits and `_`, and does not start with a digit",
    },
    Pattern {
        expression: r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$",
        fits: |text| (1..=128).contains(&text.len()) && has_only(text, b"!#$%&'*+.^_`|~-"),
        label: "not an allowed name",
        rule: "a header's name has letters, digits and `! # $ % & ' * + . ^ _ | ~ -`",
    },
    Pattern {
        expression: r"^[A-Za-z0-9_.-]{1,128}$",
        fits: |text| (1..=128).contains(&text.len()) && has_only(text, b"_.-"),
        label: "not a name that clients can call",
        rule: "a name has 1 to 128 letters, digits, `_`, `-` and `.`",
    },
    Pattern {
        expression: r"^/[A-Za-z0-9._~/-]{0,255}$",
        fits: |text| text.len() <= 256 && text.starts_with('/') && has_only(text, b"._~/-"),
        label: "not a path",
        rule: "a path starts with `/` and has letters, digits and `. _ ~ - /`, at most 256 in all",
    },
    Pattern {
        expression: r"^([A-Za-z0-9_.-]|\{server\}){0,64}$",
        fits: |text| {
            // A placeholder counts as one character, and nothing else has a brace.
            let folded = text.replace("{server}", "_");
            folded.len() <= 64 && has_only(&folded, b"_.-")
        },
        label: "not a prefix",
        rule: "a prefix has letters, digits, `_`, `-`, `.` and `{server}`, at most 64 in all",
    },
];

/// Whether a text has ASCII letters, digits and these characters only.
fn has_only(text: &str, others: &[u8]) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failing test may panic")]

    use serde_json::json;

    use super::*;

    /// Texts near every bound, from characters that one of the expressions tells apart.
    fn texts() -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for length in [0, 1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257] {
            for head in ["", "/", "_", "-", "0", "{server}"] {
                texts.push(format!("{head}{}", "a".repeat(length)));
                texts.push(format!("{head}{}", "{server}".repeat(length)));
            }
        }
        for odd in "!#$%&'*+.^_`|~-/{}\n \u{e9}:\\\"".chars() {
            texts.extend([format!("{odd}"), format!("a{odd}"), format!("/{odd}a")]);
        }
        texts.extend(["{server", "server}", "{{server}}", "a\n"].map(str::to_owned));
        texts
    }

    #[test]
    fn every_reader_takes_what_its_expression_takes() {
        for pattern in &PATTERNS {
            let schema = json!({ "pattern": pattern.expression });
            let validator = jsonschema::validator_for(&schema).unwrap();
            for text in texts() {
                let wanted = validator.is_valid(&json!(text));
                assert_eq!(
                    pattern.fits(&text),
                    wanted,
                    "{} {text:?}",
                    pattern.expression
                );
            }
        }
    }
}
