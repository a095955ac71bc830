//! `requestState` as clients get it: sealed, bound to one request, and good for a while.
//!
//! Owns the envelope around what a server keeps at the client (2026-07-28 MRTR: such state is in the
//! client's hands and must be protected). What is inside is a server's own state, or the number of
//! a call that is parked here. Does not keep anything: the client does.

use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::reply::{AskFault, LocalReply};
use crate::session::NoRandomness;

/// How long a client may take to come back with a server's state. A parked call ends sooner, at its
/// own deadline.
const LIFE: Duration = Duration::from_secs(3600);

const FORMAT: &[u8] = b"mcpc request state 1";
const UPSTREAMS: u8 = 1;
const PARKED: u8 = 2;
const BINDING_LEN: usize = 32;
/// Kind, expiry, binding.
const HEAD_LEN: usize = 1 + 8 + BINDING_LEN;

/// What a state belongs to: endpoint, upstream, method and name, as one digest.
pub(crate) type Binding = [u8; BINDING_LEN];

/// What a state holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The server's own, one JSON value.
    Upstreams(Vec<u8>),
    /// The number of a parked call.
    Parked(u64),
}

/// Seals and opens states. Its key ends with the process, as the parked calls do.
pub(crate) struct StateSeal {
    key: LessSafeKey,
    began: Instant,
}

/// Binds a state to the request that it is given out for. The parts are told apart by their lengths.
pub(crate) fn binding(parts: [&[u8]; 4]) -> Binding {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut binding = [0; BINDING_LEN];
    for (place, byte) in binding.iter_mut().zip(context.finish().as_ref()) {
        *place = *byte;
    }
    binding
}

impl StateSeal {
    /// A key that nobody else has.
    pub(crate) fn random() -> Result<Self, NoRandomness> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| NoRandomness)?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| NoRandomness)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            began: Instant::now(),
        })
    }

    /// The state for a client: plain characters, without quotes.
    pub(crate) fn seal(
        &self,
        content: &Content,
        binding: &Binding,
        now: Instant,
    ) -> Result<String, NoRandomness> {
        let number;
        let (kind, inside): (u8, &[u8]) = match content {
            Content::Upstreams(state) => (UPSTREAMS, state),
            Content::Parked(parked) => {
                number = parked.to_be_bytes();
                (PARKED, &number)
            }
        };
        let expires = self.seconds(now + LIFE);
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| NoRandomness)?;
        let mut plain = Vec::with_capacity(HEAD_LEN + inside.len() + 32);
        plain.push(kind);
        plain.extend_from_slice(&expires.to_be_bytes());
        plain.extend_from_slice(binding);
        plain.extend_from_slice(inside);
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(FORMAT),
                &mut plain,
            )
            .map_err(|_| NoRandomness)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce, plain.as_slice()].concat()))
    }

    /// What a state holds that comes back with the request it was bound to. With the refusal comes
    /// what was inside, if it can be told.
    pub(crate) fn open(
        &self,
        state: &[u8],
        binding: &Binding,
        now: Instant,
    ) -> Result<Content, (LocalReply, Option<Content>)> {
        let (kind, expires, bound, inside) = self
            .unseal(state)
            .ok_or((LocalReply::Ask(AskFault::StateUnknown), None))?;
        let content = match kind {
            UPSTREAMS => Content::Upstreams(inside),
            PARKED => {
                let number = inside.try_into().map(u64::from_be_bytes);
                Content::Parked(
                    number.map_err(|_| (LocalReply::Ask(AskFault::StateUnknown), None))?,
                )
            }
            _ => return Err((LocalReply::Ask(AskFault::StateUnknown), None)),
        };
        if bound != *binding {
            return Err((LocalReply::Ask(AskFault::StateForeign), Some(content)));
        }
        if self.seconds(now) >= expires {
            return Err((LocalReply::Ask(AskFault::StateExpired), Some(content)));
        }
        Ok(content)
    }

    fn unseal(&self, state: &[u8]) -> Option<(u8, u64, Binding, Vec<u8>)> {
        let mut bytes = URL_SAFE_NO_PAD.decode(state).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, Aad::from(FORMAT), sealed);
        let (kind, rest) = plain.ok()?.split_first()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (binding, inside) = rest.split_first_chunk()?;
        Some((
            *kind,
            u64::from_be_bytes(*expires),
            *binding,
            inside.to_vec(),
        ))
    }

    fn seconds(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_secs()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn bound(name: &[u8]) -> Binding {
        binding([b"/mcp", b"key", b"tools/call", name])
    }

    #[tokio::test]
    async fn a_state_opens_for_its_own_request_and_in_time() {
        let seal = StateSeal::random().unwrap();
        let now = Instant::now();
        for content in [
            Content::Upstreams(br#""opaque""#.to_vec()),
            Content::Parked(7),
        ] {
            let state = seal.seal(&content, &bound(b"x"), now).unwrap();
            let open = |binding, at| seal.open(state.as_bytes(), &binding, at);
            assert_eq!(open(bound(b"x"), now), Ok(content.clone()));
            let foreign = Err((
                LocalReply::Ask(AskFault::StateForeign),
                Some(content.clone()),
            ));
            assert_eq!(open(bound(b"y"), now), foreign);
            assert_eq!(
                open(binding([b"/mcp", b"key", b"tools/cal", b"lx"]), now),
                foreign
            );
            let expired = Err((LocalReply::Ask(AskFault::StateExpired), Some(content)));
            assert_eq!(open(bound(b"x"), now + LIFE), expired);
        }
    }

    #[tokio::test]
    async fn an_altered_state_does_not_open() {
        let seal = StateSeal::random().unwrap();
        let now = Instant::now();
        let sealed = seal.seal(&Content::Parked(7), &bound(b"x"), now).unwrap();
        let refused = Err((LocalReply::Ask(AskFault::StateUnknown), None));
        for at in 0..sealed.len() {
            let mut state = sealed.clone().into_bytes();
            for byte in state.iter_mut().skip(at).take(1) {
                *byte = if *byte == b'A' { b'B' } else { b'A' };
            }
            assert_eq!(seal.open(&state, &bound(b"x"), now), refused, "{at}");
            let cut = sealed.as_bytes().get(..at).unwrap();
            assert_eq!(seal.open(cut, &bound(b"x"), now), refused, "{at}");
        }
        let other = StateSeal::random().unwrap();
        let opened = other.open(sealed.as_bytes(), &bound(b"x"), now);
        assert_eq!(opened, refused);
    }
}
