//! Rule: what the guide says about bridging the eras is shown by transcripts that exist, in the direction
//! for which they stand.
//!
//! Reads the table of `docs/guide/bridging.md`, which has a row for each thing that differs between the
//! eras. That the transcripts hold is `exchange`'s.

use crate::{Finding, Repository};

const PAGE: &str = "docs/guide/bridging.md";

/// What a direction says that there is nothing to show for.
const ABSENT: &str = "not offered";

/// What differs between the eras, as rows are called. None of them may be left out.
const ITEMS: [&str; 18] = [
    "handshake",
    "capabilities",
    "result fields",
    "`ping`",
    "logging",
    "elicitation, sampling, roots",
    "URL elicitation",
    "subscriptions to resources",
    "`list_changed`",
    "cancellation",
    "resumability",
    "headers",
    "errors",
    "tasks",
    "completion",
    "HTTP+SSE of 2024-11-05",
    "batches of 2025-03-26",
    "stdio",
];

/// The era of the client and that of the server, as the columns stand.
const DIRECTIONS: [(&str, &str); 2] = [("legacy", "modern"), ("modern", "legacy")];

/// Rows that are not there, transcripts that the page names and that are not there, and directions for which
/// no transcript stands.
pub fn unshown_bridges(repository: &Repository) -> Vec<Finding> {
    let Some(page) = repository.file(PAGE) else {
        return vec![Finding::new(PAGE, "is not there")];
    };
    let mut found = Vec::new();
    let mut missing = ITEMS.to_vec();
    for (index, line) in page.text.lines().enumerate() {
        for case in cases(line) {
            if transcript(repository, case).is_none() {
                let fact = format!("there is no transcript `{case}`");
                found.push(Finding::at(PAGE, index + 1, fact));
            }
        }
        let item = line
            .strip_prefix("| ")
            .and_then(|row| row.split(" |").next());
        let Some(at) = missing.iter().position(|it| Some(*it) == item) else {
            continue;
        };
        missing.remove(at);
        for (cell, eras) in line.split('|').skip(2).zip(DIRECTIONS) {
            let is_shown = |case| {
                let text = transcript(repository, case);
                text.is_some_and(|text| is_performed(text, eras))
            };
            if cell.trim() != ABSENT && !cases(cell).any(is_shown) {
                let (client, server) = eras;
                let fact = format!("shows nothing of a {client} client of a {server} server");
                found.push(Finding::at(PAGE, index + 1, fact));
            }
        }
    }
    let rows = missing.iter();
    found.extend(rows.map(|item| Finding::new(PAGE, format!("has no row for {item}"))));
    found
}

/// What stands between backticks and reads like the name of a case: an area, and a sentence in it.
fn cases(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| {
        let is_path =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"/_".contains(&byte);
        let case = word.split_once('/').map(|(_, case)| case);
        word.bytes().all(is_path)
            && case.is_some_and(|case| case.contains('_') && !case.contains('/'))
    })
}

fn transcript<'r>(repository: &'r Repository, case: &str) -> Option<&'r str> {
    let path = format!("golden-tests/exchange/{case}/transcript.txt");
    repository.file(&path).map(|file| file.text.as_str())
}

/// Whether a transcript is performed between these eras: in all four corners, unless its head names some.
fn is_performed(transcript: &str, (client, server): (&str, &str)) -> bool {
    let mut head = transcript.lines().take_while(|line| !line.is_empty());
    head.all(|line| match line.split_once(": ") {
        Some(("client", era)) => era == client,
        Some(("server", era)) => era == server,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TextFile;

    #[test]
    fn missing_rows_transcripts_and_directions_are_found() {
        let facts = |table: &str| {
            let files = vec![
                TextFile::new(PAGE, table),
                TextFile::new(
                    "golden-tests/exchange/a/both_x/transcript.txt",
                    "# Text.\n\nclient",
                ),
                TextFile::new(
                    "golden-tests/exchange/a/down_x/transcript.txt",
                    "client: legacy\nserver: modern\n\nclient: modern",
                ),
            ];
            let found = unshown_bridges(&Repository::of(files));
            let found = found
                .into_iter()
                .filter(|it| !it.fact.starts_with("has no row"));
            found.map(|it| (it.place, it.fact)).collect::<Vec<_>>()
        };
        let shown = |row: &str| facts(&format!("| errors | {row} |\n"));
        let nothing = "shows nothing of a modern client of a legacy server";
        assert_eq!(shown("`a/both_x` | as `a/both_x` says | `tools/call`"), []);
        assert_eq!(shown("`a/down_x` | not offered | "), []);
        assert_eq!(
            shown("`a/down_x` | `a/down_x` | "),
            [(format!("{PAGE}:1"), nothing.to_owned())]
        );
        assert_eq!(
            facts("see `a/none_x`"),
            [(
                format!("{PAGE}:1"),
                "there is no transcript `a/none_x`".to_owned()
            )]
        );
        let without = unshown_bridges(&Repository::of(vec![TextFile::new(PAGE, "| errors |")]));
        let rows = without
            .iter()
            .filter(|it| it.fact.starts_with("has no row"));
        assert_eq!(rows.count(), ITEMS.len() - 1);
    }
}
