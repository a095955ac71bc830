//! Arguments of tools that are headers as well: `x-mcp-header` in an input schema (2026-07-28 Tools).
//!
//! Owns reading the annotations of listed tools, refusing invalid ones, and the `Mcp-Param-*` headers of
//! a call: compared with the body for a modern client, derived from it for a legacy one. Tools that a
//! server does not list are called as they are. `modern` has the headers that every request mirrors.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

use crate::call::{Answer, Reply};
use crate::client::Client;
use crate::json;
use crate::params::Params;
use crate::reply::LocalReply;

/// The code of an error that says so.
const HEADER_MISMATCH: &[u8] = b"-32020";

const ANNOTATION: &[u8] = b"x-mcp-header";

/// Schemas that nest their annotations deeper than this are refused.
const DEPTH_MAX: usize = 32;

/// One header and the argument that it mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mirrored {
    header: HeaderName,
    /// The keys that lead to the argument.
    path: Box<[Box<str>]>,
}

/// An annotation that no client may act on: its tool must not be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadAnnotation;

/// The tools of an endpoint whose arguments are headers as well, by exposed name.
pub(crate) struct Mirrors(ArcSwap<HashMap<Box<str>, Arc<[Mirrored]>>>);

impl Mirrors {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self(ArcSwap::from_pointee(HashMap::new()))
    }

    /// Takes what a list has told; of servers that are missing from it, what was known stays known.
    /// Most endpoints have no such tool.
    pub(crate) fn learn(&self, listed: &HashMap<Box<str>, Arc<[Mirrored]>>, is_complete: bool) {
        if listed.is_empty() && (self.0.load().is_empty() || !is_complete) {
            return;
        }
        // Two lists may come at the same time.
        self.0.rcu(|known| {
            let mut next = if is_complete {
                HashMap::new()
            } else {
                HashMap::clone(known)
            };
            next.extend(
                listed
                    .iter()
                    .map(|(name, it)| (name.clone(), Arc::clone(it))),
            );
            next
        });
    }

    /// Checks the headers that a modern client sent with a call, and writes those that a client without
    /// headers or of an earlier revision does not send.
    ///
    /// # Errors
    /// The refusal if a header does not say what the body says.
    pub(crate) fn settle(
        &self,
        tool: Option<&[u8]>,
        params: &Params,
        client: &mut Client,
    ) -> Result<(), LocalReply> {
        let Some(mirrored) = tool.and_then(|tool| self.of(tool)) else {
            return Ok(());
        };
        let arguments = params.arguments().unwrap_or_default();
        if client.mirrors {
            return check(&mirrored, &arguments, &client.mirrored);
        }
        client.mirrored = derive(&mirrored, &arguments);
        Ok(())
    }

    /// The headers that go with a call, as far as they are known.
    pub(crate) fn derived(&self, tool: &[u8], params: &Params) -> Vec<(HeaderName, HeaderValue)> {
        let arguments = params.arguments().unwrap_or_default();
        let mirrored = self.of(tool);
        mirrored.map_or_else(Vec::new, |mirrored| derive(&mirrored, &arguments))
    }

    fn of(&self, tool: &[u8]) -> Option<Arc<[Mirrored]>> {
        let known = self.0.load();
        if known.is_empty() {
            return None;
        }
        known.get(std::str::from_utf8(tool).ok()?).cloned()
    }
}

/// Whether a server refused a call because of its headers.
pub(crate) fn is_mismatch(answer: &Answer) -> bool {
    let Answer::Done(Reply::Error(error)) = answer else {
        return false;
    };
    json::error_code(error) == Some(HEADER_MISMATCH)
}

