//! A validating JSON scanner: finds the members of one object without building anything.
//!
//! Owns the grammar of RFC 8259 as the data plane needs it: one pass, no allocation, no recursion,
//! bounded nesting. Messages of peers are read with this and with nothing else, so that what was
//! judged is what was read. `serde_json` is its oracle in the tests below.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;

/// Why bytes were refused: not the grammar of JSON, or nested deeper than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// One member of an object: the key without its quotes, and where the value is.
pub(crate) struct Member<'a> {
    /// The key as it stands between its quotes; escapes are not decoded.
    pub(crate) key: &'a [u8],
    /// The range of the value in the text.
    pub(crate) value: Range<usize>,
}

/// Walks the members of the object that the whole text is, in order, validating every byte.
///
/// # Errors
/// [`NotJson`] if the text is not exactly one JSON object within the nesting.
pub(crate) fn members<'a>(
    text: &'a [u8],
    nesting: u32,
    mut visit: impl FnMut(Member<'a>),
) -> Result<(), NotJson> {
    members_along(text, nesting, &[], &mut |_, member| visit(member))
}

/// Where the value of a member of an object stands; of the last one, if there are several with this key.
/// Nothing if the text is not exactly one JSON object.
pub(crate) fn place_of(object: &[u8], key: &[u8]) -> Option<Range<usize>> {
    let mut found = None;
    members(object, u32::MAX, |member| {
        if member.key == key {
            found = Some(member.value);
        }
    })
    .ok()?;
    found
}

/// The value of a member of an object, as [`place_of`] finds it.
pub(crate) fn member<'o>(object: &'o [u8], key: &[u8]) -> Option<&'o [u8]> {
    object.get(place_of(object, key)?)
}

/// The values of some members of an object, found in one pass. Nothing if the text is not exactly one JSON
/// object within the nesting.
pub(crate) fn members_of<const N: usize>(
    object: &Bytes,
    nesting: u32,
    keys: [&str; N],
) -> Option<[Option<Bytes>; N]> {
    let mut found = [const { None }; N];
    members(object, nesting, |member| {
        for (key, place) in keys.iter().zip(&mut found) {
            if member.key == key.as_bytes() {
                *place = Some(object.slice(member.value.clone()));
            }
        }
    })
    .ok()?;
    Some(found)
}

/// The code of a JSON-RPC error object, as it is written.
pub(crate) fn error_code(error: &[u8]) -> Option<&[u8]> {
    member(error, b"code")
}

/// The object with those of its members that are wanted.
///
/// # Errors
/// [`NotJson`] if the text is not exactly one JSON object.
pub(crate) fn retain(
    object: &[u8],
    mut is_wanted: impl FnMut(&[u8]) -> bool,
) -> Result<Vec<u8>, NotJson> {
    let mut out = Vec::with_capacity(object.len());
    out.push(b'{');
    members(object, u32::MAX, |member| {
        if is_wanted(member.key) {
            if out.len() > 1 {
                out.push(b',');
            }
            out.push(b'"');
            out.extend_from_slice(member.key);
            out.extend_from_slice(b"\":");
            out.extend_from_slice(object.get(member.value).unwrap_or_default());
        }
    })?;
    out.push(b'}');
    Ok(out)
}

/// An object as it is compared with another one: its members in the order of their keys, and no blanks.
///
/// # Errors
/// [`NotJson`] if the text is not exactly one JSON object.
pub(crate) fn comparable(object: &[u8]) -> Result<Vec<u8>, NotJson> {
    let mut found = Vec::new();
    members(object, u32::MAX, |member| {
        found.push((member.key, object.get(member.value).unwrap_or_default()));
    })?;
    found.sort_by_key(|(key, _)| *key);
    let mut out = Vec::with_capacity(object.len());
    for (key, value) in found {
        out.push(b'"');
        out.extend_from_slice(key);
        out.extend_from_slice(b"\":");
        write_packed(&mut out, value);
        out.push(b',');
    }
    Ok(out)
}

/// Writes a value without the blanks between its tokens.
fn write_packed(out: &mut Vec<u8>, value: &[u8]) {
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in value {
        if is_text {
            is_text = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            is_text = *byte == b'"';
        }
        out.push(*byte);
    }
}

/// Walks the members, and in the same pass the members of objects within: those of the member that
/// the first key of `path` names, within it those of the second, and so on. `visit` is told how
/// deep it is; inner members come before the one that they are in.
///
/// # Errors
/// As [`members`].
pub(crate) fn members_along<'a>(
    text: &'a [u8],
    nesting: u32,
    path: &[&[u8]],
    visit: &mut impl FnMut(usize, Member<'a>),
) -> Result<(), NotJson> {
    let mut scanner = Scanner::new(text, nesting.saturating_sub(1));
    scanner.blank();
    scanner.object(0, path, visit)?;
    scanner.end()
}

