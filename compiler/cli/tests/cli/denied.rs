//! What the system denies the command as it starts: told in the system's own words, with a remedy that is one.

use std::process::Command;

use crate::invocation::{Folder, Ran, SMALLEST};

/// So many workers need more descriptors than any of these limits allow.
const WORKERS: &str = "64";

/// `mcpc run` with so many descriptors at most.
fn run_with_descriptors(folder: &Folder, most: u32) -> Ran {
    let script = format!("ulimit -n {most} && exec \"$0\" run --workers {WORKERS} \"$@\"");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_mcpc")])
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .current_dir(folder.path())
        .env_clear()
        .env("HOME", folder.path());
    Ran::from(command.output().unwrap())
}

/// Where a descriptor is missing first depends on how many there are: a signal, the configuration, a thread, a listener.
#[test]
fn a_lack_of_descriptors_is_told_as_what_it_is_wherever_it_is_met() {
    let folder = Folder::with_config(SMALLEST);
    for most in (4..20).chain([30, 40, 60, 100]) {
        let ran = run_with_descriptors(&folder, most);
        let ran = ran.exits_with(2).says("Too many open files");
        for wrong in ["uncategorized", "another address", "make the file readable"] {
            assert!(!ran.err.contains(wrong), "{most}: {}", ran.err);
        }
    }
    run_with_descriptors(&folder, 60)
        .says("MCPC9615")
        .says("for clients: Too many open files")
        .says("`ulimit -n`");
}

#[test]
fn a_file_that_is_not_there_is_said_not_to_be() {
    let folder = Folder::with_config(SMALLEST);
    let listen = ["run", "--listen", "127.0.0.1:0", "--session-key-file", "no"];
    folder
        .mcpc(&listen)
        .exits_with(2)
        .says("MCPC9609")
        .says("the key file no cannot be read: No such file or directory");
}
