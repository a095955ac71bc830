//! Accepts connections of one worker thread and serves them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::pipeline::{self, Plane};

/// Accepts until it is told to stop.
pub(crate) async fn run(
    listener: TcpListener,
    plane: Arc<Plane>,
    mut stop: watch::Receiver<Option<Duration>>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let plane = Arc::clone(&plane);
                tokio::spawn(async move {
                    let service = service_fn(|request| {
                        let plane = Arc::clone(&plane);
                        async move { Ok::<_, Infallible>(pipeline::handle(request, plane).await) }
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
            _ = stop.changed() => return,
        }
    }
}
