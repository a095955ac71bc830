//! What a reply becomes on its way to a client of the other era.
//!
//! Owns the members and codes that one era has and the other has not (protocol bridging, result
//! fields and errors). Works on bytes, and changes nothing else. Used by `respond`.

use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;

use crate::beside::passing_meta;
use crate::call::Era;
use crate::failure::Failure;
use crate::json;
use crate::reply::LocalReply;

/// Adds what every result of 2026-07-28 has. An older server that says it as well, which means nothing
/// there, is not believed: no member stands twice.
pub(crate) fn complete(result: &Bytes, is_cacheable: bool) -> Bytes {
    let keys: &[&[u8]] = if is_cacheable {
        &[b"resultType", b"ttlMs", b"cacheScope"]
    } else {
        &[b"resultType"]
    };
    // Nearly no result has them, and looking for their names is cheaper than reading it.
    let may_say = keys.iter().any(|key| memmem::find(result, key).is_some());
    let cleaned = may_say
        .then(|| json::retain(result, |key| !keys.contains(&key)).ok())
        .flatten();
    let result = cleaned.as_deref().unwrap_or(result);
    let rest = result
        .strip_prefix(b"{")
        .unwrap_or_default()
        .trim_ascii_start();
    let mut out = Vec::with_capacity(result.len() + 64);
    out.extend_from_slice(b"{\"resultType\":\"complete\"");
    if is_cacheable {
        out.extend_from_slice(b",\"ttlMs\":0,\"cacheScope\":\"private\"");
    }
    if rest.first() != Some(&b'}') {
        out.push(b',');
    }
    out.extend_from_slice(rest);
    out.into()
}

/// Leaves out what no result of 2025-11-25 and earlier has. A question to the client cannot be
/// carried to it in this way.
pub(crate) fn strip_modern(result: &Bytes) -> Result<Bytes, LocalReply> {
    let mut out = Vec::with_capacity(result.len());
    let (mut kind, mut meta) = (None, None);
    json::members(result, u32::MAX, |member| match member.key {
        b"resultType" => kind = result.get(member.value).map(<[u8]>::to_vec),
        b"ttlMs" | b"cacheScope" => {}
        b"_meta" => meta = Some(member.value),
        // Up to 2025-11-25 this is an object, and clients refuse a result in which it is not.
        b"structuredContent" if result.get(member.value.start) != Some(&b'{') => {}
        key => {
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.push(b'"');
            out.extend_from_slice(key);
            out.extend_from_slice(b"\":");
            out.extend_from_slice(result.get(member.value).unwrap_or_default());
        }
    })
    .map_err(|_| LocalReply::Upstream(Failure::Garbage))?;
    // Who has answered is said once in a session, by its handshake.
    let meta = meta.and_then(|meta| passing_meta(result.get(meta)?));
    if let Some(meta) = meta {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(b"\"_meta\":");
        out.extend_from_slice(&meta);
    }
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    match kind.as_deref() {
        None | Some(b"\"complete\"") => Ok(out.into()),
        Some(_) => Err(LocalReply::Upstream(Failure::AskRefused)),
    }
}

/// Leaves out of the entries of a tool list what clients of 2025-11-25 and earlier refuse: a schema
/// of outputs that are no objects.
pub(crate) fn strip_tools(entries: &[u8]) -> Option<Vec<u8>> {
    const SCHEMA: &[u8] = b"\"outputSchema\"";
    entries.windows(SCHEMA.len()).find(|it| *it == SCHEMA)?;
    let list = Bytes::from([b"[", entries, b"]"].concat());
    let mut out = Vec::with_capacity(entries.len());
    json::elements(&list, u32::MAX, |tool| {
        if !out.is_empty() {
            out.push(b',');
        }
        let tool = list.get(tool).unwrap_or_default();
        match foreign_schema(tool) {
            Some(schema) => {
                let start = out.len();
                let _walked = json::members(tool, u32::MAX, |member| {
                    if member.value != schema {
                        out.push(if out.len() == start { b'{' } else { b',' });
                        out.push(b'"');
                        out.extend_from_slice(member.key);
                        out.extend_from_slice(b"\":");
                        out.extend_from_slice(tool.get(member.value).unwrap_or_default());
                    }
                });
                out.push(b'}');
            }
            None => out.extend_from_slice(tool),
        }
    })
    .ok()?;
    Some(out)
}

