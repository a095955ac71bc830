//! What can go wrong between the gateway and an upstream. Closed: every variant has its reply in
//! `reply.rs`. Carries no text from configuration, peers or secrets.

/// Why an upstream gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    /// No connection, or the process did not start.
    Unreachable,
    /// The connection did not stand in time.
    ConnectTimeout,
    /// No first byte in time.
    FirstByteTimeout,
    /// A list was not given in time, or is owed since.
    ListTimeout,
    /// Too long between two parts of the answer.
    IdleTimeout,
    /// The whole call took too long.
    TotalTimeout,
    /// The upstream went away before the answer was complete.
    Closed,
    /// What came back is not an MCP answer.
    Garbage,
    /// The answer carries an id that was never sent.
    WrongId,
    /// The answer is larger than the plan allows.
    TooLarge,
    /// The upstream answered with an HTTP status that carries no JSON-RPC message.
    Status(u16),
    /// The upstream refused the gateway's credentials.
    Unauthorized,
    /// The upstream's session was lost and could not be renewed, or the call is not safe to repeat.
    SessionLost,
    /// The handshake with the upstream failed.
    Handshake,
    /// The process has ended, and the next one is not started for so many seconds.
    Between(u32),
    /// The process ended too often and is not started again for so many seconds.
    Degraded(u32),
    /// Calls to it failed too often, so it gets none for so many seconds.
    CircuitOpen(u32),
    /// The upstream's queue is full.
    Overloaded,
    /// The upstream asks the client for something that cannot be carried to it.
    AskRefused,
    /// The upstream asked the client again and again.
    AsksTooOften,
    /// The upstream answered the gateway's own request with an error.
    Refused,
    /// The gateway has no descriptor left for a connection or a process.
    NoDescriptor,
    /// The system starts no process for the gateway.
    NoProcess,
    /// No further session can have an upstream of its own.
    SessionServersFull,
    /// The system does not lock the process in, or cannot hold it to a limit, as the plan says.
    NotConfined,
    /// The upstream left the plan and its grace is over.
    Stopped,
    /// The same, in the middle of the call.
    CutOff,
}

impl Failure {
    /// Whether time ran out, rather than anything having gone wrong.
    pub(crate) fn is_timeout(self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout
                | Self::FirstByteTimeout
                | Self::ListTimeout
                | Self::IdleTimeout
                | Self::TotalTimeout
        )
    }

    /// Whether the same call may be sent again without risk: nothing reached the upstream.
    pub(crate) fn is_before_send(self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::ConnectTimeout
                | Self::Between(_)
                | Self::Degraded(_)
                | Self::CircuitOpen(_)
                | Self::Overloaded
                | Self::SessionServersFull
                | Self::NotConfined
        ) || self.is_of_gateway()
    }

    /// Whether it is the gateway that lacks something, whatever the upstream does.
    pub(crate) fn is_of_gateway(self) -> bool {
        matches!(self, Self::NoDescriptor | Self::NoProcess)
    }
}
