//! Why a request is refused before anybody looks at what it asks, and the bounds on its head.
//!
//! Owns the list of reasons. Finding them is `head`'s and `chunked`'s; what a client gets for one is a
//! row of [`crate::reply`].

/// Bounds of a request head, and of the trailers of a chunked body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadBounds {
    /// The most bytes.
    pub(crate) bytes: usize,
    /// The most fields.
    pub(crate) fields: usize,
}

impl HeadBounds {
    /// The bounds that a plan sets.
    pub(crate) fn of(limits: &mcpc_plan::Limits) -> Self {
        let count = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            bytes: count(limits.head_bytes),
            fields: count(limits.headers),
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The first line is not `method target HTTP/1.x`.
    RequestLine,
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
    /// CONNECT asks for a tunnel.
    Connect,
    /// Upgrade asks for another protocol.
    Upgrade,
    /// A line ends with CR or LF alone, or holds a NUL.
    LineEnd,
    /// A field is continued on the next line.
    Folded,
    /// A field is not `name: value`.
    Field,
    /// HTTP/1.1 without Host.
    HostMissing,
    /// More than one Host.
    HostTwice,
    /// Both Content-Length and Transfer-Encoding.
    BothLengths,
    /// Content-Length twice, or not one plain number.
    ContentLength,
    /// Transfer-Encoding twice, not `chunked`, or in HTTP/1.0.
    TransferEncoding,
    /// The head, or the trailers, are larger than they may be.
    HeadTooLarge,
    /// More fields than there may be.
    TooManyFields,
    /// A chunk is not framed as it must be.
    Chunk,
    /// Chunk extensions are longer than they may be.
    ChunkExtension,
}
