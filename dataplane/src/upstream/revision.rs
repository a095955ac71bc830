//! Reads what an upstream says about itself, and which revisions both sides speak.
//!
//! Owns the reading of the results of `server/discover` and `initialize`. Does not send them
//! (`handshake`, `child` and `http_sse` do), and does not decide what a missing capability means.

use std::ops::Range;

use bytes::Bytes;

use crate::beside::Beside;
use crate::call::Era;
use crate::json;
use crate::params::MODERN_REVISION;
use crate::profile::Profile;
use crate::session::Revision;

/// The revision that a legacy upstream is asked for.
pub(super) const LEGACY_REVISION: &str = Revision::LATEST.as_str();

/// The members of what servers of either era say of themselves.
const KNOWN: [&str; 8] = [
    "supportedVersions",
    "protocolVersion",
    "capabilities",
    "serverInfo",
    "instructions",
    "resultType",
    "ttlMs",
    "cacheScope",
];

/// Reads the result of `server/discover`. Nothing if it is none, or if no revision is shared.
pub(super) fn of_discover(result: &Bytes, nesting: u32) -> Option<Profile> {
    let [supported, capabilities, instructions] = json::members_of(
        result,
        nesting,
        ["supportedVersions", "capabilities", "instructions"],
    )?;
    let supported = supported?;
    let mut is_shared = false;
    json::elements(&supported, nesting, |element: Range<usize>| {
        is_shared |= supported
            .get(element)
            .and_then(json::text)
            .is_some_and(|version| version == MODERN_REVISION);
    })
    .ok()?;
    let capabilities = object(capabilities);
    is_shared.then(|| Profile {
        era: Era::Modern,
        runs_tasks: false,
        revision: MODERN_REVISION.into(),
        subscribes: has_flag(&capabilities, "resources", "subscribe"),
        capabilities,
        instructions: text(instructions),
        beside: Beside::of(result, &KNOWN),
    })
}

/// Reads the result of `initialize`. Nothing if it is none, or if the revision is not one of the legacy era. Every
/// transport carries all of these: Streamable HTTP is newer than the first of them, but there are servers
/// that speak no other revision over it.
pub(super) fn of_initialize(result: &Bytes, nesting: u32) -> Option<Profile> {
    let [version, capabilities, instructions] = json::members_of(
        result,
        nesting,
        ["protocolVersion", "capabilities", "instructions"],
    )?;
    let version = version?;
    let revision = json::text(&version)?;
    let capabilities = object(capabilities);
    let revision = Revision::parse(revision.as_bytes())?;
    Some(Profile {
        era: Era::Legacy,
        runs_tasks: runs_tasks(&capabilities),
        revision: revision.as_str().into(),
        subscribes: has_flag(&capabilities, "resources", "subscribe"),
        capabilities,
        instructions: text(instructions),
        beside: Beside::of(result, &KNOWN),
    })
}

/// A modern upstream that does not answer `server/discover`: nothing is known, all is tried.
pub(super) fn unknown_modern() -> Profile {
    Profile {
        era: Era::Modern,
        runs_tasks: false,
        revision: MODERN_REVISION.into(),
        subscribes: false,
        capabilities: Bytes::from_static(b"{\"tools\":{},\"prompts\":{},\"resources\":{}}"),
        instructions: None,
        beside: Beside::default(),
    }
}

/// Whether changes of a list are announced.
pub(super) fn announces(profile: &Profile, capability: &str) -> bool {
    has_flag(&profile.capabilities, capability, "listChanged")
}

fn has_flag(capabilities: &Bytes, capability: &str, flag: &str) -> bool {
    let value = json::member(capabilities, capability.as_bytes());
    value.and_then(|value| json::member(value, flag.as_bytes())) == Some(b"true")
}

/// Whether `tasks.requests.tools.call` is among the capabilities of a server (2025-11-25 Tasks).
fn runs_tasks(capabilities: &Bytes) -> bool {
    let keys = ["tasks", "requests", "tools", "call"];
    let mut inner = Some(capabilities.as_ref());
    for key in keys {
        inner = inner.and_then(|outer| json::member(outer, key.as_bytes()));
    }
    inner.is_some()
}

fn object(value: Option<Bytes>) -> Bytes {
    value
        .filter(|raw| raw.first() == Some(&b'{'))
        .unwrap_or_else(|| Bytes::from_static(b"{}"))
}

fn text(value: Option<Bytes>) -> Option<Box<str>> {
    json::text(&value?).map(Into::into)
}
