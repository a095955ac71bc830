//! Reads what an upstream says about itself, and which revisions both sides speak.
//!
//! Owns the reading of the results of `server/discover` and `initialize`. Does not send them
//! (`handshake`, `stdio` do), and does not decide what a missing capability means.

use std::ops::Range;

use bytes::Bytes;

use crate::call::Era;
use crate::json;
use crate::params::MODERN_REVISION;
use crate::profile::Profile;

/// The revision that a legacy upstream is asked for.
pub(super) const LEGACY_REVISION: &str = "2025-11-25";

/// Reads the result of `server/discover`. Nothing if it is none, or if no revision is shared.
pub(super) fn of_discover(result: &Bytes, nesting: u32) -> Option<Profile> {
    let [supported, capabilities, instructions] = members(
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
    })
}

/// Reads the result of `initialize`. Nothing if it is none, or if the revision is not one of those
/// that the transport can carry.
pub(super) fn of_initialize(result: &Bytes, nesting: u32, accepted: &[&str]) -> Option<Profile> {
    let [version, capabilities, instructions] = members(
        result,
        nesting,
        ["protocolVersion", "capabilities", "instructions"],
    )?;
    let version = version?;
    let revision = json::text(&version)?;
    let capabilities = object(capabilities);
    accepted.contains(&revision.as_ref()).then(|| Profile {
        era: Era::Legacy,
        runs_tasks: runs_tasks(&capabilities),
        revision: revision.as_ref().into(),
        subscribes: has_flag(&capabilities, "resources", "subscribe"),
        capabilities,
        instructions: text(instructions),
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
    }
}

/// Whether changes of a list are announced.
pub(super) fn announces(profile: &Profile, capability: &str) -> bool {
    has_flag(&profile.capabilities, capability, "listChanged")
}

fn has_flag(capabilities: &Bytes, capability: &str, flag: &str) -> bool {
    let value = members(capabilities, u32::MAX, [capability]).and_then(|[value]| value);
    value
        .and_then(|value| members(&value, u32::MAX, [flag]))
        .is_some_and(|[flag]| flag.is_some_and(|flag| flag.as_ref() == b"true"))
}

/// Whether `tasks.requests.tools.call` is among the capabilities of a server (2025-11-25 Tasks).
fn runs_tasks(capabilities: &Bytes) -> bool {
    let keys = ["tasks", "requests", "tools", "call"];
    let mut inner = Some(capabilities.clone());
    for key in keys {
        inner = inner.and_then(|outer| members(&outer, u32::MAX, [key]).and_then(|[value]| value));
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

/// The values of some members of an object; nothing if it is not an object.
pub(super) fn members<const N: usize>(
    object: &Bytes,
    nesting: u32,
    keys: [&str; N],
) -> Option<[Option<Bytes>; N]> {
    let mut found = [const { None }; N];
    json::members(object, nesting, |member| {
        for (key, slot) in keys.iter().zip(found.iter_mut()) {
            if member.key == key.as_bytes() {
                *slot = Some(object.slice(member.value.clone()));
            }
        }
    })
    .ok()?;
    Some(found)
}
