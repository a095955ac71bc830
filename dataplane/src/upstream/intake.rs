//! Hears from an upstream that its lists have changed, and from a legacy one that resources have.
//!
//! Owns the one notification stream per upstream session: `subscriptions/listen` in the modern era,
//! a GET stream in the legacy one (2025-11-25 §Listening for Messages from the Server). Does not
//! read the lists again: whoever watches `Upstream::changes` does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};

use super::events::{HttpEvents, Step};
use super::handshake::modern_meta;
use super::head::{Draft, Kind, Verb};
use super::http::{HttpSession, METHOD};
use super::question::{Asker, Question, is_question};
use super::revision::announces;
use super::wire::Exchange;
use super::{Session, Upstream};
use crate::call::{Era, Event};
use crate::failure::Failure;
use crate::profile::Profile;

/// The pauses before a stream that ended is opened again.
const PAUSE_FROM: Duration = Duration::from_secs(1);
const PAUSE_TO: Duration = Duration::from_secs(60);

/// How long one stream may last. Peers that vanish without a word are noticed by TCP keep-alive.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why a stream is not open.
enum End {
    /// It was open, or could be soon.
    Again,
    /// The upstream does not know the session any more.
    Lost,
    /// The upstream has no such stream.
    None,
}

/// What is known of the streams of a session so far.
#[derive(Default)]
struct Past {
    /// Whether one of them was open.
    has_opened: bool,
    /// Whether there was a time without one.
    has_missed: bool,
}

/// The request for a modern upstream's announcements; nothing if it makes none.
pub(super) fn listen_message(profile: &Profile, id: u64) -> Option<String> {
    let wanted: Vec<String> = [
        ("tools", "toolsListChanged"),
        ("prompts", "promptsListChanged"),
        ("resources", "resourcesListChanged"),
    ]
    .iter()
    .filter(|(capability, _)| announces(profile, capability))
    .map(|(_, field)| format!("\"{field}\":true"))
    .collect();
    (!wanted.is_empty()).then(|| {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"subscriptions/listen\",\"params\":{{\"_meta\":{},\"notifications\":{{{}}}}}}}",
            modern_meta(),
            wanted.join(",")
        )
    })
}

/// Listens as long as the session lasts. Never returns while there is anything to hear.
pub(super) async fn listen(upstream: &Arc<Upstream>, session: &Arc<Session>, http: &HttpSession) {
    let profile = &session.profile;
    let is_announced = ["tools", "prompts", "resources"]
        .iter()
        .any(|capability| announces(profile, capability));
    // A legacy server may ask on its general stream, and tells updates of resources there, whatever
    // else it says. A modern one has streams of their own for updates.
    if !is_announced && profile.era == Era::Modern {
        return std::future::pending().await;
    }
    let mut pause = PAUSE_FROM;
    let mut past = Past::default();
    loop {
        let began = Instant::now();
        let end = stream(upstream, session, http, &mut past).await;
        upstream.floor.hear(false);
        match end {
            End::Again => {}
            End::Lost => return upstream.presence.withdraw(session),
            End::None => return std::future::pending().await,
        }
        past.has_missed = true;
        if began.elapsed() > PAUSE_TO {
            pause = PAUSE_FROM;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_TO);
    }
}

/// Opens the stream and hears it to its end. Whoever opens it again has missed something.
async fn stream(
    upstream: &Arc<Upstream>,
    session: &Arc<Session>,
    http: &HttpSession,
    past: &mut Past,
) -> End {
    let deadline = Instant::now() + STREAM_MAX;
    let id = upstream.ids.fetch_add(1, Ordering::Relaxed);
    let exchange = match open(session, http, id).await {
        Ok(exchange) => exchange,
        Err(failure) => {
            upstream.health.note_failure(failure);
            return End::Again;
        }
    };
    upstream.health.note_connected();
    if exchange.status == StatusCode::NOT_FOUND && session.profile.era == Era::Legacy {
        // Without a session id it is the stream that is not found, and so it is if there never was
        // one: a server that has none may say so like this. Calls notice whether the session is gone.
        let is_session = http.has_id && past.has_opened;
        return if is_session { End::Lost } else { End::None };
    }
    if exchange.status.is_server_error() {
        return End::Again;
    }
    if !exchange.status.is_success() || exchange.kind != Kind::Events {
        return End::None;
    }
    past.has_opened = true;
    if past.has_missed {
        upstream.note_all_changed();
        if session.profile.era == Era::Legacy {
            upstream.watches.missed();
        }
    }
    let is_legacy = session.profile.era == Era::Legacy;
    upstream.floor.hear(is_legacy);
    let mut events = HttpEvents::open(exchange, id, &upstream.bounds, STREAM_MAX, deadline);
    loop {
        match events.next().await {
            Ok(Step::Changed(method)) => upstream.note_change(&method),
            Ok(Step::Updated(params)) => upstream.note_update(params.as_ref()),
            Ok(Step::Asked(id, method, params)) if is_legacy && is_question(&method) => {
                let asker = Asker::Session(Arc::clone(session));
                let keeper = &upstream.keeper;
                upstream
                    .floor
                    .ask(Question::new(id, method, params, asker, keeper));
            }
            Ok(Step::Asked(id, method, _)) => session.answer(&id, &method).await,
            Ok(
                Step::Acknowledged(_)
                | Step::Event(Event::Notify(_) | Event::Ask(_) | Event::Pause),
            ) => {}
            Ok(Step::Event(Event::Done(_))) | Err(_) => return End::Again,
        }
    }
}

async fn open(session: &Session, http: &HttpSession, id: u64) -> Result<Exchange, Failure> {
    let connect_by = Instant::now() + PAUSE_TO;
    let request = match session.profile.era {
        Era::Legacy => Draft::new(Verb::Get, &http.preamble, Vec::new()),
        Era::Modern => {
            let message = listen_message(&session.profile, id).unwrap_or_default();
            let mut request = Draft::new(Verb::Post, &http.preamble, message.into());
            let mirrored = request.field(METHOD, b"subscriptions/listen");
            debug_assert!(mirrored.is_ok(), "a constant of this file");
            request
        }
    };
    http.site.exchange(request.end(), connect_by).await
}
