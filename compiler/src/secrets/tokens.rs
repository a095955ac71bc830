//! Credentials that are known by how they begin, wherever they stand.
//!
//! Owns the table of beginnings. Names that announce a credential are the business of `words` and
//! `check`.

use std::ops::Range;

/// How a token begins, how many characters follow at least, and of what kind it is.
const BEGINNINGS: [(&str, usize, Kind); 27] = [
    ("ghp_", 16, Kind::Mark),
    ("gho_", 16, Kind::Mark),
    ("ghu_", 16, Kind::Mark),
    ("ghs_", 16, Kind::Mark),
    ("ghr_", 16, Kind::Mark),
    ("github_pat_", 16, Kind::Mark),
    ("glpat-", 16, Kind::Mark),
    ("xoxa-", 10, Kind::Mark),
    ("xoxb-", 10, Kind::Mark),
    ("xoxp-", 10, Kind::Mark),
    ("xoxs-", 10, Kind::Mark),
    ("xapp-", 10, Kind::Mark),
    ("sk_live_", 16, Kind::Mark),
    ("rk_live_", 16, Kind::Mark),
    ("shpat_", 20, Kind::Mark),
    ("dop_v1_", 30, Kind::Mark),
    ("lin_api_", 20, Kind::Mark),
    ("ya29.", 20, Kind::Mark),
    ("AIza", 30, Kind::Mark),
    ("hvs.", 20, Kind::Word),
    ("ntn_", 30, Kind::Word),
    ("npm_", 30, Kind::Word),
    ("pypi-", 30, Kind::Word),
    ("hf_", 30, Kind::Word),
    ("sk-", 20, Kind::Word),
    ("AKIA", 16, Kind::Capitals),
    ("eyJ", 20, Kind::Parts),
];

/// No token is shorter.
const SHORTEST: usize = 15;

/// What else must hold, for ordinary words can begin like that as well.
#[derive(Clone, Copy)]
enum Kind {
    /// No word has such a beginning; a digit follows.
    Mark,
    /// It is the beginning of a word, and a digit follows.
    Word,
    /// Sixteen capitals or digits follow.
    Capitals,
    /// Two dots follow.
    Parts,
}

/// The places of all such tokens in a text, in order and without overlaps: each goes on to the end of
/// its word. Takes time in proportion to the text.
pub(crate) fn tokens(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    // All that belongs is ASCII, so no character is cut.
    for word in text.as_bytes().split(|it| !belongs(*it)) {
        let end = start + word.len();
        if word.len() >= SHORTEST
            && let Some(at) = text.get(start..end).and_then(token)
        {
            found.push(start + at..end);
        }
        start = end + 1;
    }
    found
}

/// Where the first token in a word begins.
fn token(word: &str) -> Option<usize> {
    let last_digit = word.rfind(|it: char| it.is_ascii_digit());
    let last_but_one_dot = word.rmatch_indices('.').nth(1).map(|(at, _)| at);
    let is_token = |at: usize, (beginning, least, kind): (&str, usize, Kind)| {
        let body = at + beginning.len();
        let has_digit = last_digit.is_some_and(|digit| digit >= body);
        let is_long = word.len() >= body + least;
        is_long
            && match kind {
                Kind::Mark => has_digit,
                Kind::Word => has_digit && is_start(word, at),
                Kind::Capitals => is_code(word.get(body..body + least)),
                Kind::Parts => last_but_one_dot.is_some_and(|dot| dot >= body),
            }
    };
    let places = BEGINNINGS.into_iter().filter_map(|row| {
        let mut places = word.match_indices(row.0).map(|(at, _)| at);
        places.find(|at| is_token(*at, row))
    });
    places.min()
}

const fn belongs(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn is_start(word: &str, at: usize) -> bool {
    let before = word.get(..at).unwrap_or_default();
    !before.ends_with(|it: char| it.is_ascii_alphanumeric())
}

fn is_code(text: Option<&str>) -> bool {
    let is_code = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit();
    text.is_some_and(|text| text.bytes().all(is_code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_from_words_that_begin_like_them() {
        let all = |text: &str| {
            tokens(text)
                .into_iter()
                .map(|it| text[it].to_owned())
                .collect::<Vec<_>>()
        };
        let token = format!("ghp_{}", "a1B2".repeat(9));
        assert_eq!(all(&format!("ä={token}&y")), [token.as_str()]);
        assert_eq!(all(&format!("{token} {token}")).len(), 2);
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";
        assert_eq!(all(jwt), [jwt]);
        for word in [
            "sk-learn-estimators-for-everybody",
            "task-0123456789012345678901",
            "ghp_short1",
            "eyJhbGciOiJIUzI1NiJ9",
            "AKIAabcdefghijklmnop",
        ] {
            assert_eq!(all(word), [""; 0], "{word}");
        }
    }
}