/// The annotations of a listed tool.
///
/// # Errors
/// [`BadAnnotation`] if one of them is invalid.
pub(crate) fn read(tool: &[u8]) -> Result<Vec<Mirrored>, BadAnnotation> {
    let mut found = Vec::new();
    if !mentions(tool) {
        return Ok(found);
    }
    if let Some(schema) = json::member(tool, b"inputSchema") {
        read_schema(schema, &mut Vec::new(), &mut found)?;
    }
    let mut names = HashSet::new();
    // Header names are kept in lower case, and must differ in it.
    if found.iter().all(|mirrored| names.insert(&mirrored.header)) {
        Ok(found)
    } else {
        Err(BadAnnotation)
    }
}

/// Reads one schema, to which only `properties` have led.
fn read_schema(
    schema: &[u8],
    path: &mut Vec<Box<str>>,
    found: &mut Vec<Mirrored>,
) -> Result<(), BadAnnotation> {
    if path.len() > DEPTH_MAX {
        return Err(BadAnnotation);
    }
    let (mut annotation, mut kind, mut properties) = (None, None, None);
    let mut elsewhere = false;
    let walk = json::members(schema, u32::MAX, |member| {
        let value = schema.get(member.value).unwrap_or_default();
        match member.key {
            ANNOTATION => annotation = Some(value),
            b"type" => kind = json::text(value),
            b"properties" => properties = Some(value),
            // Data, not schemas.
            b"enum" | b"const" | b"default" | b"examples" => {}
            _ => elsewhere |= matches!(value.first(), Some(b'{' | b'[')) && mentions(value),
        }
    });
    if walk.is_err() || elsewhere {
        return Err(BadAnnotation);
    }
    if let Some(annotation) = annotation {
        let name = json::text(annotation).filter(|name| !name.is_empty());
        let is_primitive = matches!(kind.as_deref(), Some("string" | "integer" | "boolean"));
        let header = name.and_then(|name| HeaderName::try_from(format!("mcp-param-{name}")).ok());
        let (Some(header), true, false) = (header, is_primitive, path.is_empty()) else {
            return Err(BadAnnotation);
        };
        let path = path.clone().into_boxed_slice();
        found.push(Mirrored { header, path });
    }
    let Some(properties) = properties else {
        return Ok(());
    };
    let mut inner = Vec::new();
    let walk = json::members(properties, u32::MAX, |member| {
        inner.push((key(member.key), properties.get(member.value)));
    });
    walk.map_err(|_| BadAnnotation)?;
    for (key, schema) in inner {
        let (Some(key), Some(schema)) = (key, schema) else {
            return Err(BadAnnotation);
        };
        if mentions(schema) && schema.first() == Some(&b'{') {
            path.push(key);
            read_schema(schema, path, found)?;
            path.pop();
        }
    }
    Ok(())
}

fn mentions(text: &[u8]) -> bool {
    memchr::memmem::find(text, ANNOTATION).is_some()
}

/// A key as text; the scanner leaves its escapes as they are.
fn key(raw: &[u8]) -> Option<Box<str>> {
    json::text(&[b"\"", raw, b"\""].concat()).map(|text| text.as_ref().into())
}

/// Whether the headers say what the arguments say.
fn check(
    mirrored: &[Mirrored],
    arguments: &[u8],
    sent: &[(HeaderName, HeaderValue)],
) -> Result<(), LocalReply> {
    for Mirrored { header, path } in mirrored {
        let mut said = sent.iter().filter(|(name, _)| name == header);
        let agree = match (said.next(), said.next(), argument(arguments, path)) {
            (None, _, None) => true,
            (Some((_, said)), None, Some(meant)) => says(said.as_bytes(), &meant),
            _ => false,
        };
        if !agree {
            return Err(LocalReply::HeaderMismatch);
        }
    }
    Ok(())
}

/// The headers that go with the arguments.
fn derive(mirrored: &[Mirrored], arguments: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
    let of = |one: &Mirrored| {
        let value = match argument(arguments, &one.path)? {
            Argument::Text(text) => encoded(&text),
            Argument::Literal(raw) => String::from_utf8_lossy(&raw).into_owned(),
        };
        Some((one.header.clone(), HeaderValue::try_from(value).ok()?))
    };
    mirrored.iter().filter_map(of).collect()
}