/// Walks the elements of the array that the whole text is, in order.
///
/// # Errors
/// [`NotJson`] if the text is not exactly one JSON array within the nesting.
pub(crate) fn elements(
    text: &[u8],
    nesting: u32,
    mut visit: impl FnMut(Range<usize>),
) -> Result<(), NotJson> {
    let mut scanner = Scanner::new(text, nesting.saturating_sub(1));
    scanner.blank();
    scanner.expect(b'[')?;
    scanner.blank();
    if scanner.peek() == Some(b']') {
        scanner.at += 1;
        return scanner.end();
    }
    loop {
        scanner.blank();
        let start = scanner.at;
        scanner.value()?;
        visit(start..scanner.at);
        scanner.blank();
        match scanner.next() {
            Some(b',') => {}
            Some(b']') => return scanner.end(),
            _ => return Err(NotJson),
        }
    }
}

/// Whether a value was refused for its nesting, and not before for something else.
pub(crate) fn is_too_deep(text: &[u8], nesting: u32) -> bool {
    let mut scanner = Scanner::new(text, nesting);
    scanner.blank();
    scanner.value().is_err() && scanner.is_too_deep
}

/// The text of a JSON string, given with its quotes; nothing if it is not a string.
pub(crate) fn text(raw: &[u8]) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<String>(raw).ok().map(Cow::Owned)
}

/// Appends a text as a JSON string, with its quotes.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing text to memory cannot fail; an empty string is the honest remainder if it did.
        let escaped = serde_json::to_string(text).unwrap_or_else(|_| "\"\"".to_owned());
        out.extend_from_slice(escaped.as_bytes());
    }
}

/// Appends a member with a comma in front: a key as it stands between its quotes, and a value.
pub(crate) fn write_member(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key);
    out.extend_from_slice(b"\":");
    out.extend_from_slice(value);
}

/// Appends texts as an array of JSON strings.
pub(crate) fn write_texts<T: AsRef<str>>(out: &mut Vec<u8>, texts: impl IntoIterator<Item = T>) {
    out.push(b'[');
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(out, text.as_ref());
    }
    out.push(b']');
}

/// The deepest nesting that the scanner's bit stack holds; a larger limit is cut to it.
const DEPTH_MAX: u32 = 127;

