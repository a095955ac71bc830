//! Members that the gateway does not know, on their way past it.
//!
//! Owns which members pass of an object around which the gateway writes one of its own: a list, what a server
//! says of itself, `_meta`. What it knows it writes itself or leaves out on purpose, and what is of one hop
//! means nothing behind it. Works on bytes; whose members pass, `list` and `discover` say.

use std::ops::Range;

use crate::json;
use crate::message::is_ambiguous;

/// Keys of `_meta` that are of one hop: who is at its ends, what it is about, and in which words.
const OF_HOP: [&str; 7] = [
    "progressToken",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/serverInfo",
    "io.modelcontextprotocol/subscriptionId",
];

/// What the gateway says in `_meta` itself, and nobody in its name.
const OWN: &[u8] = b"dev.mcpc/";

/// What an object has beside its known members: each member with a comma in front.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    members: Box<[u8]>,
    /// Of its `_meta`.
    meta: Box<[u8]>,
}

impl Beside {
    /// Reads an object. Its `_meta` is known, whatever `known` says.
    pub(crate) fn of(object: &[u8], known: &[&str]) -> Self {
        let is_known = |key: &[u8]| is_ambiguous(key, known) || is_ambiguous(key, &["_meta"]);
        let meta = json::member(object, b"_meta").unwrap_or_default();
        let is_of_hop = |key: &[u8]| key.starts_with(OWN) || is_ambiguous(key, &OF_HOP);
        Self {
            members: without(object, is_known),
            meta: without(meta, is_of_hop),
        }
    }

    /// Appends all of it, and to its `_meta` members of the gateway's own, given with a comma in front of each.
    pub(crate) fn write(&self, out: &mut Vec<u8>, own_meta: &[u8]) {
        out.extend_from_slice(&self.members);
        let mut meta = [own_meta, &self.meta].concat();
        if let Some(comma) = meta.first_mut() {
            *comma = b'{';
            out.extend_from_slice(b",\"_meta\":");
            out.extend_from_slice(&meta);
            out.push(b'}');
        }
    }
}

/// The members of an object beside those that are known, each with a comma in front.
pub(crate) fn unknown_members(object: &[u8], known: &[&str]) -> Box<[u8]> {
    without(object, |key| is_ambiguous(key, known))
}

/// `_meta` without what is of one hop. Nothing, if nothing else is in it.
pub(crate) fn passing_meta(meta: &[u8]) -> Option<Vec<u8>> {
    let kept = without(meta, |key| is_ambiguous(key, &OF_HOP));
    let kept = kept.strip_prefix(b",")?;
    Some([b"{", kept, b"}"].concat())
}

/// The params of a message without what is of one hop in their `_meta`. If `is_same_era`, what a client says
/// of itself stays.
pub(crate) fn passing_params(params: &[u8], is_same_era: bool) -> Option<Vec<u8>> {
    let Some(meta) = json::place_of(params, b"_meta") else {
        return Some(params.to_vec());
    };
    let Range { start, end } = meta;
    let of_client = |key: &[u8]| is_same_era && key.starts_with(b"io.modelcontextprotocol/client");
    let of_era = |key: &[u8]| is_same_era && key == OF_HOP[1].as_bytes();
    let is_of_hop = |key: &[u8]| is_ambiguous(key, &OF_HOP) && !of_client(key) && !of_era(key);
    let kept = without(params.get(start..end)?, is_of_hop);
    let kept = kept.strip_prefix(b",").unwrap_or(&kept);
    Some([params.get(..start)?, b"{", kept, b"}", params.get(end..)?].concat())
}

/// What is no object has no members.
fn without(object: &[u8], is_left_out: impl Fn(&[u8]) -> bool) -> Box<[u8]> {
    let mut out = Vec::new();
    let walk = json::members(object, u32::MAX, |member| {
        if !is_left_out(member.key) {
            let value = object.get(member.value).unwrap_or_default();
            json::write_member(&mut out, member.key, value);
        }
    });
    if walk.is_err() {
        out.clear();
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(object: &str, own_meta: &str) -> String {
        let mut out = Vec::new();
        Beside::of(object.as_bytes(), &["tools"]).write(&mut out, own_meta.as_bytes());
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn what_is_not_known_passes() {
        let object =
            r#"{"tools":[1],"x":{"y":[ ]},"_meta":{"a/b":1,"dev.mcpc/unavailable":["z"]}}"#;
        assert_eq!(written(object, ""), r#","x":{"y":[ ]},"_meta":{"a/b":1}"#);
        assert_eq!(
            written(object, r#","own":2"#),
            r#","x":{"y":[ ]},"_meta":{"own":2,"a/b":1}"#
        );
        assert_eq!(written(r#"{"_meta":3,"Tools":[],"to\u006fls":[]}"#, ""), "");
        assert_eq!(written("{}", r#","own":2"#), r#","_meta":{"own":2}"#);
        assert_eq!(Beside::of(b"[1]", &[]), Beside::default());
    }

    #[test]
    fn what_is_of_one_hop_does_not_pass() {
        for key in OF_HOP {
            let meta = format!(r#"{{"x":1,"_meta":{{"{key}":"v"}}}}"#);
            assert_eq!(written(&meta, ""), r#","x":1"#);
            let passing = passing_params(meta.as_bytes(), false);
            assert_eq!(passing.as_deref(), Some(&br#"{"x":1,"_meta":{}}"#[..]));
        }
    }

    #[test]
    fn a_client_says_of_itself_what_it_says_to_servers_of_its_era() {
        let params = concat!(
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
            r#""io.modelcontextprotocol/clientInfo":{},"progressToken":1,"k":2},"a":3}"#
        );
        let passing = |is_same_era| {
            let passing = passing_params(params.as_bytes(), is_same_era);
            String::from_utf8(passing.unwrap_or_default()).unwrap_or_default()
        };
        assert_eq!(passing(false), r#"{"_meta":{"k":2},"a":3}"#);
        assert_eq!(
            passing(true),
            r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{},"k":2},"a":3}"#
        );
        assert_eq!(passing_params(b"{}", false).as_deref(), Some(&b"{}"[..]));
    }
}
