//! Secrets in what a server says, and stars in their place.
//!
//! Owns the forms in which programs repeat a secret, and what is too short to be looked for. `stderr` masks
//! what children say, and the errors of all servers are masked before anybody sees them. Results are never
//! looked at: they are what was asked for, and going through each of them would cost every call.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;

use super::Upstream;
use crate::Secret;
use crate::call::{Reply, Said};
use crate::json;

/// Shorter values are too common in plain text to be told apart from it.
const SECRET_BYTES_MIN: usize = 6;

const STARS: &str = "***";

/// What is looked for.
pub(super) struct Masks {
    /// In each form, the longest first, so that none is masked in part.
    forms: Box<[Secret]>,
}

impl Masks {
    pub(super) fn of<'s>(secrets: impl IntoIterator<Item = &'s Secret>) -> Self {
        let mut forms = BTreeSet::new();
        for secret in secrets {
            let whole = secret.expose();
            add_forms(whole, &mut forms);
            if let Some(bare) = whole.strip_prefix("Bearer ") {
                add_forms(bare, &mut forms);
            }
            if let Some(bare) = whole.strip_prefix("Basic ") {
                add_forms(bare, &mut forms);
                add_credentials(bare, &mut forms);
            }
        }
        let mut forms: Vec<String> = forms.into_iter().collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Self {
            forms: forms.into_iter().map(Secret::new).collect(),
        }
    }

    /// A text with stars in place of secrets; nothing if there are none in it.
    pub(super) fn masked(&self, text: &str) -> Option<String> {
        let mut masked: Option<String> = None;
        for form in self.texts() {
            let text = masked.as_deref().unwrap_or(text);
            if text.contains(form) {
                masked = Some(text.replace(form, STARS));
            }
        }
        masked
    }

    /// Cuts off the beginning of a secret at the end of a text that was cut itself.
    pub(super) fn cut_begun(&self, text: &mut String) {
        for form in self.texts() {
            let kept = text.len() - begun(text, form);
            text.truncate(kept);
        }
    }

    /// A reply as others may see it.
    pub(super) fn reply(&self, reply: Reply) -> Reply {
        match reply {
            Reply::Error(error) => Reply::Error(self.said(error)),
            Reply::Result(_) => reply,
        }
    }

    /// An error, and what else its message says: there all texts get stars, names as well.
    pub(super) fn said(&self, mut said: Said) -> Said {
        let beside = std::mem::take(&mut said.beside);
        let error = self.error(said.into_value());
        let Some(members) = beside.strip_prefix(b",") else {
            return error.into();
        };
        let nested: Bytes = [b"[{", members, b"}]"].concat().into();
        let masked = self.error(nested);
        let members = masked.strip_prefix(b"[{").unwrap_or_default();
        let members = members.strip_suffix(b"}]").unwrap_or_default();
        Said::new(error, [b",", members].concat().into())
    }

    /// An error with stars in its texts. The names of its own members stay, whatever the secrets are: without
    /// them it would be none. Numbers stay as well.
    pub(super) fn error(&self, error: Bytes) -> Bytes {
        if self.forms.is_empty() {
            return error;
        }
        let mut out = Vec::new();
        let mut copied = 0;
        let mut depth = 0_u32;
        let mut at = 0;
        while let Some(byte) = error.get(at) {
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                b'"' => {
                    let end = end_of_text(&error, at);
                    let raw = error.get(at..end).unwrap_or_default();
                    if !(depth == 1 && is_key(&error, end))
                        && let Some(text) = self.masked_json(raw)
                    {
                        out.extend_from_slice(error.get(copied..at).unwrap_or_default());
                        json::write_text(&mut out, &text);
                        copied = end;
                    }
                    at = end;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        if copied == 0 {
            return error;
        }
        out.extend_from_slice(error.get(copied..).unwrap_or_default());
        out.into()
    }

    /// What stands for a JSON text; nothing if it can stay. What has no meaning as text, such as half a surrogate
    /// pair, cannot be looked through.
    fn masked_json(&self, raw: &[u8]) -> Option<String> {
        match json::text(raw) {
            Some(text) => self.masked(&text),
            None => Some(STARS.to_owned()),
        }
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        self.forms.iter().map(Secret::expose)
    }
}

impl Upstream {
    /// An error that came within a result, as others may see it.
    pub(crate) fn masked(&self, error: Bytes) -> Bytes {
        self.masks.error(error)
    }
}

/// The forms in which programs write a secret: as it is, line by line, and as JSON, a URL and Base64 have it.
fn add_forms(whole: &str, forms: &mut BTreeSet<String>) {
    // A secret of several lines, such as a private key, is also said in several.
    let lines = whole.lines().filter(|line| line.len() < whole.len());
    let texts = lines.chain([whole]);
    for text in texts.filter(|text| text.len() >= SECRET_BYTES_MIN) {
        let json = serde_json::Value::from(text).to_string();
        let json = json.strip_prefix('"').unwrap_or(&json);
        forms.insert(json.strip_suffix('"').unwrap_or(json).to_owned());
        forms.insert(text.to_owned());
        add_percent_encoded(text, forms);
        add_base64(text, forms);
    }
}

/// What stays as it is beside letters and digits, in a URL, in its path and for scripts of browsers.
const PLAIN_IN_URLS: [&[u8]; 3] = [b"-._~", b"-._~/", b"-._~!'()*"];

fn add_percent_encoded(text: &str, forms: &mut BTreeSet<String>) {
    for plain in PLAIN_IN_URLS {
        for digits in [b"0123456789ABCDEF", b"0123456789abcdef"] {
            let percent = percent_encoded(text, plain, digits);
            forms.insert(percent.replace("%20", "+"));
            forms.insert(percent);
        }
    }
}

fn percent_encoded(text: &str, plain: &[u8], digits: &[u8; 16]) -> String {
    let digit = |value: u8| {
        digits
            .get(usize::from(value))
            .map(|digit| char::from(*digit))
    };
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.extend(digit(byte >> 4));
            encoded.extend(digit(byte & 15));
        }
    }
    encoded
}

