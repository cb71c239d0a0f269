//! A command in a container of a Pod, talked to for long over one WebSocket (`pods/exec`, subprotocols `v5` and
//! `v4.channel.k8s.io`): an agent session rides on it. A frame is no line and a line no frame.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Client;
use kube::api::{Api, AttachParams};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio_util::io::{ReaderStream, StreamReader};

use super::{ApiError, Call, chain};

/// What is read at once: a capture sends megabytes.
const CAPACITY: usize = 256 * 1024;
/// How much of a command's errors is kept.
const ERRORS: usize = 8 * 1024;

/// A command that runs in a Pod. It loses its input, and with it the reason to go on, when either half is dropped.
pub struct Streams {
    /// What it says. It ends with an error that says why, where the command or the API said why.
    pub output: Pin<Box<dyn AsyncRead + Send>>,
    /// What it hears.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
}

/// Starts a command and hands its streams over.
///
/// # Errors
/// See [`ApiError`]; that the command cannot be started is the error its output ends with.
pub async fn open(client: &Client, namespace: &str, pod: &str, container: &str, command: &[&str]) -> Result<Streams, ApiError> {
    let what = Call { operation: "run a command in", object: format!("pod/{namespace}/{pod}") };
    let parameters = AttachParams {
        container: Some(container.to_owned()),
        stdin: true,
        stdout: true,
        stderr: true,
        // A terminal would mix the two and echo the input.
        tty: false,
        max_stdin_buf_size: Some(CAPACITY),
        max_stdout_buf_size: Some(CAPACITY),
        max_stderr_buf_size: Some(ERRORS),
    };
    let api = Api::<Pod>::namespaced(client.clone(), namespace);
    let mut process = api.exec(pod, command.iter().copied(), &parameters).await.map_err(|error| refusal(&what, error))?;
    let lacking = |stream: &str| ApiError::Call { operation: what.operation, object: what.object.clone(), message: format!("no {stream}") };
    let input = process.stdin().ok_or_else(|| lacking("input"))?;
    let output = process.stdout().ok_or_else(|| lacking("output"))?;
    let errors = process.stderr().ok_or_else(|| lacking("errors"))?;
    let status = process.take_status().ok_or_else(|| lacking("status"))?;
    let said = Arc::new(Mutex::new(Vec::new()));
    // Nobody else reads them, and a command whose errors are not read stands still.
    tokio::spawn(keep_end(errors, Arc::clone(&said)));
    // The process is held until its output has been read to the end: dropping it hangs up.
    let end = futures::stream::once(async move {
        let status = status.await;
        let lost = process.join().await.err().map(|error| chain(&error));
        let said = String::from_utf8_lossy(&said.lock().unwrap_or_else(PoisonError::into_inner)).trim().to_owned();
        match ended(status, lost, said) {
            None => Ok(Bytes::new()),
            Some(why) => Err(std::io::Error::other(format!("it ended: {why}"))),
        }
    });
    let output = ReaderStream::with_capacity(output, CAPACITY).chain(end);
    // An empty piece would look like the end of the stream to its reader; there it is.
    let output = output.filter(|piece| std::future::ready(!matches!(piece, Ok(bytes) if bytes.is_empty())));
    Ok(Streams { output: Box::pin(StreamReader::new(Box::pin(output))), input: Box::pin(input) })
}

/// Why a command ended, where anybody said it: the status is the API's or the container runtime's, the rest its own.
fn ended(status: Option<Status>, lost: Option<String>, said: String) -> Option<String> {
    let failed = status.filter(|status| status.status.as_deref() != Some("Success"));
    let failed = failed.map(|status| status.message.or(status.reason).unwrap_or_else(|| "the API says it failed".to_owned()));
    let reasons: Vec<String> = [failed, lost, Some(said)].into_iter().flatten().filter(|reason| !reason.is_empty()).collect();
    if reasons.is_empty() { None } else { Some(reasons.join(": ")) }
}

/// Reads to the end and keeps the last of it.
async fn keep_end(mut from: impl AsyncRead + Unpin, into: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 4096];
    while let Ok(read) = from.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        let mut kept = into.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&buffer[..read]);
        let over = kept.len().saturating_sub(ERRORS);
        kept.drain(..over);
    }
}

/// A refusal of the API comes as a status alone, because a WebSocket that is not opened has no body for it.
fn refusal(what: &Call, error: kube::Error) -> ApiError {
    let kube::Error::UpgradeConnection(kube::client::UpgradeConnectionError::ProtocolSwitch(status)) = &error else {
        return what.error(error);
    };
    let cure = match status.as_u16() {
        401 | 403 => "\nhint: the account of this kubeconfig needs the verbs get and create on pods/exec",
        404 => "\nhint: the Pod or its container is not there any more",
        _ => "",
    };
    let (code, reason) = (status.as_u16(), status.canonical_reason().unwrap_or_default().to_owned());
    let message = format!("the API does not open a WebSocket for it{cure}");
    ApiError::Refused { operation: what.operation, object: what.object.clone(), code, reason, message }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_end_says_what_anybody_said_of_it() {
        let status =
            |text: &str, message: &str| Status { status: Some(text.to_owned()), message: Some(message.to_owned()), ..Status::default() };
        assert_eq!(ended(Some(status("Success", "")), None, String::new()), None);
        assert_eq!(ended(None, None, String::new()), None);
        let failed = Some(status("Failure", "command terminated with exit code 1"));
        assert_eq!(ended(failed, None, "no runtime".into()).unwrap(), "command terminated with exit code 1: no runtime");
        assert_eq!(ended(None, Some("connection reset".into()), String::new()).unwrap(), "connection reset");
    }

    #[tokio::test]
    async fn only_the_end_of_a_commands_errors_is_kept() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let text: String = (0..3000).map(|n| format!("line {n}\n")).collect();
        keep_end(text.as_bytes(), Arc::clone(&said)).await;
        let kept = String::from_utf8(said.lock().unwrap().clone()).unwrap();
        assert!(kept.len() <= ERRORS && kept.ends_with("line 2999\n"));
    }
}
