//! The process that compiles for a gateway, and its end.

use std::fmt::Write;
use std::time::Duration;

use mcpc_process::{Running, alive, arguments, children, cpu_time, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::invocation::Folder;

const HEAD: &str = "\
version: 1
listen: { address: 127.0.0.1:0 }
admin: { address: 127.0.0.1:0 }
servers:
";

/// So many servers that nobody compiles them in no time.
const MANY: usize = 3000;

/// Whoever has worked for so long has begun to read.
const BEGUN: Duration = Duration::from_millis(20);

fn config(servers: usize) -> String {
    (0..servers).fold(HEAD.to_owned(), |mut text, number| {
        let start = "start: { when: lazy }";
        writeln!(text, "  s{number}: {{ command: nobody-{number}, {start} }}").unwrap();
        text
    })
}

/// A gateway that compiles an edit, and the process that does, which hangs.
fn hanging(folder: &Folder) -> (Running, u32) {
    folder.write("mcpc.yaml", config(1));
    let served = Running::start(&mut folder.command(&["run"]));
    folder.write("mcpc.yaml", config(MANY));
    let is_compiler = |id: &u32| arguments(*id).get(1).is_some_and(|it| it == "__compile");
    let mut compiler = None;
    until("the edit is compiled", || {
        compiler = children(served.id()).into_iter().find(is_compiler);
        compiler.is_some()
    });
    let compiler = compiler.unwrap();
    until("it compiles", || cpu_time(compiler) >= BEGUN);
    let id = Pid::from_raw(compiler.cast_signed()).unwrap();
    kill_process(id, Signal::STOP).unwrap();
    (served, compiler)
}

#[test]
fn a_compiler_that_hangs_ends_with_its_gateway() {
    for (signal, code) in [(Signal::TERM, Some(0)), (Signal::KILL, None)] {
        let folder = Folder::new();
        let (mut served, compiler) = hanging(&folder);
        assert!(alive(compiler));
        served.signal(signal);
        assert_eq!(served.ended(), code);
        until("nothing is left", || !alive(compiler));
    }
}
