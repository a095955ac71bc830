//! What a reply becomes on its way to a client of the other era.
//!
//! Owns the members and codes that one era has and the other has not (protocol bridging, result
//! fields and errors). Works on bytes, and changes nothing else. Used by `respond`.

use bytes::Bytes;

use crate::call::Era;
use crate::failure::Failure;
use crate::json;
use crate::reply::LocalReply;

/// Adds what every result of 2026-07-28 has.
pub(crate) fn complete(result: &Bytes, is_cacheable: bool) -> Bytes {
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
    let mut kind = None;
    json::members(result, u32::MAX, |member| match member.key {
        b"resultType" => kind = result.get(member.value).map(<[u8]>::to_vec),
        b"ttlMs" | b"cacheScope" => {}
        key => {
            out.push(if out.is_empty() { b'{' } else { b',' });
            out.push(b'"');
            out.extend_from_slice(key);
            out.extend_from_slice(b"\":");
            out.extend_from_slice(result.get(member.value).unwrap_or_default());
        }
    })
    .map_err(|_| LocalReply::Upstream(Failure::Garbage))?;
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    match kind.as_deref() {
        None | Some(b"\"complete\"") => Ok(out.into()),
        Some(_) => Err(LocalReply::Upstream(Failure::AskRefused)),
    }
}

/// An error of the other era: the code of a missing resource differs, and codes that speak of the
/// gateway's own request mean nothing to the client.
pub(crate) fn carry_error(error: &Bytes, client: Era) -> Bytes {
    let missing: (&[u8], &[u8]) = match client {
        Era::Modern => (b"-32002", b"-32602"),
        Era::Legacy => (b"-32020", b"-32603"),
    };
    let mut span = None;
    let walk = json::members(error, u32::MAX, |member| {
        if member.key == b"code" {
            span = Some(member.value);
        }
    });
    let Some(span) = span.filter(|_| walk.is_ok()) else {
        return error.clone();
    };
    let code = error.get(span.clone()).unwrap_or_default();
    let own = client == Era::Legacy && matches!(code, b"-32021" | b"-32022");
    if code != missing.0 && !own {
        return error.clone();
    }
    let mut out = Vec::with_capacity(error.len());
    out.extend_from_slice(error.get(..span.start).unwrap_or_default());
    out.extend_from_slice(missing.1);
    out.extend_from_slice(error.get(span.end..).unwrap_or_default());
    out.into()
}

/// The code of an error object, as it is written.
pub(crate) fn code_of(error: &Bytes) -> Option<&[u8]> {
    let mut span = None;
    let walk = json::members(error, u32::MAX, |member| {
        if member.key == b"code" {
            span = Some(member.value);
        }
    });
    error.get(span.filter(|_| walk.is_ok())?)
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
    fn a_missing_resource_has_the_code_of_the_clients_era() {
        let error = Bytes::from_static(br#"{"message":"m","code":-32002}"#);
        assert_eq!(
            carry_error(&error, Era::Modern).as_ref(),
            br#"{"message":"m","code":-32602}"#
        );
        assert_eq!(carry_error(&error, Era::Legacy), error);
    }
}