/// A text alone, and inside of longer ones, such as `user:password`: where it begins among the groups of three
/// bytes makes three forms of it. Its first and its last character may stand for a part of what is beside
/// it, and are left out.
fn add_base64(text: &str, forms: &mut BTreeSet<String>) {
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        forms.insert(engine.encode(text));
        for before in 0..3_usize {
            let bits = 8 * (before + text.len());
            let encoded = engine.encode(["\0".repeat(before).as_str(), text].concat());
            let inside = encoded.get((8 * before).div_ceil(6)..bits / 6);
            forms.extend(inside.map(str::to_owned));
        }
    }
}

/// What a header of the scheme `Basic` says (RFC 7617): a name, and a password that may be told without it.
fn add_credentials(encoded: &str, forms: &mut BTreeSet<String>) {
    let decoded = STANDARD_NO_PAD.decode(encoded.trim().trim_end_matches('='));
    let Some(pair) = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return;
    };
    add_forms(&pair, forms);
    if let Some((_, password)) = pair.split_once(':') {
        add_forms(password, forms);
    }
}

/// How many bytes of a secret stand at the end of a text that was cut.
fn begun(text: &str, secret: &str) -> usize {
    let starts = secret.char_indices().map(|(at, _)| at).rev();
    let mut begun = starts.filter(|at| text.ends_with(secret.get(..*at).unwrap_or_default()));
    begun.next().unwrap_or(0)
}

/// Behind the JSON text that begins here.
fn end_of_text(json: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        let rest = json.get(at..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'"', b'\\', rest) else {
            return json.len();
        };
        at += found;
        if json.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
}

