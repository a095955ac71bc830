//! What operators ask of a running gateway: to load its configuration again, or to go one plan back.
//!
//! Owns the form of orders and of what came of them. The admin listener takes them, and whoever
//! operates the gateway carries them out, one after the other: the gateway itself has no configuration
//! to load and keeps no earlier plan.

use mcpc_plan::Digest;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::status::Refused;

/// How many orders may wait. Operators are few; one that waits longer asks again.
const WAITING_MAX: usize = 8;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The configuration is loaded again, whether it has changed or not.
    Reload,
    /// The plan before the live one is made live again.
    RollBack,
}

/// One order, and whoever waits for what comes of it.
pub struct Order {
    wish: Wish,
    waiting: oneshot::Sender<Result<Outcome, NotTaken>>,
}

/// Why nothing comes of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// Too many wait already.
    TooMany,
    /// Nobody takes them yet, or any more.
    Nobody,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// In a word.
    pub verdict: Verdict,
    /// The plan that is live now.
    pub live: Digest,
    /// What was refused, and why.
    pub refused: Option<Refused>,
    /// The servers that were down, or rested before their next attempt, and are tried at once because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried_again: Vec<Box<str>>,
}

/// What came of an order, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Another plan is live.
    Live,
    /// The plan was live already.
    Unchanged,
    /// Everything is as it was.
    Refused,
}

/// Where orders are given.
#[derive(Clone)]
pub(crate) struct Orders(mpsc::Sender<Order>);

impl Order {
    /// What is asked for.
    pub fn wish(&self) -> Wish {
        self.wish
    }

    /// Tells whoever has asked, if they still wait.
    pub fn answer(self, outcome: Outcome) {
        let _nobody_waits = self.waiting.send(Ok(outcome));
    }

    /// The same, when it is one too many.
    pub fn turn_away(self) {
        let _nobody_waits = self.waiting.send(Err(NotTaken::TooMany));
    }
}

impl Orders {
    /// Where orders are given, and where they are taken.
    pub(crate) fn open() -> (Self, mpsc::Receiver<Order>) {
        let (sender, orders) = mpsc::channel(WAITING_MAX);
        (Self(sender), orders)
    }

    /// Gives an order, and waits for what comes of it.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(crate) async fn give(self, wish: Wish) -> Result<Outcome, NotTaken> {
        let (waiting, answer) = oneshot::channel();
        let given = self.0.try_send(Order { wish, waiting });
        given.map_err(|error| match error {
            TrySendError::Full(_) => NotTaken::TooMany,
            TrySendError::Closed(_) => NotTaken::Nobody,
        })?;
        answer.await.unwrap_or(Err(NotTaken::Nobody))
    }
}
