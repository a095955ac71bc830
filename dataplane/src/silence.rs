//! Peers that vanish without a word: a machine that lost its power or its network sends no end of a connection.
//!
//! Owns what the system is asked to do about them: it asks an idle peer now and then whether it is there
//! (keep-alive), and gives a connection up whose peer has acknowledged nothing for too long
//! (`TCP_USER_TIMEOUT`, tcp(7)). Whoever reads or writes on it then gets an error as if it had been reset, so
//! there is no timer for it here. Connections of clients get it from the socket that they are accepted on
//! (`listener`), those to servers when they are made (`reach`). See `docs/decisions/0045-vanished-peers.md`.

use std::io;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::time::Duration;

#[cfg(unix)]
use rustix::net::sockopt;

/// The system counts the pauses of its questions in seconds.
const LEAST: Duration = Duration::from_secs(1);

/// The system takes no pause longer than 32,767 seconds.
const MOST: Duration = Duration::from_secs(30_000);

/// A peer of this socket, or of those that it accepts, is given up after so long.
///
/// # Errors
/// Whatever the system says. The socket works without.
#[cfg(target_os = "linux")]
pub(crate) fn bound(socket: impl AsFd, most: Duration) -> io::Result<()> {
    let most = most.clamp(LEAST, MOST);
    // With a limit of its own the system does not count questions: they only have to be several.
    sockopt::set_tcp_keepidle(&socket, (most / 2).max(LEAST))?;
    sockopt::set_tcp_keepintvl(&socket, (most / 6).max(LEAST))?;
    let most_ms = u32::try_from(most.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(&socket, most_ms)?;
    Ok(sockopt::set_socket_keepalive(&socket, true)?)
}

/// The same where only idle peers can be asked, at the system's own pace.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) fn bound(socket: impl AsFd, _: Duration) -> io::Result<()> {
    Ok(sockopt::set_socket_keepalive(&socket, true)?)
}

/// The same where nothing can be asked for.
#[cfg(not(unix))]
pub(crate) fn bound<S>(_: S, _: Duration) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn connections_get_the_bound_of_the_socket_that_accepts_them() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (most, idle, pause, all_ms) in [
            (Duration::from_millis(1), 1, 1, 1_000),
            (Duration::from_secs(30), 15, 5, 30_000),
            (Duration::MAX, 15_000, 5_000, 30_000_000),
        ] {
            bound(&listener, most).unwrap();
            let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert!(sockopt::socket_keepalive(&accepted).unwrap());
            assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap().as_secs(), idle);
            assert_eq!(sockopt::tcp_keepintvl(&accepted).unwrap().as_secs(), pause);
            assert_eq!(sockopt::tcp_user_timeout(&accepted).unwrap(), all_ms);
        }
    }
}
