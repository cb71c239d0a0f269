//! The ClientHello of a connection, read without answering it: the server name decides who answers. The bytes are kept, so that
//! whoever answers reads them again.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// A ClientHello that is longer than this is refused.
const HELLO_BYTES_MAX: usize = 64 * 1024;

/// A client that does not finish its ClientHello in this time is refused.
const HELLO_LIMIT: Duration = Duration::from_secs(10);

/// `unrecognized_name`, fatal (RFC 6066 section 3), as a TLS record.
pub(super) const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// What a client said first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    /// The server name it asks for, in lower case.
    pub(super) sni: Option<String>,
    /// The protocols it offers.
    pub(super) alpn: Vec<Vec<u8>>,
}

/// A connection whose first bytes are read again.
#[derive(Debug)]
pub(super) struct Replayed {
    first: Cursor<Vec<u8>>,
    stream: TcpStream,
}

impl Replayed {
    /// The bytes that were read ahead, and the connection.
    pub(super) fn into_parts(self) -> (Vec<u8>, TcpStream) {
        (self.first.into_inner(), self.stream)
    }

    /// A connection of which nothing was read ahead.
    pub(super) fn fresh(stream: TcpStream) -> Replayed {
        Replayed { first: Cursor::default(), stream }
    }

    /// Ends the connection with an alert.
    pub(super) async fn refuse(mut self, alert: &[u8]) {
        // The client may be gone already: then there is nobody to tell.
        let _ = self.stream.write_all(alert).await;
        let _ = self.stream.shutdown().await;
        // What the client had still to say is read, so that the kernel does not answer it with a reset that overtakes the alert.
        let mut rest = [0_u8; 1024];
        let drain = async { while matches!(self.stream.read(&mut rest).await, Ok(n) if n > 0) {} };
        let _ = tokio::time::timeout(Duration::from_millis(200), drain).await;
    }
}

/// Reads the ClientHello; on anything else the connection is refused with the right alert and the answer is `None`.
pub(super) async fn read(mut stream: TcpStream) -> Option<(Hello, Replayed)> {
    let mut first = Vec::new();
    let outcome = tokio::time::timeout(HELLO_LIMIT, gather(&mut stream, &mut first)).await;
    let connection = Replayed { first: Cursor::new(first), stream };
    match outcome {
        Ok(Ok(hello)) => Some((hello, connection)),
        Ok(Err(alert)) => {
            connection.refuse(&alert).await;
            None
        }
        Err(_) => None,
    }
}

async fn gather(stream: &mut TcpStream, first: &mut Vec<u8>) -> Result<Hello, Vec<u8>> {
    let mut acceptor = Acceptor::default();
    let mut chunk = [0_u8; 4096];
    loop {
        let n = stream.read(&mut chunk).await.map_err(|_| Vec::new())?;
        if n == 0 || first.len() + n > HELLO_BYTES_MAX {
            return Err(Vec::new());
        }
        first.extend_from_slice(&chunk[..n]);
        if let Some(hello) = feed(&mut acceptor, &chunk[..n])? {
            return Ok(hello);
        }
    }
}

/// Gives bytes to the parser; the error is the alert to send.
fn feed(acceptor: &mut Acceptor, mut bytes: &[u8]) -> Result<Option<Hello>, Vec<u8>> {
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return Err(Vec::new());
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let alpn = hello.alpn().map(|names| names.map(<[u8]>::to_vec).collect()).unwrap_or_default();
                return Ok(Some(Hello { sni: hello.server_name().map(str::to_ascii_lowercase), alpn }));
            }
            Err((_, mut alert)) => {
                let mut record = Vec::new();
                let _ = alert.write_all(&mut record);
                return Err(record);
            }
        }
    }
    Ok(None)
}

impl AsyncRead for Replayed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if (self.first.position() as usize) < self.first.get_ref().len() {
            return Pin::new(&mut self.first).poll_read(context, buffer);
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Replayed {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use super::*;
    use crate::chance::Chance;
    use crate::gateway::certs::provider;

    fn client_hello(name: &str) -> Vec<u8> {
        let builder = rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let mut config = builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = rustls_pki_types::ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn a_hello_is_found_however_it_is_split() {
        let bytes = client_hello("Nginx.cilium.rocks");
        for size in [1, 2, 3, 7, 100, 4096] {
            let mut acceptor = Acceptor::default();
            let mut found = None;
            for piece in bytes.chunks(size) {
                found = found.or(feed(&mut acceptor, piece).unwrap());
            }
            let hello = found.unwrap();
            assert_eq!(hello.sni.as_deref(), Some("nginx.cilium.rocks"), "pieces of {size}");
            assert_eq!(hello.alpn, vec![b"h2".to_vec(), b"http/1.1".to_vec()]);
        }
    }

    #[test]
    fn mutated_hellos_never_panic() {
        let bytes = client_hello("nginx.cilium.rocks");
        let chance = Chance::new(3, "hello");
        for _ in 0..2_000 {
            let mut mutated = bytes.clone();
            for _ in 0..=chance.index(8).unwrap() {
                let at = chance.index(mutated.len()).unwrap();
                mutated[at] = chance.next().to_le_bytes()[0];
            }
            mutated.truncate(chance.index(bytes.len() + 1).unwrap());
            let mut acceptor = Acceptor::default();
            for piece in mutated.chunks(1 + chance.index(64).unwrap()) {
                if !matches!(feed(&mut acceptor, piece), Ok(None)) {
                    break;
                }
            }
        }
    }

    #[test]
    fn plain_http_is_no_hello() {
        assert!(feed(&mut Acceptor::default(), b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").is_err());
    }
}
