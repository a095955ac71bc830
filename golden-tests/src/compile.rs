//! The compile corpus: `compile/<area>/<case>/` holds a configuration and what comes out of it.
//!
//! ```text
//! mcpc.yaml        the configuration; `#~ CODE` on the line of each finding's primary place
//! repeat           optional: a count, a line break, and text that is added to the configuration so often
//! env              optional: `NAME=value` lines; a plan is wanted, so unset variables are errors, and
//!                  with a line `#! with secrets` those of secrets as well
//! answers.json     optional: what the servers say when they are asked, see `answers`
//! expected.stderr  what people see, if there is a finding   (BLESS=1 rewrites)
//! plan.json        the plan, if there is one                (BLESS=1 rewrites)
//! ```
//!
//! Adding a case touches no Rust. A file of any other name fails the run.

use std::fs;
use std::path::PathBuf;

use crate::answers::answers;
use crate::compiled::{Compiled, Values};
use crate::expectation::Expectation;
use crate::finding::Finding;
use crate::markers::{Marker, markers};
use crate::repository::{Repository, relative, walk};

const FILES: [&str; 6] = [
    "mcpc.yaml",
    "repeat",
    "env",
    "answers.json",
    "expected.stderr",
    "plan.json",
];

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// `area/case`.
    pub name: String,
    directory: PathBuf,
}

impl Case {
    /// Every case of the corpus, sorted by name.
    pub fn all() -> Vec<Self> {
        let corpus = Self::corpus();
        let inputs = walk(&corpus).into_iter();
        inputs
            .filter(|path| path.file_name().is_some_and(|name| name == "mcpc.yaml"))
            .filter_map(|path| path.parent().map(std::path::Path::to_path_buf))
            .map(|directory| Self {
                name: relative(&corpus, &directory),
                directory,
            })
            .collect()
    }

    fn corpus() -> PathBuf {
        Repository::root().join("golden-tests/compile")
    }

    /// The bytes of the configuration, with what is to be repeated.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.written();
        if let Ok(repeat) = fs::read_to_string(self.directory.join("repeat")) {
            let (count, text) = repeat.split_once('\n').unwrap_or_default();
            let count = count.parse().expect("`repeat` starts with a count");
            bytes.extend(text.repeat(count).into_bytes());
        }
        bytes
    }

    /// The bytes of the file.
    fn written(&self) -> Vec<u8> {
        let path = self.directory.join("mcpc.yaml");
        fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// The variables of the case, if it has any.
    pub fn values(&self) -> Option<Values> {
        let text = fs::read_to_string(self.directory.join("env")).ok()?;
        Some(Values::parse(&text))
    }

    /// Compiles the case under the name that its diagnostics show, without asking its servers.
    pub fn compiled_alone(&self) -> Compiled {
        Compiled::of("mcpc.yaml", self.bytes(), self.values().as_ref())
    }

    /// Compiles the case, and holds it to what its servers answer.
    pub fn compiled(&self) -> Compiled {
        let values = self.values();
        let compiled = self.compiled_alone();
        match fs::read_to_string(self.directory.join("answers.json")) {
            Ok(text) => compiled.answered(values.as_ref(), &answers(&text)),
            Err(_) => compiled,
        }
    }

    /// Runs the case: markers first, then the committed output, which blessing rewrites.
    pub fn check(&self, bless: bool) -> Vec<Finding> {
        let compiled = self.compiled();
        let mut found = self.check_markers(&compiled);
        let stderr = (!compiled.diagnostics.is_empty()).then(|| compiled.rendered());
        let outputs = [
            ("expected.stderr", stderr),
            ("plan.json", compiled.plan_text()),
        ];
        for (name, content) in outputs {
            let expectation = Expectation::new(self.directory.join(name), content);
            found.extend(expectation.check(bless));
        }
        found.extend(
            compiled
                .broken_promises()
                .into_iter()
                .map(|fact| self.finding(fact)),
        );
        found
    }

    fn check_markers(&self, compiled: &Compiled) -> Vec<Finding> {
        let text = String::from_utf8_lossy(&self.written()).into_owned();
        let mut missing = markers(&text);
        let mut unexpected = Vec::new();
        for found in compiled.found() {
            match missing.iter().position(|marker| *marker == found) {
                Some(index) => drop(missing.remove(index)),
                None => unexpected.push(found),
            }
        }
        let say = |marker: Marker, fact: &str| {
            let place = format!("golden-tests/compile/{}/mcpc.yaml", self.name);
            Finding::at(&place, marker.line, format!("{} {fact}", marker.code))
        };
        let missing = missing
            .into_iter()
            .map(|marker| say(marker, "is marked here and was not reported"));
        let unexpected = unexpected
            .into_iter()
            .map(|marker| say(marker, "was reported here and is not marked"));
        missing.chain(unexpected).collect()
    }

    fn finding(&self, fact: impl Into<String>) -> Finding {
        Finding::new(format!("golden-tests/compile/{}", self.name), fact)
    }
}

/// Files of the corpus that belong to no case.
pub fn strays() -> Vec<Finding> {
    let corpus = Case::corpus();
    let cases: Vec<PathBuf> = Case::all().into_iter().map(|case| case.directory).collect();
    let mut found = Vec::new();
    for path in walk(&corpus) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let parent = path.parent().map(std::path::Path::to_path_buf);
        let at_depth = relative(&corpus, &path).split('/').count() == 3;
        let belongs = parent.is_some_and(|parent| cases.contains(&parent));
        if !(belongs && at_depth && FILES.contains(&name.as_ref())) {
            let place = relative(&Repository::root(), &path);
            let fact = "is no part of a case `compile/<area>/<case>/`";
            found.push(Finding::new(place, fact));
        }
    }
    found
}
