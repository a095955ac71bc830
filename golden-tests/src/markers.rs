//! The markers in the input of a golden case: which code is expected on which line.
//!
//! `#~ MCPC3001` at the end of a line speaks of that line, `#~ 12 MCPC3001` anywhere speaks of line
//! 12. With the expected output beside the input this is a double entry on purpose: blessing
//! rewrites the output and never a marker, so a diagnostic cannot move unnoticed.

/// A code that is expected on a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marker {
    /// The line, from 1.
    pub line: usize,
    /// The code, such as `MCPC3001`.
    pub code: String,
}

/// Every marker of a text, sorted. A word after `#~` that is neither a line nor a code becomes a
/// code that nothing emits, so that a slip of the pen fails.
pub(crate) fn markers(text: &str) -> Vec<Marker> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some((_, marker)) = line.split_once("#~") else {
            continue;
        };
        let mut of_line = index + 1;
        for word in marker.split_whitespace() {
            match word.parse() {
                Ok(number) => of_line = number,
                Err(_) => found.push(Marker {
                    line: of_line,
                    code: word.to_owned(),
                }),
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_speak_of_their_line_or_of_the_one_they_name() {
        let text = "a: 1 #~ MCPC3001 MCPC3002\nb: 2 # no\n#~ 2 MCPC1001\nc: 3 #~ oops\n";
        let found: Vec<_> = markers(text)
            .into_iter()
            .map(|marker| (marker.line, marker.code))
            .collect();
        let expected = [
            (1, "MCPC3001"),
            (1, "MCPC3002"),
            (2, "MCPC1001"),
            (4, "oops"),
        ];
        assert_eq!(found, expected.map(|(line, code)| (line, code.to_owned())));
    }
}
