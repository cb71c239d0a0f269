//! `control.sock`: one question a connection, one line each way; some connections then become something else.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;

use super::SupervisorError;
use super::cluster::{Cluster, now_ns};
use super::session::{self, Program};
use crate::lab::NAMESPACES;
use crate::spec::{Answer, Control};

/// A question longer than this is none of ours.
const LINE_MAX: usize = 1 << 20;

/// Answers until the lab is closed.
pub(super) async fn serve(listener: UnixListener, cluster: Cluster) {
    let cluster = Arc::new(cluster);
    cluster.run_pods(Arc::new(super::containers::Pods(Arc::downgrade(&cluster))));
    let closed = Arc::new(Notify::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed.notified() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (cluster, closed) = (cluster.clone(), closed.clone());
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &cluster, &closed).await {
                        super::complain(&format!("answer on control.sock: {error}"));
                    }
                });
            }
            Err(error) => super::complain(&format!("accept on control.sock: {error}")),
        }
    }
}

async fn converse(mut stream: UnixStream, cluster: &Cluster, closed: &Notify) -> io::Result<()> {
    let Some(line) = read_line(&mut stream).await? else { return Ok(()) };
    let control = match serde_json::from_slice::<Control>(&line) {
        Ok(control) => control,
        Err(error) => return answer(&mut stream, Err(SupervisorError::Spec(format!("understand the question: {error}")))).await,
    };
    match control {
        Control::Open { vantage, argv, env } => open(stream, cluster, &vantage, Program { argv, env }).await,
        Control::Enter { vantage } => hand_over(stream, cluster, &vantage).await,
        Control::DialApi => match cluster.dial_api().await {
            Ok(mut server) => {
                answer(&mut stream, Ok(now_ns())).await?;
                // Either side may go away at any time; that is how connections end.
                let _ = copy_bidirectional(&mut stream, &mut server).await;
                Ok(())
            }
            Err(error) => answer(&mut stream, Err(error)).await,
        },
        Control::Node { node, action } => {
            let done = cluster.act(&node, action).await;
            answer(&mut stream, done).await
        }
        Control::Api { action } => answer(&mut stream, Ok(cluster.switch_api(action))).await,
        Control::Collect => {
            let texts = cluster.collect().await;
            say(&mut stream, &Answer::Ok { at_ns: now_ns(), texts }).await
        }
        Control::Close => {
            cluster.end().await;
            let said = answer(&mut stream, Ok(now_ns())).await;
            closed.notify_one();
            said
        }
    }
}

/// Hands the connection to a program. The answer goes first: nothing the program says may come before it.
async fn open(mut stream: UnixStream, cluster: &Cluster, vantage: &str, program: Program) -> io::Result<()> {
    let place = match cluster.place(vantage).await {
        Ok(place) => place,
        Err(error) => return answer(&mut stream, Err(error)).await,
    };
    if let Some(name) = program.argv.as_ref().and_then(|argv| argv.first()).filter(|name| !runnable(name)) {
        let source = io::Error::from(io::ErrorKind::NotFound);
        return answer(&mut stream, Err(SupervisorError::Io { operation: format!("run {name}"), source })).await;
    }
    answer(&mut stream, Ok(now_ns())).await?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let connection = OwnedFd::from(stream);
    let child = session::start(&place, program, &cluster.spec.faults, &cluster.ready().kubeconfig, &connection)?;
    session::watch(child, connection)
}

/// Answers with the namespaces of a place as descriptors.
async fn hand_over(mut stream: UnixStream, cluster: &Cluster, vantage: &str) -> io::Result<()> {
    let opened = cluster.place(vantage).await.and_then(|place| {
        let open = |kind: &str| File::open(format!("/proc/self/ns/{kind}"));
        let own = NAMESPACES.iter().map(|(kind, _)| open(kind)).collect::<io::Result<Vec<File>>>();
        Ok((own.map_err(SupervisorError::io(format!("enter {vantage}")))?, place.netns))
    });
    let (own, network) = match opened {
        Ok(opened) => opened,
        Err(error) => return answer(&mut stream, Err(error)).await,
    };
    let descriptors: Vec<_> = own.iter().map(AsRawFd::as_raw_fd).chain([network.raw()]).collect();
    let mut line = serde_json::to_vec(&Answer::Ok { at_ns: now_ns(), texts: Default::default() }).map_err(io::Error::other)?;
    line.push(b'\n');
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let sent = sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(&line)], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    if sent == line.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn runnable(name: &str) -> bool {
    if name.contains('/') {
        return std::path::Path::new(name).is_file();
    }
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

async fn read_line(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        // Byte by byte: what follows the line belongs to the program.
        match stream.read_u8().await {
            Ok(b'\n') => return Ok(Some(line)),
            Ok(byte) if line.len() < LINE_MAX => line.push(byte),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "the question is too long")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

async fn answer(stream: &mut UnixStream, result: Result<u64, SupervisorError>) -> io::Result<()> {
    let answer = match result {
        Ok(at_ns) => Answer::Ok { at_ns, texts: std::collections::BTreeMap::new() },
        Err(error) => Answer::Error { message: error.to_string() },
    };
    say(stream, &answer).await
}

async fn say(stream: &mut UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
    line.push(b'\n');
    stream.write_all(&line).await
}
