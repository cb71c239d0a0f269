//! What trials share: a spec, a lab, agent sessions and programs in it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use plumb_core::probe::{Body, Done, L4Op, Op, PingOp, PingOutcome, Reply, Request};
use plumb_refnet::fault::{Fault, FaultSet};
use plumb_refnet::lab::LabHandle;
use plumb_refnet::spec::{LabSpec, NetworkSpec, NodeSpec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Three nodes on `eth0` and `net0`, with a client.
pub(crate) fn spec(values: &[(&str, serde_json::Value)], faults: &[Fault]) -> LabSpec {
    let network = |interface: &str, subnet: [u8; 4]| NetworkSpec { interface: interface.to_owned(), subnet: subnet.into() };
    LabSpec {
        nodes: ["control-plane", "worker", "worker2"]
            .into_iter()
            .map(|name| NodeSpec { name: name.to_owned(), control_plane: name == "control-plane" })
            .collect(),
        networks: vec![network("eth0", [10, 9, 0, 0]), network("net0", [10, 10, 0, 0])],
        client: vec!["eth0".to_owned(), "net0".to_owned()],
        values: values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        crds: Vec::new(),
        faults: faults.iter().copied().collect::<FaultSet>(),
        seed: 7,
    }
}

/// A lab and the folder it lives in.
pub(crate) struct World {
    pub(crate) lab: LabHandle,
    pub(crate) client: kube::Client,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn start(spec: &LabSpec) -> World {
        let dir = tempfile::tempdir().unwrap();
        match LabHandle::start(spec, dir.path()).await {
            Ok(lab) => World { client: lab.kube_client().unwrap(), lab, dir },
            Err(error) => panic!("{error}"),
        }
    }

    /// Runs a program to its end and returns what it printed.
    pub(crate) async fn run(&self, vantage: &str, argv: &[&str]) -> String {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let (mut out, _in) = self.lab.open(vantage, Some(argv), BTreeMap::new()).await.unwrap();
        let mut text = String::new();
        out.read_to_string(&mut text).await.unwrap();
        text
    }

    /// An agent session.
    pub(crate) async fn agent(&self, vantage: &str) -> Session {
        let (reads, writes) = self.lab.agent(vantage).await.unwrap_or_else(|error| panic!("{error}"));
        Session { reads: BufReader::new(reads), writes, last: 0 }
    }

    /// Ends it, and looks that nothing is in its way.
    pub(crate) async fn close(self) {
        self.lab.close().await.unwrap();
        drop(self.dir);
    }

    /// How many of one TCP echo came back.
    pub(crate) async fn echo(&self, from: &str, to: &str, port: u16, payload: &str) -> usize {
        let target = std::net::SocketAddr::new(to.parse().unwrap(), port);
        let op = L4Op { target, source: None, payload: payload.to_owned(), count: 1, interval_ms: 0, timeout_ms: 1000 };
        let Done::L4(report) = self.agent(from).await.ask(Op::Tcp(op)).await else { panic!("not an echo report") };
        report.attempts.iter().filter(|attempt| attempt.rtt_us.is_some()).count()
    }

    /// Whether an address answers echo requests.
    pub(crate) async fn ping(&self, from: &str, to: &str, count: u32) -> u32 {
        self.agent(from).await.ping(to, count).await
    }
}

/// An agent session.
pub(crate) struct Session {
    reads: BufReader<OwnedReadHalf>,
    writes: OwnedWriteHalf,
    last: u64,
}

impl Session {
    /// Begins an operation.
    pub(crate) async fn begin(&mut self, op: Op) -> u64 {
        self.last += 1;
        let mut line = serde_json::to_vec(&Request { id: self.last, op }).unwrap();
        line.push(b'\n');
        self.writes.write_all(&line).await.unwrap();
        self.last
    }

    /// The next reply to an operation.
    pub(crate) async fn next(&mut self, id: u64) -> Body {
        loop {
            let mut line = String::new();
            assert!(self.reads.read_line(&mut line).await.unwrap() > 0, "the session ended");
            let reply: Reply = serde_json::from_str(&line).unwrap();
            if reply.id == id {
                return reply.body;
            }
        }
    }

    /// Carries an operation out.
    pub(crate) async fn ask(&mut self, op: Op) -> Done {
        let id = self.begin(op).await;
        self.end(id).await
    }

    /// Waits for the end of an operation.
    pub(crate) async fn end(&mut self, id: u64) -> Done {
        loop {
            match self.next(id).await {
                Body::Done(done) => return done,
                Body::Failed(error) => panic!("{error:?}"),
                _ => {}
            }
        }
    }

    /// How many echo requests were answered.
    pub(crate) async fn ping(&mut self, to: &str, count: u32) -> u32 {
        let target: IpAddr = to.parse().unwrap();
        let op = PingOp { target, source: None, size: 56, dont_fragment: false, count, interval_ms: 10, timeout_ms: 1000 };
        let Done::Ping(report) = self.ask(Op::Ping(op)).await else { panic!("not a ping report") };
        report.attempts.iter().filter(|attempt| matches!(attempt.outcome, PingOutcome::Reply { .. })).count() as u32
    }
}

/// Runs a trial on a runtime of its own.
pub(crate) fn trial(name: &str, work: impl AsyncFnOnce() + Send + 'static) -> libtest_mimic::Trial {
    libtest_mimic::Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work());
        Ok(())
    })
}
