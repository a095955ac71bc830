//! The exchange corpus: transcripts of clients and servers on both sides of a rehearsed gateway,
//! over in-memory pipes and a virtual clock.
//!
//! A case is `mcpc.yaml` and `transcript.txt`: lines of actions, each followed by what it led to,
//! indented. The runner performs the actions and writes the transcript anew; the two must be the
//! same in every corner (client era × server era) that the case does not exclude. `BLESS=1`
//! rewrites what is indented, never an action. See `golden-tests/exchange/README.md`.
//!
//! ```text
//! script (actions) ─► stage ─► client ─► Rehearsal ─► world (pipes) ─► server ─► log ─► transcript
//! ```

mod chance;
mod client;
mod events;
mod http;
mod script;
mod server;
mod slow;
mod stage;
mod storm;
mod text;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use crate::diff::line_diff;
use crate::finding::Finding;
use crate::repository::{Repository, relative};
pub use chance::{Course, play};
use script::Script;
pub use slow::read_across_a_swap;
pub(crate) use storm::Dice;
pub use storm::{Storm, storm};

/// Which foundation of the protocol a side of the rehearsal speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2026-07-28.
    Modern,
    /// 2025-11-25.
    Legacy,
}

impl Era {
    pub(crate) const BOTH: [Self; 2] = [Self::Modern, Self::Legacy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Legacy => "legacy",
        }
    }
}

/// One case of the exchange corpus.
pub struct Exchange {
    folder: PathBuf,
}

impl Exchange {
    /// Every case, sorted by path.
    pub fn all() -> Vec<Self> {
        let root = Repository::root().join("golden-tests/exchange");
        let mut folders: Vec<PathBuf> = folders_in(&root)
            .iter()
            .flat_map(|area| folders_in(area))
            .collect();
        folders.sort();
        folders.into_iter().map(|folder| Self { folder }).collect()
    }

    /// Performs the case in all its corners and compares each transcript with the committed one.
    pub fn check(&self, bless: bool) -> Vec<Finding> {
        let place = relative(&Repository::root(), &self.folder);
        let path = self.folder.join("transcript.txt");
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let script = match Script::parse(&committed) {
            Ok(script) => script,
            Err((line, fact)) => return vec![Finding::at(&place, line, fact)],
        };
        let mut findings = Vec::new();
        let mut first: Option<String> = None;
        for (client, server) in script.corners() {
            let corner = format!("{} client, {} server", client.name(), server.name());
            let transcript = match stage::perform(&self.folder, &script, client, server) {
                Ok(transcript) => transcript,
                Err(fact) => {
                    findings.push(Finding::new(&place, format!("{corner}: {fact}")));
                    continue;
                }
            };
            let expected = if bless {
                first.get_or_insert_with(|| transcript.clone())
            } else {
                &committed
            };
            if *expected != transcript {
                let diff = line_diff(expected, &transcript);
                findings.push(Finding::new(
                    &place,
                    format!("{corner} differs (- committed, + now)\n{diff}"),
                ));
            }
        }
        if let (true, Some(transcript)) = (bless, first) {
            write(&path, &transcript, &committed);
        }
        findings
    }
}

fn folders_in(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn write(path: &Path, transcript: &str, committed: &str) {
    if transcript != committed {
        fs::write(path, transcript).expect("the corpus is writable when it is blessed");
    }
}
