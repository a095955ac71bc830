//! The client adapter for 2026-07-28: every request stands alone.
//!
//! Owns the rules of that revision for requests: `_meta` carries version and capabilities, headers
//! mirror the body (Transports §Headers), and a header that disagrees is refused before anything
//! looks at either.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

use crate::call::{Era, Party};
use crate::client::Client;
use crate::inbound::{self, Accepts};
use crate::level::Level;
use crate::params::{MODERN_REVISION, Params};
use crate::reply::LocalReply;
use crate::server::{Field, Head};

const PARAM_PREFIX: &[u8] = b"mcp-param-";

/// Methods that earlier revisions have and this one has not; the answer is "no such method".
const REMOVED: [&[u8]; 7] = [
    b"initialize",
    b"ping",
    b"logging/setLevel",
    b"resources/subscribe",
    b"resources/unsubscribe",
    // The tasks of 2025-11-25, which are an extension now that has neither.
    b"tasks/list",
    b"tasks/result",
];

/// Where a request says again, outside of its body, what it asks.
#[derive(Clone, Copy)]
pub(crate) enum Mirrors<'h> {
    /// In headers, which must agree with the body (Transports §Headers).
    Headers(&'h Head),
    /// Nowhere: the transport has messages and nothing else (2026-07-28 §stdio).
    None,
}

/// Whether a message is of this era: its `_meta` names a version, or its header names a late one.
pub(crate) fn is_modern(head: &Head, params: &Params) -> bool {
    params.has_meta_version() || is_late(head)
}

/// Whether the header names a late version. Revisions are dates, so their order is that of their texts; what is
/// no date is no revision of any era.
pub(crate) fn is_late(head: &Head) -> bool {
    let is_date = |text: &[u8]| {
        text.len() == MODERN_REVISION.len()
            && text
                .iter()
                .zip(MODERN_REVISION.bytes())
                .all(|(byte, like)| byte.is_ascii_digit() && like.is_ascii_digit() || *byte == like)
    };
    let version = head.field(Field::Version);
    version.is_some_and(|version| version >= MODERN_REVISION.as_bytes() && is_date(version))
}

/// Checks a request by the rules of the revision.
pub(crate) fn read(
    mirrors: Mirrors<'_>,
    method: &[u8],
    params: &Params,
    accepts: Accepts,
) -> Result<Client, LocalReply> {
    check_version(mirrors, params)?;
    if params
        .meta_capabilities()
        .is_none_or(|raw| raw.first() != Some(&b'{'))
    {
        return Err(LocalReply::MetaMissing);
    }
    check_mirror(mirrors, Field::Method, Some(method))?;
    let name = match method {
        b"tools/call" | b"prompts/get" => Some(params.name().ok_or(LocalReply::BadParams)?),
        b"resources/read" => Some(params.uri().ok_or(LocalReply::BadParams)?),
        // The tasks extension mirrors the id of the task (SEP-2663, routing headers).
        b"tasks/get" | b"tasks/update" | b"tasks/cancel" => params.task_id(),
        _ => None,
    };
    if let Some(name) = name {
        check_mirror(mirrors, Field::Name, Some(&name))?;
    }
    if REMOVED.contains(&method) {
        return Err(LocalReply::UnknownMethod);
    }
    Ok(Client {
        era: Era::Modern,
        // Clients without a session cannot be told apart until they have identities.
        party: Party::Unknown,
        accepts,
        log_level: params.log_level().and_then(|level| Level::parse(&level)),
        set_level: None,
        mirrors: matches!(mirrors, Mirrors::Headers(_)),
        mirrored: mirrors.params(),
        trace: mirrors.trace(),
        flight: None,
    })
}

impl Mirrors<'_> {
    /// What is wrong with a request whose body names no version. A header that names one which is
    /// not spoken here says more: its revision may have another place for it.
    fn refuse_without_version(self) -> LocalReply {
        let named = match self {
            Self::Headers(head) => head.field(Field::Version),
            Self::None => None,
        };
        match named.map(<[u8]>::trim_ascii) {
            Some(named) if named != MODERN_REVISION.as_bytes() => LocalReply::VersionUnsupported {
                requested: String::from_utf8_lossy(named).into_owned(),
            },
            _ => LocalReply::MetaMissing,
        }
    }

    /// The headers of trace context.
    fn trace(self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            Self::Headers(head) => inbound::trace_of(head),
            Self::None => Vec::new(),
        }
    }

    /// The `Mcp-Param-*` headers.
    fn params(self) -> Vec<(HeaderName, HeaderValue)> {
        let Self::Headers(head) = self else {
            return Vec::new();
        };
        let is_param = |name: &[u8]| {
            let prefix = name.get(..PARAM_PREFIX.len());
            prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(PARAM_PREFIX))
        };
        head.others()
            .filter(|(name, _)| is_param(name))
            .filter_map(|(name, value)| {
                let value = HeaderValue::from_bytes(value).ok()?;
                Some((HeaderName::from_bytes(name).ok()?, value))
            })
            .collect()
    }
}

/// The version in header and body: there, the same, and one that is spoken here.
fn check_version(mirrors: Mirrors<'_>, params: &Params) -> Result<(), LocalReply> {
    let Some(version) = params.meta_version() else {
        return Err(mirrors.refuse_without_version());
    };
    check_mirror(mirrors, Field::Version, Some(&version))?;
    if version.as_ref() == MODERN_REVISION.as_bytes() {
        return Ok(());
    }
    Err(LocalReply::VersionUnsupported {
        requested: String::from_utf8_lossy(&version).into_owned(),
    })
}

