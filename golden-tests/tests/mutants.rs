//! What is made of good configurations and plans by breaking them: some thousand in every test run, and
//! as many as `MUTANTS` says otherwise (`docs/guide/fuzzing.md`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mcpc_compiler::Format;
use mcpc_golden_tests::{
    Case, Compiled, Finding, Repository, assert_none, fuzzing, mutants, plan_mutants,
};
use serde_json::Value;

/// Enough to reach every branch, few enough for a debug build to finish in seconds.
const MUTANTS: usize = 4000;

/// The sweeps are the longest tests; they share the cores with nothing else at their end.
const THREADS: usize = 4;

/// The largest mutant takes milliseconds. What takes this long is a hang, or soon will be.
const LONG: Duration = Duration::from_secs(10);

/// How many mutants of each kind.
#[expect(clippy::expect_used, reason = "who names no number is told so")]
fn wanted() -> usize {
    let named = std::env::var("MUTANTS").ok();
    named.map_or(MUTANTS, |text| text.parse().expect("MUTANTS is a number"))
}

#[test]
fn mutants_of_valid_cases_never_panic_and_findings_point_inside() {
    let cases = valid_cases();
    let most = wanted().div_ceil(cases.len());
    let made = AtomicUsize::new(0);
    sweep(&cases, |case| {
        let text = String::from_utf8_lossy(&case.bytes()).into_owned();
        let mutants = mutants(&text, most);
        made.fetch_add(mutants.len(), Ordering::Relaxed);
        let checked = mutants.iter().map(|mutant| {
            let fact = judge(|| check_mutant(case, mutant))?;
            Some(Finding::new(&case.name, format!("{fact}\n{mutant}")))
        });
        checked.flatten().collect()
    });
    eprintln!("{made:?} configurations");
    assert!(made.into_inner() >= wanted(), "too few mutants");
}

#[test]
fn mutants_of_plans_are_refused_or_whole() {
    let cases = valid_cases();
    let most = wanted().div_ceil(cases.len());
    sweep(&cases, |case| {
        let plan = case.compiled().plan_text().unwrap_or_default();
        let plan: Value = serde_json::from_str(&plan).unwrap_or_default();
        let checked = plan_mutants(&plan, most).map(|mutant| {
            let fact = judge(|| {
                fuzzing::plan(&mutant);
                String::new()
            })?;
            let shown = String::from_utf8_lossy(&mutant);
            Some(Finding::new(&case.name, format!("{fact}\n{shown}")))
        });
        checked.flatten().collect()
    });
    eprintln!("{} plans", most * cases.len());
}

#[test]
fn every_target_holds_on_its_seeds_and_on_their_mutants() {
    let seeds = Repository::root().join("golden-tests/fuzz/seeds");
    for (name, target) in fuzzing::TARGETS {
        // Configurations and plans have the sweeps above.
        let Ok(files) = std::fs::read_dir(seeds.join(name)) else {
            assert!(["configuration", "plan"].contains(&name), "{name}");
            continue;
        };
        for file in files.flatten() {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            assert!(!text.is_empty(), "{:?}", file.path());
            let all = mutants(&text, MUTANTS / 4);
            for mutant in all {
                target(mutant.as_bytes());
            }
        }
    }
}

fn valid_cases() -> Vec<Case> {
    let valid = Case::all().into_iter();
    let valid: Vec<Case> = valid
        .filter(|case| case.compiled().plan.is_some())
        .collect();
    assert!(!valid.is_empty(), "no case compiles");
    valid
}

/// Runs something for each case, on several threads.
fn sweep(cases: &[Case], of_case: impl Fn(&Case) -> Vec<Finding> + Sync) {
    let next = AtomicUsize::new(0);
    let share = || {
        let mut found = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.extend(of_case(case));
        }
        found
    };
    let mut findings: Vec<Finding> = thread::scope(|scope| {
        let running: Vec<_> = (0..THREADS).map(|_| scope.spawn(share)).collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        let stopped = || vec![Finding::new("a thread of the sweep", "panics")];
        ended
            .flat_map(|found| found.unwrap_or_else(|_| stopped()))
            .collect()
    });
    // The first ones say enough; a broken promise usually breaks for thousands of mutants.
    findings.truncate(10);
    assert_none(&findings);
}

/// What is wrong with a mutant, if anything is.
fn judge(check: impl FnOnce() -> String) -> Option<String> {
    let begun = Instant::now();
    let mut fact = catch_unwind(AssertUnwindSafe(check)).unwrap_or_else(|_| "panics".to_owned());
    if fact.is_empty() && begun.elapsed() > LONG {
        fact = format!("takes {:?}", begun.elapsed());
    }
    (!fact.is_empty()).then_some(fact)
}

fn check_mutant(case: &Case, mutant: &str) -> String {
    let values = case.values();
    let bytes = mutant.as_bytes().to_vec();
    let compiled = Compiled::of("mcpc.yaml", bytes, values.as_ref());
    let mut facts = compiled.broken_promises();
    facts.extend(check_rendering(&compiled));
    facts.join("; ")
}

/// Each mutant in one of the formats, so that all formats meet mutants of all kinds.
fn check_rendering(compiled: &Compiled) -> Option<String> {
    let turn = compiled.source.text().len() % Format::ALL.len();
    let format = Format::ALL.get(turn).copied().unwrap_or(Format::Human);
    let shown = compiled.rendered_as(format);
    let is_whole = match format {
        Format::Json | Format::Sarif | Format::Gitlab => {
            serde_json::from_str::<Value>(&shown).is_ok()
        }
        // Each opening tag of a case has its end, and each line of a table is a row.
        Format::Junit => {
            let open = shown.matches("<testcase ").count();
            open > 0 && open == shown.matches("</testcase>").count() + shown.matches("\"/>").count()
        }
        Format::Markdown => {
            let rows = shown.lines().filter(|line| line.starts_with("| ")).count();
            let others = shown.lines().count() - rows;
            (compiled.diagnostics.is_empty() && rows == 0) || (rows > 2 && others == 2)
        }
        // A file, a line and a code for each finding.
        Format::Concise => {
            compiled.diagnostics.is_empty() == shown.is_empty() && shown.lines().all(is_placed)
        }
        Format::Human | Format::Github => compiled.diagnostics.is_empty() == shown.is_empty(),
    };
    (!is_whole).then(|| format!("{format:?} does not show what was found"))
}

/// `mcpc.yaml:3:5: error[MCPC3001]: message`, or how many more there are.
fn is_placed(line: &str) -> bool {
    let mut parts = line.splitn(4, ':').map(str::trim);
    let is_file = parts.next() == Some("mcpc.yaml");
    let is_number = |part: Option<&str>| part.is_some_and(|it| it.parse::<usize>().is_ok());
    let is_place = is_number(parts.next()) && is_number(parts.next());
    let has_code = parts.next().is_some_and(|rest| rest.contains("[MCPC"));
    is_file && (is_place && has_code || line.contains(" more "))
}