/// One in every byte of a word, and the highest bit of every byte.
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// Marks the first quote, backslash or control character of a word by the highest bit of its byte.
/// Bytes above the first one may be marked without reason: a subtraction borrows only upwards.
const fn special_bytes(word: u64) -> u64 {
    let quotes = word ^ (ONES * b'"' as u64);
    let backslashes = word ^ (ONES * b'\\' as u64);
    let is_control = word.wrapping_sub(ONES * 0x20) & !word;
    let is_quote = quotes.wrapping_sub(ONES) & !quotes;
    let is_backslash = backslashes.wrapping_sub(ONES) & !backslashes;
    (is_quote | is_backslash | is_control) & HIGHS
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    /// All bytes of strings so far, eight over eight: beyond ASCII if any of them is. May hold some
    /// of what follows a string.
    seen: u64,
    depth_max: u32,
    /// Whether a value was opened that is one level too deep.
    is_too_deep: bool,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a [u8], nesting: u32) -> Self {
        Self {
            text,
            at: 0,
            seen: 0,
            depth_max: nesting.min(DEPTH_MAX),
            is_too_deep: false,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        if self.next() == Some(byte) {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn end(&mut self) -> Result<(), NotJson> {
        self.blank();
        let is_text = self.seen & HIGHS == 0 || std::str::from_utf8(self.text).is_ok();
        if self.at == self.text.len() && is_text {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    /// Walks the members of an object. As deep as `path` is long, so this cannot recurse for ever.
    fn object(
        &mut self,
        level: usize,
        path: &[&[u8]],
        visit: &mut impl FnMut(usize, Member<'a>),
    ) -> Result<(), NotJson> {
        self.expect(b'{')?;
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blank();
            let key = self.string()?;
            let key = self.text.get(key).unwrap_or_default();
            self.blank();
            self.expect(b':')?;
            self.blank();
            let start = self.at;
            match path.split_first() {
                Some((first, rest)) if *first == key && self.peek() == Some(b'{') => {
                    self.depth_max = self.depth_max.checked_sub(1).ok_or(NotJson)?;
                    self.object(level + 1, rest, visit)?;
                    self.depth_max += 1;
                }
                _ => self.value()?,
            }
            let value = start..self.at;
            visit(level, Member { key, value });
            self.blank();
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(()),
                _ => return Err(NotJson),
            }
        }
    }

    /// Skips one value. `objects` remembers for each open level whether it is an object.
    fn value(&mut self) -> Result<(), NotJson> {
        let mut objects: u128 = 0;
        let mut depth = 0;
        loop {
            if let Some(is_object) = self.scalar_or_open()? {
                if depth == self.depth_max {
                    self.is_too_deep = true;
                    return Err(NotJson);
                }
                depth += 1;
                objects = (objects << 1) | u128::from(is_object);
                self.blank();
                let closing = if is_object { b'}' } else { b']' };
                if self.peek() != Some(closing) {
                    if is_object {
                        self.key()?;
                    }
                    continue;
                }
                self.at += 1;
                objects >>= 1;
                depth -= 1;
            }
            // A value is complete: close levels until there is a next one.
            loop {
                if depth == 0 {
                    return Ok(());
                }
                self.blank();
                match (self.next(), objects & 1 == 1) {
                    (Some(b','), true) => {
                        self.key()?;
                        break;
                    }
                    (Some(b','), false) => {
                        self.blank();
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        objects >>= 1;
                        depth -= 1;
                    }
                    _ => return Err(NotJson),
                }
            }
        }
    }

    /// Skips a scalar, or opens an object (`Some(true)`) or array (`Some(false)`).
    fn scalar_or_open(&mut self) -> Result<Option<bool>, NotJson> {
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                return Ok(Some(true));
            }
            Some(b'[') => {
                self.at += 1;
                return Ok(Some(false));
            }
            Some(b'"') => self.string().map(drop)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.literal(b"true")?,
            Some(b'f') => self.literal(b"false")?,
            Some(b'n') => self.literal(b"null")?,
            _ => return Err(NotJson),
        }
        Ok(None)
    }

    /// Skips a key, its colon and the blanks up to the value.
    fn key(&mut self) -> Result<(), NotJson> {
        self.blank();
        self.string()?;
        self.blank();
        self.expect(b':')?;
        self.blank();
        Ok(())
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), NotJson> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(literal) {
            return Err(NotJson);
        }
        self.at += literal.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start {
            Ok(())
        } else {
            Err(NotJson)
        }
    }

    fn number(&mut self) -> Result<(), NotJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Skips a string with its quotes; answers the range between them.
    fn string(&mut self) -> Result<Range<usize>, NotJson> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            self.plain_characters();
            match self.next() {
                Some(b'"') => return Ok(start..self.at - 1),
                Some(b'\\') => self.escape()?,
                _ => return Err(NotJson),
            }
        }
    }

    /// Moves to the next quote, backslash or control character. Most strings are short: they are
    /// judged eight bytes at a time. Large texts are one long string more often than not, so from
    /// some length on whole blocks are. The loop over a block adds up bytes and not booleans, and a
    /// block has a fixed size: only so does it become vector code. Bytes beyond ASCII are noted on
    /// the way: only then is the encoding worth a look of its own.
    fn plain_characters(&mut self) {
        const SHORT: usize = 8;
        const BLOCK: usize = 64;
        if self.plain_words(SHORT) {
            return;
        }
        let rest = self.text.get(self.at..).unwrap_or_default();
        for block in rest.as_chunks::<BLOCK>().0 {
            let mut found = 0;
            let mut seen = 0;
            for byte in block {
                found |=
                    u8::from(*byte == b'"') | u8::from(*byte == b'\\') | u8::from(*byte < 0x20);
                seen |= *byte;
            }
            if found != 0 {
                break;
            }
            self.seen |= u64::from(seen);
            self.at += BLOCK;
        }
        if self.plain_words(usize::MAX) {
            return;
        }
        let tail = self.text.get(self.at..).unwrap_or_default();
        let special = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
        let plain = tail.iter().position(special).unwrap_or(tail.len());
        self.seen |= tail.iter().fold(0, |seen, byte| seen | u64::from(*byte));
        self.at += plain;
    }

    /// Skips words of plain characters, at most so many; answers whether it has met another one.
    fn plain_words(&mut self, most: usize) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for word in rest.as_chunks().0.iter().take(most) {
            let word = u64::from_le_bytes(*word);
            self.seen |= word;
            let special = special_bytes(word);
            if special != 0 {
                // The lowest mark is that of the first special byte.
                self.at += special.trailing_zeros() as usize / 8;
                return true;
            }
            self.at += 8;
        }
        false
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        match self.next() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                let digits = self.text.get(self.at..self.at + 4).ok_or(NotJson)?;
                self.at += 4;
                if digits.iter().all(u8::is_ascii_hexdigit) {
                    Ok(())
                } else {
                    Err(NotJson)
                }
            }
            _ => Err(NotJson),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str) -> bool {
        members(text.as_bytes(), 64, |_| {}).is_ok()
    }

    #[test]
    fn objects_are_one_whatever_their_order_and_blanks() {
        let same = |one: &str, other: &str| {
            let one = comparable(one.as_bytes()).ok();
            one.is_some() && one == comparable(other.as_bytes()).ok()
        };
        assert!(same(
            r#"{"a":1,"b":[1, {"c" : "x"}]}"#,
            r#" { "b": [1,{"c":"x"}] , "a":1 }"#
        ));
        assert!(!same(r#"{"a":"x y"}"#, r#"{"a":"xy"}"#));
        assert!(!same(r#"{"a":"\" \\"}"#, r#"{"a":"\"\\"}"#));
        assert!(same(r#"{"a":["\\" , 1]}"#, r#"{"a":["\\",1]}"#));
        assert!(!same(r#"{"a":[1,2]}"#, r#"{"a":[12]}"#));
        assert!(!same(r#"{"a":1}"#, r#"{"a":1,"b":2}"#));
        assert!(comparable(b"[]").is_err());
    }

    #[test]
    fn members_are_found_where_they_are() {
        let text = r#" { "a" : 1 , "b":{"c":[1,{"d":"}"}]}, "e":"x\"y\\" } "#;
        let mut found = Vec::new();
        let read = members(text.as_bytes(), 64, |member| {
            found.push((
                String::from_utf8_lossy(member.key).into_owned(),
                text.get(member.value).unwrap_or("").to_owned(),
            ));
        });
        let expected = [
            ("a", "1"),
            ("b", r#"{"c":[1,{"d":"}"}]}"#),
            ("e", r#""x\"y\\""#),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!((read, found), (Ok(()), expected.to_vec()));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(members(nested(9).as_bytes(), 10, |_| {}).is_ok());
        assert!(members(nested(10).as_bytes(), 10, |_| {}).is_err());
        assert!(members(nested(100_000).as_bytes(), u32::MAX, |_| {}).is_err());
    }

    /// Mutates valid texts byte by byte and asks `serde_json` whether each is still one object.
    #[test]
    fn scanner_agrees_with_serde_json() {
        let seeds = [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[1.5e-3,-0,true,null]}}}"#,
            r#"{"a":"\u00e9\n\"","b":[[],{},[{}]],"c":false}"#,
            r#"{"long":"0123456789012345678901234567890123456789\t0123456789012345678901234567890123456789"}"#,
            "{}",
        ];
        let bytes = b"{}[]\",:\\ue0-.+ntf1\x00\x1f \n";
        for seed in seeds {
            for at in 0..seed.len() {
                for byte in bytes {
                    let mut text = seed.as_bytes().to_vec();
                    if let Some(slot) = text.get_mut(at) {
                        *slot = *byte;
                    }
                    check(&text);
                }
                let mut cut = seed.as_bytes().to_vec();
                cut.remove(at);
                check(&cut);
                check(seed.as_bytes().get(..at).unwrap_or_default());
            }
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let long = "x".repeat(100);
        for (bytes, is_text) in [
            (&b"\xc3\xa9"[..], true),
            (b"\xc3", false),
            (b"\xff", false),
            (b"\xed\xa0\x80", false),
            (b"\xf0\x9f\x98\x80", true),
        ] {
            for before in ["", long.as_str()] {
                let text = [b"{\"a\":\"", before.as_bytes(), bytes, b"\"}"].concat();
                assert_eq!(members(&text, 64, |_| {}).is_ok(), is_text, "{bytes:?}");
            }
        }
        assert!(members(b"{\"a\":\xc3\xa9}", 64, |_| {}).is_err());
    }

    fn check(text: &[u8]) {
        let Ok(text) = std::str::from_utf8(text) else {
            return;
        };
        let oracle = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
        assert_eq!(
            accepts(text),
            oracle.is_ok() || lone_surrogate(text),
            "{text}"
        );
    }

    /// The grammar allows a lone surrogate escape; `serde_json` refuses it when it builds a text.
    fn lone_surrogate(text: &str) -> bool {
        accepts(text) && (text.contains("\\ud") || text.contains("\\uD"))
    }
}
