//! Runs several futures in one task until all are done: fan-out without spawning.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// A future on the heap.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The first success; else the last failure, or nothing if there was no future.
pub(crate) async fn first<T, E>(mut futures: Vec<Boxed<'_, Result<T, E>>>) -> Result<T, Option<E>> {
    let mut failure = None;
    poll_fn(|context| {
        let mut success = None;
        futures.retain_mut(|future| {
            if success.is_some() {
                return true;
            }
            match future.as_mut().poll(context) {
                Poll::Ready(Ok(value)) => success = Some(value),
                Poll::Ready(Err(why)) => failure = Some(why),
                Poll::Pending => return true,
            }
            false
        });
        match success {
            Some(value) => Poll::Ready(Ok(value)),
            None if futures.is_empty() => Poll::Ready(Err(failure.take())),
            None => Poll::Pending,
        }
    })
    .await
}

/// The results, in the order of the futures.
pub(crate) async fn all<T>(futures: Vec<Boxed<'_, T>>) -> Vec<T> {
    enum Slot<'a, T> {
        Running(Boxed<'a, T>),
        Done(T),
    }
    let mut slots: Vec<Slot<'_, T>> = futures.into_iter().map(Slot::Running).collect();
    poll_fn(|context| {
        let mut running = false;
        for slot in &mut slots {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(result) => *slot = Slot::Done(result),
                    Poll::Pending => running = true,
                }
            }
        }
        if running {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    slots
        .into_iter()
        .filter_map(|slot| {
            if let Slot::Done(result) = slot {
                Some(result)
            } else {
                None
            }
        })
        .collect()
}
