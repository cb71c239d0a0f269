//! A kube client whose connections go through the lab's control socket, with the administrator's certificate.

use std::io;
use std::path::Path;

use super::{LabError, ask};
use crate::dial::{Credentials, Protocol, client};
use crate::spec::{Control, Ready};

/// A client for the API of the lab in `dir`.
pub(super) fn connect(dir: &Path, ready: &Ready) -> Result<kube::Client, LabError> {
    let failed = |error: io::Error| LabError::Client(error.to_string());
    let key = std::fs::read_to_string(&ready.client_key_file).map_err(failed)?;
    let credentials = Credentials { ca: &ready.ca_pem, certificate: &ready.client_cert_pem, key: &key };
    let dir = dir.to_owned();
    let dial = move || {
        let dir = dir.clone();
        async move { ask(&dir, &Control::DialApi).await.map(|(stream, _)| stream).map_err(io::Error::other) }
    };
    client(&ready.api, &credentials, Protocol::Http1, dial).map_err(failed)
}
