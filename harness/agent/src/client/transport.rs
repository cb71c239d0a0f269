//! The stream under an HTTP connection. It remembers how it ended, because HTTP libraries do not always say.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use plumb_core::probe::FailureClass;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::failure::sort;

/// How a stream ended: class, alert, words.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) class: FailureClass,
    pub(super) alert: Option<String>,
    pub(super) detail: String,
}

/// The first end a stream came to, readable from outside the connection that owns the stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<Mutex<Option<End>>>);

impl Fate {
    /// How it ended; `None` while it is well.
    pub(super) fn end(&self) -> Option<End> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, end: impl FnOnce() -> End) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(end);
    }

    fn note_error(&self, error: &io::Error) {
        self.note(|| {
            let (class, alert) = sort(error);
            End { class, alert, detail: error.to_string() }
        });
    }
}

/// TCP, or TLS on it.
pub(super) enum Stream {
    /// Plain.
    Tcp(TcpStream),
    /// TLS after its handshake.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A stream that remembers how it ended.
pub(super) struct Transport {
    stream: Stream,
    fate: Fate,
}

impl Transport {
    pub(super) fn new(stream: Stream) -> (Self, Fate) {
        let fate = Fate::default();
        (Self { stream, fate: fate.clone() }, fate)
    }

    fn noted<T>(&self, outcome: io::Result<T>) -> Poll<io::Result<T>> {
        if let Err(error) = &outcome {
            self.fate.note_error(error);
        }
        Poll::Ready(outcome)
    }
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = ready!(match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        });
        if outcome.is_ok() && buffer.filled().len() == before && buffer.remaining() > 0 {
            self.fate.note(|| End { class: FailureClass::Closed, alert: None, detail: "the peer closed the connection".into() });
        }
        self.noted(outcome)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = ready!(match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        });
        self.noted(outcome)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let outcome = ready!(match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, pieces),
        });
        self.noted(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Tcp(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        });
        self.noted(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
