//! Asks a server that gets no calls whether it could get them again.
//!
//! Owns the half-open state of a breaker while there is a session: one question at a time, never a call,
//! one that every server answers and that changes nothing. Where there is no session, `keep` opens one,
//! which is the same question. `breaker` says when.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcpc_plan::Timeouts;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::presence::Stage;
use super::{Session, Tried, Upstream};
use crate::call::{Call, Era};
use crate::failure::Failure;
use crate::params::Params;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes a session out of use while the breaker is open. Returns when the session is lost.
pub(super) async fn guard(upstream: &Arc<Upstream>, session: &Arc<Session>) {
    loop {
        upstream.breaker.opened().await;
        tokio::select! {
            () = rest(upstream) => {}
            () = upstream.presence.roused() => upstream.breaker.half_open(),
        }
        if upstream.breaker.is_open() {
            // Boxed: a question is rare, and would weigh on every session that is held.
            match Box::pin(ask(upstream, session, PATIENCE)).await {
                Ok(()) => upstream.breaker.close(),
                Err(Failure::SessionLost) => return,
                Err(failure) => {
                    upstream.health.note_failure(failure);
                    continue;
                }
            }
        }
        upstream.publish(Stage::Ready(Arc::clone(session)));
    }
}

/// Sends no calls until the pause of an open breaker is over, or the live plan has none any more. Whoever
/// comes back has tried in vain, and rests again.
pub(super) async fn rest(upstream: &Upstream) {
    upstream.breaker.reopen();
    while let Some(until) = upstream.breaker.until() {
        upstream.publish(Stage::Open { until });
        tokio::select! {
            () = sleep_until(until) => return upstream.breaker.half_open(),
            () = upstream.breaker.postponed(Some(until)) => {}
        }
    }
}

/// Whether a server answers, by a refusal or otherwise.
///
/// # Errors
/// It does not, or does not know the session any more.
pub(super) async fn ask(
    upstream: &Arc<Upstream>,
    session: &Arc<Session>,
    patience: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + patience;
    let call = question(session.profile.era, patience, deadline);
    let asked = async {
        let mut is_second = false;
        loop {
            return match upstream.try_once(&call, session).await {
                Ok(Tried::Done(_)) => Ok(()),
                Ok(Tried::Stream(stream)) => {
                    let answer = stream.into_answer().await?;
                    answer.into_reply().await.map(drop)
                }
                Ok(Tried::Lost | Tried::Suspect(_)) => Err(Failure::SessionLost),
                // A connection that was kept may have ended since.
                Err(Failure::Closed) if !std::mem::replace(&mut is_second, true) => continue,
                Err(failure) => Err(failure),
            };
        }
    };
    let answered = timeout_at(deadline, asked).await;
    answered.unwrap_or(Err(Failure::FirstByteTimeout))
}

/// What every server answers at once: `ping` in a session, and what has come in its place.
fn question(era: Era, patience: Duration, deadline: Instant) -> Call {
    let method: &[u8] = match era {
        Era::Modern => b"server/discover",
        Era::Legacy => b"ping",
    };
    Call::own(
        Bytes::from_static(method),
        Params::empty(),
        Timeouts::all(patience),
        deadline,
    )
}
