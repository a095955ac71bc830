//! `mcpc run` as the first process of a container: it reaps whoever loses its parent, takes signals, and ends as
//! the gateway does.

use rustix::process::{Pid, Signal, kill_process};

use crate::invocation::{Folder, MISTAKEN};
use mcpc_process::{
    Running, alive, as_first_process, children, descendants, first_of, until, zombies,
};

/// A server with a child in its group, one that has left its session, and one that nobody waits for.
fn config() -> String {
    let mcpc = env!("CARGO_BIN_EXE_mcpc");
    let family = "PATH=/usr/bin:/bin; sleep 1000 & setsid sleep 1001 & (sleep 1002 &) ; exec";
    format!(
        "version: 1\nlisten: {{ address: 127.0.0.1:0 }}\nadmin: {{ address: 127.0.0.1:0 }}\n\
         servers:\n  notes: {{ command: /bin/sh, args: [\"-c\", \"{family} {mcpc} demo notes\"] }}\n"
    )
}

/// Sends a signal; false if the process is gone.
fn signal(process: u32, signal: Signal) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(process.unwrap(), signal).is_ok()
}

fn start(folder: &Folder, arguments: &[&str]) -> Option<(Running, u32)> {
    let mut command = as_first_process(&folder.command(arguments))?;
    let served = Running::start(&mut command);
    let first = first_of(served.id());
    Some((served, first))
}

/// The only child of a process.
fn only_child(process: u32) -> u32 {
    let all = children(process);
    assert_eq!(all.len(), 1, "{all:?}");
    all.first().copied().unwrap()
}

#[test]
fn what_a_killed_warden_leaves_behind_is_reaped_by_the_first_process() {
    let folder = Folder::with_config(&config());
    let Some((mut served, first)) = start(&folder, &["run", "--no-watch"]) else {
        return;
    };
    served.hears("the server is ready");
    let gateway = only_child(first);
    let warden = only_child(gateway);
    let tree = descendants(warden);
    assert!(tree.len() >= 4, "{tree:?}");
    assert!(signal(warden, Signal::KILL));
    served.hears("the server is ready");
    // Those that have left the group of their server go on, until they are ended.
    for process in tree.iter().filter(|process| alive(**process)) {
        let _gone_meanwhile = signal(*process, Signal::KILL);
    }
    until("nothing is left of it, not even a zombie", || {
        let now = descendants(first);
        !tree.iter().any(|process| now.contains(process)) && zombies(first) == 0
    });
    assert_eq!(children(first), [gateway], "nobody else has come to it");
    assert!(signal(first, Signal::TERM));
    assert_eq!(served.ended(), Some(0));
}

#[test]
fn signals_to_the_first_process_reach_the_gateway() {
    for last in [Signal::TERM, Signal::INT] {
        let folder = Folder::with_config(&config());
        let Some((mut served, first)) = start(&folder, &["run", "--no-watch"]) else {
            return;
        };
        folder.write("mcpc.yaml", config().replace("notes:", "papers:"));
        assert!(signal(first, Signal::HUP));
        served.hears("the new plan is live");
        assert!(signal(first, last));
        assert_eq!(served.ended(), Some(0));
    }
}

#[test]
fn the_first_process_ends_as_the_gateway_does() {
    let folder = Folder::with_config(MISTAKEN);
    for (arguments, expected) in [
        (["run", "mcpc.yaml"], 1),
        (["run", "nothing.yaml"], 2),
        (["check", "mcpc.yaml"], 1),
        (["run", "--no-such-flag"], 2),
    ] {
        let alone = folder.command(&arguments).output().unwrap();
        let Some(mut command) = as_first_process(&folder.command(&arguments)) else {
            return;
        };
        let first = command.output().unwrap();
        assert_eq!(first.status.code(), alone.status.code(), "{arguments:?}");
        assert_eq!(first.status.code(), Some(expected), "{arguments:?}");
    }
    let folder = Folder::with_config(&config());
    let Some((mut served, first)) = start(&folder, &["run", "--no-watch"]) else {
        return;
    };
    let tree = descendants(first);
    assert!(signal(only_child(first), Signal::KILL));
    assert_eq!(served.ended(), Some(128 + 9));
    until("nothing goes on", || !tree.iter().any(|id| alive(*id)));
}
