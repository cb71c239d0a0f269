//! A session with an agent: requests side by side over one pair of streams, replies told apart by their id.
//!
//! It knows the protocol ([`plumb_core::probe`]) and nothing of networks. A session that died, an agent that cannot carry an
//! operation out and an answer that does not come are the lab's trouble, never the product's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plumb_core::evidence::{Trouble, Whose};
use plumb_core::probe::{Body, Done, Hello, Item, Op, OpError, PROTOCOL, Reply, Request, Started};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Why an operation has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SessionError {
    /// The session is over.
    #[error("talk to the agent on {agent}: {cause}")]
    Ended {
        /// Which agent.
        agent: String,
        /// How it ended.
        cause: String,
    },
    /// The agent could not carry it out.
    #[error("{} on {agent}: {}", error.operation, error.message)]
    Failed {
        /// Which agent.
        agent: String,
        /// What it said.
        error: OpError,
    },
    /// No answer in time.
    #[error("wait for {operation} of the agent on {agent}: no answer within {} ms", limit.as_millis())]
    Late {
        /// Which agent.
        agent: String,
        /// What was asked.
        operation: String,
        /// The limit.
        limit: Duration,
    },
    /// The agent answered something else.
    #[error("understand the agent on {agent}: {message}")]
    Protocol {
        /// Which agent.
        agent: String,
        /// What was wrong.
        message: String,
    },
}

impl SessionError {
    /// As evidence.
    pub fn trouble(&self, operation: &str) -> Trouble {
        Trouble { whose: Whose::Lab, operation: operation.to_owned(), message: self.to_string() }
    }
}

/// What a request ended with.
#[derive(Debug)]
pub struct Outcome {
    /// Partial results, in order.
    pub items: Vec<Item>,
    /// The whole.
    pub done: Done,
}

/// A session with an agent.
#[derive(Debug)]
pub struct Session {
    shared: Arc<Shared>,
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    agent: String,
    next: AtomicU64,
    lines: mpsc::UnboundedSender<Vec<u8>>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug)]
enum Waiting {
    Open(HashMap<u64, mpsc::UnboundedSender<Body>>),
    Ended(String),
}

impl Session {
    /// Takes over an agent's streams.
    pub fn over<R, W>(agent: &str, input: R, mut output: W) -> Session
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (lines, mut to_write) = mpsc::unbounded_channel::<Vec<u8>>();
        let shared = Arc::new(Shared {
            agent: agent.to_owned(),
            next: AtomicU64::new(1),
            lines,
            waiting: Mutex::new(Waiting::Open(HashMap::new())),
        });
        let reader = tokio::spawn(read(Arc::clone(&shared), BufReader::new(input)));
        let writing = Arc::clone(&shared);
        let writer = tokio::spawn(async move {
            while let Some(line) = to_write.recv().await {
                if let Err(error) = async {
                    output.write_all(&line).await?;
                    output.flush().await
                }
                .await
                {
                    writing.end(format!("write a request: {error}"));
                    return;
                }
            }
        });
        Session { shared, reader, writer }
    }

    /// Whether nothing can be asked of it any longer.
    pub fn is_over(&self) -> bool {
        matches!(*self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner), Waiting::Ended(_))
    }

    /// Asks who is there, and refuses another protocol.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn hello(&self, limit: Duration) -> Result<Hello, SessionError> {
        let agent = self.shared.agent.clone();
        match self.ask(Op::Hello, limit).await?.done {
            Done::Hello(hello) if hello.protocol == PROTOCOL => Ok(hello),
            Done::Hello(hello) => {
                Err(SessionError::Protocol { agent, message: format!("it speaks protocol {}, expected {PROTOCOL}", hello.protocol) })
            }
            other => Err(SessionError::Protocol { agent, message: format!("it answered {other:?} to hello") }),
        }
    }

    /// Carries an operation out and waits for its end.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn ask(&self, op: Op, limit: Duration) -> Result<Outcome, SessionError> {
        let running = self.send(op)?;
        running.finish(limit).await
    }

    /// Starts a long operation and waits until it is live.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn start(&self, op: Op, limit: Duration) -> Result<Running, SessionError> {
        let mut running = self.send(op)?;
        let late = running.late(limit);
        tokio::time::timeout(limit, running.until_started()).await.map_err(|_| late)??;
        Ok(running)
    }

    fn send(&self, op: Op) -> Result<Running, SessionError> {
        let operation = name(&op);
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, bodies) = mpsc::unbounded_channel();
        match &mut *self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Waiting::Open(waiting) => waiting.insert(id, sender),
            Waiting::Ended(cause) => return Err(self.shared.ended(cause)),
        };
        let running = Running { shared: Arc::clone(&self.shared), id, operation, bodies, started: None, items: Vec::new() };
        self.shared.write(&Request { id, op })?;
        Ok(running)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The streams go with the tasks; an agent ends when its input does.
        self.reader.abort();
        self.writer.abort();
    }
}

