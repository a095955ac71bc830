//! Rule: what the guide says about bridging the eras is shown by transcripts that exist.
//!
//! Reads the table of `docs/guide/bridging.md`. That the transcripts hold is `exchange`'s.

use crate::{Finding, Repository};

const PAGE: &str = "docs/guide/bridging.md";

/// What a direction says that there is nothing to show for.
const ABSENT: &str = "not offered";

/// Transcripts that the page names and that are not there, and directions that name none.
pub fn unshown_bridges(repository: &Repository) -> Vec<Finding> {
    let Some(page) = repository.file(PAGE) else {
        return vec![Finding::new(PAGE, "is not there")];
    };
    let rows = page.text.lines().enumerate().filter(|(_, line)| {
        let is_rule = line.starts_with("| ---") || line.starts_with("| item ");
        line.starts_with("| ") && !is_rule
    });
    let mut found = Vec::new();
    let mut count = 0;
    for (index, row) in rows {
        count += 1;
        for case in cases(row) {
            let path = format!("golden-tests/exchange/{case}/transcript.txt");
            if repository.file(&path).is_none() {
                let fact = format!("there is no transcript `{case}`");
                found.push(Finding::at(PAGE, index + 1, fact));
            }
        }
        for direction in row.split('|').skip(2).take(2) {
            if cases(direction).next().is_none() && direction.trim() != ABSENT {
                let fact = "a direction names no transcript";
                found.push(Finding::at(PAGE, index + 1, fact));
            }
        }
    }
    if count == 0 {
        found.push(Finding::new(PAGE, "has no table"));
    }
    found
}

/// What stands between backticks and has a slash within.
fn cases(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.split('/').count() == 2 && !word.contains(' '))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextFile;

    #[test]
    fn missing_transcripts_and_empty_directions_are_found() {
        let places = |table: &str| {
            let shown = "golden-tests/exchange/a/b/transcript.txt";
            let files = vec![TextFile::new(PAGE, table), TextFile::new(shown, "")];
            let found = unshown_bridges(&Repository::of(files));
            found
                .into_iter()
                .map(|finding| finding.place)
                .collect::<Vec<_>>()
        };
        let head = "| item | there | back | limit |\n| --- | --- | --- | --- |\n";
        let of = |row: &str| places(&format!("{head}{row}\n"));
        assert_eq!(of("| x | `a/b` | as `a/b` says | |"), [""; 0]);
        assert_eq!(
            of("| x | `a/b` | not offered | `tools/call` |"),
            [format!("{PAGE}:3")]
        );
        assert_eq!(of("| x | `a/b` | `a/c` | |"), [format!("{PAGE}:3")]);
        assert_eq!(of("| x | `a/b` | nothing | |"), [format!("{PAGE}:3")]);
        assert_eq!(places("no table"), [PAGE]);
    }
}
