//! A node's certificate and key, as files in the lab's directory that only its owner can read.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::api::Identity;

/// Writes a node's credentials. Called by the supervisor in the lab's directory.
///
/// # Errors
/// The files cannot be written.
pub(crate) fn write(node: &str, ca_pem: &str, identity: &Identity) -> io::Result<()> {
    write_private("ca.pem", ca_pem)?;
    write_private(&format!("node-{node}.pem"), &identity.cert_pem)?;
    write_private(&format!("node-{node}.key"), &identity.key_pem)
}

/// A client configuration from them. Called by the node's process in the lab's directory.
///
/// # Errors
/// The files cannot be read, or the URL is none.
pub(crate) fn client(node: &str, url: &str) -> io::Result<kube::Config> {
    let identity = Identity {
        cert_pem: std::fs::read_to_string(format!("node-{node}.pem"))?,
        key_pem: std::fs::read_to_string(format!("node-{node}.key"))?,
    };
    crate::api::kube_config(url, &std::fs::read_to_string("ca.pem")?, &identity).map_err(io::Error::other)
}

/// Writes a file nobody else can read.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write_private(path: &str, text: &str) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}
