//! What must hold for any bytes that a client sends as the id of its session.
//!
//! Owns the promise: a text opens if it is the one that was given out, byte for byte, and otherwise
//! does not. `crate::fuzzing` joins this with the other parsers.

use std::sync::OnceLock;

use super::SessionKeys;
use super::token::{Asks, Grant, Revision, Seal, Sealed};

const ENDPOINT: &str = "/mcp";

/// A token that was given out, changed by the bytes: each is added to a character, and what is left
/// of them is put behind it. The bytes as they are, too.
pub fn token(bytes: &[u8]) {
    static GIVEN: OnceLock<Option<(Seal, Sealed, String)>> = OnceLock::new();
    let Some((seal, sealed, given)) = GIVEN.get_or_init(give) else {
        return;
    };
    let (given, changes) = (given.as_bytes(), bytes.iter().copied());
    let changes = changes.chain(std::iter::repeat(0));
    let mut other: Vec<u8> = given.iter().zip(changes).map(|(it, by)| it ^ by).collect();
    other.extend_from_slice(bytes.get(given.len()..).unwrap_or_default());
    for text in [&other, bytes, given.get(..bytes.len()).unwrap_or(given)] {
        let expected = (text == given).then_some(*sealed);
        assert_eq!(seal.open(text, ENDPOINT), expected, "{text:?}");
        assert_eq!(seal.open(text, "/other"), None, "{text:?}");
    }
}

fn give() -> Option<(Seal, Sealed, String)> {
    let seal = Seal::new(&SessionKeys::new([1; 32], vec![[2; 32]]));
    let sealed = Sealed {
        grant: Grant {
            revision: Revision::R2025_11,
            asks: Asks::ROOTS,
            principal: [7; 16],
        },
        number: 12,
        issued_s: 34,
    };
    let given = seal.seal(&sealed, ENDPOINT).ok()?;
    Some((seal, sealed, given))
}
