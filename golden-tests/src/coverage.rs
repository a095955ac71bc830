//! How many lines of the product its tests execute, held to bounds.
//!
//! Reads what `llvm-cov` exported as LCOV and what the tests said; `golden-tests/coverage/run` makes both. Owns
//! which lines count, the bounds, and the exceptions of `golden-tests/coverage/exceptions`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::rust_code::{code_only, functions, test_lines};
use crate::{Finding, Repository, TextFile};

const EXCEPTIONS: &str = "golden-tests/coverage/exceptions";

/// What is measured. The first bound holds where security rests on the code: parsers, policy, framing, reloads,
/// sandboxes. The command around it is held to the second.
const PRODUCT: [(&str, usize); 4] = [
    ("schema/", 95),
    ("compiler/src/", 95),
    ("dataplane/", 95),
    ("compiler/cli/src/", 90),
];

/// Whether each line of a file with code on it was executed.
type Lines = BTreeMap<usize, bool>;

/// What came of a run.
#[derive(Debug, Default)]
pub struct Coverage {
    /// A line for each check, then a sum.
    pub report: String,
    /// Every place that no test reached, with its text.
    pub unreached: String,
    /// How many checks passed.
    pub passed: usize,
    /// How many failed.
    pub failed: usize,
}

/// A function that may have lines which no test reaches.
struct Exception<'r> {
    path: &'r str,
    function: &'r str,
    /// The test that would reach it, if it holds only where that test says that it was not tried.
    untried: Option<&'r str>,
    line: usize,
}

impl Coverage {
    /// Judges an LCOV export, whose paths begin with the root, with what the tests said beside it.
    pub fn of(repository: &Repository, root: &str, lcov: &str, said: &str) -> Self {
        let mut files = measured(repository, root, lcov);
        let (exceptions, wrong) = exceptions(repository);
        let mut coverage = Self::default();
        for finding in wrong {
            coverage.check(&finding.to_string(), false);
        }
        for exception in exceptions {
            if exception.untried.is_none_or(|test| is_untried(said, test)) {
                let is_needed = exception.excuse(repository, &mut files);
                coverage.check(&exception.told(), is_needed);
            }
        }
        if files.is_empty() {
            coverage.check("nothing was measured", false);
        }
        coverage.list_unreached(repository, &files);
        let mut all = Share::default();
        for (directory, share) in by_directory(&files) {
            let bound = bound_of(directory).unwrap_or_default();
            let told = format!("{directory}: {share}, bound {bound} %");
            coverage.check(&told, share.reaches(bound));
            all.add(share.reached, share.lines);
        }
        let Self { passed, failed, .. } = coverage;
        let sums = format!("all: {all}\n{passed} passed, {failed} failed\n");
        coverage.report += &sums;
        coverage
    }

    fn check(&mut self, told: &str, is_passed: bool) {
        self.passed += usize::from(is_passed);
        self.failed += usize::from(!is_passed);
        let verdict = if is_passed { "" } else { ": FAILED" };
        let _infallible = writeln!(self.report, "{told}{verdict}");
    }

    fn list_unreached(&mut self, repository: &Repository, files: &BTreeMap<&str, Lines>) {
        for (path, lines) in files {
            let text = repository.file(path).map_or("", |file| &file.text);
            let texts: Vec<&str> = text.lines().collect();
            for (line, _) in lines.iter().filter(|(_, is_reached)| !**is_reached) {
                let text = texts.get(line - 1).map_or("", |text| text.trim());
                let _infallible = writeln!(self.unreached, "{path}:{line}: {text}");
            }
        }
    }
}

