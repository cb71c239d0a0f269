//! The namespace an agent is in, and the servers it runs there.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A link of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Name.
    pub name: String,
    /// Interface index.
    pub index: u32,
    /// Hardware address.
    pub mac: Option<String>,
    /// Up and running.
    pub up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Addresses with prefix length, for example `10.9.0.2/24`.
    pub addresses: Vec<String>,
}

/// A server. In a pod it is the program's command line (`plumb-agent serve`), in a session an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServeOp {
    /// Where to listen; port 0 = any.
    pub listen: SocketAddr,
    /// What to speak.
    pub protocol: ServeProtocol,
    /// Backend id in the echo.
    pub backend: String,
    /// Pod name in the echo.
    #[serde(default)]
    pub pod: String,
    /// Node name in the echo.
    #[serde(default)]
    pub node: String,
    /// Certificate chain, PEM; with it the server speaks TLS.
    #[serde(default)]
    pub cert_pem: Option<String>,
    /// Private key, PEM. Never logged, never echoed.
    #[serde(default)]
    pub key_pem: Option<String>,
}

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ServeProtocol {
    /// HTTP/1.1 and HTTP/2, the echo as JSON; TLS when a certificate is given (ALPN `h2`, `http/1.1`).
    Http,
    /// Bytes come back as they are.
    TcpEcho,
    /// Datagrams come back as they are.
    UdpEcho,
}
