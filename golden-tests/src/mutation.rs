//! Makes broken texts out of good ones: every line, scalar and bracket dropped, doubled, retyped
//! and cut, and then chance.
//!
//! Works on the text and knows no YAML, so that it shares no mistake with the parser. The number of
//! mutants of a text is bounded by taking every n-th of them; chance comes from a fixed seed.

/// What a scalar is replaced with: other types, YAML's own marks, hostile sizes, wide characters.
const REPLACEMENTS: [&str; 22] = [
    "",
    "null",
    "~",
    "1",
    "-0.5e3",
    "true",
    "NO",
    "[]",
    "{}",
    "[[x], {y: z}]",
    "{a: b}",
    "\"\"",
    "'it''s: #'",
    "*nowhere",
    "&a x",
    "!tag x",
    "$<X>",
    "$<X:-",
    "99999999999999999999999",
    "|\n  x",
    "\u{e9}\u{6f22}\u{1f980}\u{200d}",
    "\"\\ud800\\x00\"",
];

/// This many mutants of a text, spread over all kinds of mutation, and some by chance: a tenth more, or
/// as many as are missing.
pub fn mutants(text: &str, most: usize) -> Vec<String> {
    let mut all = Vec::new();
    blocks(text, &mut all);
    pieces(text, &mut all);
    truncations(text, &mut all);
    let step = (all.len() / most.max(1)).max(1);
    let mut taken: Vec<String> = all.into_iter().step_by(step).take(most).collect();
    let missing = most.saturating_sub(taken.len());
    taken.extend(chance(text, missing.max(most / 10)));
    taken
}

/// Each line with what is indented below it: dropped and doubled.
fn blocks(text: &str, out: &mut Vec<String>) {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    for (start, first) in lines.iter().enumerate() {
        let below = lines
            .iter()
            .skip(start + 1)
            .take_while(|line| line.trim().is_empty() || indent(line) > indent(first))
            .count();
        let end = start + 1 + below;
        let part = |from: usize, to: usize| lines.get(from..to).unwrap_or_default().concat();
        let (head, block, tail) = (part(0, start), part(start, end), part(end, lines.len()));
        out.push(format!("{head}{tail}"));
        out.push(format!("{head}{block}{block}{tail}"));
    }
}

/// Each scalar and each bracket, by what stands between marks: dropped, doubled, cut, retyped.
fn pieces(text: &str, out: &mut Vec<String>) {
    for (start, end) in piece_ranges(text) {
        let head = text.get(..start).unwrap_or_default();
        let piece = text.get(start..end).unwrap_or_default();
        let tail = text.get(end..).unwrap_or_default();
        let half: String = piece.chars().take(piece.chars().count() / 2).collect();
        out.push(format!("{head}{piece}{piece}{tail}"));
        out.push(format!("{head}{piece}, {piece}{tail}"));
        out.push(format!("{head}{half}{tail}"));
        out.extend(REPLACEMENTS.map(|other| format!("{head}{other}{tail}")));
    }
}

/// Byte ranges of scalars and marks. Whether a blank ends a scalar depends on what follows, so
/// blanks belong to the piece unless they follow a mark.
fn piece_ranges(text: &str) -> Vec<(usize, usize)> {
    let is_mark = |c: char| "[]{},:-#&*!|>'\"%@`\n".contains(c);
    let mut found = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        if is_mark(c) {
            if start < at {
                found.push((start, at));
            }
            found.push((at, at + c.len_utf8()));
            start = at + c.len_utf8();
        } else if c == ' ' && start == at {
            start = at + 1;
        }
    }
    found.push((start.min(text.len()), text.len()));
    found
}

/// The text up to each character.
fn truncations(text: &str, out: &mut Vec<String>) {
    let cuts = text.char_indices().map(|(at, _)| at);
    out.extend(cuts.filter_map(|at| text.get(..at)).map(str::to_owned));
}

/// Several small accidents at once, from a seed that depends on the text alone.
fn chance(text: &str, count: usize) -> Vec<String> {
    let seed = text.bytes().fold(0x9e37_79b9_u64, |seed, byte| {
        seed.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    let mut dice = Dice::new(seed);
    (0..count).map(|_| accident(text, &mut dice)).collect()
}

fn accident(text: &str, dice: &mut Dice) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let from = dice.below(chars.len() + 1);
        let to = (from + dice.below(20)).min(chars.len());
        match dice.below(4) {
            0 => drop(chars.drain(from..to)),
            1 => {
                let copy: Vec<char> = chars.iter().skip(from).take(to - from).copied().collect();
                let place = dice.below(chars.len() + 1);
                chars.splice(place..place, copy);
            }
            2 => {
                let mark = "[]{},:-#&*!|>'\"%@`\n\t\r \u{feff}\u{2028}$<";
                let index = dice.below(mark.chars().count());
                chars.splice(from..from, mark.chars().nth(index));
            }
            _ => {
                let index = dice.below(REPLACEMENTS.len());
                let other = REPLACEMENTS.get(index).copied().unwrap_or_default();
                chars.splice(from..to, other.chars());
            }
        }
    }
    chars.into_iter().collect()
}

/// A small generator (xorshift), so that a failure comes again on the next run.
pub(crate) struct Dice(u64);

impl Dice {
    /// Two seeds give two sequences.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.0 % bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutants_are_many_different_and_the_same_each_time() {
        let text = "a: [b, c]\nd:\n  e: f\n";
        let first = mutants(text, 10_000);
        assert_eq!(first, mutants(text, 10_000));
        for expected in [
            "a: [b, c]\n",
            "a: [b, c]\nd:\n  e: f\n  e: f\n",
            "a: [b, c]\nd:\n  e: {}\n",
            "a: [b, null]\nd:\n  e: f\n",
            "a: [b",
        ] {
            assert!(first.iter().any(|mutant| mutant == expected), "{expected}");
        }
        assert!(mutants(text, 50).len() <= 55);
    }
}
