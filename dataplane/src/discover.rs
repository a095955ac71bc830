//! What an endpoint says about itself: the result of `server/discover` and of `initialize`.
//!
//! Owns the union of what its upstreams offer and the gateway can deliver. An upstream that does
//! not answer in time does not hold the others back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::beside::{Beside, unknown_members};
use crate::call::Era;
use crate::extension;
use crate::failure::Failure;
use crate::join;
use crate::json;
use crate::local::Cache;
use crate::profile::Profile;
use crate::snapshot::{Served, ServedMember};
use crate::upstream::Wish;

/// How long the first answer to a client waits at most for an upstream that has just failed.
const WAIT_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Capabilities of any revision. What the gateway knows it offers itself or not at all.
const CAPABILITIES: [&str; 7] = [
    "tools",
    "prompts",
    "resources",
    "completions",
    "logging",
    "extensions",
    "tasks",
];

/// What the gateway says itself of what it offers.
const FLAGS: [&str; 2] = ["listChanged", "subscribe"];

/// What an endpoint offers.
pub(crate) struct Offer {
    profiles: Vec<(Box<str>, Option<Arc<Profile>>)>,
    instructions: Option<Box<str>>,
}

/// Asks every upstream of an endpoint what it offers; known ones answer at once.
pub(crate) async fn offer(served: &Arc<Served>) -> Offer {
    let asks = served.members.iter().map(|member| -> join::Boxed<'_, _> {
        Box::pin(async move { (member.name.clone(), profile(member).await) })
    });
    let profiles = join::all(asks.collect()).await;
    Offer {
        profiles,
        instructions: served.endpoint.instructions.clone(),
    }
}

/// What one upstream says about itself. One that did not come to it in time is not waited for again
/// until it has.
async fn profile(member: &ServedMember) -> Option<Arc<Profile>> {
    let upstream = member.replicas.to_ask(Wish::Greeting);
    if upstream.owes(Wish::Greeting) {
        return None;
    }
    let began = Instant::now();
    // The list that follows waits again.
    let usual = Duration::from_millis(member.timeouts.list_ms / 2);
    let deadline = began + member.patience(usual, WAIT_AFTER_FAILURE);
    let profile = timeout_at(deadline, upstream.profile(deadline)).await;
    let profile = profile.unwrap_or(Err(Failure::ConnectTimeout));
    let has_cost =
        |failure: &Failure| failure.is_timeout() || began.elapsed() >= WAIT_AFTER_FAILURE;
    if profile.as_ref().is_err_and(has_cost) {
        upstream.note_late(Wish::Greeting, usual);
    }
    profile.ok()
}

impl Offer {
    /// Whether every upstream has answered.
    fn is_complete(&self) -> bool {
        self.profiles.iter().all(|(_, profile)| profile.is_some())
    }

    fn has(&self, capability: &str) -> bool {
        self.profiles
            .iter()
            .filter_map(|(_, profile)| profile.as_ref())
            .any(|profile| profile.has(capability))
    }

    /// Whether any upstream tells when its resources are updated.
    fn subscribes(&self) -> bool {
        let profiles = self
            .profiles
            .iter()
            .filter_map(|(_, profile)| profile.as_ref());
        profiles.into_iter().any(|profile| profile.subscribes)
    }

    /// The value of `capabilities`. Lists of an upstream that has not answered yet may still come,
    /// so tools are offered as long as one is missing.
    fn capabilities(&self, client: Era) -> String {
        let mut members = Vec::new();
        for kind in ["tools", "prompts", "resources"] {
            if self.has(kind) || (kind == "tools" && !self.is_complete()) {
                let subscribe = if kind == "resources" && self.subscribes() {
                    "\"subscribe\":true,"
                } else {
                    ""
                };
                let others = self.unknown_of(kind);
                members.push(format!(
                    "\"{kind}\":{{{subscribe}\"listChanged\":true{others}}}"
                ));
            }
        }
        for kind in ["completions", "logging"] {
            if self.has(kind) {
                let others = self.unknown_of(kind);
                let others = others.strip_prefix(',').unwrap_or_default();
                members.push(format!("\"{kind}\":{{{others}}}"));
            }
        }
        if let (Era::Modern, Some(extensions)) = (client, self.extensions()) {
            members.push(format!("\"extensions\":{extensions}"));
        }
        let sole = self.sole();
        let others = sole.map(|profile| unknown_members(&profile.capabilities, &CAPABILITIES));
        let others = String::from_utf8(others.unwrap_or_default().into()).unwrap_or_default();
        let known = members.join(",");
        let others = others.get(usize::from(known.is_empty())..);
        format!("{{{known}{}}}", others.unwrap_or_default())
    }

    /// The upstream, if there is one only: what it says that the gateway does not know is true of the whole
    /// endpoint then.
    fn sole(&self) -> Option<&Profile> {
        match self.profiles.as_slice() {
            [(_, profile)] => profile.as_deref(),
            _ => None,
        }
    }

