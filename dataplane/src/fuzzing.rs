//! The parsers of the data plane, each as a function from any bytes: it panics if a promise is broken.
//!
//! Compiled for tests, which call every one with the seeds and some thousand mutants of them, and under
//! `cfg(fuzzing)`, for `golden-tests/fuzz`; never otherwise, so that the crate shows nothing more because
//! of it. Parsers whose types are private to a module have their functions there.

#[cfg(test)]
mod tests;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mcpc_plan::Timeouts;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use crate::batch;
use crate::call::{Call, Era};
use crate::inbound::{self, Read};
use crate::json;
use crate::message::Message;
use crate::mirror;
use crate::modern::{self, Mirrors};
use crate::origin::{self, Verdict};
use crate::params::Params;
use crate::reply::LocalReply;
use crate::server::Head;
use crate::server::fault::HeadBounds;

pub use crate::server::fuzzing::request;
pub use crate::session::fuzzing::token;
pub use crate::upstream::fuzzing::{events, lines, response};

/// A function that takes any bytes.
pub type Target = fn(&[u8]);

/// Every target of this crate, by name.
pub const TARGETS: [(&str, Target); 10] = [
    ("annotations", annotations),
    ("events", events),
    ("headers", headers),
    ("json", json),
    ("lines", lines),
    ("message", message),
    ("origin", origin),
    ("request", request),
    ("response", response),
    ("token", token),
];

const NESTING: u32 = 16;

const BOUNDS: HeadBounds = HeadBounds {
    bytes: 16 * 1024,
    fields: 20,
};

/// The scanner takes what `serde_json` takes: every object, but none nested deeper than allowed.
pub fn json(bytes: &[u8]) {
    let mut values = Vec::new();
    let found = json::members(bytes, NESTING, |member| {
        values.push(bytes.get(member.value).unwrap_or_default());
    });
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    let sound = is_object && is_json(bytes);
    if found.is_ok() {
        assert!(sound, "no object of JSON passed");
        assert!(values.into_iter().all(is_json), "no value of JSON passed");
    } else if sound {
        let opening = bytes.iter().filter(|byte| matches!(byte, b'{' | b'['));
        assert!(opening.count() > NESTING as usize, "an object was refused");
    }
    if let Ok(object) = json::comparable(bytes) {
        let again = json::retain(bytes, |_| true).unwrap_or_default();
        assert_eq!(json::comparable(&again), Ok(object));
    }
}

/// A message is what `serde_json` reads in the same bytes, and what is sent on for it is a message.
pub fn message(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(Read::One(message, met)) = inbound::read(&bytes, NESTING) else {
        return;
    };
    assert!(is_json(&bytes), "no JSON passed");
    let (method, params) = match message {
        Message::Request {
            id, method, params, ..
        } => {
            assert!(is_json(&id), "an id that is no JSON");
            (method, params)
        }
        Message::Notification(told) => (told.method, told.params),
        Message::Result { id, result, .. } => {
            assert!(is_json(&id) && is_json(&result));
            return;
        }
        Message::Error { id, error, .. } => {
            assert!(is_json(&error) && id.is_none_or(|id| is_json(&id)));
            return;
        }
    };
    if let Ok(other) = serde_json::from_slice::<serde_json::Value>(&bytes) {
        let text = other.get("method").and_then(serde_json::Value::as_str);
        assert_eq!(text.map(str::as_bytes), Some(method.as_ref()));
        let named = other.pointer("/params/name").and_then(|name| name.as_str());
        if let Ok(params) = Params::read(params.clone(), NESTING) {
            let name = params.name();
            assert_eq!(name.as_deref(), named.map(str::as_bytes));
        }
    }
    let read_alone = Params::read(params.clone(), NESTING);
    let Ok(known) = Params::of(params, met) else {
        assert!(read_alone.is_err(), "what is read alone passes");
        return;
    };
    for (from, to) in [
        (Era::Modern, Era::Modern),
        (Era::Modern, Era::Legacy),
        (Era::Legacy, Era::Modern),
    ] {
        send_on(&method, known.clone(), from, to);
    }
}

/// What goes to a server is one message, with the name that the server knows.
fn send_on(method: &Bytes, mut params: Params, from: Era, to: Era) {
    let has_name = params.name().is_some();
    params.rename("q\"\u{e9}");
    let timeouts = Timeouts::all(Duration::from_secs(1));
    let call = Call {
        era: from,
        ..Call::own(method.clone(), params, timeouts, Instant::now())
    };
    let mut out = Vec::new();
    call.write_message(&mut out, 42, to);
    let out = Bytes::from(out);
    let read = inbound::read(&out, NESTING + 1);
    let Ok(Read::One(Message::Request { id, params, .. }, _)) = read else {
        assert!(!is_text(method), "{out:?}");
        return;
    };
    assert_eq!(id.as_ref(), b"42");
    let name = Params::read(params, NESTING + 1)
        .ok()
        .and_then(|it| it.name());
    if has_name {
        assert_eq!(name.as_deref(), Some("q\"\u{e9}".as_bytes()));
    }
}

