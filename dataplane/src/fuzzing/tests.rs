//! Every target over its seeds and thousands of mutants of them, so that none of them rots: what finds
//! more, because it sees which bytes lead to new code, is `golden-tests/fuzz/run`.

#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test reads its seeds, and fails by panicking"
)]

use std::fs;
use std::path::Path;

use super::TARGETS;

/// Enough to meet each kind of mistake at most places of a seed, few enough to be done in a second or two.
const MUTANTS: usize = 3000;

/// What messages, heads and lines are made of.
const MARKS: &[u8] = b"{}[]\",:\\ue0-.+ntf1\x00\x1f \n\r\t;=?*/<>$\x80\xc3\xa9\xff";

#[test]
fn every_target_holds_on_its_seeds_and_on_their_mutants() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden-tests/fuzz/seeds");
    for (name, target) in TARGETS {
        let files = fs::read_dir(seeds.join(name)).unwrap();
        let texts = files.map(|file| fs::read(file.unwrap().path()).unwrap());
        let texts: Vec<Vec<u8>> = texts.collect();
        assert!(texts.len() > 1, "{name} has no seeds to mix");
        for text in &texts {
            target(text);
        }
        let mut dice = Dice(1);
        for _ in 0..MUTANTS {
            target(&mutant(&texts, &mut dice));
        }
    }
}

/// A seed with some bytes changed, added, removed, or taken from another seed.
fn mutant(texts: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut text = texts[dice.below(texts.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(text.len() + 1);
        let mark = MARKS[dice.below(MARKS.len())];
        match dice.below(5) {
            0 => text.insert(at, mark),
            1 if at < text.len() => text[at] = mark,
            2 if at < text.len() => drop(text.remove(at)),
            3 => {
                let other = &texts[dice.below(texts.len())];
                text.truncate(at);
                text.extend_from_slice(&other[dice.below(other.len() + 1)..]);
            }
            _ => {
                let end = text.len().min(at + dice.below(40));
                let copy = text[at..end].to_vec();
                text.splice(at..at, copy);
            }
        }
    }
    text
}

/// A small generator, so that a failure comes again on the next run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005) + 1;
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}