/// Where a tool's schema of outputs stands, if those are not said to be objects.
fn foreign_schema(tool: &[u8]) -> Option<Range<usize>> {
    let schema = json::place_of(tool, b"outputSchema")?;
    let content = tool.get(schema.clone())?;
    let kind = json::member(content, b"type");
    (kind != Some(b"\"object\"")).then_some(schema)
}

/// An error of the other era: the code of a missing resource differs, and codes that speak of the
/// gateway's own request mean nothing to the client. `uri` is the resource that was to be read.
pub(crate) fn carry_error(error: &Bytes, client: Era, uri: Option<&Bytes>) -> Bytes {
    let Some(span) = json::place_of(error, b"code") else {
        return error.clone();
    };
    let data = json::member(error, b"data");
    let code: &[u8] = match (client, error.get(span.clone()).unwrap_or_default()) {
        (Era::Modern, b"-32002") => b"-32602",
        // In both revisions an invalid request has this code as well; only a missing resource is
        // named by its URI.
        (Era::Legacy, b"-32602") if uri.is_some() && data.is_some_and(names_uri) => b"-32002",
        // In this order: a visit that cannot be asked for, and what is said of the gateway's request.
        (Era::Modern, b"-32042") | (Era::Legacy, b"-32020" | b"-32021" | b"-32022") => b"-32603",
        _ => return error.clone(),
    };
    let mut out = Vec::with_capacity(error.len() + 64);
    out.extend_from_slice(error.get(..span.start).unwrap_or_default());
    out.extend_from_slice(code);
    let rest = error.get(span.end..).unwrap_or_default();
    if let (Era::Modern, None, Some(uri)) = (client, data, uri) {
        out.extend_from_slice(b",\"data\":{\"uri\":");
        json::write_text(&mut out, std::str::from_utf8(uri).unwrap_or(""));
        out.push(b'}');
    }
    out.extend_from_slice(rest);
    out.into()
}

