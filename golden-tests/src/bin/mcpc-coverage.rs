//! `mcpc-coverage LCOV SAID UNREACHED`: holds the coverage of a run to its bounds. See `golden-tests/coverage/run`.

#![expect(clippy::print_stdout, reason = "the report is what it is for")]

use std::fs;
use std::io;
use std::process::ExitCode;

use mcpc_golden_tests::{Coverage, Repository};

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [lcov, said, unreached] = arguments.as_slice() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let root = Repository::root();
    let (lcov, said) = (fs::read_to_string(lcov)?, fs::read_to_string(said)?);
    let coverage = Coverage::of(Repository::this(), &root.to_string_lossy(), &lcov, &said);
    fs::write(unreached, &coverage.unreached)?;
    print!("{}", coverage.report);
    Ok(if coverage.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
