//! Peers that are gone from one moment to the next, as machines are that lose their power or their network.
//!
//! A filter on a socket of the test's own drops every segment that comes for it (socket(7),
//! `SO_ATTACH_FILTER`), so that its kernel acknowledges nothing and refuses nothing. No right is needed for
//! that, and no other socket notices.

use std::net::TcpStream;

use socket2::{SockFilter, SockRef};

use crate::until;

/// "Return 0", that is, keep no byte of a segment (`BPF_RET | BPF_K`).
const DROP: u16 = 0x06;

/// From now on nothing arrives at this socket. What it sends still goes out, so the caller sends nothing; what it has sent is
/// acknowledged first, or its kernel would send it again and again, which is a sign of life.
#[track_caller]
pub fn vanish(socket: &TcpStream) {
    until("all that was sent is acknowledged", || {
        unacknowledged(socket) == 0
    });
    let filter = [SockFilter::new(DROP, 0, 0, 0)];
    let attached = SockRef::from(socket).attach_filter(&filter);
    attached.expect("a socket takes a filter");
}

/// How many bytes of a connection have no acknowledgement yet (`tx_queue` in `/proc/net/tcp`).
fn unacknowledged(socket: &TcpStream) -> u64 {
    let ports = [socket.local_addr(), socket.peer_addr()];
    let ports = ports.map(|address| address.map_or(0, |address| address.port()));
    let [local, remote] = ports.map(|port| format!(":{port:04X}"));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let queue = table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_it = fields.next()?.ends_with(&local) && fields.next()?.ends_with(&remote);
        let (sent, _) = fields.nth(1)?.split_once(':')?;
        is_it.then(|| u64::from_str_radix(sent, 16).ok())?
    });
    queue.expect("the connection is in the table of the system")
}
