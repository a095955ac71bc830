//! Runs several futures in one task until all are done: fan-out without spawning.
//!
//! Owns how many of them are under way at once: a list of an endpoint with thousands of servers asks so
//! many of them, and the next one whenever one has answered or its time is over.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// How many are under way at once.
const WIDTH_MAX: usize = 256;

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
        let mut running = 0;
        for slot in &mut slots {
            if let Slot::Running(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(result) => *slot = Slot::Done(result),
                    Poll::Pending => running += 1,
                }
            }
            if running == WIDTH_MAX {
                break;
            }
        }
        if running > 0 {
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_are_under_way_and_all_are_done() {
        thread_local! {
            static OPEN: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
        }
        let works = (0..3 * WIDTH_MAX).map(|number| -> Boxed<'_, usize> {
            Box::pin(async move {
                let (open, most) = OPEN.get();
                OPEN.set((open + 1, most.max(open + 1)));
                // One that stalls holds up nobody but itself.
                let pause = if number == 0 { 100 } else { 1 };
                tokio::time::sleep(Duration::from_secs(pause)).await;
                let (open, most) = OPEN.get();
                OPEN.set((open - 1, most));
                number
            })
        });
        let done = all(works.collect()).await;
        assert_eq!(OPEN.get(), (0, WIDTH_MAX));
        assert_eq!(done, (0..3 * WIDTH_MAX).collect::<Vec<_>>());
    }
}
