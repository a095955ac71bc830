//! Peers that are gone from one moment to the next, as machines are that lose their power or their network.
//!
//! A filter on a socket of the test's own drops every segment that comes for it (socket(7),
//! `SO_ATTACH_FILTER`), so that its kernel acknowledges nothing and refuses nothing. No right is needed for
//! that, and no other socket notices.

use std::net::TcpStream;

use socket2::{SockFilter, SockRef};

/// "Return 0", that is, keep no byte of a segment (`BPF_RET | BPF_K`).
const DROP: u16 = 0x06;

/// From now on nothing arrives at this socket. What it sends still goes out, so the caller sends nothing.
#[track_caller]
pub fn vanish(socket: &TcpStream) {
    let filter = [SockFilter::new(DROP, 0, 0, 0)];
    let attached = SockRef::from(socket).attach_filter(&filter);
    attached.expect("a socket takes a filter");
}
