//! Whether the API answers this node, for the faults in which what a node forwards depends on it. An honest node never asks: what it knows
//! stands until it is told otherwise.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

use crate::fault::{Fault, FaultSet};

/// How often it asks, and how long it takes no answer for an answer.
const PACE: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_millis(800);

static LOST: AtomicBool = AtomicBool::new(false);
static STALE: AtomicBool = AtomicBool::new(false);

/// Whether traffic is refused because the API does not answer.
pub(super) fn refuses() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Whether the node goes on with what it knew when the API went away.
pub(crate) fn is_stale() -> bool {
    STALE.load(Ordering::Relaxed)
}

/// Watches the API until `cancel`, if one of the faults is switched on.
pub(super) async fn run(client: Client, faults: FaultSet, cancel: CancellationToken) {
    let (stops, freezes) = (faults.has(Fault::ApiLossStopsTraffic), faults.has(Fault::ApiLossFreezesRoutes));
    if !stops && !freezes {
        return;
    }
    let watching = async {
        loop {
            let answered = matches!(tokio::time::timeout(PATIENCE, client.apiserver_version()).await, Ok(Ok(_)));
            LOST.store(stops && !answered, Ordering::Relaxed);
            STALE.fetch_or(freezes && !answered, Ordering::Relaxed);
            tokio::time::sleep(PACE).await;
        }
    };
    cancel.run_until_cancelled(watching).await.unwrap_or(())
}