impl Shared {
    fn write(&self, request: &Request) -> Result<(), SessionError> {
        let protocol = |message| SessionError::Protocol { agent: self.agent.clone(), message };
        let mut line = serde_json::to_vec(request).map_err(|error| protocol(format!("encode a request: {error}")))?;
        line.push(b'\n');
        self.lines.send(line).map_err(|_| self.ended("its input is closed"))
    }

    fn ended(&self, cause: &str) -> SessionError {
        SessionError::Ended { agent: self.agent.clone(), cause: cause.to_owned() }
    }

    /// Ends the session: whoever waits is told by the end of its channel.
    fn end(&self, cause: String) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*waiting, Waiting::Open(_)) {
            *waiting = Waiting::Ended(cause);
        }
    }

    fn deliver(&self, reply: Reply) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting::Open(open) = &mut *waiting else { return };
        let last = matches!(reply.body, Body::Done(_) | Body::Failed(_));
        if let Some(sender) = open.get(&reply.id) {
            // Nobody waits any longer after a limit; the reply is then of no interest.
            let _ = sender.send(reply.body);
        }
        if last {
            open.remove(&reply.id);
        }
    }
}

async fn read<R: AsyncRead + Unpin>(shared: Arc<Shared>, mut input: BufReader<R>) {
    let mut line = Vec::new();
    let cause = loop {
        line.clear();
        match input.read_until(b'\n', &mut line).await {
            Ok(0) => break "it ended".to_owned(),
            Err(error) => break format!("read a reply: {error}"),
            Ok(_) if !line.ends_with(b"\n") => break "it ended in the middle of a reply".to_owned(),
            Ok(_) => {}
        }
        match serde_json::from_slice(&line) {
            Ok(reply) => shared.deliver(reply),
            Err(error) => {
                let excerpt: String = String::from_utf8_lossy(&line).chars().take(120).collect();
                break format!("it said something that is no reply: {error}: {}", excerpt.trim_end());
            }
        }
    };
    shared.end(cause);
}

/// A long operation.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    id: u64,
    operation: String,
    bodies: mpsc::UnboundedReceiver<Body>,
    started: Option<Started>,
    items: Vec<Item>,
}

impl Running {
    /// When it was live and where it listens.
    pub fn started(&self) -> Option<&Started> {
        self.started.as_ref()
    }

    /// Ends it and waits for what it saw.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn stop(self, limit: Duration) -> Result<Outcome, SessionError> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        self.shared.write(&Request { id, op: Op::Stop { of: self.id } })?;
        self.finish(limit).await
    }

    /// Waits for its own end.
    ///
    /// # Errors
    /// See [`SessionError`].
    pub async fn finish(mut self, limit: Duration) -> Result<Outcome, SessionError> {
        let late = self.late(limit);
        let done = tokio::time::timeout(limit, async {
            loop {
                match self.next().await? {
                    Body::Done(done) => return Ok(done),
                    Body::Started(started) => self.started = Some(started),
                    Body::Item(item) => self.items.push(item),
                    Body::Failed(error) => return Err(SessionError::Failed { agent: self.shared.agent.clone(), error }),
                }
            }
        });
        let done = done.await.map_err(|_| late)??;
        Ok(Outcome { items: self.items, done })
    }

    async fn until_started(&mut self) -> Result<(), SessionError> {
        loop {
            match self.next().await? {
                Body::Started(started) => {
                    self.started = Some(started);
                    return Ok(());
                }
                Body::Item(item) => self.items.push(item),
                Body::Failed(error) => return Err(SessionError::Failed { agent: self.shared.agent.clone(), error }),
                Body::Done(_) => {
                    let message = format!("{} ended before it was live", self.operation);
                    return Err(SessionError::Protocol { agent: self.shared.agent.clone(), message });
                }
            }
        }
    }

    async fn next(&mut self) -> Result<Body, SessionError> {
        if let Some(body) = self.bodies.recv().await {
            return Ok(body);
        }
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = if let Waiting::Ended(cause) = &*waiting { cause.as_str() } else { "the operation ended twice" };
        Err(self.shared.ended(cause))
    }

    fn late(&self, limit: Duration) -> SessionError {
        SessionError::Late { agent: self.shared.agent.clone(), operation: self.operation.clone(), limit }
    }
}

