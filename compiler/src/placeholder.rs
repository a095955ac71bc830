//! The syntax of placeholders in one text: `$<NAME>`, `${NAME:-default}`, `$$`.
//!
//! Owns the grammar and what is wrong with a text that breaks it. Does not look up anything:
//! `expand` does for plain values, and the data plane for the templates of secrets.

use std::ops::Range;

use mcpc_plan::{Part, Source as SecretSource, Template};

/// A stretch of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Its bytes.
    pub(crate) range: Range<usize>,
    /// What it is.
    pub(crate) kind: Kind<'a>,
}

/// What a stretch of a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// Text that stands for itself.
    Text(&'a str),
    /// A value from elsewhere.
    Placeholder(Placeholder<'a>),
    /// `$NAME`: it stands for itself, but probably was not meant to.
    Stray,
    /// Something that starts as a placeholder and is none.
    Fault(Fault),
}

/// A value from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder<'a> {
    /// Where from.
    pub(crate) origin: Origin<'a>,
    /// `:-default`
    pub(crate) default: Option<&'a str>,
    /// `:?message`
    pub(crate) message: Option<&'a str>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin<'a> {
    /// A variable.
    Variable(&'a str),
    /// The content of a file.
    File(&'a str),
}

/// What is wrong with a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is no `>` or `}`.
    Unclosed,
    /// The name is empty or has a character that names do not have.
    Name,
    /// After the name comes something other than `:-` or `:?`.
    Form,
    /// A placeholder inside a placeholder.
    Nested,
    /// A file path that does not start with `/`.
    RelativeFile,
    /// `vault:`, which is not supported yet.
    Vault,
}

impl Fault {
    /// What is wrong, and what to do.
    pub(crate) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Unclosed => (
                "this placeholder is not closed",
                "close `$<NAME>` with `>` and `${NAME}` with `}`; write `$$` for a dollar sign",
            ),
            Self::Name => (
                "this is not the name of a variable",
                "a name has letters, digits and `_`, and does not start with a digit; write `$$` for a dollar sign",
            ),
            Self::Form => (
                "after the name only `:-` or `:?` can follow",
                "write `$<NAME>`, `$<NAME:-default>`, `$<NAME:?message>` or `$<file:/path>`",
            ),
            Self::Nested => (
                "placeholders cannot be nested",
                "write the default as plain text",
            ),
            Self::RelativeFile => (
                "the path of a file starts with `/`",
                "write the whole path: `$<file:/run/secrets/name>`",
            ),
            Self::Vault => (
                "values from a vault are not supported yet",
                "use a variable or a file: `$<NAME>`, `$<file:/run/secrets/name>`",
            ),
        }
    }
}

/// The stretches of a text, in order and without gaps. One at a time: a text may have millions.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..).filter(|rest| !rest.is_empty())?;
        let (length, kind) = match rest.find('$') {
            Some(0) => dollar(rest),
            next => {
                let length = next.unwrap_or(rest.len());
                (length, Kind::Text(rest.get(..length).unwrap_or_default()))
            }
        };
        let range = at..at + length;
        at = range.end;
        Some(Piece { range, kind })
    })
}

/// What a dollar sign starts, and how long it is.
fn dollar(rest: &str) -> (usize, Kind<'_>) {
    let close = match rest.as_bytes().get(1) {
        Some(b'$') => return (2, Kind::Text(rest.get(..1).unwrap_or_default())),
        Some(b'<') => '>',
        Some(b'{') => '}',
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => {
            let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let length = 1 + rest.bytes().skip(1).take_while(is_name).count();
            return (length, Kind::Stray);
        }
        _ => return (1, Kind::Text(rest.get(..1).unwrap_or_default())),
    };
    let Some(end) = rest.find(close) else {
        return (rest.len(), Kind::Fault(Fault::Unclosed));
    };
    let inside = rest.get(2..end).unwrap_or_default();
    let kind = match read(inside) {
        Ok(placeholder) => Kind::Placeholder(placeholder),
        Err(fault) => Kind::Fault(fault),
    };
    (end + close.len_utf8(), kind)
}

/// Reads what stands between the brackets.
fn read(inside: &str) -> Result<Placeholder<'_>, Fault> {
    if inside.contains("$<") || inside.contains("${") {
        return Err(Fault::Nested);
    }
    if inside.starts_with("vault:") && !inside.starts_with("vault:-") {
        return Err(Fault::Vault);
    }
    if let Some(file) = inside
        .strip_prefix("file:")
        .filter(|rest| !rest.starts_with(['-', '?']))
    {
        let (path, default, message) = split(file);
        if !path.starts_with('/') {
            return Err(Fault::RelativeFile);
        }
        return Ok(Placeholder {
            origin: Origin::File(path),
            default,
            message,
        });
    }
    let (name, default, message) = split(inside);
    let is_name = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !text.starts_with(|first: char| first.is_ascii_digit())
            && !text.is_empty()
    };
    if is_name(name) {
        return Ok(Placeholder {
            origin: Origin::Variable(name),
            default,
            message,
        });
    }
    let start = name.split([':', '-', '=', '+', '?', '#', '%', '/']).next();
    let is_form = start.is_some_and(|start| start.len() < name.len() && is_name(start));
    Err(if is_form { Fault::Form } else { Fault::Name })
}

