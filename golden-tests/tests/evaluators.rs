//! Two evaluators of filters and names agree: the product, and a few lines that read the reference.
//!
//! `MCPC_CASES=1000000 cargo test -p mcpc-golden-tests --test evaluators` asks for a million names, and
//! `MCPC_SEED=7` for others. See `docs/guide/names.md`.

#![expect(clippy::print_stdout, reason = "what a run came to is its result")]

use mcpc_golden_tests::{agreement, openings};

/// How many names are asked for if nobody says how many.
const CASES: usize = 5_000;

/// The same configurations each time, so that a failure can be looked at.
const SEED: u64 = 20_261_121;

fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn two_evaluators_of_names_and_filters_agree() {
    let cases = number("MCPC_CASES").unwrap_or(CASES);
    let seed = number("MCPC_SEED").unwrap_or(SEED);
    let agreement = agreement(cases, seed);
    // Shown with `--nocapture`, and when it fails.
    println!(
        "{} cases, {} of them called at a gateway, {} reach something; {} configurations, {} more do not compile; seed {seed}",
        agreement.cases,
        agreement.called,
        agreement.reached,
        agreement.configurations,
        agreement.refused
    );
    assert!(
        agreement.disagreements.is_empty(),
        "{}",
        agreement.disagreements.join("\n")
    );
    // A draw in which nothing meets would show nothing.
    assert!(agreement.cases >= cases && agreement.called > cases / 50);
    assert!(agreement.reached > agreement.cases / 20);
}

#[test]
fn whatever_a_reload_opens_or_closes_is_told() {
    let names = number("MCPC_CASES").unwrap_or(CASES);
    let openings = openings(names, number("MCPC_SEED").unwrap_or(SEED));
    assert!(openings.untold.is_empty(), "{}", openings.untold.join("\n"));
    assert!(openings.opened >= names);
}
