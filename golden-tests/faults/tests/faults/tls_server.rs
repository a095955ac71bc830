//! TLS in front of a server that knows none.
//!
//! ```text
//! gateway ─TLS─► TlsServer ─► any server on a loopback address
//! ```
//!
//! Owns the door: it can be shut and opened again at the same address, and be given another certificate.
//! Where certificates come from is `certificates`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::ServerConfig;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// See the file's header.
pub(crate) struct TlsServer {
    pub(crate) address: SocketAddr,
    /// Where what comes out of TLS goes to.
    behind: SocketAddr,
    shown: Arc<Mutex<Arc<ServerConfig>>>,
    open: Option<Open>,
}

/// A door that is open, until this is dropped.
struct Open {
    close: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TlsServer {
    /// Opens a door in front of a server.
    pub(crate) fn start(behind: SocketAddr, shows: Arc<ServerConfig>) -> Self {
        let mut server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            behind,
            shown: Arc::new(Mutex::new(shows)),
            open: None,
        };
        server.open();
        server
    }

    /// Shows another certificate from the next connection on.
    pub(crate) fn show(&self, other: Arc<ServerConfig>) {
        *self.shown.lock().unwrap() = other;
    }

    /// Nobody can connect any more, and whoever is connected is cut off.
    pub(crate) fn shut(&mut self) {
        self.open = None;
    }

    /// Opens the door at the same address as before.
    pub(crate) fn open(&mut self) {
        let (close, closing) = oneshot::channel::<()>();
        let (bound, binding) = std::sync::mpsc::channel();
        let (address, behind, shown) = (self.address, self.behind, Arc::clone(&self.shown));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(address).await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = serve(&listener, behind, &shown) => {}
                    _ = closing => {}
                }
            });
        });
        self.address = binding.recv().unwrap();
        self.open = Some(Open {
            close: Some(close),
            thread: Some(thread),
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.close.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, the test sees a server that is gone.
            let _ended = thread.join();
        }
    }
}

async fn serve(listener: &TcpListener, behind: SocketAddr, shown: &Mutex<Arc<ServerConfig>>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::clone(&shown.lock().unwrap()));
        tokio::spawn(async move {
            // Whoever does not trust the certificate leaves; whoever is done as well.
            if let Ok(mut client) = acceptor.accept(client).await
                && let Ok(mut server) = TcpStream::connect(behind).await
            {
                let _ended = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}
