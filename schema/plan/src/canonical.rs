//! Canonical bytes (RFC 8785) and the digest over them.
//!
//! Plans hold no fractions, so the number rules of RFC 8785 reduce to plain integers; anything
//! else is refused rather than printed in a way that another machine might print differently.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::PlanError;

/// `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(Box<str>);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in Sha256::digest(bytes) {
            for nibble in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        Self(text.into())
    }

    /// A stand-in until the plan is sealed; never verifies.
    pub fn unsealed() -> Self {
        Self("".into())
    }

    /// The whole digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve hexadecimal digits, for people and logs.
    pub fn short(&self) -> &str {
        self.0.get(7..19).unwrap_or(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The canonical bytes of a value: keys sorted by UTF-16 code units, no blanks, integers only.
///
/// # Errors
/// [`PlanError::NotCanonical`] if a number is not an integer.
pub fn canonical_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, PlanError> {
    canonical_tree(&serde_json::to_value(value).map_err(|_| PlanError::NotCanonical)?)
}

/// The canonical bytes of a value that is a tree already: serializing it again would copy it.
pub(crate) fn canonical_tree(tree: &Value) -> Result<Vec<u8>, PlanError> {
    let mut out = Vec::new();
    write(tree, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), PlanError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_u64() || number.is_i64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(_) => return Err(PlanError::NotCanonical),
        Value::String(text) => write_text(text, out)?,
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(object) => {
            let mut members: Vec<_> = object.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(key, out)?;
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// `serde_json` escapes exactly what RFC 8785 §3.2.2.2 asks for, in the same spelling.
fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), PlanError> {
    serde_json::to_writer(out, text).map_err(|_| PlanError::NotCanonical)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_by_utf16_and_text_is_escaped_as_rfc_8785_says() {
        let value = json!({ "\u{20ac}": 1, "\r": 2, "\u{1f600}": 3, "1": "\u{8}\u{1f}\"\\/\u{e9}", "\u{fb33}": [] });
        let bytes = canonical_bytes(&value);
        let expected = "{\"\\r\":2,\"1\":\"\\b\\u001f\\\"\\\\/\u{e9}\",\"\u{20ac}\":1,\"\u{1f600}\":3,\"\u{fb33}\":[]}";
        assert_eq!(bytes, Ok(expected.as_bytes().to_vec()));
    }

    #[test]
    fn fractions_are_refused() {
        assert_eq!(
            canonical_bytes(&json!({ "a": 1.5 })),
            Err(PlanError::NotCanonical)
        );
    }
}
