//! One client connection: request after request, until either side has had enough.
//!
//! Owns the order of things on it: a head is read and judged, the request answered while its client
//! is watched, the reply written, and what is wrong with the framing refused. Comes from `listener`,
//! goes to whoever [`Answers`].

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};

use super::fault::{Fault, HeadBounds};
use super::head::Head;
use super::intake::Intake;
use super::link::{Connections, Order};
use super::reply::{After, send};
use super::wire::{self, Wire};
use super::{Answers, Response};

/// Serves one connection until it ends. The stream may be a socket, a TLS stream or a pipe.
pub(crate) async fn serve_connection<I, A>(
    stream: I,
    answers: &A,
    bounds: HeadBounds,
    connections: &Connections,
) where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    A: Answers,
{
    let link = connections.open();
    let wire = RefCell::new(Wire::new(stream, Rc::clone(&link), bounds));
    let mut serving = pin!(serve(&wire, answers));
    poll_fn(|context| {
        link.listen(context);
        if serving.as_mut().poll(context).is_ready() || link.order() == Order::Cut {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}

/// What comes next on a connection.
enum Next {
    Request,
    Refused(Fault),
    End,
}

async fn serve<A: Answers>(wire: &RefCell<Wire>, answers: &A) {
    let mut head = Head::default();
    let mut out = Vec::new();
    loop {
        head.clear();
        match poll_fn(|context| poll_head(wire, &mut head, context)).await {
            Next::Request => wire.borrow().link.begin(),
            Next::Refused(fault) => {
                let reply = answers.refuse(fault);
                return Box::pin(refuse(wire, reply, &mut out)).await;
            }
            Next::End => return,
        }
        let answered = {
            let mut answering = pin!(answers.answer(&head, Intake::new(wire)));
            poll_fn(|context| match answering.as_mut().poll(context) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending => wire.borrow_mut().poll_left(context).map(|()| None),
            })
            .await
        };
        // A client that left: what is done for it was dropped above, which is its cancellation.
        let Some(response) = answered else {
            return;
        };
        let after = after(wire, &head);
        if !send(wire, &head, response, after, &mut out).await {
            return Box::pin(wire::close(wire)).await;
        }
        wire.borrow().link.end();
    }
}

/// Reads a head. An idle connection ends when it is told to; a request that has begun is served.
fn poll_head(
    wire: &RefCell<Wire>,
    head: &mut Head,
    context: &mut std::task::Context<'_>,
) -> Poll<Next> {
    let mut wire = wire.borrow_mut();
    loop {
        match wire.take_head(head) {
            Ok(true) => return Poll::Ready(Next::Request),
            Ok(false) => {}
            Err(fault) => {
                wire.rest = wire::Rest::Broken;
                return Poll::Ready(Next::Refused(fault));
            }
        }
        match wire.poll_fill(context, 0) {
            Poll::Ready(true) => {}
            Poll::Ready(false) => return Poll::Ready(Next::End),
            Poll::Pending if wire.buffer.is_empty() && wire.link.order() >= Order::Finish => {
                return Poll::Ready(Next::End);
            }
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// Whether the connection goes on after the reply to this request.
fn after(wire: &RefCell<Wire>, head: &Head) -> After {
    let mut wire = wire.borrow_mut();
    let goes_on = wire.skip_rest() && head.keeps_alive() && wire.link.may_stay();
    if goes_on { After::GoOn } else { After::Close }
}

/// Writes the answer to a request whose framing is not sound, as the last one.
async fn refuse(wire: &RefCell<Wire>, reply: Response, out: &mut Vec<u8>) {
    let head = Head::default();
    wire.borrow().link.begin();
    send(wire, &head, reply, After::Close, out).await;
    wire::close(wire).await;
}

#[cfg(test)]
mod tests;
