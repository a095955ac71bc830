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
