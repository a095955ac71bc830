//! `requestState` as clients get it: sealed, bound to one request of one principal, and good for a while.
//!
//! Owns the envelope around what a server keeps at the client (2026-07-28 MRTR: such state is in the
//! client's hands and must be protected). What is inside is a server's own state, or the number of
//! a call that is parked here. Does not keep anything: the client does.
//!
//! The number of a parked call is in its state twice, each time under a seal of its own: whoever alters a state
//! still says with the rest of it which call it was given out for. For another principal nothing of it opens.

use std::time::{Duration, SystemTime};

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

use crate::reply::AskFault;
use crate::session::{Clock, KeyRing, NoRandomness, SessionKeys};

/// How long a client may take to come back with a server's state. A parked call ends sooner, at its
/// own deadline, unless that is further away.
const LIFE: Duration = Duration::from_secs(3600);

/// What a seal is for. Nothing that is sealed for one use opens for another.
const UPSTREAMS: &[u8] = b"mcpc request state 2";
const REPLICAS: &[u8] = b"mcpc replica's request state 2";
const PARKED: &[u8] = b"mcpc parked call 2";
const TICKET: &[u8] = b"mcpc parked call ticket 2";

const PRINCIPAL_LEN: usize = 16;
const REQUEST_LEN: usize = 32;
const NUMBER_LEN: usize = size_of::<u64>();
const TAG_LEN: usize = 16;
/// Expiry and request.
const HEAD_LEN: usize = size_of::<u64>() + REQUEST_LEN;

/// A parked call's state is its head and its ticket, of these many characters.
const PARKED_LEN: usize = text_len(HEAD_LEN + NUMBER_LEN);
const TICKET_LEN: usize = text_len(NUMBER_LEN);

/// How many characters a seal around so many bytes has.
const fn text_len(plain: usize) -> usize {
    ((NONCE_LEN + plain + TAG_LEN) * 4).div_ceil(3)
}

/// What a state belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binding {
    principal: [u8; PRINCIPAL_LEN],
    /// Endpoint, upstream, method, name and arguments, as one digest.
    request: [u8; REQUEST_LEN],
}

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

/// Why a state is of no use, and the parked calls that what is sound of it was given out for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) why: AskFault,
    pub(crate) calls: Vec<u64>,
}

/// Seals and opens states. One that was sealed before a restart opens, if the keys were kept; a call
/// that was parked then is gone, which its number tells.
pub(crate) struct StateSeal {
    keys: KeyRing,
    clock: Clock,
}

impl Binding {
    /// A principal's request. Its parts are told apart by their lengths.
    pub(crate) fn new(principal: [u8; PRINCIPAL_LEN], parts: [&[u8]; 5]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut request = [0; REQUEST_LEN];
        for (place, byte) in request.iter_mut().zip(context.finish().as_ref()) {
            *place = *byte;
        }
        Self { principal, request }
    }
}

impl StateSeal {
    /// The seal under these keys. `now` and `wall` are the same moment on two clocks.
    pub(crate) fn new(keys: &SessionKeys, now: Instant, wall: SystemTime) -> Self {
        Self {
            keys: keys.ring("mcpc request state"),
            clock: Clock::new(now, wall),
        }
    }

    /// The state for a client: plain characters, without quotes.
    pub(crate) fn seal(
        &self,
        content: &Content,
        binding: &Binding,
        now: Instant,
    ) -> Result<String, NoRandomness> {
        let expires = self.clock.unix_s(now + LIFE).to_be_bytes();
        let head = [expires.as_slice(), &binding.request].concat();
        match content {
            Content::Upstreams(state) => {
                let own = [&head, state.as_slice()].concat();
                self.lock(UPSTREAMS, &binding.principal, own)
            }
            Content::Replicas(mark, state) => {
                let own = [head.as_slice(), mark, state].concat();
                self.lock(REPLICAS, &binding.principal, own)
            }
            Content::Parked(number) => {
                let number = number.to_be_bytes().to_vec();
                let parked = [head.as_slice(), &number].concat();
                let parked = self.lock(PARKED, &binding.principal, parked)?;
                Ok(parked + &self.lock(TICKET, &binding.principal, number)?)
            }
        }
    }

    /// What a state holds that comes back with the request it was bound to.
    pub(crate) fn open(
        &self,
        state: &[u8],
        binding: &Binding,
        now: Instant,
    ) -> Result<Content, Refused> {
        let why = match self.unseal(state, binding.principal) {
            None => AskFault::StateUnknown,
            Some((_, request, _)) if request != binding.request => AskFault::StateForeign,
            Some((expires, ..)) if self.clock.unix_s(now) >= expires => AskFault::StateExpired,
            Some((.., content)) => return Ok(content),
        };
        let calls = self.named(state, binding.principal);
        Err(Refused { why, calls })
    }