    /// What the only upstream says of a capability that the gateway does not know, each with a comma in front.
    fn unknown_of(&self, capability: &str) -> String {
        let said = self
            .sole()
            .and_then(|profile| json::member(&profile.capabilities, capability.as_bytes()));
        let others = unknown_members(said.unwrap_or_default(), &FLAGS);
        String::from_utf8(others.into()).unwrap_or_default()
    }

    /// The extensions that exactly one upstream has: their methods can be told to be its own. Apps have
    /// no methods, so several upstreams may have them if they say the same of it. What an older
    /// upstream has is no extension that a client could use.
    fn extensions(&self) -> Option<String> {
        let mut members = Vec::new();
        let all: Vec<_> = self.extensions_of_each().collect();
        for (at, (_, key, value)) in all.iter().enumerate() {
            let mut others = all.iter().enumerate().filter(|(_, it)| it.1 == *key);
            let is_first = others.clone().next().is_some_and(|(first, _)| first == at);
            let is_agreed = others.clone().count() == 1
                || (key == extension::APPS && others.all(|(_, it)| it.2 == *value));
            if is_first && is_agreed {
                let (key, value) = (std::str::from_utf8(key), std::str::from_utf8(value));
                members.push(format!("\"{}\":{}", key.ok()?, value.ok()?));
            }
        }
        (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
    }

    /// The only upstream that has an extension for which this holds.
    pub(crate) fn extension_owner(&self, is_it: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let mut owners = self.extensions_of_each().filter(|(_, key, _)| is_it(key));
        let (first, _, _) = owners.next()?;
        owners.all(|(owner, _, _)| owner == first).then_some(first)
    }

    /// Each extension of each upstream: whose, its key, its settings.
    fn extensions_of_each(&self) -> impl Iterator<Item = (usize, Vec<u8>, Vec<u8>)> + '_ {
        let profiles = self.profiles.iter().enumerate();
        profiles.flat_map(|(owner, (_, profile))| {
            let modern = profile.as_ref().filter(|it| it.era == Era::Modern);
            let mut found = Vec::new();
            if let Some(extensions) = modern.and_then(|profile| profile.extensions()) {
                let walk = json::members(&extensions, u32::MAX, |member| {
                    let value = extensions.get(member.value).unwrap_or_default();
                    found.push((owner, member.key.to_vec(), value.to_vec()));
                });
                if walk.is_err() {
                    found.clear();
                }
            }
            found
        })
    }

    /// The endpoint's own text, or those of its upstreams.
    fn instructions(&self) -> Option<String> {
        if let Some(own) = &self.instructions {
            return Some(own.as_ref().to_owned());
        }
        let texts: Vec<_> = self
            .profiles
            .iter()
            .filter_map(|(name, profile)| Some((name, profile.as_ref()?.instructions.as_ref()?)))
            .collect();
        match texts.as_slice() {
            [] => None,
            [(_, only)] if self.profiles.len() == 1 => Some(only.as_ref().to_owned()),
            several => Some(
                several
                    .iter()
                    .map(|(name, text)| format!("{name}: {text}"))
                    .collect::<Vec<_>>()
                    .join("\n\n"),
            ),
        }
    }

    /// The members of the result of `server/discover`.
    pub(crate) fn discover(&self) -> Vec<u8> {
        let mut out = format!(
            "\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{}",
            self.capabilities(Era::Modern)
        )
        .into_bytes();
        let own = format!(",\"io.modelcontextprotocol/serverInfo\":{SERVER}");
        self.write_others(&mut out, own.as_bytes());
        out
    }

    /// The members of the result of `initialize`.
    pub(crate) fn initialize(&self, revision: &str) -> Vec<u8> {
        let mut out = format!(
            "\"protocolVersion\":\"{revision}\",\"capabilities\":{},\"serverInfo\":{SERVER}",
            self.capabilities(Era::Legacy)
        )
        .into_bytes();
        self.write_others(&mut out, b"");
        out
    }

    /// The instructions, and what the only upstream says beside all that is known.
    fn write_others(&self, out: &mut Vec<u8>, own_meta: &[u8]) {
        match self.sole() {
            Some(profile) => profile.beside.write(out, own_meta),
            None => Beside::default().write(out, own_meta),
        }
        if let Some(text) = self.instructions() {
            out.extend_from_slice(b",\"instructions\":");
            json::write_text(out, &text);
        }
    }

    /// For how long a client may keep this: not at all while an upstream is missing.
    pub(crate) fn cache(&self) -> Cache {
        Cache {
            ttl_ms: if self.is_complete() { 60_000 } else { 0 },
            is_public: true,
        }
    }

    /// Whether any upstream takes log levels in the way of this era.
    pub(crate) fn legacy_loggers(&self) -> impl Iterator<Item = usize> {
        self.profiles
            .iter()
            .enumerate()
            .filter_map(|(index, (_, profile))| {
                let profile = profile.as_ref()?;
                (profile.era == Era::Legacy && profile.has("logging")).then_some(index)
            })
    }
}

/// The gateway's `serverInfo`.
const SERVER: &str = concat!(
    "{\"name\":\"mcpc\",\"version\":\"",
    env!("CARGO_PKG_VERSION"),
    "\"}"
);
