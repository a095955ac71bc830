//! The client transport of 2024-11-05 and later that has no network: one client on two streams, one
//! message a line (2026-07-28 §stdio). What a desktop client starts.
//!
//! Owns the thread, reading and writing lines, and the end: nothing but messages is ever written.
//! What a message means is `channel`'s; whose streams these are is the caller's to say.

use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::channel::Channel;
use crate::outbox::Outgoing;
use crate::pipeline::Plane;
use crate::refusal::Refusal;
use crate::reply::LocalReply;
use crate::upstream::lines::{Framer, Line};

/// How long the last messages may take to be written.
const FLUSH: Duration = Duration::from_secs(1);

/// A client on two streams.
pub struct Stdio {
    /// What the client sends.
    pub input: Box<dyn AsyncRead + Send + Unpin>,
    /// What the client gets.
    pub output: Box<dyn AsyncWrite + Send + Unpin>,
    /// The name or the path of the endpoint that it is on; nothing if it has no wish.
    pub endpoint: Option<String>,
}

/// The thread that serves such a client.
pub(crate) struct StdioThread {
    stop: watch::Sender<Option<Duration>>,
    left: Option<oneshot::Receiver<()>>,
    thread: Option<JoinHandle<()>>,
}

impl StdioThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no such endpoint, or it is not clear which one; the system gives no thread.
    pub(crate) fn start(stdio: Stdio, plane: &Arc<Plane>) -> Result<Self, Refusal> {
        let path = endpoint_path(stdio.endpoint.as_deref(), plane)?;
        let opened = Channel::open(Arc::clone(plane), &path);
        let (channel, messages) = opened.map_err(|reply| {
            let row = reply.row();
            Refusal::new(row.code, row.text)
        })?;
        let (stop, stopping) = watch::channel(None);
        let (leaving, left) = oneshot::channel();
        let no_thread = |error| Refusal::system("start a thread", &error);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_thread)?;
        let plane = Arc::clone(plane);
        let thread = std::thread::Builder::new()
            .name("mcpc-stdio".into())
            .spawn(move || {
                let (input, output) = (stdio.input, stdio.output);
                runtime.block_on(serve(
                    read(input, channel, stopping, &plane),
                    write(output, messages),
                ));
                // A read of standard input that is under way cannot be ended, only left behind.
                runtime.shutdown_background();
                let _nobody_waits = leaving.send(());
            })
            .map_err(no_thread)?;
        Ok(Self {
            stop,
            left: Some(left),
            thread: Some(thread),
        })
    }

    /// Resolves when the client has left and everything that it asked is answered. For one waiter.
    pub(crate) fn left(&mut self) -> Option<oneshot::Receiver<()>> {
        self.left.take()
    }

    /// Reads no more, lets calls finish within the grace, and ends the thread.
    pub(crate) fn stop(&mut self, grace: Duration) {
        self.stop.send_replace(Some(grace));
        if let Some(thread) = self.thread.take() {
            // If it panicked it has ended, which is what is asked of it here.
            let _ended = thread.join();
        }
    }
}

impl Drop for StdioThread {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

/// The endpoint that was named; without a name the only one, or the one at `/mcp`.
fn endpoint_path(wish: Option<&str>, plane: &Plane) -> Result<Box<str>, Refusal> {
    let snapshot = plane.live.load();
    let mut endpoints = snapshot.endpoints.iter().map(|served| &served.endpoint);
    let found = match wish {
        Some(wish) => endpoints.find(|it| it.name.as_ref() == wish || it.path.as_ref() == wish),
        None if endpoints.len() == 1 => endpoints.next(),
        None => endpoints.find(|it| it.path.as_ref() == "/mcp"),
    };
    if let Some(endpoint) = found {
        return Ok(endpoint.path.clone());
    }
    let names: Vec<&str> = snapshot
        .endpoints
        .iter()
        .map(|served| served.endpoint.name.as_ref())
        .collect();
    let names = names.join(", ");
    let reason = match wish {
        Some(wish) => format!("there is no endpoint `{wish}`; the plan has: {names}"),
        None => format!("--endpoint must say which endpoint standard input is for: {names}"),
    };
    Err(Refusal::new("MCPC9607", reason))
}

/// Runs both directions. When there is nothing more to read, what is left to write has a moment; when
/// nobody reads what is written, reading ends by itself.
async fn serve(reading: impl Future<Output = ()>, writing: impl Future<Output = ()>) {
    let (mut reading, mut writing) = (pin!(reading), pin!(writing));
    tokio::select! {
        () = &mut reading => {
            let _nobody_reads = timeout(FLUSH, writing).await;
        }
        () = &mut writing => reading.await,
    }
}

/// Reads messages until the client leaves or the gateway stops.
async fn read(
    mut input: Box<dyn AsyncRead + Send + Unpin>,
    mut channel: Channel,
    mut stop: watch::Receiver<Option<Duration>>,
    plane: &Plane,
) {
    let bytes_max = usize::try_from(channel.message_bytes_max()).unwrap_or(usize::MAX);
    let mut framer = Framer::new(bytes_max);
    let grace = loop {
        let got = tokio::select! {
            biased;
            grace = stopping(&mut stop) => break grace,
            () = channel.closed() => break Duration::ZERO,
            got = input.read_buf(framer.room()) => got,
        };
        while let Some(line) = framer.next() {
            take(&mut channel, line).await;
        }
        // A stream that breaks is a client that left.
        if !got.is_ok_and(|bytes| bytes > 0) {
            if let Some(line) = framer.rest() {
                take(&mut channel, line).await;
            }
            break Duration::from_millis(plane.live.load().limits.grace_ms);
        }
    };
    tokio::select! {
        () = channel.finish(grace) => {}
        // Asked to stop while the last calls are awaited: the client waits no longer either.
        () = stopped_in(&mut stop) => {}
    }
}

async fn take(channel: &mut Channel, line: Line) {
    match line {
        Line::Whole(line) if line.trim_ascii().is_empty() => {}
        Line::Whole(line) => channel.take(line).await,
        Line::Oversized(_) => channel.refuse(&LocalReply::BodyTooLarge).await,
    }
}

/// Waits until the gateway stops, and gives its grace.
async fn stopping(stop: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stop.wait_for(Option::is_some).await {
        Ok(grace) => grace.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    }
}

/// Waits until the gateway stops, and then as long as it says.
async fn stopped_in(stop: &mut watch::Receiver<Option<Duration>>) {
    let grace = stopping(stop).await;
    tokio::time::sleep(grace).await;
}

/// Writes messages until the channel ends, or nobody reads them.
async fn write(output: Box<dyn AsyncWrite + Send + Unpin>, mut messages: mpsc::Receiver<Outgoing>) {
    let mut output = BufWriter::new(output);
    while let Some(outgoing) = messages.recv().await {
        let mut written = put(&mut output, &outgoing.message).await;
        while let (true, Ok(outgoing)) = (written.is_ok(), messages.try_recv()) {
            written = put(&mut output, &outgoing.message).await;
        }
        if written.is_err() || output.flush().await.is_err() {
            return;
        }
    }
}

async fn put(
    output: &mut BufWriter<Box<dyn AsyncWrite + Send + Unpin>>,
    message: &[u8],
) -> std::io::Result<()> {
    output.write_all(message).await?;
    output.write_all(b"\n").await
}