impl Exception<'_> {
    /// Takes the lines that it excuses away, and tells whether there are any.
    fn excuse(&self, repository: &Repository, files: &mut BTreeMap<&str, Lines>) -> bool {
        let text = repository.file(self.path).map_or("", |file| &file.text);
        let spans = functions(&code_only(text)).into_iter();
        let spans: Vec<_> = spans.filter(|it| it.name == self.function).collect();
        let is_excused = |line: usize| {
            let mut spans = spans.iter();
            spans.any(|it| (it.first_line..=it.last_line).contains(&line))
        };
        files.get_mut(self.path).is_some_and(|lines| {
            let before = lines.len();
            lines.retain(|line, is_reached| *is_reached || !is_excused(*line));
            lines.len() < before
        })
    }

    fn told(&self) -> String {
        let Self {
            path,
            function,
            line,
            ..
        } = self;
        format!("{EXCEPTIONS}:{line}: `{function}` of {path} needs an exception")
    }
}

/// The exceptions: a file, a function and the reason on each line, `untried: NAME` for a test that is not tried
/// everywhere.
fn exceptions(repository: &Repository) -> (Vec<Exception<'_>>, Vec<Finding>) {
    let text = repository.file(EXCEPTIONS).map_or("", |file| &file.text);
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parts: Vec<&str> = line.splitn(3, ' ').collect();
        let [path, function, reason] = parts.as_slice() else {
            let fact = "a file, a function and a reason are expected";
            wrong.push(Finding::at(EXCEPTIONS, index + 1, fact));
            continue;
        };
        found.push(Exception {
            path,
            function,
            untried: reason.strip_prefix("untried: "),
            line: index + 1,
        });
    }
    (found, wrong)
}

/// Whether a test said that it was not tried, as those do that need more than every machine has.
fn is_untried(said: &str, test: &str) -> bool {
    let start = format!("{test} ... NOT TRIED HERE");
    said.lines().any(|line| line.contains(&start))
}

/// The lines of the product that count: not what is compiled for tests only.
fn measured<'r>(repository: &'r Repository, root: &str, lcov: &str) -> BTreeMap<&'r str, Lines> {
    let for_tests = repository.test_files();
    let mut files = BTreeMap::new();
    for record in lcov.split("end_of_record") {
        let path = record.lines().find_map(|line| line.strip_prefix("SF:"));
        let path = path.and_then(|path| path.strip_prefix(root)?.strip_prefix('/'));
        let file = path.and_then(|path| repository.file(path));
        let counts = |file: &&TextFile| {
            bound_of(&file.path).is_some() && !for_tests.contains(file.path.as_str())
        };
        if let Some(file) = file.filter(counts) {
            files.insert(file.path.as_str(), lines(record, file));
        }
    }
    files
}

/// The lines of a record, but for those that are there for tests.
fn lines(record: &str, file: &TextFile) -> Lines {
    let for_tests = test_lines(&file.text);
    let data = record.lines().filter_map(|line| {
        let (line, count) = line.strip_prefix("DA:")?.split_once(',')?;
        Some((line.parse().ok()?, count != "0"))
    });
    data.filter(|(line, _)| !for_tests.iter().any(|item| item.contains(line)))
        .collect()
}

/// Lines that were executed, of how many.
#[derive(Debug, Default)]
struct Share {
    reached: usize,
    lines: usize,
}

impl Share {
    fn add(&mut self, reached: usize, lines: usize) {
        self.reached += reached;
        self.lines += lines;
    }

    fn reaches(&self, percent: usize) -> bool {
        self.reached * 100 >= self.lines * percent
    }
}

impl fmt::Display for Share {
    /// Rounded down, so that it never shows a bound as reached that was missed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reached, lines } = self;
        let thousandths = reached * 1000 / (*lines).max(1);
        let (percent, tenth) = (thousandths / 10, thousandths % 10);
        write!(formatter, "{reached} of {lines} lines, {percent}.{tenth} %")
    }
}

fn by_directory<'r>(files: &BTreeMap<&'r str, Lines>) -> BTreeMap<&'r str, Share> {
    let mut shares: BTreeMap<&str, Share> = BTreeMap::new();
    for (path, lines) in files {
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        let reached = lines.values().filter(|is_reached| **is_reached).count();
        shares
            .entry(directory)
            .or_default()
            .add(reached, lines.len());
    }
    shares
}

