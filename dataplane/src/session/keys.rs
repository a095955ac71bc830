//! The keys under which clients keep things for the gateway: session ids and request states.
//!
//! Owns the key material ([`SessionKeys`]), and the key ring that each use derives from it, so that
//! nothing sealed for one use opens for another. The first key seals; all of them open, so that a key
//! can be replaced while what it sealed is still out. Where the material lies is the daemon's business.

use std::sync::OnceLock;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::hmac;

use super::NoRandomness;
use crate::refusal::Refusal;

/// Bytes of a key.
const KEY_LEN: usize = 32;

/// The material of at least one key. Not printable.
#[derive(Clone)]
pub struct SessionKeys {
    first: [u8; KEY_LEN],
    older: Vec<[u8; KEY_LEN]>,
}

/// The keys of one use: the first seals, all open. They are derived when the first of them is needed: a
/// gateway whose clients are all modern and are asked nothing seals nothing, and then the code of the cipher
/// stays out of memory.
pub(crate) struct KeyRing {
    material: SessionKeys,
    label: &'static str,
    derived: OnceLock<Derived>,
}

struct Derived {
    first: LessSafeKey,
    older: Vec<LessSafeKey>,
}

impl SessionKeys {
    /// Keys that others have as well: the first one seals, and the older ones open what they sealed.
    pub fn new(first: [u8; KEY_LEN], older: Vec<[u8; KEY_LEN]>) -> Self {
        Self { first, older }
    }

    /// One key that nobody else has: what it seals ends with this process, unless it is kept.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn random() -> Result<Self, Refusal> {
        Ok(Self::new(Self::random_material()?, Vec::new()))
    }

    /// New material for a key.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn random_material() -> Result<[u8; KEY_LEN], Refusal> {
        let mut material = [0; KEY_LEN];
        getrandom::fill(&mut material).map_err(|_| NoRandomness)?;
        Ok(material)
    }

    /// The keys of one use, which the label tells from all others.
    pub(crate) fn ring(&self, label: &'static str) -> KeyRing {
        KeyRing {
            material: self.clone(),
            label,
            derived: OnceLock::new(),
        }
    }
}

impl KeyRing {
    /// The key that seals.
    pub(crate) fn first(&self) -> Result<&LessSafeKey, NoRandomness> {
        Ok(&self.derived()?.first)
    }

    /// The keys that open, the one that seals before the others.
    pub(crate) fn all(&self) -> impl Iterator<Item = &LessSafeKey> {
        let derived = self.derived().into_iter();
        derived.flat_map(|keys| std::iter::once(&keys.first).chain(&keys.older))
    }

    fn derived(&self) -> Result<&Derived, NoRandomness> {
        if let Some(derived) = self.derived.get() {
            return Ok(derived);
        }
        let derive = |material| derive(material, self.label);
        let derived = Derived {
            first: derive(&self.material.first)?,
            older: self
                .material
                .older
                .iter()
                .map(derive)
                .collect::<Result<_, _>>()?,
        };
        // Two workers that come at once derive the same keys.
        Ok(self.derived.get_or_init(|| derived))
    }
}

fn derive(material: &[u8; KEY_LEN], label: &str) -> Result<LessSafeKey, NoRandomness> {
    let material = hmac::Key::new(hmac::HMAC_SHA256, material);
    let derived = hmac::sign(&material, label.as_bytes());
    let key = UnboundKey::new(&AES_256_GCM, derived.as_ref()).map_err(|_| NoRandomness)?;
    Ok(LessSafeKey::new(key))
}

impl From<NoRandomness> for Refusal {
    fn from(_: NoRandomness) -> Self {
        Self::new(
            "MCPC9604",
            "the system gives no randomness for session keys",
        )
    }
}
