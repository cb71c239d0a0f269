//! Proxies of single frontends: a TCP connection or a UDP session goes to one ready endpoint, chosen by the seed.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;

/// Limit for reaching an endpoint.
const CONNECT: Duration = Duration::from_secs(5);
/// A UDP session ends when nothing came back for so long.
const UDP_IDLE: Duration = Duration::from_secs(30);
/// UDP sessions of one frontend; further clients wait for one to end.
const UDP_SESSIONS_MAX: usize = 4096;

/// The ready endpoints of a frontend, as they are now.
pub(super) type Endpoints = watch::Receiver<Vec<SocketAddr>>;

/// One endpoint, uniformly.
fn choose(chance: &Chance, endpoints: &Endpoints) -> Option<SocketAddr> {
    let endpoints = endpoints.borrow();
    endpoints.get(chance.index(endpoints.len())?).copied()
}

/// Accepts connections until `cancel`; open ones go on to their end.
pub(super) async fn tcp(listener: TcpListener, endpoints: Endpoints, chance: Arc<Chance>, cancel: CancellationToken) {
    while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
        // A connection that died in the queue or a passing shortage of descriptors ends nothing.
        let Ok((client, _)) = accepted else { continue };
        let endpoint = if crate::node::refuses() { None } else { choose(&chance, &endpoints) };
        tokio::spawn(async move {
            // A broken connection is its two ends' affair: both see it end.
            let _ = forward(client, endpoint).await;
        });
    }
}

async fn forward(mut client: TcpStream, endpoint: Option<SocketAddr>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let connected = match endpoint {
        Some(endpoint) => tokio::time::timeout(CONNECT, TcpStream::connect(endpoint)).await,
        None => Ok(Err(io::ErrorKind::ConnectionRefused.into())),
    };
    let Ok(Ok(mut server)) = connected else {
        // Nobody behind it: the client sees a reset, as from a kernel that has no listener.
        return client.set_zero_linger();
    };
    server.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// One socket to an endpoint for each client.
type Sessions = Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>;

/// Forwards datagrams until `cancel`.
pub(super) async fn udp(socket: UdpSocket, endpoints: Endpoints, chance: Arc<Chance>, cancel: CancellationToken) {
    let socket = Arc::new(socket);
    let sessions = Sessions::default();
    let mut buffer = vec![0; 65_536];
    while let Some(received) = cancel.run_until_cancelled(socket.recv_from(&mut buffer)).await {
        // ICMP errors of earlier answers come back here; they end no other session.
        let Ok((len, client)) = received else { continue };
        let known = lock(&sessions).get(&client).cloned();
        let upstream = match known {
            Some(upstream) => Ok(upstream),
            None => open(&socket, &sessions, client, choose(&chance, &endpoints), &cancel).await,
        };
        if let Ok(upstream) = upstream {
            // A datagram that cannot be sent is lost, as datagrams are.
            let _ = upstream.send(&buffer[..len]).await;
        }
    }
}

async fn open(
    socket: &Arc<UdpSocket>,
    sessions: &Sessions,
    client: SocketAddr,
    endpoint: Option<SocketAddr>,
    cancel: &CancellationToken,
) -> io::Result<Arc<UdpSocket>> {
    let endpoint = endpoint.ok_or(io::ErrorKind::ConnectionRefused)?;
    if lock(sessions).len() >= UDP_SESSIONS_MAX {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    let any = if endpoint.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let upstream = Arc::new(UdpSocket::bind(any).await?);
    upstream.connect(endpoint).await?;
    lock(sessions).insert(client, upstream.clone());
    let (back, socket, sessions, cancel) = (upstream.clone(), socket.clone(), sessions.clone(), cancel.clone());
    tokio::spawn(async move {
        let _ = cancel.run_until_cancelled(answers(&back, &socket, client)).await;
        lock(&sessions).remove(&client);
    });
    Ok(upstream)
}

async fn answers(upstream: &UdpSocket, socket: &UdpSocket, client: SocketAddr) -> io::Result<()> {
    let mut buffer = vec![0; 65_536];
    while let Ok(received) = tokio::time::timeout(UDP_IDLE, upstream.recv(&mut buffer)).await {
        socket.send_to(&buffer[..received?], client).await?;
    }
    Ok(())
}

fn lock(sessions: &Sessions) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Arc<UdpSocket>>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    tokio::io::copy(&mut read, &mut write).await.unwrap();
                });
            }
        });
        address
    }

    async fn frontend(endpoints: Vec<SocketAddr>) -> (SocketAddr, watch::Sender<Vec<SocketAddr>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = watch::channel(endpoints);
        tokio::spawn(tcp(listener, receiver, Arc::new(Chance::new(7, "test")), CancellationToken::new()));
        (address, sender)
    }

    #[tokio::test]
    async fn connection_reaches_an_endpoint_and_comes_back() {
        let (address, _endpoints) = frontend(vec![echo().await]).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"there and back").await.unwrap();
        let mut back = [0; 14];
        client.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"there and back");
    }

    #[tokio::test]
    async fn connection_without_an_endpoint_is_reset() {
        let (address, _endpoints) = frontend(Vec::new()).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        let error = client.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn datagrams_go_to_an_endpoint_and_answers_come_from_the_frontend() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (_sender, receiver) = watch::channel(vec![server.local_addr().unwrap()]);
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = front.local_addr().unwrap();
        tokio::spawn(udp(front, receiver, Arc::new(Chance::new(7, "test")), CancellationToken::new()));
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"ping", address).await.unwrap();
        let mut buffer = [0; 16];
        let (len, from) = server.recv_from(&mut buffer).await.unwrap();
        server.send_to(&buffer[..len], from).await.unwrap();
        let (len, from) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!((&buffer[..len], from), (&b"ping"[..], address));
    }
}
