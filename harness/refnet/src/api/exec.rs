//! `pods/<name>/exec` over a WebSocket (RFC 6455): each message begins with the number of its channel. Subprotocols
//! `v5.channel.k8s.io`, in which one side can close a channel, and `v4.channel.k8s.io`, in which it cannot
//! (k8s.io/apimachinery/pkg/util/remotecommand). SPDY, which kubectl falls back to, is not spoken.

use std::pin::Pin;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role};
use tokio_util::sync::CancellationToken;

use super::containers::Started;
use super::request::Query;
use super::service::Body;
use super::status::ApiError;

/// Channels of the protocol.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// Followed by the channel that is closed.
const CLOSE: u8 = 255;
/// Subprotocols, the better one first.
const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// What is read at once.
const CHUNK: usize = 32 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A WebSocket that may be opened.
pub(crate) struct Handshake {
    key: String,
    protocol: &'static str,
    on_upgrade: OnUpgrade,
}

impl Handshake {
    /// Reads the request's headers.
    pub(crate) fn read(headers: &HeaderMap, on_upgrade: Option<OnUpgrade>) -> Result<Handshake, ApiError> {
        let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let wanted = text(header::UPGRADE);
        if !wanted.eq_ignore_ascii_case("websocket") {
            return Err(ApiError::bad_request(format!("unable to upgrade: expected a WebSocket, asked for {wanted:?}")));
        }
        let (Some(on_upgrade), key @ 1..) = (on_upgrade, text(header::SEC_WEBSOCKET_KEY).len()) else {
            return Err(ApiError::bad_request("unable to upgrade: the connection cannot become a WebSocket"));
        };
        let offered: Vec<&str> = text(header::SEC_WEBSOCKET_PROTOCOL).split(',').map(str::trim).collect();
        let protocol = PROTOCOLS.into_iter().find(|known| offered.contains(known));
        let protocol = protocol.ok_or_else(|| ApiError::bad_request(format!("unable to upgrade: expected one of {PROTOCOLS:?}")))?;
        let key = derive_accept_key(&headers[header::SEC_WEBSOCKET_KEY].as_bytes()[..key]);
        Ok(Handshake { key, protocol, on_upgrade })
    }

    /// Opens it and speaks for a program, or says why there is none, until either ends or the server stops.
    pub(crate) fn serve(self, started: Result<Started, String>, stopped: CancellationToken) -> Response<Body> {
        let Handshake { key, protocol, on_upgrade } = self;
        tokio::spawn(async move {
            let speak = async {
                // A client that goes away before the handshake is over wanted nothing.
                let Ok(upgraded) = on_upgrade.await else { return };
                let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
                match started {
                    Ok(started) => speak(socket, started).await,
                    Err(why) => refuse(socket, &why).await,
                }
            };
            stopped.run_until_cancelled(speak).await;
        });
        let mut response = Response::new(Empty::new().boxed_unsync());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        if let Ok(accept) = HeaderValue::from_str(&key) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

/// The program asked for: `command`, repeated for each word.
pub(crate) fn command(query: &Query) -> Result<Vec<String>, ApiError> {
    let command: Vec<String> = query.all("command").map(str::to_owned).collect();
    if command.is_empty() {
        return Err(ApiError::bad_request("you must specify at least 1 command for the container"));
    }
    if query.flag("tty") {
        return Err(ApiError::not_implemented("the reference network's containers have no terminals"));
    }
    Ok(command)
}

async fn refuse(mut socket: Socket, why: &str) {
    let status = json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500, "message": why});
    // Nobody may be there to hear it.
    let _ = socket.send(on(STATUS, status.to_string().as_bytes())).await;
    let _ = socket.send(over()).await;
}

/// Speaks until the program has ended or the client is gone; the program ends with this.
async fn speak(socket: Socket, started: Started) {
    let (send, receive) = socket.split();
    let Started { stdin, stdout, stderr, ended } = started;
    // Apart from each other: a program that waits for its output to be read must not keep its input from coming.
    tokio::select! {
        _ = tell(send, stdout, stderr, ended) => {}
        () = hear(receive, stdin) => {}
    }
}

/// Sends what the program says, and how it ended.
async fn tell(
    mut send: SplitSink<Socket, Message>,
    mut stdout: Pin<Box<dyn AsyncRead + Send>>,
    mut stderr: Pin<Box<dyn AsyncRead + Send>>,
    ended: Pin<Box<dyn Future<Output = i32> + Send>>,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    let (mut said, mut complained) = (vec![0; CHUNK], vec![0; CHUNK]);
    let (mut saying, mut complaining) = (true, true);
    while saying || complaining {
        // A pipe that cannot be read has ended.
        tokio::select! {
            read = stdout.read(&mut said), if saying => match read.unwrap_or(0) {
                0 => saying = false,
                length => send.send(on(STDOUT, &said[..length])).await?,
            },
            read = stderr.read(&mut complained), if complaining => match read.unwrap_or(0) {
                0 => complaining = false,
                length => send.send(on(STDERR, &complained[..length])).await?,
            },
        }
    }
    send.send(on(STATUS, status(ended.await).to_string().as_bytes())).await?;
    send.send(over()).await
}

/// Hands on what the client says until it is gone.
async fn hear(mut receive: SplitStream<Socket>, stdin: Pin<Box<dyn AsyncWrite + Send>>) {
    let mut stdin = Some(stdin);
    while let Some(Ok(message)) = receive.next().await {
        match message {
            Message::Binary(bytes) => match *bytes {
                [STDIN, ref text @ ..] => {
                    if let Some(open) = &mut stdin
                        && (open.write_all(text).await.is_err() || open.flush().await.is_err())
                    {
                        // The program reads no more; what else it does is its own affair.
                        stdin = None;
                    }
                }
                [CLOSE, STDIN] => stdin = None,
                _ => {}
            },
            Message::Close(_) => return,
            _ => {}
        }
    }
}

/// A close without a code is an error to kubectl.
fn over() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

fn on(channel: u8, bytes: &[u8]) -> Message {
    Message::binary([&[channel][..], bytes].concat())
}

/// The `Status` a command ends with (k8s.io/kubelet/pkg/cri/streaming/remotecommand).
fn status(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}
