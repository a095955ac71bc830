//! Lets a configuration say `command: mcpc` and mean the `mcpc` that belongs to this gateway.
//!
//! Everything else goes to the real [`Reach`] as it is. See `docs/decisions/0010-own-commands.md`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mcpc_dataplane::{Dialed, Launch, Process, Reach, ReachFuture, Real, Refusal, Secret, Target};

/// The program that ships with the gateway.
const OWN: &str = "mcpc";

/// The running executable, also after its file was replaced by a newer one.
const THIS_EXECUTABLE: &str = "/proc/self/exe";

/// The outside for a gateway: children start through this executable, which must call
/// [`child_entry`](mcpc_dataplane::child_entry) first, and `mcpc` is the one beside it.
pub fn open_reach(real: Real) -> Arc<dyn Reach> {
    let reach = match this_executable() {
        Some(executable) => real.with_children_through(executable),
        None => real,
    };
    let sibling = sibling().and_then(|path| path.to_str().map(Into::into));
    Arc::new(Siblings {
        reach,
        program: sibling,
    })
}

/// The running program, for whoever starts it again.
pub fn this_executable() -> Option<PathBuf> {
    if Path::new(THIS_EXECUTABLE).exists() {
        return Some(PathBuf::from(THIS_EXECUTABLE));
    }
    std::env::current_exe().ok()
}

/// A [`Reach`] that starts our own program from the directory of the running one.
struct Siblings<R> {
    reach: R,
    program: Option<Box<str>>,
}

fn sibling() -> Option<PathBuf> {
    let path = std::env::current_exe().ok()?.with_file_name(OWN);
    path.is_file().then_some(path)
}

impl<R: Reach> Reach for Siblings<R> {
    fn connect(&self, target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        self.reach.connect(target)
    }

    fn launch(&self, launch: &Launch<'_>) -> io::Result<Process> {
        match &self.program {
            Some(program) if launch.definition.command.as_ref() == OWN => {
                let mut definition = launch.definition.clone();
                definition.command.clone_from(program);
                self.reach.launch(&Launch {
                    definition: &definition,
                    env: launch.env,
                })
            }
            _ => self.reach.launch(launch),
        }
    }

    fn give_up_after(&self, silence: Duration) {
        self.reach.give_up_after(silence);
    }

    fn renew(&self) -> Result<(), Refusal> {
        self.reach.renew()
    }

    fn variable(&self, name: &str) -> Option<Secret> {
        self.reach.variable(name)
    }

    fn file(&self, path: &str) -> io::Result<Secret> {
        self.reach.file(path)
    }
}
