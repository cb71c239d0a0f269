//! Whether the API server runs: while it is paused its connections are taken by the kernel and nothing is read or written, as with a
//! process that was stopped by a signal. What is under way stands still and goes on later; nobody is told.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Open while the server runs.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    closed: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    /// From now on everything stands still.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Everything goes on.
    pub(super) fn open(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Waits while it is closed.
    pub(super) async fn passed(&self) {
        std::future::poll_fn(|context| self.poll_passed(context)).await;
    }

    fn poll_passed(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.closed {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            state.waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream whose bytes flow only while the gate is open.
#[derive(Debug)]
pub(super) struct Gated<S> {
    stream: S,
    gate: Arc<Gate>,
}

impl<S> Gated<S> {
    pub(super) fn new(stream: S, gate: Arc<Gate>) -> Gated<S> {
        Gated { stream, gate }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_passed(context));
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.gate.poll_passed(context));
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_passed(context));
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.gate.poll_passed(context));
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn nothing_is_read_or_written_while_the_gate_is_closed_and_nothing_is_lost() {
        let gate = Arc::new(Gate::default());
        let (near, mut far) = tokio::io::duplex(64);
        let mut gated = Gated::new(near, Arc::clone(&gate));
        gated.write_all(b"one").await.unwrap();
        gate.close();
        far.write_all(b"two").await.unwrap();
        let mut buffer = [0; 3];
        assert!(gated.read_exact(&mut buffer).now_or_never().is_none());
        assert!(gate.passed().now_or_never().is_none());
        let opened = Arc::clone(&gate);
        let (read, ()) = tokio::join!(gated.read_exact(&mut buffer), async move { opened.open() });
        read.unwrap();
        assert_eq!(&buffer, b"two");
        far.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"one");
    }
}
