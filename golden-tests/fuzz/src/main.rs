//! All parsers under libFuzzer, one at a time: `MCPC_FUZZ` says which.
//!
//! Owns the choice, nothing else. What is promised of any bytes is in `dataplane/src/fuzzing.rs` and
//! `golden-tests/src/fuzzing.rs`; `run` beside this builds it with coverage, and stable Rust is enough.

#![no_main]

use std::env;
use std::process::exit;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mcpc_dataplane::fuzzing::Target;

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: choose(),
    |bytes: &[u8]| if let Some(target) = TARGET.get() {
        target(bytes);
    }
);

fn choose() {
    let wanted = env::var("MCPC_FUZZ").unwrap_or_default();
    let mut all = mcpc_dataplane::fuzzing::TARGETS.to_vec();
    all.extend(mcpc_golden_tests::fuzzing::TARGETS);
    all.sort_by_key(|(name, _)| *name);
    if let Some((_, target)) = all.iter().find(|(name, _)| *name == wanted) {
        TARGET.get_or_init(|| *target);
        return;
    }
    // `run` asks for the names like this.
    for (name, _) in all {
        println!("{name}");
    }
    exit(if wanted.is_empty() { 0 } else { 2 });
}