fn names_uri(data: &[u8]) -> bool {
    json::member(data, b"uri").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_cross_eras() {
        let complete_of =
            |text: &'static str| complete(&Bytes::from_static(text.as_bytes()), false);
        assert_eq!(complete_of("{}").as_ref(), br#"{"resultType":"complete"}"#);
        assert_eq!(
            complete_of(r#"{ "a":1}"#).as_ref(),
            br#"{"resultType":"complete","a":1}"#
        );
        let own = r#"{"resultType":"input_required","ttlMs":5,"content":["\"resultType\""]}"#;
        assert_eq!(
            complete_of(own).as_ref(),
            br#"{"resultType":"complete","ttlMs":5,"content":["\"resultType\""]}"#
        );
        assert_eq!(
            complete(
                &Bytes::from_static(br#"{"cacheScope":"public","ttlMs":5}"#),
                true
            )
            .as_ref(),
            br#"{"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#
        );
        let strip = |text: &'static str| strip_modern(&Bytes::from_static(text.as_bytes()));
        assert_eq!(
            strip(r#"{"resultType":"complete","content":[],"ttlMs":5}"#),
            Ok(Bytes::from(r#"{"content":[]}"#))
        );
        assert_eq!(strip(r#"{"resultType":"complete"}"#), Ok(Bytes::from("{}")));
        let asks = strip(r#"{"resultType":"input_required","requestState":"x"}"#);
        assert_eq!(asks, Err(LocalReply::Upstream(Failure::AskRefused)));
    }

    #[test]
    fn results_for_older_clients_do_not_say_who_has_answered() {
        let strip = |text: &'static str| strip_modern(&Bytes::from_static(text.as_bytes()));
        let all =
            r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"n"},"k":1},"content":[]}"#;
        let left = r#"{"content":[],"_meta":{"k":1}}"#;
        assert_eq!(strip(all), Ok(Bytes::from(left)));
        let only = r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{}},"content":[]}"#;
        assert_eq!(strip(only), Ok(Bytes::from(r#"{"content":[]}"#)));
        let task = r#"{"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#;
        assert_eq!(strip(task), Ok(Bytes::from(task)));
    }

    #[test]
    fn a_missing_resource_has_the_code_of_the_clients_era() {
        let carried = |error: &'static str, client, uri: Option<&'static str>| {
            let uri = uri.map(|uri| Bytes::from_static(uri.as_bytes()));
            let carried = carry_error(&Bytes::from_static(error.as_bytes()), client, uri.as_ref());
            String::from_utf8(carried.to_vec()).unwrap_or_default()
        };
        let old = r#"{"code":-32002,"message":"m"}"#;
        assert_eq!(
            carried(old, Era::Modern, Some("a:\"b")),
            r#"{"code":-32602,"data":{"uri":"a:\"b"},"message":"m"}"#
        );
        assert_eq!(
            carried(old, Era::Modern, None),
            r#"{"code":-32602,"message":"m"}"#
        );
        assert_eq!(carried(old, Era::Legacy, Some("a:b")), old);
        let with_data = r#"{"data":{"uri":"a:b"},"code":-32002}"#;
        let new = r#"{"data":{"uri":"a:b"},"code":-32602}"#;
        assert_eq!(carried(with_data, Era::Modern, Some("a:b")), new);
        assert_eq!(carried(new, Era::Legacy, Some("a:b")), with_data);
        assert_eq!(carried(new, Era::Legacy, None), new);
        let invalid = r#"{"code":-32602,"message":"m"}"#;
        assert_eq!(carried(invalid, Era::Legacy, Some("a:b")), invalid);
    }

    #[test]
    fn codes_that_the_clients_era_has_not_do_not_reach_it() {
        for (code, modern, legacy) in [
            ("-32042", "-32603", "-32042"),
            ("-32020", "-32020", "-32603"),
            ("-32021", "-32021", "-32603"),
            ("-32022", "-32022", "-32603"),
            ("-1", "-1", "-1"),
        ] {
            let of = |code| format!(r#"{{"code":{code},"message":"m"}}"#);
            let carried = |client| carry_error(&of(code).into(), client, None);
            assert_eq!(carried(Era::Modern), of(modern), "{code}");
            assert_eq!(carried(Era::Legacy), of(legacy), "{code}");
        }
    }

    #[test]
    fn older_clients_get_structured_content_and_schemas_of_objects_only() {
        let strip = |text: &'static str| strip_modern(&Bytes::from_static(text.as_bytes()));
        let object = r#"{"structuredContent":{"a":1},"content":[]}"#;
        assert_eq!(strip(object), Ok(Bytes::from(object)));
        for other in ["[1]", "1", "\"x\"", "null"] {
            let text = format!(r#"{{"structuredContent":{other},"content":[]}}"#);
            let stripped = strip_modern(&Bytes::from(text));
            assert_eq!(stripped, Ok(Bytes::from(r#"{"content":[]}"#)));
        }
        let tools = |text: &str| strip_tools(text.as_bytes()).map(String::from_utf8);
        assert_eq!(tools(r#"{"name":"a"}"#), None);
        let listed = concat!(
            r#"{"name":"a","outputSchema":{"type":"object"}},"#,
            r#"{"name":"b","outputSchema":{"type":"array"},"x":1},"#,
            r#"{"name":"c","outputSchema":true}"#
        );
        let left =
            r#"{"name":"a","outputSchema":{"type":"object"}},{"name":"b","x":1},{"name":"c"}"#;
        assert_eq!(tools(listed), Some(Ok(left.to_owned())));
    }
}
