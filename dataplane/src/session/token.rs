//! Session ids of legacy clients: sealed, self-contained tokens in visible ASCII.
//!
//! Owns what a token says ([`Grant`]) and its seal (AES-256-GCM, the endpoint's path as associated
//! data; the keys are `keys`'s). A token that was altered, cut, sealed by another key or issued for
//! another endpoint does not open, and nobody is told which of these it was. Keeps no state.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys::{KeyRing, SessionKeys};

/// What a session was granted when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The negotiated revision.
    pub(crate) revision: Revision,
    /// What the client can be asked.
    pub(crate) asks: Asks,
    /// A hash of who began it; all zero for the anonymous caller.
    pub(crate) principal: [u8; 16],
}

/// A revision of the protocol that has sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Revision {
    /// 2024-11-05.
    R2024_11,
    /// 2025-03-26.
    R2025_03,
    /// 2025-06-18.
    R2025_06,
    /// 2025-11-25.
    R2025_11,
}

/// What a client can be asked, from its capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asks(u8);

/// A grant with what makes it one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// The grant.
    pub(crate) grant: Grant,
    /// The session's number: the issuing process in the upper half, a random number in the lower.
    pub(crate) number: u128,
    /// When it was issued, in seconds since 1970.
    pub(crate) issued_s: u64,
}

/// The keys that seal and open tokens. Not printable.
pub(crate) struct Seal(KeyRing);

/// There is no randomness to be had from the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRandomness;

const FORMAT: u8 = 1;
/// Format, revision, asks, issue time, number, principal.
const PLAIN_LEN: usize = 1 + 1 + 1 + 8 + 16 + 16;
const TAG_LEN: usize = 16;
const SEALED_LEN: usize = NONCE_LEN + PLAIN_LEN + TAG_LEN;
/// The length of every token.
const TOKEN_LEN: usize = (SEALED_LEN * 8).div_ceil(6);

impl Revision {
    /// All of them, the oldest first. A token holds the place of one, so they keep theirs.
    pub(crate) const ALL: [Self; 4] = [
        Self::R2024_11,
        Self::R2025_03,
        Self::R2025_06,
        Self::R2025_11,
    ];

    /// The newest one, which is offered to a client that asks for something unknown.
    pub(crate) const LATEST: Self = Self::R2025_11;

    /// The revision of this name.
    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|revision| revision.as_str().as_bytes() == name)
    }

    /// Its name on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::R2024_11 => "2024-11-05",
            Self::R2025_03 => "2025-03-26",
            Self::R2025_06 => "2025-06-18",
            Self::R2025_11 => "2025-11-25",
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

impl Asks {
    /// The client shows forms.
    pub(crate) const ELICIT_FORM: Self = Self(1);
    /// The client opens URLs.
    pub(crate) const ELICIT_URL: Self = Self(1 << 1);
    /// The client samples from a model.
    pub(crate) const SAMPLE: Self = Self(1 << 2);
    /// The client lists roots.
    pub(crate) const ROOTS: Self = Self(1 << 3);
    /// The client lets its model use tools while it samples.
    pub(crate) const SAMPLE_TOOLS: Self = Self(1 << 4);
    /// The call may become a task. No client is granted this: the gateway declares it for a call whose
    /// server demands it, and drives the task.
    pub(crate) const TASKS: Self = Self(1 << 5);

