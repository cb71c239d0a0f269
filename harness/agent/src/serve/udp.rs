//! UDP echo: datagrams come back as they are, from the address they were sent to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

/// Sends datagrams back until it is stopped.
pub(super) async fn echo(socket: UdpSocket, datagrams: Arc<AtomicU64>, stop: CancellationToken) {
    let mut buffer = vec![0_u8; 64 * 1024];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        // An error here is an ICMP message about an earlier answer; the socket is as good as before.
        let Ok((length, peer)) = received else { continue };
        datagrams.fetch_add(1, Ordering::Relaxed);
        // A lost answer is what UDP allows; its client sees it.
        let _ = socket.send_to(&buffer[..length], peer).await;
    }
}
