//! The compile corpus, and what follows from it without another line of Rust: determinism, error pages
//! and examples. What breaking it shows is in `mutants.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mcpc_compiler::{CODES, Format};
use mcpc_golden_tests::{
    Case, Compared, Compiled, Course, Exchange, Finding, Hostile, Repository, assert_none,
    blessing, hostile_texts, play, read_across_a_swap, shown_by_beginning, shown_by_name,
    stale_digests, storm, strays, wrong_examples, wrong_pages,
};

/// What a terminal or a log can bear, whatever was fed to the compiler.
const RENDERED_BYTES_MAX: usize = 256 << 10;

#[test]
fn every_case_gives_what_is_written_beside_it() {
    let cases = Case::all();
    assert!(!cases.is_empty(), "the corpus is empty");
    let findings: Vec<Finding> = cases
        .iter()
        .flat_map(|case| case.check(blessing()))
        .collect();
    assert_none(&findings);
}

#[test]
fn check_finds_what_compile_finds() {
    let differs = |case: &Case| {
        let found = Compiled::findings("mcpc.yaml", case.bytes(), case.values().as_ref());
        found != case.compiled_alone().diagnostics
    };
    let differing = Case::all().into_iter().filter(differs);
    let findings: Vec<Finding> = differing
        .map(|case| Finding::new(&case.name, "`check` finds something else than `compile`"))
        .collect();
    assert_none(&findings);
}

#[test]
fn every_exchange_is_the_same_in_all_its_corners() {
    let cases = Exchange::all();
    assert!(!cases.is_empty(), "the exchange corpus is empty");
    let findings: Vec<Finding> = cases
        .iter()
        .flat_map(|case| case.check(blessing()))
        .collect();
    assert_none(&findings);
}

#[test]
fn swaps_under_traffic_lose_and_confuse_no_call() {
    for seed in 1..=2 {
        let storm = storm(200, seed);
        assert_eq!(storm.unexplained, Vec::<String>::new(), "seed {seed}");
        assert_eq!(storm.explained, 8 * 200, "seed {seed}");
        // A storm without wind would prove nothing.
        assert!(
            storm.swapped > 30 && storm.refused > 5,
            "seed {seed}: {storm:?}"
        );
    }
}

/// The first twelve seeds and those that once found something: together everything happens on them that can, with
/// and without a disk and with a process of either era. Or those that `CHANCE_SEEDS` names: `17`, or `1..5000`.
#[expect(clippy::expect_used, reason = "who names no numbers is told so")]
fn seeds() -> Vec<u64> {
    let Ok(text) = std::env::var("CHANCE_SEEDS") else {
        return (1..13).chain([15, 111, 121, 129, 143, 409, 775]).collect();
    };
    let number = |text: &str| -> u64 { text.parse().expect("CHANCE_SEEDS holds numbers") };
    match text.split_once("..") {
        Some((first, end)) => (number(first)..number(end)).collect(),
        None => vec![number(&text)],
    }
}

#[test]
fn whatever_happens_in_whatever_order_every_call_has_one_end_and_nothing_stays() {
    let (mut all, mut findings) = (Course::default(), Vec::new());
    for seed in seeds() {
        let course = play(seed);
        let again = format!("CHANCE_SEEDS={seed}");
        findings.extend(
            course
                .faults
                .iter()
                .map(|fault| Finding::new(&again, fault)),
        );
        all.add(&course);
    }
    assert_none(&findings);
    if std::env::var_os("CHANCE_SEEDS").is_none() {
        // A course on which nothing happens would prove nothing.
        assert!(all.is_eventful(), "{all:?}");
    }
    eprintln!("{all:?}");
}

#[test]
fn a_request_that_is_half_read_when_its_server_leaves_the_plan_is_answered_within_the_grace() {
    let reply = read_across_a_swap(Duration::from_secs(5));
    assert!(reply.contains("\\\"mark\\\":1"), "{reply}");
    // After the grace nothing is left that could answer, and nothing has reached the server.
    let reply = read_across_a_swap(Duration::from_secs(12));
    assert!(reply.contains("MCPC9317"), "{reply}");
    assert!(reply.contains("\"retry\":true"), "{reply}");
}

#[test]
fn every_file_of_the_corpus_belongs_to_a_case() {
    assert_none(&strays());
}

#[test]
fn error_pages_show_what_they_say() {
    assert_none(&wrong_pages(CODES));
}

#[test]
fn pages_show_the_plan_of_the_quick_start() {
    assert_none(&stale_digests(Repository::this()));
}

#[test]
fn examples_are_clean() {
    assert_none(&wrong_examples(Repository::this()));
}

#[test]
fn no_finding_shows_a_secret_that_its_name_announces() {
    let mut findings = shown_by_name();
    findings.truncate(10);
    assert_none(&findings);
}

#[test]
fn no_finding_shows_a_token_that_is_known_by_its_beginning() {
    let mut findings = shown_by_beginning();
    findings.truncate(10);
    assert_none(&findings);
}

#[test]
fn hostile_texts_get_an_error_in_bounded_output() {
    let findings: Vec<Finding> = hostile_texts().iter().filter_map(check_hostile).collect();
    assert_none(&findings);
}

fn check_hostile(hostile: &Hostile) -> Option<Finding> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let compiled = Compiled::of("mcpc.yaml", hostile.bytes.clone(), None);
        let mut facts = compiled.broken_promises();
        if !compiled.has_errors() {
            facts.push("is taken for a configuration".to_owned());
        }
        for format in Format::ALL {
            let bytes = compiled.rendered_as(format).len();
            if bytes > RENDERED_BYTES_MAX {
                facts.push(format!("takes {bytes} bytes as {format:?}"));
            }
        }
        facts.join("; ")
    }));
    let fact = outcome.unwrap_or_else(|_| "panics".to_owned());
    (!fact.is_empty()).then(|| Finding::new(hostile.name, fact))
}

#[test]
fn plans_depend_on_nothing_but_the_meaning_of_their_text() {
    let compared = Compared::of(&Case::all());
    assert_none(&compared.findings);
    let Compared {
        plans,
        orders,
        secrets,
        ..
    } = compared;
    assert!(
        plans >= 10 && orders >= 5 && secrets >= 2,
        "{plans} {orders} {secrets}"
    );
}
