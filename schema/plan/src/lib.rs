//! What machines run: the routing plan.
//!
//! Owns the plan's types, its canonical bytes and digest, the check that a plan is whole, and the
//! look-ups that the data plane makes in it. Does not know YAML, sockets or processes, and holds
//! no secret: templates name where a secret comes from.
//!
//! ```text
//! compiler ──lower──► Plan ──seal──► canonical bytes ──► plan.json
//! plan.json ──from_bytes (parse, verify)──► Plan ──► data plane: Routes::find, Names::expose
//! ```

mod canonical;
mod confinement;
mod endpoint;
mod error;
mod exposure;
mod fallback;
mod identity;
mod impact;
mod limits;
mod pattern;
mod template;
mod upstream;
mod verify;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use canonical::canonical_bytes_without;
pub use canonical::{Digest, canonical_bytes};
pub use confinement::{Network, ProcessLimits, Sandbox};
pub use endpoint::{
    Endpoint, ExactRoute, Found, Member, MemberId, Names, OpenRoute, Rename, Routes, Uris,
};
pub use error::PlanError;
pub use exposure::Exposure;
pub use fallback::Fallback;
pub use identity::{Identities, Identity, Rules};
pub use impact::Impact;
pub use limits::Limits;
pub use pattern::Pattern;
pub use template::{Part, SecretUse, Source, Template};
pub use upstream::{
    Balance, Breaker, ContentKey, Era, Health, HttpTransport, Private, Replica, Replicated,
    Restart, Retry, Scheme, Start, StartWhen, StdioTransport, Timeouts, Transport, Upstream,
    UpstreamId,
};

/// The version of the plan's format that this build reads and writes.
pub const FORMAT: u32 = 1;

/// An immutable routing plan. Invariant: [`Plan::verify`] holds for every plan that this crate hands out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The format, [`FORMAT`].
    pub format: u32,
    /// SHA-256 over the canonical bytes of everything else.
    pub digest: Digest,
    /// Where clients connect.
    pub listener: Listener,
    /// Where operators connect.
    pub admin: AdminListener,
    /// The endpoints, sorted by path.
    pub endpoints: Box<[Endpoint]>,
    /// The upstreams, sorted by name; [`UpstreamId`] is an index into this.
    pub upstreams: Box<[Upstream]>,
    /// Who may use what.
    pub access: Access,
    /// The bounds.
    pub limits: Limits,
    /// What a gateway starts with that finds nothing it can use in place of this plan.
    #[serde(default, skip_serializing_if = "Fallback::is_none")]
    pub fallback: Fallback,
    /// Which secrets are needed, and by whom; sorted.
    pub secrets: Box<[SecretUse]>,
    /// Where each entity was written: `servers.github` to `mcpc.yaml:12`.
    pub provenance: BTreeMap<Box<str>, Box<str>>,
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Address and port; port 0 picks a free one.
    pub address: SocketAddr,
    /// Host names that are accepted besides the loopback names, in lower case, sorted.
    pub hosts: Box<[Box<str>]>,
    /// Whether callers without identity may come from other machines.
    pub allow_anonymous: bool,
}

/// Where operators connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminListener {
    /// Address and port; port 0 picks a free one.
    pub address: SocketAddr,
    /// Whether callers without identity may come from other machines.
    pub allow_anonymous: bool,
}

/// Who may use what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Everyone who is let in may use everything that is exposed.
    Open,
}

impl Plan {
    /// Whether another plan does the same: it may have been written in other places.
    pub fn does_the_same_as(&self, other: &Self) -> bool {
        let effect = |plan: &Self| Self {
            digest: self.digest.clone(),
            provenance: BTreeMap::new(),
            ..plan.clone()
        };
        effect(self) == effect(other)
    }

    /// Gives the plan its digest, and before that their keys to the upstreams that have none yet.
    ///
    /// # Errors
    /// [`PlanError::NotCanonical`] if the plan holds a number that is not an integer.
    pub fn seal(mut self) -> Result<Self, PlanError> {
        for upstream in &mut self.upstreams {
            if let Transport::Replicated(replicated) = &mut upstream.transport {
                for replica in &mut replicated.replicas {
                    let transport = Transport::Http(replica.http.clone());
                    replica.key = ContentKey::of(&transport, upstream.era);
                }
            }
            if upstream.key == ContentKey::unsealed() {
                upstream.key = ContentKey::of(&upstream.transport, upstream.era);
            }
        }
        self.digest = self.computed_digest()?;
        Ok(self)
    }

    /// The canonical bytes (RFC 8785), the same on every machine, with a final line break.
    ///
    /// # Errors
    /// [`PlanError::NotCanonical`] if the plan holds a number that is not an integer.
    pub fn to_bytes(&self) -> Result<Vec<u8>, PlanError> {
        let mut bytes = canonical_bytes(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a plan and verifies it.
    ///
    /// # Errors
    /// Whatever makes the bytes not a whole plan of this format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PlanError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PlanError::NotJson)?;
        let head: Head = serde_json::from_str(text).map_err(|_| PlanError::NotJson)?;
        if head.format != FORMAT {
            return Err(PlanError::Format { found: head.format });
        }
        let plan: Self = serde_json::from_str(text).map_err(|error| PlanError::Shape {
            line: error.line(),
            column: error.column(),
        })?;
        plan.verify()?;
        Ok(plan)
    }

    /// The upstream with this id. Invariant of a verified plan: every id it holds is in range.
    pub fn upstream(&self, id: UpstreamId) -> Option<&Upstream> {
        self.upstreams.get(id.index())
    }

    /// Where an entity was written, for logs: `mcpc.yaml:12`, or nothing if it is a default.
    pub fn place(&self, entity: &str) -> Option<&str> {
        self.provenance.get(entity).map(AsRef::as_ref)
    }

    pub(crate) fn computed_digest(&self) -> Result<Digest, PlanError> {
        let bytes = canonical_bytes_without(self, "digest")?;
        Ok(Digest::of(&bytes))
    }
}

/// The part of a plan that every format shares, read first so that a newer plan is named as such.
#[derive(Deserialize)]
struct Head {
    format: u32,
}
