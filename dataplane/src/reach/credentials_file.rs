//! The credentials file: values of variables that nobody wants in the environment.
//!
//! Owns where it is, what it has to look like, and what is said if it cannot be used: the path, and
//! places in it, but never anything that stands there, since any of it may be a secret. Which of
//! several sources gives a variable is `real`'s business.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::text_file;
use crate::json::{self, Member};
use crate::{Refusal, Secret};

/// The values by the names of their variables.
pub(super) type Credentials = HashMap<Box<str>, Secret>;

/// Reads the file, if there is one: `MCPC_CREDENTIALS_FILE`, or `mcpc/credentials.json` in the
/// configuration directory.
///
/// # Errors
/// It is there and cannot be read, or is not one object of texts under different names.
pub(super) fn read() -> Result<Credentials, Refusal> {
    location().map_or_else(|| Ok(HashMap::new()), |path| read_from(&path))
}

fn location() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("MCPC_CREDENTIALS_FILE") {
        return Some(path.into());
    }
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".config")))?;
    let path = base.join("mcpc").join("credentials.json");
    path.exists().then_some(path)
}

fn read_from(path: &Path) -> Result<Credentials, Refusal> {
    let name = path.display().to_string();
    let unusable = |why: String| {
        // A name that a terminal would obey is shown escaped.
        let name: String = name.chars().flat_map(shown).collect();
        let reason = format!("the credentials file cannot be used: {name}{why}");
        Refusal::new("MCPC0005", reason)
    };
    let text = text_file::read(path).map_err(|error| unusable(format!(": {error}")))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = std::fs::metadata(path).map_err(|error| unusable(format!(": {error}")))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            tracing::warn!(file = %path.display(), "the credentials file can be read by other users");
        }
    }
    values(&text).map_err(unusable)
}

fn shown(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    let plain = escaped.is_none().then_some(character);
    escaped.into_iter().flatten().chain(plain)
}

/// What the object holds. The error goes behind the name of the file.
fn values(text: &str) -> Result<Credentials, String> {
    let bytes = text.as_bytes();
    let mut credentials = Credentials::new();
    let mut places: HashMap<Box<str>, usize> = HashMap::new();
    let mut wrong = None;
    let scanned = json::members(bytes, NESTING_MAX, |member| {
        if wrong.is_some() {
            return;
        }
        let at = member.value.start;
        let (Some(name), Some(value)) = (name_of(&member), json::text(slice(bytes, &member)))
        else {
            wrong = Some(format!(":{}: the value is no text", place(text, at)));
            return;
        };
        if let Some(first) = places.insert(name.clone(), at) {
            let (first, second) = (place(text, first), place(text, at));
            wrong = Some(format!(
                ":{second}: a value for a name that has one already, at {first}"
            ));
        }
        credentials.insert(name, Secret::new(value));
    });
    match (scanned, wrong) {
        (_, Some(wrong)) => Err(wrong),
        (Err(json::NotJson), None) => Err(format!(": {}", not_an_object(text))),
        (Ok(()), None) => Ok(credentials),
    }
}

/// Deeper than any object of texts, so that what is nested is told as no text, not as no JSON.
const NESTING_MAX: u32 = 64;

fn slice<'a>(bytes: &'a [u8], member: &Member<'_>) -> &'a [u8] {
    bytes.get(member.value.clone()).unwrap_or_default()
}

/// The name with its escapes decoded: two ways to write one name are one name.
fn name_of(member: &Member<'_>) -> Option<Box<str>> {
    let quoted = [b"\"", member.key, b"\""].concat();
    json::text(&quoted).map(|name| name.as_ref().into())
}

/// Line and column, as editors count.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let last = before.rsplit('\n').next().unwrap_or_default();
    format!("{line}:{}", last.chars().count() + 1)
}

/// Where the text stops to be JSON, without the parser's own words, which could quote it.
fn not_an_object(text: &str) -> String {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Err(error) => format!("no JSON from {}:{} on", error.line(), error.column()),
        Ok(_) => "not an object of texts".to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_texts_gives_its_values() {
        let found = values("{ \"A\": \"one\", \"\\u0042\": \"t\\u0077o\" }\n").unwrap();
        assert_eq!(found.get("A").unwrap().expose(), "one");
        assert_eq!(found.get("B").unwrap().expose(), "two");
        assert!(values("{}").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_used_is_told_by_its_place_and_never_shown() {
        for (text, why) in [
            ("", ": no JSON from 1:0 on"),
            ("hidden", ": no JSON from 1:1 on"),
            ("{\n  \"A\": hidden }", ": no JSON from 2:8 on"),
            ("[\"hidden\"]", ": not an object of texts"),
            (
                "{ \"A\": 7001, \"B\": \"hidden\" }",
                ":1:8: the value is no text",
            ),
            (
                "{ \"A\": { \"hidden\": \"B\" } }",
                ":1:8: the value is no text",
            ),
            (
                "{\n  \"\u{e9}\": \"hidden\",\n  \"B\": \"\",\n  \"\\u00e9\": \"hidden\"\n}",
                ":4:13: a value for a name that has one already, at 2:8",
            ),
        ] {
            let found = values(text).map(drop).unwrap_err();
            assert_eq!(found, why);
        }
    }
}
