//! What the API asks of whoever runs Pods: a container's log, and a program started in it. The real API asks the node's kubelet.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// A container of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Namespace of the Pod.
    pub namespace: String,
    /// The Pod.
    pub pod: String,
    /// The container.
    pub name: String,
}

/// Which log is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// That of the container as it runs now.
    Current,
    /// That of the one before its last restart.
    Previous,
}

/// A program that runs. Dropping `ended` ends it.
pub struct Started {
    /// What it hears.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// What it says.
    pub stdout: Pin<Box<dyn AsyncRead + Send>>,
    /// What it complains of.
    pub stderr: Pin<Box<dyn AsyncRead + Send>>,
    /// Its exit status.
    pub ended: Pin<Box<dyn Future<Output = i32> + Send>>,
}

/// A program being started, or why it cannot be.
pub type Starting<'a> = Pin<Box<dyn Future<Output = Result<Started, String>> + Send + 'a>>;

/// Whoever runs the Pods.
pub trait Containers: Send + Sync {
    /// Starts a program in a container.
    fn start<'a>(&'a self, container: &'a Container, command: &'a [String]) -> Starting<'a>;

    /// A container's log, each line with its time in front (RFC 3339, one space).
    ///
    /// # Errors
    /// It cannot be read; [`io::ErrorKind::NotFound`] = there is none.
    fn log(&self, container: &Container, life: Life) -> io::Result<String>;
}