/// Splits off `:-default` or `:?message`, whichever comes first.
fn split(text: &str) -> (&str, Option<&str>, Option<&str>) {
    let default = text.split_once(":-");
    let message = text.split_once(":?");
    match (default, message) {
        (Some((name, default)), other)
            if other.is_none_or(|(later, _)| name.len() < later.len()) =>
        {
            (name, Some(default), None)
        }
        (_, Some((name, message))) => (name, None, Some(message)),
        _ => (text, None, None),
    }
}

/// The template of a secret. A text that `expand` found faulty stands for itself.
pub(crate) fn template(text: &str) -> Template {
    let mut parts: Vec<Part> = Vec::new();
    let mut literal = String::new();
    for piece in pieces(text) {
        match piece.kind {
            Kind::Placeholder(placeholder) => {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Reference {
                    source: match placeholder.origin {
                        Origin::Variable(name) => SecretSource::Variable(name.into()),
                        Origin::File(path) => SecretSource::File(path.into()),
                    },
                    default: placeholder.default.map(Into::into),
                    message: placeholder.message.map(Into::into),
                });
            }
            Kind::Text(text) => literal.push_str(text),
            Kind::Stray | Kind::Fault(_) => {
                literal.push_str(text.get(piece.range).unwrap_or_default());
            }
        }
    }
    if !literal.is_empty() || parts.is_empty() {
        parts.push(Part::Text(literal.into()));
    }
    Template(parts.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable<'a>(name: &'a str, default: Option<&'a str>, message: Option<&'a str>) -> Kind<'a> {
        Kind::Placeholder(Placeholder {
            origin: Origin::Variable(name),
            default,
            message,
        })
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected) in [
            ("$<A>", variable("A", None, None)),
            ("${A_1}", variable("A_1", None, None)),
            ("$<A:->", variable("A", Some(""), None)),
            ("${A:-b>c:?d}", variable("A", Some("b>c:?d"), None)),
            ("$<A:?set it :-)>", variable("A", None, Some("set it :-)"))),
            ("$<vault:-x>", variable("vault", Some("x"), None)),
            (
                "$<file:/run/x:-y>",
                Kind::Placeholder(Placeholder {
                    origin: Origin::File("/run/x"),
                    default: Some("y"),
                    message: None,
                }),
            ),
            ("$$", Kind::Text("$")),
            ("$", Kind::Text("$")),
            ("$5", Kind::Text("$")),
            ("$HOME", Kind::Stray),
            ("$<A", Kind::Fault(Fault::Unclosed)),
            ("$<>", Kind::Fault(Fault::Name)),
            ("$<1A>", Kind::Fault(Fault::Name)),
            ("$<A B>", Kind::Fault(Fault::Name)),
            ("${A-b}", Kind::Fault(Fault::Form)),
            ("${A:=b}", Kind::Fault(Fault::Form)),
            ("${A:-${B}}", Kind::Fault(Fault::Nested)),
            ("$<file:x>", Kind::Fault(Fault::RelativeFile)),
            ("$<vault:a#b>", Kind::Fault(Fault::Vault)),
        ] {
            let first = pieces(text).next().map(|piece| piece.kind);
            assert_eq!(first, Some(expected), "{text}");
        }
    }

    /// A small generator with a fixed seed; the texts are made of what the grammar cares about.
    fn texts(count: usize) -> impl Iterator<Item = String> {
        const BITS: [&str; 16] = [
            "$", "<", ">", "{", "}", ":", "-", "?", "A", "9", "file:", "vault:", "/", "é", " ",
            "\n",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..count).map(move |_| {
            let length = next() % 12;
            (0..length)
                .filter_map(|_| BITS.get(usize::try_from(next() % 16).unwrap_or(0)))
                .copied()
                .collect()
        })
    }

    #[test]
    fn pieces_cover_any_text_without_gaps() {
        for text in texts(20_000) {
            let mut at = 0;
            for piece in pieces(&text) {
                assert_eq!(piece.range.start, at, "{text:?}");
                assert!(text.get(piece.range.clone()).is_some(), "{text:?}");
                at = piece.range.end;
            }
            assert_eq!(at, text.len(), "{text:?}");
            assert!(!template(&text).0.is_empty(), "{text:?}");
        }
    }

    #[test]
    fn template_keeps_sources_and_unescapes_dollars() {
        let parts = template("Bearer $<T:-x>$$1").0;
        let expected: [Part; 3] = [
            Part::Text("Bearer ".into()),
            Part::Reference {
                source: SecretSource::Variable("T".into()),
                default: Some("x".into()),
                message: None,
            },
            Part::Text("$1".into()),
        ];
        assert_eq!(*parts, expected);
    }
}