    /// The parked calls that what is sound of a state was given out for, to this principal.
    pub(crate) fn named(&self, state: &[u8], principal: [u8; PRINCIPAL_LEN]) -> Vec<u64> {
        let head = state.get(..PARKED_LEN);
        let head = head.and_then(|head| self.unlock(PARKED, &principal, head));
        let head = head.and_then(|head| head.last_chunk().copied());
        let ticket = state.len().checked_sub(TICKET_LEN);
        let ticket = ticket.and_then(|at| state.get(at..));
        let ticket = ticket.and_then(|ticket| self.unlock(TICKET, &principal, ticket));
        let ticket = ticket.and_then(|ticket| ticket.last_chunk().copied());
        let mut calls: Vec<u64> = [head, ticket]
            .into_iter()
            .flatten()
            .map(u64::from_be_bytes)
            .collect();
        calls.dedup();
        calls
    }

    /// A state in which nothing was altered: its expiry, its request, and what it holds.
    fn unseal(
        &self,
        state: &[u8],
        principal: [u8; PRINCIPAL_LEN],
    ) -> Option<(u64, [u8; REQUEST_LEN], Content)> {
        let parked = || {
            let (head, ticket) = state.split_at_checked(PARKED_LEN)?;
            let plain = self.unlock(PARKED, &principal, head)?;
            let number = self.unlock(TICKET, &principal, ticket)?;
            let number: [u8; NUMBER_LEN] = number.try_into().ok()?;
            let content = Content::Parked(u64::from_be_bytes(number));
            plain.ends_with(&number).then_some((plain, content))
        };
        let upstreams = || {
            let plain = self.unlock(UPSTREAMS, &principal, state)?;
            let own = plain.get(HEAD_LEN..)?.to_vec();
            Some((plain, Content::Upstreams(own)))
        };
        let replicas = || {
            let plain = self.unlock(REPLICAS, &principal, state)?;
            let (mark, own) = plain.get(HEAD_LEN..)?.split_first_chunk()?;
            let content = Content::Replicas(*mark, own.to_vec());
            Some((plain, content))
        };
        let (plain, content) = parked().or_else(upstreams).or_else(replicas)?;
        let (expires, rest) = plain.split_first_chunk()?;
        let request = rest.first_chunk()?;
        Some((u64::from_be_bytes(*expires), *request, content))
    }