    /// Both together.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether everything in `other` can be asked.
    pub(crate) fn can(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Seal {
    /// The seal under these keys: whoever has them opens its tokens.
    pub(crate) fn new(keys: &SessionKeys) -> Self {
        Self(keys.ring("mcpc session token"))
    }

    /// Makes a token that opens on one endpoint only.
    pub(crate) fn seal(&self, sealed: &Sealed, endpoint: &str) -> Result<String, NoRandomness> {
        // Random nonces under one key are safe for 2^32 sessions, more than a process issues.
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| NoRandomness)?;
        let mut plain = sealed.to_bytes();
        let tag = self
            .0
            .first()?
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(endpoint),
                &mut plain,
            )
            .map_err(|_| NoRandomness)?;
        let mut token = [0; SEALED_LEN];
        let parts = nonce.iter().chain(&plain).chain(tag.as_ref());
        for (place, byte) in token.iter_mut().zip(parts) {
            *place = *byte;
        }
        Ok(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens a token: one decode, one decryption for each key that is tried, no allocation.
    pub(crate) fn open(&self, token: &[u8], endpoint: &str) -> Option<Sealed> {
        if token.len() != TOKEN_LEN {
            return None;
        }
        let mut bytes = [0; SEALED_LEN];
        let len = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).ok()?;
        if len != SEALED_LEN {
            return None;
        }
        let mut opened = self.0.all().filter_map(|key| {
            // A key that does not fit leaves nothing of what it was tried on.
            let mut bytes = bytes;
            let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let plain = key.open_in_place(nonce, Aad::from(endpoint), sealed);
            Sealed::from_bytes(plain.ok()?)
        });
        opened.next()
    }
}

impl Sealed {
    fn to_bytes(self) -> [u8; PLAIN_LEN] {
        let mut bytes = [0; PLAIN_LEN];
        let head = [FORMAT, self.grant.revision as u8, self.grant.asks.0];
        let parts = head
            .into_iter()
            .chain(self.issued_s.to_be_bytes())
            .chain(self.number.to_be_bytes())
            .chain(self.grant.principal);
        for (place, byte) in bytes.iter_mut().zip(parts) {
            *place = byte;
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([format, revision, asks], rest) = bytes.split_first_chunk()?;
        let (issued, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let principal = rest.try_into().ok()?;
        (*format == FORMAT).then_some(())?;
        Some(Self {
            grant: Grant {
                revision: Revision::from_byte(*revision)?,
                asks: Asks(*asks),
                principal,
            },
            number: u128::from_be_bytes(*number),
            issued_s: u64::from_be_bytes(*issued),
        })
    }
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    fn sealed() -> Sealed {
        Sealed {
            grant: Grant {
                revision: Revision::R2025_06,
                asks: Asks::ELICIT_FORM.and(Asks::ROOTS),
                principal: [9; 16],
            },
            number: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            issued_s: 1_785_196_800,
        }
    }

    #[test]
    fn a_token_says_what_was_sealed() {
        let seal = Seal::new(&SessionKeys::random().unwrap());
        let token = seal.seal(&sealed(), "/mcp").unwrap();
        assert_eq!(seal.open(token.as_bytes(), "/mcp"), Some(sealed()));
    }

    #[test]
    fn a_token_is_visible_ascii_of_one_length_and_never_the_same() {
        let seal = Seal::new(&SessionKeys::random().unwrap());
        let first = seal.seal(&sealed(), "/mcp").unwrap();
        let second = seal.seal(&sealed(), "/mcp").unwrap();
        assert_ne!(first, second);
        for token in [first, second] {
            assert_eq!(token.len(), TOKEN_LEN);
            assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }

    #[test]
    fn another_key_or_endpoint_does_not_open() {
        let with_key = |key| Seal::new(&SessionKeys::new(key, Vec::new()));
        let seal = with_key([1; 32]);
        let token = seal.seal(&sealed(), "/mcp").unwrap();
        let other = with_key([2; 32]);
        assert_eq!(other.open(token.as_bytes(), "/mcp"), None);
        assert_eq!(seal.open(token.as_bytes(), "/mcp2"), None);
        assert_eq!(seal.open(token.as_bytes(), ""), None);
        let replica = with_key([1; 32]);
        assert_eq!(replica.open(token.as_bytes(), "/mcp"), Some(sealed()));
    }

    #[test]
    fn an_older_key_opens_and_does_not_seal() {
        let with_keys = |first, older| Seal::new(&SessionKeys::new(first, older));
        let before = with_keys([1; 32], Vec::new());
        let after = with_keys([2; 32], vec![[3; 32], [1; 32]]);
        let old = before.seal(&sealed(), "/mcp").unwrap();
        assert_eq!(after.open(old.as_bytes(), "/mcp"), Some(sealed()));
        let new = after.seal(&sealed(), "/mcp").unwrap();
        assert_eq!(after.open(new.as_bytes(), "/mcp"), Some(sealed()));
        assert_eq!(before.open(new.as_bytes(), "/mcp"), None);
        let without = with_keys([2; 32], Vec::new());
        assert_eq!(without.open(old.as_bytes(), "/mcp"), None);
    }

    #[test]
    fn every_cut_and_every_changed_character_does_not_open() {
        let seal = Seal::new(&SessionKeys::random().unwrap());
        let token = seal.seal(&sealed(), "/mcp").unwrap().into_bytes();
        for len in 0..token.len() {
            assert_eq!(seal.open(&token[..len], "/mcp"), None, "{len}");
        }
        for at in 0..token.len() {
            for change in [1, 2, 0x20, 0x80] {
                let mut altered = token.clone();
                altered[at] ^= change;
                assert_eq!(seal.open(&altered, "/mcp"), None, "{at} {change}");
            }
        }
        let mut longer = token.clone();
        longer.push(b'A');
        assert_eq!(seal.open(&longer, "/mcp"), None);
        longer.extend(std::iter::repeat_n(b'A', 1 << 20));
        assert_eq!(seal.open(&longer, "/mcp"), None);
    }

    #[test]
    fn revisions_keep_their_names_and_bytes() {
        for (index, revision) in Revision::ALL.into_iter().enumerate() {
            assert_eq!(
                Revision::parse(revision.as_str().as_bytes()),
                Some(revision)
            );
            assert_eq!(revision as usize, index);
            assert_eq!(Revision::from_byte(revision as u8), Some(revision));
        }
        let names = Revision::ALL.map(Revision::as_str);
        assert_eq!(
            names,
            ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
        );
        assert_eq!(Revision::parse(b"2026-07-28"), None);
        assert_eq!(Revision::from_byte(4), None);
    }

    #[test]
    fn asks_hold_only_what_was_put_in() {
        let asks = Asks::SAMPLE.and(Asks::ELICIT_URL);
        assert!(asks.can(Asks::SAMPLE) && asks.can(Asks::ELICIT_URL));
        assert!(!asks.can(Asks::ELICIT_FORM) && !asks.can(Asks::ROOTS));
        assert!(!asks.can(Asks::SAMPLE.and(Asks::ROOTS)));
        assert!(Asks::default().can(Asks::default()));
    }
}
