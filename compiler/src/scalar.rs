//! What a plain scalar is: the core schema of YAML 1.2.2, section 10.3.2.
//!
//! Owns the types of unquoted text and the list of texts that YAML 1.1 read differently. Does not
//! know what a place wants to have there: `shape` does.

use crate::tree::Content;

/// What a plain scalar stands for.
pub(crate) enum Resolved {
    /// A value.
    Value(Content),
    /// `.inf` or `.nan`, which JSON cannot carry.
    NotFinite,
}

/// The type of an unquoted text.
pub(crate) fn resolve(text: &str) -> Resolved {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Bool(true),
        "false" | "False" | "FALSE" => Content::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Resolved::NotFinite,
        _ => {
            let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
            if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
                return Resolved::NotFinite;
            }
            if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
                return Resolved::Value(Content::Text(text.into()));
            }
            return number(text, unsigned);
        }
    };
    Resolved::Value(value)
}

/// A number, if the text is one. A leading zero makes a text: YAML 1.1 read it as octal, YAML 1.2
/// as decimal, so nobody can tell what was meant.
fn number(text: &str, unsigned: &str) -> Resolved {
    let radix = |digits: &str, radix: u32| {
        let bare = digits.chars().all(|digit| digit.is_digit(radix));
        i64::from_str_radix(digits, radix).ok().filter(|_| bare)
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let prefixed = match text.get(..2) {
        Some("0x") => text.get(2..).and_then(|rest| radix(rest, 16)),
        Some("0o") => text.get(2..).and_then(|rest| radix(rest, 8)),
        _ => None,
    };
    if let Some(value) = prefixed {
        return Resolved::Value(Content::Integer(value));
    }
    let as_text = Resolved::Value(Content::Text(text.into()));
    if digits(unsigned) {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            return as_text;
        }
        if let Ok(value) = text.parse() {
            return Resolved::Value(Content::Integer(value));
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    let has_digit = !whole.is_empty() || !fraction.is_empty();
    if !exponent_fits || leading_zero || !has_digit || !digits(whole) || !digits(fraction) {
        return as_text;
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Resolved::Value(Content::Float(value)),
        Ok(_) => Resolved::NotFinite,
        Err(_) => as_text,
    }
}

/// How YAML 1.1, which many tools still follow, reads an unquoted text that is a text here.
pub(crate) fn yaml_1_1_reading(text: &str) -> Option<&'static str> {
    // YAML 1.1 lists `y` and `n` as well, but hardly any reader follows it there.
    let lower = text.to_ascii_lowercase();
    let bool_word = matches!(lower.as_str(), "yes" | "no" | "on" | "off");
    // `yEs` was never a boolean: all lower case, all upper case or capitalised.
    let rest_is_uniform = text
        .get(1..)
        .is_some_and(|rest| rest == rest.to_lowercase() || text == text.to_uppercase());
    if bool_word && rest_is_uniform {
        return Some("true or false");
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let octal = digits.len() > 1
        && digits.starts_with('0')
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    octal.then_some("an octal number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<Content> {
        match resolve(text) {
            Resolved::Value(content) => Some(content),
            Resolved::NotFinite => None,
        }
    }

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let text = |text: &str| Some(Content::Text(text.into()));
        for (written, expected) in [
            ("", Some(Content::Null)),
            ("~", Some(Content::Null)),
            ("True", Some(Content::Bool(true))),
            ("0", Some(Content::Integer(0))),
            ("-12", Some(Content::Integer(-12))),
            ("+3", Some(Content::Integer(3))),
            ("0x1F", Some(Content::Integer(31))),
            ("0o17", Some(Content::Integer(15))),
            ("1.5", Some(Content::Float(1.5))),
            ("1.0", Some(Content::Float(1.0))),
            (".5", Some(Content::Float(0.5))),
            ("1e3", Some(Content::Float(1000.0))),
            (".nan", None),
            ("-.inf", None),
            ("1e999", None),
            ("NO", text("NO")),
            ("yes", text("yes")),
            ("0123", text("0123")),
            ("007.5", text("007.5")),
            ("1_000", text("1_000")),
            ("0x-1", text("0x-1")),
            ("1e", text("1e")),
            (".", text(".")),
            ("1.2.3", text("1.2.3")),
            ("127.0.0.1:8080", text("127.0.0.1:8080")),
            ("10s", text("10s")),
        ] {
            assert_eq!(value(written), expected, "{written}");
        }
    }

    #[test]
    fn look_alikes_of_yaml_1_1_are_known() {
        for text in ["NO", "no", "Yes", "on", "OFF", "0123", "-07"] {
            assert!(yaml_1_1_reading(text).is_some(), "{text}");
        }
        for text in ["yEs", "y", "nope", "0", "10", "norway", "08a"] {
            assert!(yaml_1_1_reading(text).is_none(), "{text}");
        }
    }
}