/// A header passes if it says the name of the body, as it is or in the one encoding that there is.
/// The first line is the header, the rest is the name.
pub fn headers(bytes: &[u8]) {
    let (value, name) = split(bytes);
    let Ok(name) = std::str::from_utf8(name) else {
        return;
    };
    let version = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\n";
    let Some(head) = head(&[version.as_bytes(), b"Mcp-Name:", value, b"\r\n"].concat()) else {
        return;
    };
    let mut params = b"{\"name\":".to_vec();
    json::write_text(&mut params, name);
    params.extend_from_slice(b",\"_meta\":{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientCapabilities\":{}}}");
    let params = Params::read(Some(params.into()), NESTING);
    assert!(params.is_ok(), "written params cannot be read: {name:?}");
    let Ok(params) = params else { return };
    let read = modern::read(
        Mirrors::Headers(&head),
        b"tools/call",
        &params,
        batch::WHOLE,
    );
    let value = value.trim_ascii();
    let encoded = value.strip_prefix(b"=?base64?");
    let encoded = encoded.and_then(|rest| rest.strip_suffix(b"?="));
    let same = match encoded {
        Some(encoded) => encoded == STANDARD.encode(name).as_bytes(),
        None => value == name.as_bytes(),
    };
    let expected = if same {
        Ok(())
    } else {
        Err(LocalReply::HeaderMismatch)
    };
    assert_eq!(read.map(drop), expected, "{value:?} {name:?}");
}

/// A schema with annotations is read or refused. The first line is the params, the rest is a tool.
pub fn annotations(bytes: &[u8]) {
    let (arguments, tool) = split(bytes);
    let Ok(mirrored) = mirror::read(tool) else {
        return;
    };
    if !mirrored.is_empty() {
        assert!(is_json(tool), "no JSON passed");
    }
    let mirrors = mirror::Mirrors::new();
    let known = [("a".into(), mirrored.into())].into();
    mirrors.learn(&known, true);
    let arguments = Bytes::copy_from_slice(arguments);
    let Ok(params) = Params::read(Some(arguments), NESTING) else {
        return;
    };
    for (name, _) in mirrors.derived(b"a", &params) {
        assert!(name.as_str().starts_with("mcp-param-"), "{name}");
    }
}

/// A request passes if its host is one that the gateway answers for, and so is its page's. The first
/// line is the host, the second one the origin.
pub fn origin(bytes: &[u8]) {
    let (host, page) = split(bytes);
    let lines = [b"Host:", host, b"\r\nOrigin:", page, b"\r\n"].concat();
    let Some(head) = read_head(&lines) else {
        return;
    };
    let known = ["[fd00::1]".into(), "mcp.example.com".into()];
    if origin::check(&head, &known) != Verdict::Ok {
        return;
    }
    let page = page.trim_ascii();
    let page = page
        .strip_prefix(b"http://")
        .or(page.strip_prefix(b"https://"));
    for authority in [Some(host.trim_ascii()), page] {
        let text = authority.and_then(|it| std::str::from_utf8(it).ok());
        let text = text.unwrap_or_default().to_ascii_lowercase();
        // What stands behind the last colon is a port, unless the colon is inside an address.
        let name = match text.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() && !port.contains('+') => name,
            _ if text.ends_with(']') || !text.contains(':') => &text,
            _ => "",
        };
        let bare = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let is_ours = if let Some(address) = bare.map(str::parse::<std::net::Ipv6Addr>) {
            let address = address.map(|it| it.to_string());
            address.is_ok_and(|it| it == "::1" || it == "fd00::1")
        } else {
            let address = name.parse::<std::net::Ipv4Addr>();
            ["localhost", "mcp.example.com"].contains(&name)
                || address.is_ok_and(|it| it.is_loopback())
        };
        assert!(is_ours, "{text:?} passed");
    }
}

/// The head of a request with these lines, if it passes.
fn head(lines: &[u8]) -> Option<Head> {
    read_head(&[b"Host: localhost\r\n", lines].concat())
}

fn read_head(lines: &[u8]) -> Option<Head> {
    let text = [b"POST /mcp HTTP/1.1\r\n", lines, b"\r\n"].concat();
    let mut head = Head::default();
    let length = head.read(&text, BOUNDS).ok()??;
    // What a line break in the input made of it is `request`'s business.
    (length == text.len()).then(|| head.keep(text.into()))?;
    Some(head)
}

/// The first line, and what is behind it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let (first, rest) = bytes.split_at_checked(end).unwrap_or_default();
    (first, rest.get(1..).unwrap_or_default())
}

fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok()
}

fn is_json(bytes: &[u8]) -> bool {
    is_text(bytes) && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}
