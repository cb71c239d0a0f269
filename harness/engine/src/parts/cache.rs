//! Programs that were fetched, kept in one folder. A program is used only if its bytes are those that were checked when it came.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use nix::fcntl::{Flock, FlockArg};
use ring::digest::{Context, SHA256};

use super::fetch::{self, FetchError};
use super::lock::Program;

/// Limit of a download: 150 MB on a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_secs(900);
/// The largest program that is taken.
const BYTES_MAX: u64 = 512 << 20;

/// A program could not be fetched or kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// There is no folder for it.
    #[error("find a folder for programs: neither PLUMB_CACHE nor XDG_CACHE_HOME nor HOME is set\nhint: PLUMB_CACHE names one")]
    NoFolder,
    /// A file.
    #[error("keep {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It did not come.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Something else came.
    #[error("check {url}: its SHA-256 is {found}, expected {expected}; it was not kept")]
    WrongBytes {
        /// Where it came from.
        url: String,
        /// What came.
        found: String,
        /// What had to.
        expected: String,
    },
    /// An archive without the program.
    #[error("unpack {url}: {message}")]
    Archive {
        /// Where it came from.
        url: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A folder of programs.
#[derive(Debug, Clone)]
pub(super) struct Cache {
    folder: PathBuf,
    /// Where releases are published: `https://github.com`.
    origin: String,
}

impl Cache {
    /// The user's: `PLUMB_CACHE`, else `plumbline` in `XDG_CACHE_HOME`, else in `~/.cache`.
    pub(super) fn own() -> Result<Cache, CacheError> {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let shared = path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache"))).map(|cache| cache.join("plumbline"));
        let folder = path("PLUMB_CACHE").or(shared).ok_or(CacheError::NoFolder)?;
        Ok(Cache { folder, origin: "https://github.com".into() })
    }

    #[cfg(test)]
    pub(super) fn at(folder: &Path, origin: &str) -> Cache {
        Cache { folder: folder.to_owned(), origin: origin.to_owned() }
    }

    /// The program if it is here and whole. Reads all of it; blocks.
    pub(super) fn kept(&self, program: &Program) -> Option<PathBuf> {
        let path = self.path(program);
        let note = fs::read_to_string(note(&path)).ok()?;
        // What came and what was made of it: a lock that asks for other bytes makes what is here somebody else's.
        let (came, kept) = note.trim().split_once(' ')?;
        let found = sum(File::open(&path).ok()?).ok()?;
        (came == program.sha256 && kept == found).then_some(path)
    }

    /// Fetches the program, or waits for whoever fetches it already.
    pub(super) async fn fetched(&self, program: &Program) -> Result<PathBuf, CacheError> {
        fs::create_dir_all(&self.folder).map_err(|source| CacheError::Io { path: self.folder.clone(), source })?;
        let alone = self.alone(program).await?;
        let (cache, wanted) = (self.clone(), program.clone());
        if let Some(path) = blocking(move || cache.kept(&wanted)).await {
            return Ok(path);
        }
        let url = self.url(program);
        let path = self.path(program);
        let failed = |source| CacheError::Io { path: path.clone(), source };
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed)?;
        let mut hash = Context::new(&SHA256);
        let what = format!("{} {}", program.name, program.version);
        fetch::into(&url, &what, BYTES_MAX, DOWNLOAD_LIMIT, |piece| {
            hash.update(piece);
            file.write_all(piece).map_err(failed)
        })
        .await?;
        let found = hex(hash);
        if found != program.sha256 {
            return Err(CacheError::WrongBytes { url, found, expected: program.sha256.clone() });
        }
        let cache = self.clone();
        let program = program.clone();
        let kept = blocking(move || cache.keep(&program, &url, file)).await;
        drop(alone);
        kept
    }

    /// Puts what came into its place.
    fn keep(&self, program: &Program, url: &str, came: tempfile::NamedTempFile) -> Result<PathBuf, CacheError> {
        let path = self.path(program);
        let failed = |source| CacheError::Io { path: path.clone(), source };
        let file = if url.ends_with(".tar.gz") { self.unpacked(&program.name, url, came.path())? } else { came };
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o755)).map_err(failed)?;
        let kept = File::open(file.path()).and_then(sum).map_err(failed)?;
        // The note first: a program without one, or with another's, is not used.
        fs::write(note(&path), format!("{} {kept}\n", program.sha256)).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(path)
    }

    /// The one file of that name in an archive.
    fn unpacked(&self, name: &str, url: &str, archive: &Path) -> Result<tempfile::NamedTempFile, CacheError> {
        let failed = |error: io::Error| CacheError::Archive { url: url.to_owned(), message: error.to_string() };
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed)?;
        let mut archive = tar::Archive::new(GzDecoder::new(File::open(archive).map_err(failed)?));
        for entry in archive.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.path().is_ok_and(|path| path == Path::new(name)) && entry.header().entry_type().is_file() {
                io::copy(&mut entry.take(BYTES_MAX), &mut file).map_err(failed)?;
                return Ok(file);
            }
        }
        Err(CacheError::Archive { url: url.to_owned(), message: format!("there is no `{name}` in it") })
    }

    /// One process fetches a program at a time.
    async fn alone(&self, program: &Program) -> Result<Flock<File>, CacheError> {
        let path = self.path(program).with_extension("lock");
        blocking(move || {
            let failed = |source| CacheError::Io { path: path.clone(), source };
            let file = File::create(&path).map_err(failed)?;
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| failed(error.into()))
        })
        .await
    }

    fn path(&self, program: &Program) -> PathBuf {
        let platform = program.platform.replace('/', "-");
        self.folder.join(format!("{}-{}-{platform}", program.name, program.version.replace('.', "_")))
    }

    fn url(&self, program: &Program) -> String {
        let Program { name, version, platform, .. } = program;
        let (project, file) = match name.as_str() {
            "cilium" => ("cilium/cilium-cli", format!("cilium-{}.tar.gz", platform.replace('/', "-"))),
            _ => ("kubernetes-sigs/kind", format!("kind-{}", platform.replace('/', "-"))),
        };
        format!("{}/{project}/releases/download/{version}/{file}", self.origin)
    }
}

fn note(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// SHA-256 of what is read, lower-case hex.
fn sum(mut from: impl Read) -> io::Result<String> {
    let mut hash = Context::new(&SHA256);
    let mut piece = vec![0u8; 1 << 16];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(hex(hash)),
            count => hash.update(&piece[..count]),
        }
    }
}

fn hex(hash: Context) -> String {
    hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
