//! The outside, with a count of the processes that were started and of which something is left.
//!
//! Owns the count alone: whoever ends may then wait for the end of everything. A gateway needs none of it,
//! because wardens outlive it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::reach::{Dialed, Launch, Process, ReachFuture, Target};
use crate::{Reach, Refusal, Secret};

/// See the file's header.
pub(super) struct Attended {
    reach: Arc<dyn Reach>,
    left: watch::Sender<usize>,
}

impl Attended {
    /// The outside, and how many trees of processes are left in it.
    pub(super) fn new(reach: Arc<dyn Reach>) -> (Self, watch::Receiver<usize>) {
        let (left, count) = watch::channel(0);
        (Self { reach, left }, count)
    }
}

impl Reach for Attended {
    fn connect(&self, target: &Target) -> ReachFuture<Box<dyn Dialed>> {
        self.reach.connect(target)
    }

    fn launch(&self, launch: &Launch<'_>) -> io::Result<Process> {
        let process = self.reach.launch(launch)?;
        self.left.send_modify(|left| *left += 1);
        let (left, clearing) = (self.left.clone(), process.cleared);
        let (tell, cleared) = oneshot::channel();
        tokio::spawn(async move {
            let result = clearing.await;
            left.send_modify(|left| *left -= 1);
            // Whoever has dropped the process does not ask.
            let _told = tell.send(result);
        });
        let cleared = async move { cleared.await.unwrap_or(Ok(())) };
        Ok(Process {
            cleared: Box::pin(cleared),
            ..process
        })
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tokio::sync::mpsc::{Sender, channel};

    use super::*;

    /// An outside that says what it was asked.
    struct Outside(Sender<String>);

    impl Outside {
        fn note(&self, what: impl Into<String>) {
            self.0.try_send(what.into()).unwrap();
        }
    }

    impl Reach for Outside {
        fn connect(&self, target: &Target) -> ReachFuture<Box<dyn Dialed>> {
            self.note(&*target.host);
            Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
        }

        fn launch(&self, _: &Launch<'_>) -> io::Result<Process> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn give_up_after(&self, silence: Duration) {
            self.note(format!("{silence:?}"));
        }

        fn renew(&self) -> Result<(), Refusal> {
            Err(Refusal::new("MCPC0005", "a credentials file"))
        }

        fn variable(&self, name: &str) -> Option<Secret> {
            self.note(name);
            None
        }

        fn file(&self, path: &str) -> io::Result<Secret> {
            self.note(path);
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    #[test]
    fn what_is_asked_of_the_outside_gets_there_and_its_answers_come_back() {
        let (outside, mut asked) = channel(9);
        let (attended, _) = Attended::new(Arc::new(Outside(outside)));
        attended.give_up_after(Duration::from_secs(7));
        assert_eq!(attended.renew().unwrap_err().code, "MCPC0005");
        assert!(attended.variable("TOKEN").is_none());
        let denied = attended.file("/run/secrets/token").err().unwrap();
        assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        let asked: Vec<String> = std::iter::from_fn(|| asked.try_recv().ok()).collect();
        assert_eq!(asked, ["7s", "TOKEN", "/run/secrets/token"]);
    }
}