/// Whether a header stands once and says what the body says. Only a name can be encoded; the others
/// are exact copies (Transports §Value Encoding).
fn check_mirror(mirrors: Mirrors<'_>, field: Field, body: Option<&[u8]>) -> Result<(), LocalReply> {
    let Mirrors::Headers(head) = mirrors else {
        return Ok(());
    };
    let (Some(value), false, Some(body)) = (head.field(field), head.repeats(field), body) else {
        return Err(LocalReply::HeaderMismatch);
    };
    let value = value.trim_ascii();
    let encoded = sentinel(value).filter(|_| field == Field::Name);
    let same = match encoded {
        None => value == body,
        Some(encoded) => STANDARD
            .decode(encoded)
            .is_ok_and(|decoded| decoded == body),
    };
    if same {
        Ok(())
    } else {
        Err(LocalReply::HeaderMismatch)
    }
}

/// The encoded part of `=?base64?…?=`; a value without both markers is literal.
fn sentinel(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"=?base64?")?.strip_suffix(b"?=")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::inbound::Form;

    const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

    fn verdict(headers: &[(&'static str, &str)], params: &str) -> Result<(), LocalReply> {
        verdict_on("tools/call", headers, params)
    }

    fn verdict_on(
        method: &str,
        headers: &[(&'static str, &str)],
        params: &str,
    ) -> Result<(), LocalReply> {
        let fields: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        let head = Head::with("POST /", &fields);
        let params = Params::read(Some(Bytes::from(params.to_owned())), 64)
            .map_err(|_| LocalReply::BadParams)?;
        read(
            Mirrors::Headers(&head),
            method.as_bytes(),
            &params,
            Accepts {
                json: true,
                stream: true,
                resumes: true,
                rather: Form::Document,
            },
        )
        .map(drop)
    }

    #[test]
    fn header_and_body_must_say_the_same() {
        let params = format!(r#"{{"name":"caf\u00e9",{META}}}"#);
        let version = ("mcp-protocol-version", "2026-07-28");
        let method = ("mcp-method", "tools/call");
        let name = ("mcp-name", "=?base64?Y2Fmw6k=?=");
        assert_eq!(verdict(&[version, method, name], &params), Ok(()));
        for headers in [
            vec![method, name],
            vec![version, name],
            vec![version, method],
            vec![version, ("mcp-method", "Tools/call"), name],
            vec![version, ("mcp-method", "=?base64?dG9vbHMvY2FsbA==?="), name],
            vec![
                ("mcp-protocol-version", "=?base64?MjAyNi0wNy0yOA==?="),
                method,
                name,
            ],
            vec![version, ("mcp-method", "tools/list"), name],
            vec![version, method, ("mcp-name", "other")],
            vec![version, method, ("mcp-name", "=?base64?Y2Fmw6k?=")],
            vec![version, method, ("mcp-name", "=?base64?!!!!?=")],
            vec![version, method, ("mcp-name", "=?BASE64?Y2Fmw6k=?=")],
            vec![version, method, name, name],
            vec![version, method, method, name],
            vec![("mcp-protocol-version", "2025-11-25"), method, name],
            vec![("mcp-protocol-version", "2027-01-01"), method, name],
        ] {
            assert_eq!(
                verdict(&headers, &params),
                Err(LocalReply::HeaderMismatch),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn tasks_are_mirrored_by_their_id() {
        let params = format!(r#"{{"taskId":"t1",{META}}}"#);
        let headers = |id| {
            [
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", "tasks/get"),
                ("mcp-name", id),
            ]
        };
        let verdict = |headers: &[_]| verdict_on("tasks/get", headers, &params);
        assert_eq!(verdict(&headers("t1")), Ok(()));
        let mismatch = Err(LocalReply::HeaderMismatch);
        assert_eq!(verdict(&headers("t2")), mismatch);
        assert_eq!(
            verdict(headers("t1").get(..2).unwrap_or_default()),
            mismatch
        );
    }

    #[test]
    fn what_earlier_revisions_had_is_no_method() {
        for method in REMOVED {
            let method = std::str::from_utf8(method).unwrap_or_default();
            let headers = [
                ("mcp-protocol-version", "2026-07-28"),
                ("mcp-method", method),
            ];
            let verdict = verdict_on(method, &headers, &format!("{{{META}}}"));
            assert_eq!(verdict, Err(LocalReply::UnknownMethod), "{method}");
        }
    }

    #[test]
    fn a_version_that_only_a_header_names_is_refused_by_its_name() {
        for version in ["2027-01-01", "banana", " 2031-01-01 "] {
            let refused = LocalReply::VersionUnsupported {
                requested: version.trim().to_owned(),
            };
            let headers = [("mcp-protocol-version", version)];
            assert_eq!(verdict(&headers, r#"{"name":"a"}"#), Err(refused));
        }
    }

    #[test]
    fn meta_carries_version_and_capabilities() {
        let headers = [
            ("mcp-protocol-version", "2026-07-28"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "a"),
        ];
        assert_eq!(
            verdict(&headers, r#"{"name":"a"}"#),
            Err(LocalReply::MetaMissing)
        );
        let version_only =
            r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        assert_eq!(
            verdict(&headers, version_only),
            Err(LocalReply::MetaMissing)
        );
        let late =
            r#"{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"2099-01-01"}}"#;
        let late_headers = [
            ("mcp-protocol-version", "2099-01-01"),
            ("mcp-method", "tools/call"),
            ("mcp-name", "a"),
        ];
        let refused = LocalReply::VersionUnsupported {
            requested: "2099-01-01".to_owned(),
        };
        assert_eq!(verdict(&late_headers, late), Err(refused));
    }
}
