//! One message in one frame of an event stream, and back.
//!
//! Owns the form of it. What a frame is kept as, to be sent again, is `replay`'s; the streams of servers are read by
//! `upstream::sse`.

use bytes::Bytes;

/// One event. Raw line breaks can only be blanks between tokens of a valid message.
pub(crate) fn event(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 24);
    out.extend_from_slice(b"event: message\ndata: ");
    out.extend(message.iter().map(|byte| {
        if matches!(byte, b'\n' | b'\r') {
            b' '
        } else {
            *byte
        }
    }));
    out.extend_from_slice(b"\n\n");
    out
}

/// The message in one frame of a stream, for transports that have no events. None in a comment.
pub(crate) fn message_of(frame: &Bytes) -> Option<Bytes> {
    let mut lines = frame.split(|byte| *byte == b'\n');
    let message = lines.find_map(|line| line.strip_prefix(b"data: "))?;
    (!message.is_empty()).then(|| frame.slice_ref(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gives_its_message_back() {
        let framed = Bytes::from(event(b"{\"a\":1}"));
        assert_eq!(message_of(&framed).as_deref(), Some(&b"{\"a\":1}"[..]));
        let comment = Bytes::from_static(b": keep-alive\n\n");
        assert_eq!(message_of(&comment), None);
        assert_eq!(message_of(&Bytes::from_static(b"id: 1\ndata: \n\n")), None);
    }
}
