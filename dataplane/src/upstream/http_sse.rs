//! A server of 2024-11-05 over HTTP: one long GET on which everything comes, and POSTs that only take
//! messages (2024-11-05 §HTTP with SSE).
//!
//! Owns opening such a session and serving its two directions. To calls it is a pipe like a child's, so
//! they share `stdio`'s link: queue, ids, sorting. `keep` decides when to try this transport and again.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use mcpc_plan::{Scheme, Timeouts};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::Upstream;
use super::body::Filled;
use super::handshake::{HANDSHAKE_ID, INITIALIZED, initialize_message};
use super::head::{Draft, Kind, Preamble, Verb};
use super::lines::Line;
use super::revision;
use super::sse::Decoder;
use super::stdio::{Link, Outgoing};
use super::wire::{Exchange, Site};
use crate::ask::kind::DECLARED_TO_PROCESSES;
use crate::call::{Event, Reply};
use crate::failure::Failure;
use crate::profile::Profile;
use crate::reach::Target;

/// How long one stream may last. Peers that vanish without a word are noticed by TCP keep-alive.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3600);

/// The most bytes of what a server answers to a POST. Nobody reads it.
const IGNORED_BYTES_MAX: usize = 64 * 1024;

/// A session: both of its directions are served until one of them breaks. Dropping it ends it.
pub(super) struct SseSession {
    pub(super) link: Arc<Link>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

/// The stream of a session, and what was read of it.
struct Stream {
    exchange: Exchange,
    decoder: Decoder,
}

/// Whether a refused `initialize` may mean that the server has only the transport of 2024-11-05
/// (2025-11-25 Transports §Backwards Compatibility).
pub(super) fn may_be_spoken(failure: Failure) -> bool {
    matches!(failure, Failure::Status(400 | 404 | 405))
}

impl SseSession {
    /// Opens a session: the stream, the address for messages, the handshake.
    pub(super) async fn open(
        site: &Arc<Site>,
        upstream: &Arc<Upstream>,
        timeouts: &Timeouts,
    ) -> Result<(Self, Profile), Failure> {
        let connect_by = Instant::now() + Duration::from_millis(timeouts.connect_ms);
        let by = Instant::now() + Duration::from_millis(timeouts.first_byte_ms);
        let opening = async {
            let mut stream = Stream::open(site, upstream, connect_by).await?;
            let address = stream.address(by).await?;
            Ok::<_, Failure>((stream, address))
        };
        let opened = timeout_at(by, opening).await;
        let (stream, address) = opened.map_err(|_| Failure::FirstByteTimeout)??;
        let path = path_of(&address, site.target(), site.preamble().path());
        let preamble = path.and_then(|path| site.preamble().at(&path));
        let preamble = preamble.ok_or(Failure::Handshake)?;
        let (link, inbox) = Link::new();
        let posting = post_all(Arc::clone(site), preamble, inbox, by - Instant::now());
        let session = Self {
            reader: tokio::spawn(stream.read_all(Arc::clone(&link), Arc::clone(upstream))),
            writer: tokio::spawn(posting),
            link,
        };
        let profile = session.initialize(upstream, by).await?;
        Ok((session, profile))
    }

    async fn initialize(&self, upstream: &Upstream, by: Instant) -> Result<Profile, Failure> {
        let wait = by.saturating_duration_since(Instant::now());
        // One session for all callers, as with a process.
        let message = initialize_message(DECLARED_TO_PROCESSES).into();
        let asking = self.link.ask(message, HANDSHAKE_ID, by, wait, by);
        let mut events = asking.await?;
        let result = loop {
            match events.next().await? {
                Event::Done(Reply::Result(result)) => break result,
                Event::Done(Reply::Error(_)) => return Err(Failure::Handshake),
                Event::Notify(_) | Event::Ask(_) | Event::Pause => {}
            }
        };
        let profile =
            revision::of_initialize(&result, upstream.bounds.nesting).ok_or(Failure::Handshake)?;
        self.link.write(INITIALIZED.to_vec(), by).await?;
        Ok(profile)
    }

    /// Waits until one of the directions has broken. Whoever waits for an answer has been told then.
    pub(super) async fn gone(&mut self) {
        tokio::select! {
            _end = &mut self.reader => {}
            _end = &mut self.writer => {}
        }
        self.link.close();
    }
}

impl Drop for SseSession {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
        self.link.close();
    }
}

