//! What an upstream is told that expects no answer: notifications of clients that the gateway does not know.
//!
//! Owns the message for its hop and the way it takes. Does not decide whose a notification is (`extension`).
//! It gets there if the upstream can be reached in a moment: nobody is told otherwise, as of any notification.

use std::sync::Arc;

use tokio::time::Instant;

use super::farewell::PATIENCE;
use super::head::{Draft, Verb};
use super::http::{HttpSession, METHOD};
use super::{Line, Replicas, Upstream};
use crate::beside::passing_params;
use crate::call::{Era, Party};
use crate::failure::Failure;
use crate::message::{Notification, add_beside, write_notification};
use crate::policy::Permit;

impl Replicas {
    /// Passes on what a client of this era says, to the one that its calls go to. What a session has to
    /// itself is not started for it.
    pub(crate) async fn tell(
        &self,
        told: &Notification,
        client: Era,
        party: Party,
        permit: Permit,
    ) -> Result<(), Failure> {
        let shared = || self.choose_ready(party, |_| true).unwrap_or_default();
        let upstream = match self.private(party) {
            Some((private, session)) => private.of_now(session),
            None => self.upstream(shared()).cloned(),
        };
        let upstream = upstream.ok_or(Failure::Stopped)?;
        upstream.tell(told, client, permit).await
    }
}

impl Upstream {
    async fn tell(
        self: &Arc<Self>,
        told: &Notification,
        client: Era,
        _permit: Permit,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let session = self.presence.session(deadline).await?;
        let era = session.profile.era;
        let params = told.params.as_deref();
        let params = params.map(|params| passing_params(params, client == era));
        let params = params.map(Option::unwrap_or_default);
        let mut message = Vec::new();
        let method = std::str::from_utf8(&told.method).map_err(|_| Failure::Garbage)?;
        write_notification(&mut message, method, params.as_deref());
        add_beside(&mut message, &told.beside);
        match &session.line {
            Line::Http(http) => http.notify(era, &told.method, message, deadline).await,
            Line::Stdio(link) => link.write(message, deadline).await,
        }
    }
}

impl HttpSession {
    async fn notify(
        &self,
        era: Era,
        method: &[u8],
        message: Vec<u8>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut request = Draft::new(Verb::Post, &self.preamble, message);
        if era == Era::Modern {
            let mirrored = request.field(METHOD, method);
            mirrored.map_err(|_| Failure::Garbage)?;
        }
        let status = self.exchange_and_ignore(request.end(), deadline).await?;
        if status.is_success() {
            Ok(())
        } else {
            Err(Failure::Status(status.as_u16()))
        }
    }
}
