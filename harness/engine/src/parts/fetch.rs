//! Downloads over HTTPS, with limits. Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`) are used, and the system's authorities.

use std::sync::OnceLock;
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

/// How far a download is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download<'a> {
    /// What is downloaded, in words: `kind v0.29.0`.
    pub what: &'a str,
    /// Bytes that came.
    pub bytes: u64,
    /// Bytes in all, where the server said so.
    pub total: Option<u64>,
    /// Whether it has ended, well or not.
    pub ended: bool,
}

type Watcher = Box<dyn Fn(&Download<'_>) + Send + Sync>;

static WATCHER: OnceLock<Watcher> = OnceLock::new();

/// Has every download of this process told to somebody, piece by piece. Only the first call counts: there is one terminal.
pub fn watch_downloads(watcher: impl Fn(&Download<'_>) + Send + Sync + 'static) {
    let _ = WATCHER.set(Box::new(watcher));
}

/// Tells whoever watches how far a download is.
pub(super) fn tell(download: &Download<'_>) {
    if let Some(watcher) = WATCHER.get() {
        watcher(download);
    }
}

/// A whole answer of at most so many bytes.
///
/// # Errors
/// See [`FetchError`].
pub(crate) async fn bytes(url: &str, bytes_max: u64, limit: Duration) -> Result<Vec<u8>, FetchError> {
    let mut all = Vec::new();
    pieces(url, bytes_max, limit, |piece, _| {
        all.extend_from_slice(piece);
        Ok::<_, FetchError>(())
    })
    .await?;
    Ok(all)
}

/// An answer piece by piece, of at most so many bytes in all; `what` is what it is called while it comes.
///
/// # Errors
/// See [`FetchError`], or what `take` says.
pub(super) async fn into<E: From<FetchError>>(
    url: &str,
    what: &str,
    bytes_max: u64,
    limit: Duration,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut download = Download { what, bytes: 0, total: None, ended: false };
    let done = pieces(url, bytes_max, limit, |piece, total| {
        take(piece)?;
        download.bytes += piece.len() as u64;
        download.total = total;
        tell(&download);
        Ok(())
    })
    .await;
    download.ended = true;
    tell(&download);
    done
}

async fn pieces<E: From<FetchError>>(
    url: &str,
    bytes_max: u64,
    limit: Duration,
    mut take: impl FnMut(&[u8], Option<u64>) -> Result<(), E>,
) -> Result<(), E> {
    let failed = |message: String| FetchError::Get { url: url.to_owned(), message };
    let broken = |error: reqwest::Error| failed(crate::cluster::chain(&error.without_url()));
    let mut came = 0u64;
    let work = async {
        let answer = client().map_err(&broken)?.get(url).send().await.map_err(&broken)?;
        if !answer.status().is_success() {
            return Err(FetchError::Status { url: url.to_owned(), status: answer.status().to_string() }.into());
        }
        let total = answer.content_length();
        let mut body = answer.bytes_stream();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(&broken)?;
            came += piece.len() as u64;
            if came > bytes_max {
                return Err(FetchError::TooLong { url: url.to_owned(), limit: bytes_max }.into());
            }
            take(&piece, total)?;
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
