//! A session: requests come in, operations run side by side, replies go out. Nothing that arrives ends it but the end of input.

pub mod line;
mod operation;
mod pipes;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::time::Duration;

use plumb_core::probe::{Body, Done, Item, Op, OpError, Reply, Request, Started};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::monotonic_ns;
use pipes::Line;

/// How long operations may take to end, and the client to read what is left, once input has ended.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs a session until `input` ends.
///
/// # Errors
/// The runtime or a thread could not be made.
pub fn run(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let lines = pipes::lines_of(input)?;
        let (replies, written) = pipes::replies_to(output)?;
        Session::new(replies).take(lines).await;
        // The client may have stopped reading: what it does not take in time is lost with it.
        let _ = tokio::time::timeout(FAREWELL, written).await;
        Ok(())
    });
    runtime.shutdown_background();
    ended
}

/// What an operation needs to answer and to know when to end.
#[derive(Clone)]
pub(crate) struct Context {
    id: u64,
    replies: mpsc::Sender<Reply>,
    /// Cancelled by [`Op::Stop`] and when input ends.
    pub(crate) stop: CancellationToken,
}

impl Context {
    /// Says that a long operation is live, now.
    pub(crate) async fn started(&self, listening: Vec<std::net::SocketAddr>) {
        self.say(Body::Started(Started { at_ns: monotonic_ns(), listening })).await;
    }

    /// Sends a partial result.
    pub(crate) async fn item(&self, item: Item) {
        self.say(Body::Item(item)).await;
    }

    async fn say(&self, body: Body) {
        // When the writer is gone, so is the client, and end of input is about to be seen.
        let _ = self.replies.send(Reply { id: self.id, body }).await;
    }
}

struct Running {
    stop: CancellationToken,
    ended: watch::Receiver<bool>,
}

struct Session {
    replies: mpsc::Sender<Reply>,
    stop: CancellationToken,
    tasks: JoinSet<u64>,
    running: BTreeMap<u64, Running>,
    ended: BTreeSet<u64>,
}

impl Session {
    fn new(replies: mpsc::Sender<Reply>) -> Self {
        Self { replies, stop: CancellationToken::new(), tasks: JoinSet::new(), running: BTreeMap::new(), ended: BTreeSet::new() }
    }

    async fn take(mut self, mut lines: mpsc::Receiver<Line>) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => if let Ok(id) = ended {
                    self.running.remove(&id);
                    self.ended.insert(id);
                },
                line = lines.recv() => match line {
                    Some(line) => self.dispatch(line).await,
                    None => break,
                },
                () = self.replies.closed() => break,
            }
        }
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // What has not ended by then is dropped with the runtime.
        let _ = tokio::time::timeout(FAREWELL, all).await;
        self.tasks.abort_all();
    }

    async fn dispatch(&mut self, line: Line) {
        let parsed = match line {
            Line::Whole(bytes) => line::parse_line(&bytes),
            Line::TooLong => Some(Err(line::BadLine { id: 0, message: format!("the line is over {} bytes", line::LINE_BYTES_MAX) })),
        };
        match parsed {
            None => {}
            Some(Ok(request)) => self.begin(request).await,
            Some(Err(bad)) => self.refuse(bad.id, "read a request", &bad.message).await,
        }
    }

    async fn refuse(&self, id: u64, operation: &str, message: &str) {
        let error = OpError { operation: operation.into(), message: message.into() };
        // See `Context::say`.
        let _ = self.replies.send(Reply { id, body: Body::Failed(error) }).await;
    }

    async fn begin(&mut self, Request { id, op }: Request) {
        if self.running.contains_key(&id) {
            return self.refuse(id, "begin a request", "a request with this id is running").await;
        }
        let context = Context { id, replies: self.replies.clone(), stop: self.stop.child_token() };
        let (end, ended) = watch::channel(false);
        let running = Running { stop: context.stop.clone(), ended };
        if let Op::Stop { of } = op {
            return self.stop_one(context, of, end, running).await;
        }
        self.running.insert(id, running);
        self.tasks.spawn(async move {
            let outcome = Guarded::run(op, &context).await;
            context.say(outcome).await;
            end.send_replace(true);
            id
        });
    }

    async fn stop_one(&mut self, context: Context, of: u64, end: watch::Sender<bool>, own: Running) {
        let id = context.id;
        let Some(target) = self.running.get(&of) else {
            if self.ended.contains(&of) {
                return context.say(Body::Done(Done::Stop)).await;
            }
            return self.refuse(id, "stop a request", &format!("no request has the id {of}")).await;
        };
        target.stop.cancel();
        let mut ended = target.ended.clone();
        self.running.insert(id, own);
        self.tasks.spawn(async move {
            // An error means the operation's task is gone, which is an end as well.
            let _ = ended.wait_for(|ended| *ended).await;
            context.say(Body::Done(Done::Stop)).await;
            end.send_replace(true);
            id
        });
    }
}

/// Turns whatever an operation does, a panic included, into one last reply.
struct Guarded;

impl Guarded {
    async fn run(op: Op, context: &Context) -> Body {
        use futures::FutureExt as _;
        let work = std::panic::AssertUnwindSafe(operation::run(op, context));
        match work.catch_unwind().await {
            Ok(Ok(done)) => Body::Done(done),
            Ok(Err(error)) => Body::Failed(error),
            Err(_) => Body::Failed(OpError { operation: "run a request".into(), message: "the agent has a defect: it panicked".into() }),
        }
    }
}
