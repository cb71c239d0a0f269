//! A node's certificate and key, as files in the lab's directory that only its owner can read.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use tokio::net::TcpStream;

use crate::api::Identity;
use crate::dial;

/// Writes a node's credentials. Called by the supervisor in the lab's directory.
///
/// # Errors
/// The files cannot be written.
pub(crate) fn write(node: &str, ca_pem: &str, identity: &Identity) -> io::Result<()> {
    write_private("ca.pem", ca_pem)?;
    write_private(&format!("node-{node}.pem"), &identity.cert_pem)?;
    write_private(&format!("node-{node}.key"), &identity.key_pem)
}

/// A client with them, over the lab's wire. Called by the node's process in the lab's directory.
///
/// # Errors
/// The files cannot be read, or the URL is none.
pub(crate) fn client(node: &str, url: &str) -> io::Result<kube::Client> {
    let [ca, certificate, key] = ["ca.pem".to_owned(), format!("node-{node}.pem"), format!("node-{node}.key")].map(std::fs::read_to_string);
    let address = url.strip_prefix("https://").ok_or_else(|| io::Error::other(format!("{url} is not https")))?.to_owned();
    let dial = move || {
        let address = address.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        }
    };
    dial::client(url, &dial::Credentials { ca: &ca?, certificate: &certificate?, key: &key? }, dial::Protocol::Http2, dial)
}

/// Writes a file nobody else can read.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_private(path: &str, text: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
