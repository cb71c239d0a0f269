//! Logs of containers, as files in the lab's directory: the node that runs a container writes, the supervisor reads for the API.
//! Each line has its time in front.

use std::io::{self, Write as _};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use crate::api::{Container, Life};

/// How their names begin.
const PREFIX: &str = "container-";

/// Name of a log's file. Names of Kubernetes hold no `~`, so no two logs have one file.
pub(crate) fn file(container: &Container, life: Life) -> String {
    let Container { namespace, pod, name } = container;
    let ending = if life == Life::Previous { "previous.log" } else { "log" };
    format!("{PREFIX}{namespace}~{pod}~{name}.{ending}")
}

/// What a log is of, by its file's name; `None` = the file is no log of a container.
pub(crate) fn of(file: &str) -> Option<String> {
    let name = file.strip_prefix(PREFIX)?.strip_suffix(".log")?;
    Some(format!("log of container {}", name.replace('~', "/")))
}

/// Begins a log; that of the container's life before becomes the previous one.
///
/// # Errors
/// The file cannot be made.
pub(super) fn begin(container: &Container) -> io::Result<std::fs::File> {
    let path = file(container, Life::Current);
    match std::fs::rename(&path, file(container, Life::Previous)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::File::create(path)
}

/// Writes what a container says until it says no more. A log that cannot be written must not stop the container, so it is read to its
/// end all the same.
pub(super) async fn keep(from: impl AsyncRead + Unpin, mut into: std::fs::File) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let time = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let _ = writeln!(into, "{time} {line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_containers_share_a_file() {
        let container =
            |namespace: &str, pod: &str, name: &str| Container { namespace: namespace.into(), pod: pod.into(), name: name.into() };
        let (one, two) = (container("a-b", "c", "d"), container("a", "b-c", "d"));
        assert_ne!(file(&one, Life::Current), file(&two, Life::Current));
        assert_ne!(file(&one, Life::Current), file(&one, Life::Previous));
        assert_eq!(of(&file(&one, Life::Previous)).as_deref(), Some("log of container a-b/c/d.previous"));
        assert_eq!(of("node-worker.log"), None);
    }
}
