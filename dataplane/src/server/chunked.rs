//! Bodies in chunks (RFC 9112 §7.1), read strictly.
//!
//! Owns the state machine over their bytes. Extensions and trailers are bounded and dropped: nothing
//! here knows any. Does not decide how large a body may be: `intake` does.

use super::fault::{Fault, HeadBounds};
use super::head::is_token;

/// Where a chunked body is.
#[derive(Debug)]
pub(super) struct Chunked {
    at: ChunkedAt,
    /// The size of the current chunk, as far as it was read; then, what is left of it.
    size: u64,
    digits: u8,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChunkedAt {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
}

/// The most bytes of chunk extensions in one body. Nobody uses them.
pub(super) const EXTENSION_BYTES: usize = 1024;

/// Whether a body goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Closed,
}

impl Chunked {
    /// At the start of a body.
    pub(super) fn new() -> Self {
        Self {
            at: ChunkedAt::Size,
            size: 0,
            digits: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            trailer_fields: 0,
        }
    }

    /// Reads until the body ends, the bytes end or something is wrong; gives how many were right.
    /// What the chunks hold goes to `data`.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        bounds: HeadBounds,
        mut data: impl FnMut(&[u8]),
    ) -> (usize, Result<End, Fault>) {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            if self.at == ChunkedAt::Data {
                let rest = bytes.len() - at;
                let count = usize::try_from(self.size).map_or(rest, |size| size.min(rest));
                data(bytes.get(at..at + count).unwrap_or_default());
                self.size -= count as u64;
                at += count;
                if self.size == 0 {
                    self.at = ChunkedAt::DataCr;
                }
                continue;
            }
            if self.at == ChunkedAt::EndLf && *byte == b'\n' {
                return (at + 1, Ok(End::Closed));
            }
            match self.step(*byte, bounds) {
                Ok(next) => self.at = next,
                Err(fault) => return (at, Err(fault)),
            }
            at += 1;
        }
        (at, Ok(End::Open))
    }

    /// One byte that is not data.
    fn step(&mut self, byte: u8, bounds: HeadBounds) -> Result<ChunkedAt, Fault> {
        use ChunkedAt as At;
        match (self.at, byte) {
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeLf),
            (At::Size, b';') if self.digits > 0 => Ok(At::Extension),
            (At::Size, _) => self.size_digit(byte),
            (At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, b'\t' | b' '..=b'~' | 0x80..) => {
                self.extension_bytes += 1;
                if self.extension_bytes > EXTENSION_BYTES {
                    return Err(Fault::ChunkExtension);
                }
                Ok(At::Extension)
            }
            (At::SizeLf, b'\n') if self.size == 0 => Ok(At::Trailer),
            (At::SizeLf, b'\n') => Ok(At::Data),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => {
                self.digits = 0;
                Ok(At::Size)
            }
            (At::Trailer, b'\r') => Ok(At::EndLf),
            (At::Trailer, b' ' | b'\t') => Err(Fault::Folded),
            (At::Trailer | At::TrailerName | At::TrailerValue | At::TrailerLf, _) => {
                self.trailer_bytes += 1;
                if self.trailer_bytes > bounds.bytes {
                    return Err(Fault::HeadTooLarge);
                }
                self.trailer(byte, bounds)
            }
            _ => Err(Fault::Chunk),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<ChunkedAt, Fault> {
        let digit = char::from(byte).to_digit(16).ok_or(Fault::Chunk)?;
        // Fifteen digits cannot overflow, and no body is larger.
        if self.digits == 15 {
            return Err(Fault::Chunk);
        }
        if self.digits == 0 {
            self.size = 0;
        }
        self.digits += 1;
        self.size = self.size << 4 | u64::from(digit);
        Ok(ChunkedAt::Size)
    }

    fn trailer(&mut self, byte: u8, bounds: HeadBounds) -> Result<ChunkedAt, Fault> {
        use ChunkedAt as At;
        match (self.at, byte) {
            (At::Trailer, _) if is_token(byte) => {
                self.trailer_fields += 1;
                if self.trailer_fields > bounds.fields {
                    return Err(Fault::TooManyFields);
                }
                Ok(At::TrailerName)
            }
            (At::TrailerName, b':') | (At::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) => {
                Ok(At::TrailerValue)
            }
            (At::TrailerName, _) if is_token(byte) => Ok(At::TrailerName),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerLf, b'\n') => Ok(At::Trailer),
            (At::TrailerValue | At::TrailerLf, _) => Err(Fault::LineEnd),
            _ => Err(Fault::Field),
        }
    }
}
