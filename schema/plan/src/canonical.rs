//! Canonical bytes (RFC 8785) and the digest over them.
//!
//! Plans hold no fractions, so the number rules of RFC 8785 reduce to plain integers; anything
//! else is refused rather than printed in a way that another machine might print differently.

mod sorted;

use std::fmt;

use serde::{Deserialize, Serialize};
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

    /// The digest that these are the 64 hexadecimal digits of, if they are.
    pub fn from_digits(digits: &str) -> Option<Self> {
        let is_it = digits.len() == 64 && digits.bytes().all(|it| it.is_ascii_hexdigit());
        is_it.then(|| Self(format!("sha256:{digits}").into()))
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
    sorted::bytes(value, None).map_err(|_| PlanError::NotCanonical)
}

/// The canonical bytes of a value without one member of the value itself.
pub(crate) fn canonical_bytes_without<T: Serialize>(
    value: &T,
    member: &str,
) -> Result<Vec<u8>, PlanError> {
    sorted::bytes(value, Some(member)).map_err(|_| PlanError::NotCanonical)
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
        let value = json!({ "b": { "d": [{}, { "z": null, "a": [] }], "b": true }, "a": "" });
        let expected = "{\"a\":\"\",\"b\":{\"b\":true,\"d\":[{},{\"a\":[],\"z\":null}]}}";
        let bytes = canonical_bytes(&value);
        assert_eq!(bytes, Ok(expected.as_bytes().to_vec()));
        let bytes = canonical_bytes_without(&value, "b");
        assert_eq!(bytes, Ok(b"{\"a\":\"\"}".to_vec()));
        let bytes = canonical_bytes(&[("x", -1), ("y", 0)]);
        assert_eq!(bytes, Ok(b"[[\"x\",-1],[\"y\",0]]".to_vec()));
    }

    #[test]
    fn numbers_that_have_more_than_one_form_are_refused() {
        let refused = Err(PlanError::NotCanonical);
        assert_eq!(canonical_bytes(&json!({ "a": 1.5 })), refused);
        assert_eq!(canonical_bytes(&[1.0_f32]), refused);
        assert_eq!(canonical_bytes(&[1_i128]), refused);
        assert_eq!(canonical_bytes(&[1_u128]), refused);
    }

    #[test]
    fn text_that_was_written_elsewhere_is_refused() {
        let raw = serde_json::value::to_raw_value(&json!({ "b": 1, "a": 2 }));
        let bytes = raw.map(|raw| canonical_bytes(&[raw]));
        assert!(matches!(bytes, Ok(Err(PlanError::NotCanonical))));
    }
}