impl Stream {
    async fn open(site: &Site, upstream: &Upstream, connect_by: Instant) -> Result<Self, Failure> {
        let request = Draft::new(Verb::Get, site.preamble(), Vec::new());
        let exchange = site.exchange(request.end(), connect_by).await?;
        if exchange.status == 401 || exchange.status == 403 {
            return Err(Failure::Unauthorized);
        }
        if !exchange.status.is_success() || exchange.kind != Kind::Events {
            return Err(Failure::Status(exchange.status.as_u16()));
        }
        let decoder = Decoder::new(upstream.bounds.reply_bytes);
        Ok(Self { exchange, decoder })
    }

    /// What the first event says: where messages go.
    async fn address(&mut self, deadline: Instant) -> Result<String, Failure> {
        loop {
            while let Some(event) = self.decoder.next() {
                let event = event.map_err(|_| Failure::TooLarge)?;
                if event.kind.as_deref() == Some(b"endpoint") {
                    let address = String::from_utf8(event.data.to_vec());
                    return address.map_err(|_| Failure::Handshake);
                }
            }
            self.fill(deadline).await?;
        }
    }

    async fn fill(&mut self, deadline: Instant) -> Result<(), Failure> {
        let room = self.decoder.room();
        let text = self.decoder.text();
        let body = &mut self.exchange.body;
        match body.fill(text, room, STREAM_MAX, deadline).await? {
            Filled::Some => Ok(()),
            Filled::End => Err(Failure::Closed),
        }
    }

    /// Serves the stream until it ends.
    async fn read_all(mut self, link: Arc<Link>, upstream: Arc<Upstream>) {
        let deadline = Instant::now() + STREAM_MAX;
        loop {
            while let Some(event) = self.decoder.next() {
                // What is too large cannot be told from what follows it.
                let Ok(event) = event else { return };
                if event.kind.is_none_or(|kind| kind.as_ref() == b"message") {
                    link.take(Line::Whole(event.data), &upstream);
                }
            }
            if self.fill(deadline).await.is_err() {
                return;
            }
            tokio::task::consume_budget().await;
        }
    }
}

/// Posts messages, one after another, until one is refused: the session is lost then.
async fn post_all(
    site: Arc<Site>,
    preamble: Preamble,
    mut inbox: mpsc::Receiver<Outgoing>,
    patience: Duration,
) {
    while let Some(outgoing) = inbox.recv().await {
        let message = outgoing.message().to_vec();
        let request = Draft::new(Verb::Post, &preamble, message).end();
        let deadline = Instant::now() + patience;
        let sent = timeout_at(deadline, site.exchange(request, deadline)).await;
        let Ok(Ok(exchange)) = sent else { return };
        if !exchange.status.is_success() {
            return;
        }
        if exchange.kind != Kind::Events {
            let body = exchange.body;
            // Read only to use the connection again; what it says changes nothing.
            let _body = body.collect(IGNORED_BYTES_MAX, patience, deadline).await;
        }
    }
}

/// The path for messages, as a server that is reached at `target` may say it: of its own origin only,
/// since what is posted there carries credentials. Relative to `base`.
fn path_of(address: &str, target: &Target, base: &str) -> Option<String> {
    let address = address.trim();
    if address.starts_with("//") {
        return None;
    }
    if address.starts_with('/') {
        return Some(address.to_owned());
    }
    if !address.contains("://") {
        let path = base.split('?').next()?;
        if address.starts_with('?') {
            return Some(format!("{path}{address}"));
        }
        let directory = path.rsplit_once('/')?.0;
        return Some(format!("{directory}/{address}"));
    }
    let uri: Uri = address.parse().ok()?;
    let scheme = match uri.scheme_str()? {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let host = uri.host()?.trim_matches(['[', ']']);
    let is_same = scheme == target.scheme
        && host.eq_ignore_ascii_case(target.host.trim_matches(['[', ']']))
        && uri.port_u16().unwrap_or(scheme.default_port()) == target.port;
    is_same.then(|| uri.path_and_query().map(ToString::to_string))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_to_the_servers_own_origin_only() {
        let target = Target {
            scheme: Scheme::Http,
            host: "a.test".into(),
            port: 80,
        };
        let path = |address| path_of(address, &target, "/mcp/sse?x=/y");
        assert_eq!(path("/message?s=1").as_deref(), Some("/message?s=1"));
        assert_eq!(path("message?s=1").as_deref(), Some("/mcp/message?s=1"));
        assert_eq!(path("?s=1").as_deref(), Some("/mcp/sse?s=1"));
        assert_eq!(path("http://A.test/m?s=1").as_deref(), Some("/m?s=1"));
        assert_eq!(path("http://a.test:80/m").as_deref(), Some("/m"));
        for foreign in [
            "http://b.test/m",
            "https://a.test/m",
            "http://a.test:8080/m",
            "//b.test/m",
            "ftp://a.test/m",
        ] {
            assert_eq!(path(foreign), None, "{foreign}");
        }
    }
}
