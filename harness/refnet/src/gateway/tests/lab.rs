//! A data plane in this process, backends of the agent, and clients that say what they got.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use plumb_core::probe::{Echo, ServeOp, ServeProtocol};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use super::world::{Pair, service, world};
use crate::fault::Fault;
use crate::gateway::certs::provider;
use crate::gateway::live::Node;
use crate::gateway::model::{self, World};
use crate::gateway::sockets::Sockets;

/// A data plane on one loopback address.
pub(super) struct Lab {
    /// Where listeners bind.
    pub(super) address: Ipv4Addr,
    sockets: Sockets,
    servers: Vec<plumb_agent::Server>,
    fault: Option<Fault>,
    _cancel: tokio_util::sync::DropGuard,
}

impl Lab {
    /// One on its own address, so that tests do not meet.
    pub(super) fn new(address: u8, fault: Option<Fault>) -> Lab {
        let cancel = CancellationToken::new();
        let node = Node::new("worker", 11, fault.into_iter().collect(), false);
        let sockets = Sockets::new(Arc::new(node), cancel.clone());
        Lab { address: Ipv4Addr::new(127, 77, 0, address), sockets, servers: Vec::new(), fault, _cancel: cancel.drop_guard() }
    }

    /// A backend with its Service; speaks TLS with a certificate.
    pub(super) async fn backend(&mut self, name: &str, tls: Option<&Pair>) -> Vec<Value> {
        let server = plumb_agent::Server::start(&ServeOp {
            listen: "127.0.0.1:0".parse().unwrap(),
            protocol: ServeProtocol::Http,
            backend: name.to_owned(),
            pod: String::new(),
            node: String::new(),
            cert_pem: tls.map(|pair| pair.cert.clone()),
            key_pem: tls.map(|pair| pair.key.clone()),
        })
        .await
        .unwrap();
        let objects = service(name, "default", &[server.address()]);
        self.servers.push(server);
        objects
    }

    /// Makes these objects live, in host network mode.
    pub(super) fn apply(&mut self, objects: &[Value]) -> World {
        let mut world = world(objects);
        world.host_network = Some(self.address);
        world.faults = self.fault.into_iter().collect();
        let translation = model::translate(&world);
        assert_eq!(self.sockets.apply(translation.config, &world.secrets), Vec::<SocketAddr>::new());
        world
    }

    /// A connection to a port.
    pub(super) async fn connect(&self, port: u16) -> TcpStream {
        TcpStream::connect((self.address, port)).await.unwrap()
    }

    /// A request on a connection of its own.
    pub(super) async fn get(&self, port: u16, host: &str, path: &str) -> Answer {
        self.ask(port, host, path, "").await
    }

    /// A request with further header lines (each ends with CR LF).
    pub(super) async fn ask(&self, port: u16, host: &str, path: &str, headers: &str) -> Answer {
        ask_on(self.connect(port).await, host, path, headers).await
    }

    /// A TLS session.
    pub(super) async fn session(&self, port: u16, sni: &str) -> std::io::Result<TlsStream<TcpStream>> {
        connector(&[]).connect(ServerName::try_from(sni.to_owned()).unwrap(), self.connect(port).await).await
    }
}

/// A TLS client that takes any certificate; tests look at what it got.
pub(super) fn connector(alpn: &[&[u8]]) -> tokio_rustls::TlsConnector {
    crate::gateway::stream::trusting_client(&alpn.iter().map(|name| name.to_vec()).collect::<Vec<_>>()).unwrap()
}

/// The leaf a session got, and whether a client that trusts `root_pem` would have taken it.
pub(super) fn leaf(session: &TlsStream<TcpStream>) -> Vec<u8> {
    session.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// Whether a client that trusts an authority would take the certificate of a session for a name.
pub(super) fn trusts(root_pem: &str, session: &TlsStream<TcpStream>, name: &str) -> Result<(), String> {
    use rustls::client::danger::ServerCertVerifier as _;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
    let chain = session.get_ref().1.peer_certificates().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let now = rustls_pki_types::UnixTime::now();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).map(|_| ()).map_err(|error| error.to_string())
}

/// What a client exported from its session, hex.
pub(super) fn exported(session: &TlsStream<TcpStream>) -> String {
    let bytes = session.get_ref().1.export_keying_material([0_u8; 32], plumb_core::probe::EXPORTER_LABEL, None).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// DER of the first certificate in PEM.
pub(super) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// What a client got.
#[derive(Debug)]
pub(super) struct Answer {
    /// Status code.
    pub(super) status: u16,
    /// Header lines in lower case.
    pub(super) head: String,
    /// The backend's echo.
    pub(super) echo: Option<Echo>,
}

impl Answer {
    /// Which backend answered; empty = none.
    pub(super) fn backend(&self) -> &str {
        self.echo.as_ref().map_or("", |echo| echo.backend.as_str())
    }

    /// A request header as the backend saw it.
    pub(super) fn seen(&self, name: &str) -> Option<&str> {
        self.echo.as_ref()?.seen.headers.get(name).map(String::as_str)
    }
}

/// One request on a connection, which ends with it.
pub(super) async fn ask_on(mut io: impl AsyncRead + AsyncWrite + Unpin, host: &str, path: &str, headers: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n");
    io.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A TLS peer may end without a close_notify; what came before counts.
    let _ = io.read_to_end(&mut bytes).await;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let json = body.find('{').and_then(|from| Some(&body[from..=body.rfind('}')?]));
    Answer { status, head: head.to_ascii_lowercase(), echo: json.and_then(|json| serde_json::from_str(json).ok()) }
}
