//! An agent process driven over its standard streams, as the engine does it, and certificates.

#![allow(dead_code, clippy::unwrap_used, reason = "tests; not every test file uses all of it")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use plumb_core::probe::{
    Body, ClientTls, Connection, Detail, Done, HttpAnswer, HttpOp, HttpOutcome, HttpReport, HttpVersion, Item, Op, OpError, Reply, Request,
    ServeOp, ServeProtocol,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Nothing here takes as long; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A session with an agent process.
pub(crate) struct Agent {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    replies: mpsc::Receiver<Reply>,
    early: Vec<Reply>,
    next: u64,
}

impl Agent {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_plumb-agent"))
            .arg("session")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, replies) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let line = line.unwrap();
                let reply = serde_json::from_str(&line).unwrap_or_else(|error| panic!("not a reply: {error}: {line}"));
                if sender.send(reply).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, replies, early: Vec::new(), next: 1 }
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    /// Sends a request and says its id.
    pub(crate) fn send(&mut self, op: Op) -> u64 {
        let id = self.next;
        self.next += 1;
        let mut line = serde_json::to_vec(&Request { id, op }).unwrap();
        line.push(b'\n');
        self.raw(&line);
        id
    }

    /// The next reply to a request.
    pub(crate) fn next(&mut self, id: u64) -> Body {
        if let Some(at) = self.early.iter().position(|reply| reply.id == id) {
            return self.early.remove(at).body;
        }
        loop {
            let reply = self.replies.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no reply to {id}: {error}"));
            if reply.id == id {
                return reply.body;
            }
            self.early.push(reply);
        }
    }

    /// Everything until a request has ended.
    pub(crate) fn finish(&mut self, id: u64) -> (Vec<Item>, Result<Done, OpError>) {
        let mut items = Vec::new();
        loop {
            match self.next(id) {
                Body::Started(_) => {}
                Body::Item(item) => items.push(item),
                Body::Done(done) => return (items, Ok(done)),
                Body::Failed(error) => return (items, Err(error)),
            }
        }
    }

    pub(crate) fn ask(&mut self, op: Op) -> Done {
        let id = self.send(op);
        self.finish(id).1.unwrap_or_else(|error| panic!("{}: {}", error.operation, error.message))
    }

    pub(crate) fn refused(&mut self, op: Op) -> OpError {
        let id = self.send(op);
        self.finish(id).1.expect_err("it was carried out")
    }

    /// Starts a long operation and waits until it is live.
    pub(crate) fn begin(&mut self, op: Op) -> (u64, Vec<SocketAddr>) {
        let id = self.send(op);
        match self.next(id) {
            Body::Started(started) => (id, started.listening),
            other => panic!("expected Started, got {other:?}"),
        }
    }

    pub(crate) fn end(&mut self, of: u64) -> (Vec<Item>, Done) {
        let stop = self.send(Op::Stop { of });
        let (items, done) = self.finish(of);
        assert!(matches!(self.finish(stop).1, Ok(Done::Stop)));
        (items, done.unwrap())
    }

    pub(crate) fn http(&mut self, op: HttpOp) -> (Vec<HttpOutcome>, HttpReport) {
        let id = self.send(Op::Http(op));
        let (items, done) = self.finish(id);
        let outcomes = items.into_iter().map(|item| match item {
            Item::Http(result) => result.outcome,
            other => panic!("{other:?}"),
        });
        match done {
            Ok(Done::Http(report)) => (outcomes.collect(), report),
            other => panic!("{other:?}"),
        }
    }

    /// One request that is answered.
    pub(crate) fn answer(&mut self, op: HttpOp) -> HttpAnswer {
        match self.http(op).0.remove(0) {
            HttpOutcome::Answer(answer) => *answer,
            HttpOutcome::Failed(failure) => panic!("{failure:?}"),
        }
    }

    pub(crate) fn serve(&mut self, op: ServeOp) -> (u64, SocketAddr) {
        let (id, listening) = self.begin(Op::Serve(op));
        (id, listening[0])
    }

    pub(crate) fn serve_http(&mut self) -> SocketAddr {
        self.serve(serve(ServeProtocol::Http)).1
    }

    /// Closes standard input and waits for the end.
    pub(crate) fn close(mut self) -> std::process::ExitStatus {
        drop(self.stdin.take());
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(std::time::Instant::now() < deadline, "the agent did not end with its input");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn serve(protocol: ServeProtocol) -> ServeOp {
    ServeOp {
        listen: "127.0.0.1:0".parse().unwrap(),
        protocol,
        backend: "backend-1".into(),
        pod: "pod-1".into(),
        node: "node-1".into(),
        cert_pem: None,
        key_pem: None,
    }
}

pub(crate) fn get(target: SocketAddr) -> HttpOp {
    HttpOp {
        target,
        source: None,
        host: "app.example.com".into(),
        path: "/".into(),
        method: "GET".into(),
        headers: Default::default(),
        tls: None,
        version: HttpVersion::Http1,
        body_bytes: 0,
        count: 1,
        concurrency: 1,
        rate_per_s: None,
        connection: Connection::PerRequest,
        timeout_ms: 5_000,
        detail: Detail::Full,
    }
}

/// An authority and what it signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key of a leaf, PEM.
    pub(crate) fn leaf(&self, name: &str) -> (String, String) {
        self.leaf_until(name, 2099)
    }

    pub(crate) fn leaf_until(&self, name: &str, year: i32) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

pub(crate) fn serve_tls(protocol: ServeProtocol, (cert, key): (String, String)) -> ServeOp {
    ServeOp { cert_pem: Some(cert), key_pem: Some(key), ..serve(protocol) }
}

pub(crate) fn client_tls(name: &str, roots: &Authority) -> ClientTls {
    ClientTls { sni: Some(name.into()), roots_pem: Some(roots.pem.clone()), ..Default::default() }
}
