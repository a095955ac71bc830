//! Bodies of requests, read within a bound.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};

use crate::reply::LocalReply;

/// The body of a request, which was not read yet.
pub(crate) struct Intake(Incoming);

impl Intake {
    /// A body that hyper reads.
    pub(crate) fn of(body: Incoming) -> Self {
        Self(body)
    }

    /// The whole body, if it is no larger than the bound. One chunk stays where it is; several are
    /// joined into a buffer of the announced size.
    pub(crate) async fn collect(self, bytes_limit: u64) -> Result<Bytes, LocalReply> {
        let mut body = self.0;
        let announced = body.size_hint().lower();
        if announced > bytes_limit {
            return Err(LocalReply::BodyTooLarge);
        }
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| LocalReply::BodyCut)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let had = first.len().max(joined.len());
            if u64::try_from(had + data.len()).unwrap_or(u64::MAX) > bytes_limit {
                return Err(LocalReply::BodyTooLarge);
            }
            if had == 0 {
                first = data;
                continue;
            }
            if joined.is_empty() {
                joined.reserve(
                    usize::try_from(announced)
                        .unwrap_or(0)
                        .max(had + data.len()),
                );
                joined.extend_from_slice(&first);
            }
            joined.extend_from_slice(&data);
        }
        Ok(if joined.is_empty() {
            first
        } else {
            joined.freeze()
        })
    }
}