/// The operation's name as it stands on the wire.
fn name(op: &Op) -> String {
    match serde_json::to_value(op) {
        Ok(serde_json::Value::String(name)) => name,
        Ok(serde_json::Value::Object(map)) => map.keys().next().cloned().unwrap_or_default(),
        _ => "an operation".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use tokio::io::{DuplexStream, split};

    const LIMIT: Duration = Duration::from_secs(5);

    fn pair() -> (Session, BufReader<tokio::io::ReadHalf<DuplexStream>>, tokio::io::WriteHalf<DuplexStream>) {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (input, output) = split(ours);
        let (requests, replies) = split(theirs);
        (Session::over("node/worker", input, output), BufReader::new(requests), replies)
    }

    async fn request(input: &mut BufReader<tokio::io::ReadHalf<DuplexStream>>) -> Request {
        let mut line = String::new();
        input.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    async fn reply(output: &mut tokio::io::WriteHalf<DuplexStream>, id: u64, body: Body) {
        let line = serde_json::to_string(&Reply { id, body }).unwrap() + "\n";
        output.write_all(line.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn replies_find_their_requests_in_any_order() {
        let (session, mut requests, mut replies) = pair();
        let agent = async {
            let (one, two) = (request(&mut requests).await, request(&mut requests).await);
            reply(&mut replies, two.id, Body::Done(Done::Serve { connections: 2 })).await;
            reply(&mut replies, one.id, Body::Done(Done::Serve { connections: 1 })).await;
        };
        let (one, two, ()) = tokio::join!(session.ask(Op::Links, LIMIT), session.ask(Op::Links, LIMIT), agent);
        assert_eq!(one.unwrap().done, Done::Serve { connections: 1 });
        assert_eq!(two.unwrap().done, Done::Serve { connections: 2 });
    }

    #[tokio::test]
    async fn a_long_operation_is_live_then_stopped() {
        let (session, mut requests, mut replies) = pair();
        let agent = async {
            let capture = request(&mut requests).await;
            reply(&mut replies, capture.id, Body::Started(Started { at_ns: 7, listening: vec![] })).await;
            let stop = request(&mut requests).await;
            assert_eq!(stop.op, Op::Stop { of: capture.id });
            reply(&mut replies, capture.id, Body::Done(Done::Serve { connections: 0 })).await;
            reply(&mut replies, stop.id, Body::Done(Done::Stop)).await;
        };
        let engine = async {
            let running = session.start(Op::Links, LIMIT).await.unwrap();
            assert_eq!(running.started().unwrap().at_ns, 7);
            running.stop(LIMIT).await.unwrap()
        };
        assert_eq!(tokio::join!(engine, agent).0.done, Done::Serve { connections: 0 });
    }

    #[tokio::test]
    async fn a_dead_session_is_the_labs_trouble() {
        let (session, requests, replies) = pair();
        let asked = tokio::spawn(async move {
            let error = session.ask(Op::Links, LIMIT).await.unwrap_err();
            (error, session.ask(Op::Links, LIMIT).await.unwrap_err())
        });
        drop((requests, replies));
        let (first, second) = asked.await.unwrap();
        assert_eq!(first.trouble("list links").whose, Whose::Lab);
        assert!(matches!(second, SessionError::Ended { .. }), "{second}");
    }

    #[tokio::test]
    async fn a_silent_agent_is_named_with_the_limit() {
        let (session, _requests, _replies) = pair();
        let error = session.ask(Op::Links, Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "wait for links of the agent on node/worker: no answer within 20 ms");
    }
}