/// The value of an argument, as far as it can be a header.
enum Argument {
    Text(String),
    /// A number or a boolean, as it stands in the body.
    Literal(Vec<u8>),
}

/// The argument at the end of a path; nothing if it is absent, null, or no single value.
fn argument(arguments: &[u8], path: &[Box<str>]) -> Option<Argument> {
    let mut value = Cow::Borrowed(arguments);
    for step in path {
        let mut found = None;
        json::members(&value, u32::MAX, |member| {
            if key(member.key).as_deref() == Some(step) {
                found = Some(member.value);
            }
        })
        .ok()?;
        value = Cow::Owned(value.get(found?)?.to_vec());
    }
    match value.first()? {
        b'"' => json::text(&value).map(|text| Argument::Text(text.into_owned())),
        b'{' | b'[' | b'n' => None,
        _ => Some(Argument::Literal(value.into_owned())),
    }
}

/// Whether a header's value says what an argument says.
fn says(said: &[u8], meant: &Argument) -> bool {
    let said = said.trim_ascii();
    let inner = said
        .strip_prefix(b"=?base64?")
        .and_then(|rest| rest.strip_suffix(b"?="));
    let said = match inner.map(|inner| STANDARD.decode(inner)) {
        None => Cow::Borrowed(said),
        Some(Ok(decoded)) => Cow::Owned(decoded),
        Some(Err(_)) => return false,
    };
    match meant {
        Argument::Text(text) => said.as_ref() == text.as_bytes(),
        Argument::Literal(raw) => said.as_ref() == raw || is_same_number(&said, raw),
    }
}

/// Whether two texts are the same number: `42` and `42.0` are (SEP-2243 compares integers by value).
/// Beyond the whole numbers that a double tells apart, two that differ may look the same as doubles,
/// so there only digits count.
fn is_same_number(one: &[u8], other: &[u8]) -> bool {
    const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
    let exact = |text: &[u8]| number(text).filter(|number| number.abs() <= EXACT_MAX);
    exact(one).is_some_and(|one| exact(other).is_some_and(|other| one.to_bits() == other.to_bits()))
}

