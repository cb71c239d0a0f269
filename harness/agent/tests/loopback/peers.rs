//! Peers that misbehave in one way each, and a proxy that terminates TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// Runs `each` on every connection, on threads that end with the test process.
pub(crate) fn peer(each: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let each = Arc::new(each);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = Arc::clone(&each);
            std::thread::spawn(move || each(stream));
        }
    });
    address
}

/// Reads what a client says first, so that closing afterwards is no reset.
pub(crate) fn hear(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 4096]);
}

/// Closes with RST after hearing the client.
pub(crate) fn resetting() -> SocketAddr {
    peer(|mut stream| {
        hear(&mut stream);
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger).unwrap();
    })
}

/// Says nothing, for as long as the client holds on.
pub(crate) fn silent() -> SocketAddr {
    peer(|mut stream| {
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
    })
}

/// Answers everything with the same bytes and closes, without a reset for what the client says afterwards.
pub(crate) fn saying(bytes: &'static [u8]) -> SocketAddr {
    peer(move |mut stream| {
        hear(&mut stream);
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {}
    })
}

/// A port nobody listens on.
pub(crate) fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}

fn server_config() -> rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_no_client_auth()
}

/// A TLS server that has no certificate for any name and says so with an alert.
pub(crate) fn without_certificate() -> SocketAddr {
    let config = Arc::new(server_config().with_cert_resolver(Arc::new(NoCertificate)));
    peer(move |mut stream| {
        let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
        while session.is_handshaking() {
            let failed = session.read_tls(&mut stream).is_err() || session.process_new_packets().is_err();
            let _ = session.write_tls(&mut stream);
            if failed {
                // The client reads the alert before the connection closes under it.
                hear(&mut stream);
                return;
            }
        }
    })
}

/// What every TLS stack understands: a fatal alert of this number, in answer to any hello.
pub(crate) fn alerting(description: u8) -> SocketAddr {
    peer(move |mut stream| {
        hear(&mut stream);
        let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, description]);
        hear(&mut stream);
    })
}

/// Terminates TLS with its own certificate and opens TLS of its own to the backend.
pub(crate) fn terminating_proxy(cert: &str, key: &str, backend: SocketAddr, roots: &str) -> SocketAddr {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(cert.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let server = Arc::new(server_config().with_single_cert(chain, key).unwrap());
    let mut store = rustls::RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(roots.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = Arc::new(client.with_root_certificates(store).with_no_client_auth());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            let (acceptor, connector) = (tokio_rustls::TlsAcceptor::from(server), tokio_rustls::TlsConnector::from(client));
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connector) = (acceptor.clone(), connector.clone());
                tokio::spawn(async move {
                    let mut near = acceptor.accept(stream).await.unwrap();
                    let far = tokio::net::TcpStream::connect(backend).await.unwrap();
                    let name = ServerName::try_from("backend.example.com").unwrap();
                    let mut far = connector.connect(name, far).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
    });
    receiver.recv().unwrap()
}
