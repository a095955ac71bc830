//! The faults that a call can ask for, by the name of the tool.
//!
//! Owns the table. What a fault looks like on a transport is `http.rs` and `stdio.rs`; a fault that
//! a transport cannot have is answered as if nothing had been asked.

/// The size of what is far too large.
pub const HUGE_BYTES: usize = 64 << 20;

/// What can go wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Bytes that are no message.
    Garbage,
    /// The answer to another request.
    WrongId,
    /// No answer, and nothing else is held up.
    Silence,
    /// No answer, and nothing is read any more.
    Hang,
    /// The process or the connection ends without an answer.
    Die,
    /// An answer of [`HUGE_BYTES`], announced where the transport can.
    Huge,
    /// The same in chunks.
    HugeChunks,
    /// The same as one event.
    HugeEvent,
    /// A body that never ends.
    EndlessBody,
    /// An event stream that is slow, full of notifications and never ends.
    EndlessEvents,
    /// An event stream of comments as fast as they are read.
    Firehose,
    /// An event stream of log messages of 1 KiB as fast as they are read.
    Notices,
    /// The body ends before it is complete.
    CutBody,
    /// The body stops before it is complete, and the connection stays.
    StalledBody,
    /// The head ends before it is complete.
    CutHead,
    /// The head stops before it is complete, and the connection stays.
    StalledHead,
    /// A head that never ends.
    EndlessHead,
    /// A body of another kind.
    WrongType,
    /// The answer comes after `ms` milliseconds.
    Late,
    /// The answer comes when the calls of its `round` are released.
    Held,
    /// The answer comes twice.
    Twice,
    /// The answer comes again when the next request has been read, in place of that one's.
    Again,
    /// An answer, a request and notifications that nobody asked for come before the answer.
    Unasked,
    /// A question to the client, and no answer to the call.
    Asks,
    /// [`HUGE_BYTES`] on standard error without a line break, then the answer.
    Flood,
    /// A process is left behind that holds the pipes and is deaf to signals, then the answer.
    Fork,
}

impl Fault {
    /// Every fault and the tool that asks for it.
    pub const ALL: [(&'static str, Self); 26] = [
        ("garbage", Self::Garbage),
        ("wrong_id", Self::WrongId),
        ("silence", Self::Silence),
        ("hang", Self::Hang),
        ("die", Self::Die),
        ("huge", Self::Huge),
        ("huge_chunks", Self::HugeChunks),
        ("huge_event", Self::HugeEvent),
        ("endless_body", Self::EndlessBody),
        ("endless_events", Self::EndlessEvents),
        ("firehose", Self::Firehose),
        ("notices", Self::Notices),
        ("cut_body", Self::CutBody),
        ("stalled_body", Self::StalledBody),
        ("cut_head", Self::CutHead),
        ("stalled_head", Self::StalledHead),
        ("endless_head", Self::EndlessHead),
        ("wrong_type", Self::WrongType),
        ("late", Self::Late),
        ("held", Self::Held),
        ("twice", Self::Twice),
        ("again", Self::Again),
        ("unasked", Self::Unasked),
        ("asks", Self::Asks),
        ("flood", Self::Flood),
        ("fork", Self::Fork),
    ];

    /// The fault of a tool.
    pub fn of(tool: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == tool);
        found.map(|(_, fault)| *fault)
    }
}