/// A text as a header carries it: as it is, or in base64 between the markers.
fn encoded(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
        && text.trim_ascii() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if is_plain {
        text.to_owned()
    } else {
        format!("=?base64?{}?=", STANDARD.encode(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(properties: &str) -> Vec<u8> {
        format!(r#"{{"name":"a","inputSchema":{{"type":"object","properties":{{{properties}}}}}}}"#)
            .into_bytes()
    }

    fn headers(properties: &str) -> Result<Vec<String>, BadAnnotation> {
        let found = read(&tool(properties))?;
        Ok(found.iter().map(|one| one.header.to_string()).collect())
    }

    #[test]
    fn annotations_are_found_where_properties_lead() {
        assert_eq!(headers(r#""x":{"type":"string"}"#), Ok(vec![]));
        let nested = r#""a":{"type":"integer","x-mcp-header":"A"},
            "b":{"type":"object","properties":{"c":{"type":"boolean","x-mcp-header":"B-c"}}}"#;
        let names = ["mcp-param-a", "mcp-param-b-c"].map(str::to_owned);
        assert_eq!(headers(nested), Ok(names.to_vec()));
        let mentioned = r#""a":{"type":"string","description":"not x-mcp-header"}"#;
        assert_eq!(headers(mentioned), Ok(vec![]));
    }

    #[test]
    fn an_annotation_that_nobody_may_act_on_is_refused() {
        for properties in [
            r#""a":{"type":"string","x-mcp-header":""}"#,
            r#""a":{"type":"string","x-mcp-header":7}"#,
            r#""a":{"type":"string","x-mcp-header":"a b"}"#,
            r#""a":{"type":"string","x-mcp-header":"a:"}"#,
            r#""a":{"type":"string","x-mcp-header":"é"}"#,
            r#""a":{"type":"string","x-mcp-header":"a\u0001"}"#,
            r#""a":{"type":"object","x-mcp-header":"A"}"#,
            r#""a":{"type":"number","x-mcp-header":"A"}"#,
            r#""a":{"x-mcp-header":"A"}"#,
            r#""a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}"#,
            r#""a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}"#,
            r#""a":{"anyOf":[{"type":"string","x-mcp-header":"A"}]}"#,
        ] {
            assert_eq!(headers(properties), Err(BadAnnotation), "{properties}");
        }
        let root = br#"{"name":"a","inputSchema":{"type":"object","x-mcp-header":"A"}}"#;
        assert_eq!(read(root), Err(BadAnnotation));
    }

    #[test]
    fn headers_of_a_call_must_say_what_its_arguments_say() {
        let mirrored = read(&tool(
            r#""s":{"type":"string","x-mcp-header":"S"},"n":{"type":"integer","x-mcp-header":"N"}"#,
        ));
        let mirrored = mirrored.unwrap_or_default();
        let verdict = |sent: &[(&'static str, &str)], arguments: &str| {
            let sent: Vec<_> = sent
                .iter()
                .filter_map(|(name, value)| {
                    let value = HeaderValue::from_str(value).ok()?;
                    Some((HeaderName::from_static(name), value))
                })
                .collect();
            check(&mirrored, arguments.as_bytes(), &sent)
        };
        let (s, n) = ("mcp-param-s", "mcp-param-n");
        for (sent, arguments) in [
            (&[][..], "{}"),
            (&[], r#"{"s":null}"#),
            (&[(s, "x")], r#"{"s":"x"}"#),
            (&[(s, "=?base64?w6k=?=")], r#"{"s":"\u00e9"}"#),
            (&[(s, "=?base64?w6k=")], r#"{"s":"=?base64?w6k="}"#),
            (&[(n, "42.0")], r#"{"n":42}"#),
            (&[(n, "9007199254740993")], r#"{"n":9007199254740993}"#),
        ] {
            assert_eq!(verdict(sent, arguments), Ok(()), "{sent:?} {arguments}");
        }
        for (sent, arguments) in [
            (&[][..], r#"{"s":"x"}"#),
            (&[(s, "x")], "{}"),
            (&[(s, "X")], r#"{"s":"x"}"#),
            (&[(s, "x"), (s, "x")], r#"{"s":"x"}"#),
            (&[(s, "=?base64?w6k?=")], r#"{"s":"\u00e9"}"#),
            (&[(n, "43")], r#"{"n":42}"#),
            (&[(n, "9007199254740992")], r#"{"n":9007199254740993}"#),
            (&[(n, "inf")], r#"{"n":1e999}"#),
        ] {
            let refused = Err(LocalReply::HeaderMismatch);
            assert_eq!(verdict(sent, arguments), refused, "{sent:?} {arguments}");
        }
    }

    #[test]
    fn what_is_derived_from_arguments_agrees_with_them() {
        let mirrored = read(&tool(
            r#""s":{"type":"string","x-mcp-header":"S"},"b":{"type":"boolean","x-mcp-header":"B"}"#,
        ));
        let mirrored = mirrored.unwrap_or_default();
        for (text, value) in [
            ("plain", "plain"),
            ("", ""),
            ("in side", "in side"),
            (" lead", "=?base64?IGxlYWQ=?="),
            (r"a\nb", "=?base64?YQpi?="),
            ("=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="),
        ] {
            let arguments = format!(r#"{{"s":"{text}","b":false,"other":1}}"#);
            let derived = derive(&mirrored, arguments.as_bytes());
            assert_eq!(check(&mirrored, arguments.as_bytes(), &derived), Ok(()));
            let values: Vec<_> = derived.iter().map(|(_, value)| value.as_bytes()).collect();
            assert_eq!(values, [value.as_bytes(), b"false"], "{text}");
        }
    }
}