    fn lock(
        &self,
        purpose: &[u8],
        principal: &[u8],
        mut plain: Vec<u8>,
    ) -> Result<String, NoRandomness> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| NoRandomness)?;
        let aad = Aad::from([purpose, principal].concat());
        let key = self.keys.first()?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plain)
            .map_err(|_| NoRandomness)?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce, plain.as_slice()].concat()))
    }

    fn unlock(&self, purpose: &[u8], principal: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let aad = [purpose, principal].concat();
        self.keys.all().find_map(|key| {
            // A key that does not fit leaves nothing of what it was tried on.
            let (nonce, mut sealed) = bytes
                .split_first_chunk::<NONCE_LEN>()
                .map(|(nonce, sealed)| (*nonce, sealed.to_vec()))?;
            let nonce = Nonce::assume_unique_for_key(nonce);
            let plain = key.open_in_place(nonce, Aad::from(&aad), &mut sealed);
            let len = plain.ok()?.len();
            sealed.truncate(len);
            Some(sealed)
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const HERS: [u8; 16] = [1; 16];
    const HIS: [u8; 16] = [2; 16];

    fn bound(name: &[u8]) -> Binding {
        Binding::new(HERS, [b"/mcp", b"key", b"tools/call", name, b""])
    }

    fn seal_of(key: [u8; 32]) -> StateSeal {
        let keys = SessionKeys::new(key, Vec::new());
        StateSeal::new(&keys, Instant::now(), UNIX_EPOCH)
    }

    fn refused(why: AskFault, calls: &[u64]) -> Result<Content, Refused> {
        let calls = calls.to_vec();
        Err(Refused { why, calls })
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_opens_after_a_restart_until_it_is_too_old() {
        let before = seal_of([1; 32]);
        let state = before.seal(&Content::Parked(7), &bound(b"x"), Instant::now());
        let state = state.unwrap();
        let keys = || SessionKeys::new([9; 32], vec![[1; 32]]);
        let open = |since_1970: Duration| {
            let wall = UNIX_EPOCH + since_1970;
            let after = StateSeal::new(&keys(), Instant::now(), wall);
            after.open(state.as_bytes(), &bound(b"x"), Instant::now())
        };
        let second = Duration::from_secs(1);
        assert_eq!(open(LIFE.saturating_sub(second)), Ok(Content::Parked(7)));
        assert_eq!(open(LIFE), refused(AskFault::StateExpired, &[7]));
    }

    #[tokio::test]
    async fn a_state_opens_for_its_own_request_and_in_time() {
        let seal = seal_of([1; 32]);
        let now = Instant::now();
        // One of the server's own is as long as a parked call's.
        let own = |len| Content::Upstreams(vec![b'1'; len]);
        for (content, calls) in [
            (own(8), vec![]),
            (own(44), vec![]),
            (Content::Replicas(*b"0123456789ab", vec![b'1'; 8]), vec![]),
            (Content::Parked(7), vec![7]),
        ] {
            let state = seal.seal(&content, &bound(b"x"), now).unwrap();
            let open = |binding, at| seal.open(state.as_bytes(), &binding, at);
            assert_eq!(open(bound(b"x"), now), Ok(content));
            let foreign = refused(AskFault::StateForeign, &calls);
            assert_eq!(open(bound(b"y"), now), foreign);
            let parts: [[&[u8]; 5]; 5] = [
                [b"/mcp", b"key", b"tools/cal", b"lx", b""],
                [b"/mcp", b"key", b"prompts/get", b"x", b""],
                [b"/mcp", b"other", b"tools/call", b"x", b""],
                [b"/other", b"key", b"tools/call", b"x", b""],
                [b"/mcp", b"key", b"tools/call", b"x", b"1"],
            ];
            for parts in parts {
                assert_eq!(open(Binding::new(HERS, parts), now), foreign);
            }
            let expired = refused(AskFault::StateExpired, &calls);
            assert_eq!(open(bound(b"x"), now + LIFE), expired);
        }
    }

    #[tokio::test]
    async fn a_state_says_nothing_to_another_principal() {
        let seal = seal_of([1; 32]);
        let now = Instant::now();
        let state = seal.seal(&Content::Parked(7), &bound(b"x"), now).unwrap();
        let his = Binding::new(HIS, [b"/mcp", b"key", b"tools/call", b"x", b""]);
        let unknown = refused(AskFault::StateUnknown, &[]);
        assert_eq!(seal.open(state.as_bytes(), &his, now), unknown);
        assert_eq!(seal.named(state.as_bytes(), HIS), [0; 0]);
        assert_eq!(seal.named(state.as_bytes(), HERS), [7]);
    }

    /// Another character of the same alphabet.
    fn other(byte: u8) -> u8 {
        if byte == b'A' { b'B' } else { b'A' }
    }

    #[tokio::test]
    async fn an_altered_state_does_not_open_but_what_is_left_of_it_names_its_call() {
        let seal = seal_of([1; 32]);
        let now = Instant::now();
        let sealed = seal.seal(&Content::Parked(7), &bound(b"x"), now).unwrap();
        assert_eq!(sealed.len(), PARKED_LEN + TICKET_LEN);
        let unknown = refused(AskFault::StateUnknown, &[7]);
        for at in 0..sealed.len() {
            let (before, from) = sealed.split_at(at);
            let (one, behind) = from.split_at(1);
            let one = char::from(other(*one.as_bytes().first().unwrap()));
            for altered in [
                format!("{before}{one}{behind}"),
                format!("{before}{behind}"),
                format!("{before}{one}{from}"),
            ] {
                let opened = seal.open(altered.as_bytes(), &bound(b"x"), now);
                assert_eq!(opened, unknown, "{at}");
            }
        }
        for (altered, calls) in [
            (sealed.get(..PARKED_LEN), vec![7]),
            (sealed.get(PARKED_LEN..), vec![7]),
            (sealed.get(1..PARKED_LEN), vec![]),
            (sealed.get(PARKED_LEN + 1..), vec![]),
            (Some(""), vec![]),
        ] {
            let opened = seal.open(altered.unwrap().as_bytes(), &bound(b"x"), now);
            assert_eq!(opened, refused(AskFault::StateUnknown, &calls));
        }
        let elsewhere = seal_of([2; 32]).open(sealed.as_bytes(), &bound(b"x"), now);
        assert_eq!(elsewhere, refused(AskFault::StateUnknown, &[]));
    }

    #[tokio::test]
    async fn two_states_put_together_are_none() {
        let seal = seal_of([1; 32]);
        let now = Instant::now();
        let state = |number| seal.seal(&Content::Parked(number), &bound(b"x"), now);
        let (seven, eight) = (state(7).unwrap(), state(8).unwrap());
        let (head, ticket) = (seven.get(..PARKED_LEN), eight.get(PARKED_LEN..));
        let mixed = [head.unwrap(), ticket.unwrap()].concat();
        let opened = seal.open(mixed.as_bytes(), &bound(b"x"), now);
        assert_eq!(opened, refused(AskFault::StateUnknown, &[7, 8]));
    }

    #[tokio::test]
    async fn an_altered_state_of_a_server_names_nothing() {
        let seal = seal_of([1; 32]);
        let now = Instant::now();
        let own = Content::Upstreams(br#""opaque""#.to_vec());
        let sealed = seal.seal(&own, &bound(b"x"), now).unwrap();
        for at in 0..sealed.len() {
            let mut state = sealed.clone().into_bytes();
            for byte in state.iter_mut().skip(at).take(1) {
                *byte = other(*byte);
            }
            let unknown = refused(AskFault::StateUnknown, &[]);
            assert_eq!(seal.open(&state, &bound(b"x"), now), unknown, "{at}");
        }
    }
}
