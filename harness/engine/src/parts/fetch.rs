//! Downloads over HTTPS, with limits. Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`) are used, and the system's authorities.

use std::time::Duration;

use futures::StreamExt;

/// A connection that takes longer is given up.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// A server that sends nothing for this time is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// A download did not end well.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address does not answer as it should.
    #[error("get {url}: {message}")]
    Get {
        /// The address.
        url: String,
        /// Why.
        message: String,
    },
    /// It answered with an error.
    #[error("get {url}: the server answered {status}")]
    Status {
        /// The address.
        url: String,
        /// Its status.
        status: String,
    },
    /// There is more than there can be.
    #[error("get {url}: it has more than {limit} bytes")]
    TooLong {
        /// The address.
        url: String,
        /// The limit, bytes.
        limit: u64,
    },
}

/// A whole answer of at most so many bytes.
///
/// # Errors
/// See [`FetchError`].
pub(crate) async fn bytes(url: &str, bytes_max: u64, limit: Duration) -> Result<Vec<u8>, FetchError> {
    let mut all = Vec::new();
    let take = |piece: &[u8]| -> Result<(), FetchError> {
        if all.len() as u64 + piece.len() as u64 > bytes_max {
            return Err(FetchError::TooLong { url: url.to_owned(), limit: bytes_max });
        }
        all.extend_from_slice(piece);
        Ok(())
    };
    pieces(url, limit, take).await?;
    Ok(all)
}

/// An answer piece by piece.
async fn pieces<E: From<FetchError>>(url: &str, limit: Duration, mut take: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
    let failed = |message: String| FetchError::Get { url: url.to_owned(), message };
    let broken = |error: reqwest::Error| failed(crate::cluster::chain(&error.without_url()));
    let work = async {
        let answer = client().map_err(&broken)?.get(url).send().await.map_err(&broken)?;
        if !answer.status().is_success() {
            return Err(FetchError::Status { url: url.to_owned(), status: answer.status().to_string() }.into());
        }
        let mut body = answer.bytes_stream();
        while let Some(piece) = body.next().await {
            take(&piece.map_err(&broken)?)?;
        }
        Ok(())
    };
    let late = || failed(format!("it had not ended after {} ms", limit.as_millis()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late().into()))
}

fn client() -> reqwest::Result<reqwest::Client> {
    // reqwest takes the cryptography of the process; that somebody chose it before is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent(concat!("plumbline/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(SILENCE_LIMIT)
        .build()
}
