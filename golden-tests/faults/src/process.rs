//! What a process does wrong as a process: deafness, silence from the start, descendants; and that it
//! tolerates no second one of its kind.

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use tokio::signal::unix::{SignalKind, signal};

/// What a process does from its start on, by its arguments.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "habits go together in any way"
)]
pub struct Habits {
    /// It ignores SIGTERM and the end of its input.
    pub is_deaf: bool,
    /// It never says anything.
    pub is_silent: bool,
    /// It starts a process that lingers.
    pub has_family: bool,
    /// It knows no revision of today.
    pub is_old: bool,
    /// It ends at once if another one like it, or what that has started, is still there in this directory.
    pub is_alone: bool,
}

/// What only one of them holds, and passes on to all that it starts.
const LOCK: &str = "faulty.lock";

/// The exit code of one that finds it held.
const NOT_ALONE: i32 = 4;

impl Habits {
    /// Reads `--deaf`, `--silent`, `--family`, `--old` and `--alone`.
    pub fn of(arguments: &[String]) -> Self {
        let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
        Self {
            is_deaf: has("--deaf"),
            is_silent: has("--silent"),
            has_family: has("--family"),
            is_old: has("--old"),
            is_alone: has("--alone"),
        }
    }

    /// Takes them on.
    pub fn adopt(self) {
        if self.is_alone {
            take_lock();
        }
        if self.is_deaf {
            go_deaf();
        }
        if self.has_family {
            fork();
        }
    }
}

/// Takes the lock for as long as this process or a descendant of it lives.
fn take_lock() {
    let file = File::create(LOCK).expect("a file can be made here");
    if file.try_lock().is_err() {
        std::process::exit(NOT_ALONE);
    }
    fcntl_setfd(&file, FdFlags::empty()).expect("descriptors can be inherited");
    std::mem::forget(file);
}

/// Starts a process in the same group that holds the pipes, is deaf, and outlives everybody who does
/// not end it by force.
pub(crate) fn fork() {
    let executable = std::env::current_exe().expect("this program has a file");
    let mut command = Command::new(executable);
    let started = command.arg("linger").stdin(Stdio::inherit()).spawn();
    let mut child = started.expect("this program can be started");
    // Nobody waits for it here: it outlives this process, or is ended by force.
    std::thread::spawn(move || child.wait());
}

/// Is such a process.
pub fn linger() -> ! {
    go_deaf();
    forever()
}

/// Blocks this thread for as long as the process lives.
pub(crate) fn forever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// From here on SIGTERM and SIGHUP are received and nothing is done. The receivers may go: what was
/// taken over once is never given back to the system's default.
fn go_deaf() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("there is a runtime");
    let _runtime = runtime.enter();
    for kind in [SignalKind::terminate(), SignalKind::hangup()] {
        let _deaf = signal(kind).expect("a signal can be taken over");
    }
}