/// The bound for a file or a directory, if it is part of the product.
fn bound_of(path: &str) -> Option<usize> {
    let path = format!("{path}/");
    let part = PRODUCT.iter().find(|(part, _)| path.starts_with(part));
    part.map(|(_, bound)| *bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "dataplane/src/a/b.rs";

    /// A file in which `works` was executed and `rests` was not, the test in it neither.
    fn coverage(exceptions: &str, said: &str, more: &str) -> Coverage {
        let text = "fn works() {\n    a();\n}\nfn rests() {\n    b();\n}\n#[cfg(test)]\nmod tests {\n    c();\n}\n";
        let files = vec![
            TextFile::new(FILE, text),
            TextFile::new("golden-tests/src/a.rs", text),
            TextFile::new("dataplane/src/a/tests.rs", text),
            TextFile::new("dataplane/src/a/mod.rs", "#[cfg(test)]\nmod tests;\n"),
            TextFile::new(EXCEPTIONS, exceptions),
        ];
        let data = "DA:1,2\nDA:2,2\nDA:4,0\nDA:5,0\nDA:9,0\nend_of_record\n";
        let lcov = [
            "/else/c.rs",
            "/repository/golden-tests/src/a.rs",
            "/repository/dataplane/src/a/tests.rs",
        ]
        .map(|path| format!("SF:{path}\n{data}"))
        .concat();
        let lcov = format!("{lcov}SF:/repository/{FILE}\n{more}{data}");
        Coverage::of(&Repository::of(files), "/repository", &lcov, said)
    }

    #[test]
    fn a_directory_of_the_product_is_held_to_its_bound_without_its_tests() {
        let found = coverage("", "", "");
        let told = "dataplane/src/a: 2 of 4 lines, 50.0 %, bound 95 %: FAILED\nall: 2 of 4 lines, 50.0 %\n";
        assert_eq!(found.report, format!("{told}0 passed, 1 failed\n"));
        assert_eq!(
            found.unreached,
            format!("{FILE}:4: fn rests() {{\n{FILE}:5: b();\n")
        );
        let more: Vec<String> = (100..136).map(|line| format!("DA:{line},1\n")).collect();
        let found = coverage("", "", &more.concat());
        let told =
            "dataplane/src/a: 38 of 40 lines, 95.0 %, bound 95 %\nall: 38 of 40 lines, 95.0 %\n";
        assert_eq!(found.report, format!("{told}1 passed, 0 failed\n"));
    }

    #[test]
    fn a_run_that_measures_nothing_has_failed() {
        let found = Coverage::of(&Repository::default(), "/repository", "", "");
        assert_eq!((found.passed, found.failed), (0, 1), "{}", found.report);
    }

    #[test]
    fn an_exception_excuses_a_function_and_fails_when_nothing_needs_it() {
        let rests = format!("# why\n{FILE} rests nothing calls it\n");
        let found = coverage(&rests, "", "");
        assert_eq!((found.passed, found.failed), (2, 0), "{}", found.report);
        assert_eq!(found.unreached, "");
        for stale in ["works it is slow", "gone it was there", "works"] {
            let found = coverage(&format!("{rests}{FILE} {stale}\n"), "", "");
            let told = format!("{EXCEPTIONS}:3: ");
            let line = found.report.lines().find(|line| line.starts_with(&told));
            assert!(
                line.is_some_and(|it| it.ends_with(": FAILED")),
                "{stale}: {}",
                found.report
            );
            assert_eq!(found.failed, 1, "{stale}");
        }
    }

    #[test]
    fn what_is_untried_here_is_excused_only_where_its_test_says_so() {
        let row = format!("{FILE} rests untried: groups hold trees\n");
        let found = coverage(
            &row,
            "groups hold trees ... NOT TRIED HERE: no groups\n",
            "",
        );
        assert_eq!((found.passed, found.failed), (2, 0), "{}", found.report);
        let found = coverage(&row, "groups hold trees ... ok\n", "");
        assert_eq!((found.passed, found.failed), (0, 1), "{}", found.report);
    }
}