/// Whether the JSON text that ends here is the name of a member.
fn is_key(json: &[u8], end: usize) -> bool {
    let rest = json.get(end..).unwrap_or_default();
    rest.trim_ascii_start().first() == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(secrets: &[&str]) -> Masks {
        let secrets: Vec<Secret> = secrets.iter().map(|text| Secret::new(*text)).collect();
        Masks::of(&secrets)
    }

    fn shown(masks: &Masks, text: &str) -> String {
        masks.masked(text).unwrap_or_else(|| text.to_owned())
    }

    fn error(masks: &Masks, text: &'static str) -> String {
        let masked = masks.error(Bytes::from_static(text.as_bytes()));
        String::from_utf8_lossy(&masked).into_owned()
    }

    #[test]
    fn a_secret_is_masked_as_other_formats_write_it() {
        let masks = masks(&["line1\nli ne2/+=&\"q", "Bearer hunter22", "id"]);
        for (line, expected) in [
            ("li ne2/+=&\"q", "***"),
            (r#"{"a":"li ne2/+=&\"q"}"#, r#"{"a":"***"}"#),
            (r#"{"a":"line1\nli ne2/+=&\"q"}"#, r#"{"a":"***"}"#),
            ("?a=li%20ne2%2F%2B%3D%26%22q", "?a=***"),
            ("?a=li+ne2%2F%2B%3D%26%22q", "?a=***"),
            ("?a=li%20ne2%2f%2b%3d%26%22q", "?a=***"),
            ("?a=li%20ne2/%2B%3D%26%22q", "?a=***"),
            ("bGluZTEKbGkgbmUyLys9JiJx", "***"),
            ("hunter22", "***"),
            ("aHVudGVyMjI=", "***="),
            ("an id is too short", "an id is too short"),
        ] {
            assert_eq!(shown(&masks, line), expected, "{line}");
        }
    }

    #[test]
    fn a_secret_is_masked_in_base64_wherever_it_stands_in_what_was_encoded() {
        let masks = masks(&["hunter22"]);
        for before in ["", "a", "ab", "user:", "\u{fb}\u{ff}"] {
            for behind in ["", "x", "xy", "xyz"] {
                let text = format!("{before}hunter22{behind}");
                for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                    let encoded = engine.encode(&text);
                    let shown = shown(&masks, &encoded);
                    let rest = shown.replace(STARS, "");
                    assert!(shown.contains(STARS), "{text}: {shown}");
                    assert!(rest.len() <= encoded.len() - 9, "{text}: {shown}");
                }
            }
        }
    }

    #[test]
    fn a_password_of_a_basic_header_is_masked_in_clear() {
        let masks = masks(&["Basic dXNlcjpodW50ZXIyMg=="]);
        assert_eq!(shown(&masks, "user:hunter22 is locked"), "*** is locked");
        assert_eq!(shown(&masks, "hunter22"), "***");
        assert_eq!(shown(&masks, "got dXNlcjpodW50ZXIyMg=="), "got ***");
    }

    #[test]
    fn errors_are_masked_in_their_texts_alone() {
        let masks = masks(&["hunter22", "message", "123456"]);
        for (text, expected) in [
            (
                r#"{"code":-32000, "message":"bad hunter22!","data":{"a":["hunter22",{"hunter22":1}]}}"#,
                r#"{"code":-32000, "message":"bad ***!","data":{"a":["***",{"***":1}]}}"#,
            ),
            (
                r#"{"code":123456,"message":"{\"token\":\"\u0068unter22\"}"}"#,
                r#"{"code":123456,"message":"{\"token\":\"***\"}"}"#,
            ),
            (
                r#"{"code":1,"message" : "a message","data":"\ud800 hunter22"}"#,
                r#"{"code":1,"message" : "a ***","data":"***"}"#,
            ),
            (
                r#"{"code":1,"message":"\\\"","data":null}"#,
                r#"{"code":1,"message":"\\\"","data":null}"#,
            ),
        ] {
            assert_eq!(error(&masks, text), expected);
        }
    }

    #[test]
    fn whatever_is_given_for_an_error_ends() {
        let masks = masks(&["hunter22"]);
        for (text, expected) in [
            ("", ""),
            ("\"", "\"***\""),
            ("\"\\", "\"***\""),
            ("]]\"hunter22\" ", "]]\"***\" "),
        ] {
            assert_eq!(error(&masks, text), expected);
        }
    }
}
