//! The client's end of a connection, which notes when the client has read the answer to a message.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::world::World;

/// Handovers whose answers the client has not read yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers(Arc<Mutex<Vec<usize>>>);

/// The client's end.
pub(super) struct ClientEnd {
    stream: DuplexStream,
    world: Arc<World>,
    answers: Answers,
}

impl Answers {
    /// The next thing that the client reads is the answer to this one.
    pub(super) fn expect(&self, handover: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(handover);
    }

    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientEnd {
    pub(super) fn new(stream: DuplexStream, world: Arc<World>) -> (Self, Answers) {
        let answers = Answers::default();
        (Self { stream, world, answers: answers.clone() }, answers)
    }
}

impl AsyncRead for ClientEnd {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            for handover in self.answers.take() {
                self.world.handovers.answered(handover, self.world.clock.now());
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientEnd {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
