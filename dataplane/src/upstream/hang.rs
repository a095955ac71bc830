//! Tells a process that hangs from one that is busy.
//!
//! Owns the question: after a call that had no answer in time, the process is asked what every server
//! answers at once. If it does not write a single line for a long while, it never will. Does not end the
//! process: `keep` does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::handshake::{HANDSHAKE_ID, discover_message};
use super::stdio::Link;
use crate::call::Era;

/// How long a process may be silent after the question. A server with one thread answers nothing while a
/// tool works, so this is long, and comes on top of the time that a call had.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a process hangs.
pub(super) async fn hangs(link: &Arc<Link>, era: Era) {
    loop {
        link.silence().await;
        let heard = link.heard();
        let by = Instant::now() + PATIENCE;
        match link
            .ask(question(era), HANDSHAKE_ID, by, PATIENCE, by)
            .await
        {
            Ok(mut events) => drop(events.next().await),
            // It does not read its input either, or is ending.
            Err(_) => sleep_until(by).await,
        }
        if link.heard() == heard {
            return;
        }
    }
}

fn question(era: Era) -> Vec<u8> {
    match era {
        Era::Modern => discover_message().into_bytes(),
        Era::Legacy => format!("{{\"jsonrpc\":\"2.0\",\"id\":{HANDSHAKE_ID},\"method\":\"ping\"}}")
            .into_bytes(),
    }
}
