//! A web server on the loopback address for tests: it answers each path with what a test says, and remembers what it was asked for.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// What a path is answered with.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// This status, without a body.
    Status(&'static str),
    /// The first half of these bytes, and then the connection ends.
    Half(Vec<u8>),
    /// These bytes from another address.
    Elsewhere(String),
    /// Nothing, ever.
    Silence,
}

/// A server that runs until it is dropped.
pub(super) struct Server {
    pub(super) origin: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let mut path = String::new();
                    let mut line = String::new();
                    while stream.read_line(&mut line).await.is_ok_and(|count| count > 2) {
                        if path.is_empty() {
                            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                        }
                        line.clear();
                    }
                    log.lock().unwrap().push(path.clone());
                    let head = |status: &str, more: &str, length: usize| {
                        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n")
                    };
                    let (head, body) = match answer(&path) {
                        Answer::Bytes(bytes) => (head("200 OK", "", bytes.len()), bytes),
                        Answer::Status(status) => (head(status, "", 0), Vec::new()),
                        Answer::Half(bytes) => (head("200 OK", "", bytes.len()), bytes[..bytes.len() / 2].to_vec()),
                        Answer::Elsewhere(url) => (head("302 Found", &format!("Location: {url}\r\n"), 0), Vec::new()),
                        Answer::Silence => return std::future::pending().await,
                    };
                    let _ = stream.write_all(head.as_bytes()).await;
                    let _ = stream.write_all(&body).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Server { origin, asked, task }
    }

    /// Paths it was asked for, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
