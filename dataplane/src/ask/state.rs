//! `requestState` as clients get it: sealed, bound to one request, and good for a while.
//!
//! Owns the envelope around what a server keeps at the client (2026-07-28 MRTR: such state is in the
//! client's hands and must be protected). What is inside is a server's own state, or the number of
//! a call that is parked here. Does not keep anything: the client does.

use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::reply::{AskFault, LocalReply};
use crate::session::{Clock, KeyRing, NoRandomness, SessionKeys};

/// How long a client may take to come back with a server's state. A parked call ends sooner, at its
/// own deadline.
const LIFE: Duration = Duration::from_secs(3600);

const FORMAT: &[u8] = b"mcpc request state 1";
const UPSTREAMS: u8 = 1;
const PARKED: u8 = 2;
const REPLICAS: u8 = 3;
const BINDING_LEN: usize = 32;
/// Kind, expiry, binding.
const HEAD_LEN: usize = 1 + 8 + BINDING_LEN;

/// What a state belongs to: principal, endpoint, upstream, method and name, as one digest.
pub(crate) type Binding = [u8; BINDING_LEN];

/// What tells a replica from the others of its server, also in another plan.
pub(crate) type ReplicaMark = [u8; 12];

/// What a state holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The server's own, one JSON value.
    Upstreams(Vec<u8>),
    /// The same of a replica, which may be the only one that can do anything with it.
    Replicas(ReplicaMark, Vec<u8>),
    /// The number of a parked call.
    Parked(u64),
}

/// Seals and opens states. One that was sealed before a restart opens, if the keys were kept; a call
/// that was parked then is gone, which its number tells.
pub(crate) struct StateSeal {
    keys: KeyRing,
    clock: Clock,
}

/// Binds a state to the request that it is given out for. The parts are told apart by their lengths.
pub(crate) fn binding(parts: [&[u8]; 5]) -> Binding {
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
    /// The seal under these keys. `now` and `wall` are the same moment on two clocks.
    pub(crate) fn new(
        keys: &SessionKeys,
        now: Instant,
        wall: SystemTime,
    ) -> Result<Self, NoRandomness> {
        Ok(Self {
            keys: keys.ring("mcpc request state")?,
            clock: Clock::new(now, wall),
        })
    }

    /// The state for a client: plain characters, without quotes.
    pub(crate) fn seal(
        &self,
        content: &Content,
        binding: &Binding,
        now: Instant,
    ) -> Result<String, NoRandomness> {
        let (number, marked);
        let (kind, inside): (u8, &[u8]) = match content {
            Content::Upstreams(state) => (UPSTREAMS, state),
            Content::Replicas(mark, state) => {
                marked = [mark.as_slice(), state].concat();
                (REPLICAS, &marked)
            }
            Content::Parked(parked) => {
                number = parked.to_be_bytes();
                (PARKED, &number)
            }
        };
        let expires = self.clock.unix_s(now + LIFE);
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| NoRandomness)?;
        let mut plain = Vec::with_capacity(HEAD_LEN + inside.len() + 32);
        plain.push(kind);
        plain.extend_from_slice(&expires.to_be_bytes());
        plain.extend_from_slice(binding);
        plain.extend_from_slice(inside);
        self.keys
            .first()
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
            REPLICAS => match inside.split_first_chunk() {
                Some((mark, state)) => Content::Replicas(*mark, state.to_vec()),
                None => return Err((LocalReply::Ask(AskFault::StateUnknown), None)),
            },
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
        if self.clock.unix_s(now) >= expires {
            return Err((LocalReply::Ask(AskFault::StateExpired), Some(content)));
        }
        Ok(content)
    }

    fn unseal(&self, state: &[u8]) -> Option<(u8, u64, Binding, Vec<u8>)> {
        let bytes = URL_SAFE_NO_PAD.decode(state).ok()?;
        let plain = self.keys.all().find_map(|key| {
            // A key that does not fit leaves nothing of what it was tried on.
            let (nonce, mut sealed) = bytes
                .split_first_chunk::<NONCE_LEN>()
                .map(|(nonce, sealed)| (*nonce, sealed.to_vec()))?;
            let nonce = Nonce::assume_unique_for_key(nonce);
            let plain = key.open_in_place(nonce, Aad::from(FORMAT), &mut sealed);
            let len = plain.ok()?.len();
            sealed.truncate(len);
            Some(sealed)
        })?;
        let (kind, rest) = plain.split_first()?;
        let (expires, rest) = rest.split_first_chunk()?;
        let (binding, inside) = rest.split_first_chunk()?;
        Some((
            *kind,
            u64::from_be_bytes(*expires),
            *binding,
            inside.to_vec(),
        ))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn bound(name: &[u8]) -> Binding {
        binding([b"nobody", b"/mcp", b"key", b"tools/call", name])
    }

    fn seal_of(key: [u8; 32]) -> StateSeal {
        let keys = SessionKeys::new(key, Vec::new());
        StateSeal::new(&keys, Instant::now(), UNIX_EPOCH).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_opens_after_a_restart_until_it_is_too_old() {
        let before = seal_of([1; 32]);
        let state = before.seal(&Content::Parked(7), &bound(b"x"), Instant::now());
        let state = state.unwrap();
        let keys = || SessionKeys::new([9; 32], vec![[1; 32]]);
        let open = |since_1970: Duration| {
            let wall = UNIX_EPOCH + since_1970;
            let after = StateSeal::new(&keys(), Instant::now(), wall).unwrap();
            after.open(state.as_bytes(), &bound(b"x"), Instant::now())
        };
        let second = Duration::from_secs(1);
        assert_eq!(open(LIFE.saturating_sub(second)), Ok(Content::Parked(7)));
        let expired = LocalReply::Ask(AskFault::StateExpired);
        assert_eq!(open(LIFE), Err((expired, Some(Content::Parked(7)))));
    }

    #[tokio::test]
    async fn a_state_opens_for_its_own_request_and_in_time() {
        let seal = seal_of([1; 32]);
        let now = Instant::now();
        for content in [
            Content::Upstreams(br#""opaque""#.to_vec()),
            Content::Replicas(*b"0123456789ab", br#""opaque""#.to_vec()),
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
                open(
                    binding([b"nobody", b"/mcp", b"key", b"tools/cal", b"lx"]),
                    now
                ),
                foreign
            );
            let expired = Err((LocalReply::Ask(AskFault::StateExpired), Some(content)));
            assert_eq!(open(bound(b"x"), now + LIFE), expired);
        }
    }

    #[tokio::test]
    async fn an_altered_state_does_not_open() {
        let seal = seal_of([1; 32]);
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
        let other = seal_of([2; 32]);
        let opened = other.open(sealed.as_bytes(), &bound(b"x"), now);
        assert_eq!(opened, refused);
    }
}
