//! Encryption between nodes: user-space WireGuard under the overlay, as Cilium's tunnel mode does it.
//!
//! Rules (`node::datapath`) send what is to be encrypted into `cilium_wg0`: overlay packets (UDP 8472) always, and with node
//! encryption everything to the address of a node that has not opted out. The far end of that link is read here; packets are
//! sealed (boringtun) and leave by UDP 51871 with the mark that the rules let pass. A packet whose peer is not known yet is dropped, never sent in the
//! clear: that a fault does (see [`leak`]). Keys live in this process only; the public one is published on the CiliumNode.

mod leak;

mod peers;

mod tunnel;

use std::io;

use boringtun::x25519::{PublicKey, StaticSecret};
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::leak::Leak;
use self::peers::Peer;
use crate::fault::Fault;
use crate::gateway::objects::resource_of;
use crate::mirror::{Mirror, Pulse};
use crate::settings::NodeContext;

/// Annotation of a CiliumNode with the node's public key (base64).
pub const KEY_ANNOTATION: &str = "network.cilium.io/wg-pub-key";

/// Why encryption cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum WireGuardError {
    /// Sockets.
    #[error("{operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What came back.
        source: io::Error,
    },
    /// The kernel gave no randomness for a key.
    #[error("make a WireGuard key")]
    Key,
}

/// Encrypts until `cancel`; the link must be there. Returns at once when encryption is off.
///
/// # Errors
/// See [`WireGuardError`]. Trouble with the API is not an error: peers that are known stay.
pub async fn run(client: Client, ctx: NodeContext, cancel: CancellationToken) -> Result<(), WireGuardError> {
    if !ctx.settings.wireguard {
        return Ok(());
    }
    let secret = secret()?;
    let (peers, mut known) = watch::channel(Vec::new());
    let (terminating, leaving) = watch::channel(std::collections::BTreeSet::new());
    let public = PublicKey::from(&secret);
    let publish = tokio::spawn(cancel.clone().run_until_cancelled_owned(publish(client.clone(), ctx.clone(), public)));
    let follow = tokio::spawn(follow_peers(client.clone(), ctx.name.clone(), peers, cancel.clone()));
    if ctx.faults.has(Fault::EncryptionTerminatingPodLeaks) {
        tokio::spawn(leak::follow_terminating(client, ctx.name.clone(), terminating, cancel.clone()));
    }
    if ctx.faults.has(Fault::EncryptionSameNodeLeaks) {
        tokio::spawn(cancel.clone().run_until_cancelled_owned(leak::copy_same_node(ctx.clone())));
    }
    let mut tunnel = tunnel::Tunnel::open(&ctx, secret, Leak::new(&ctx, leaving))?;
    let outcome = cancel.run_until_cancelled(async {
        loop {
            let peers: Vec<Peer> = known.borrow_and_update().clone();
            tunnel.set_peers(&peers);
            tokio::select! {
                changed = known.changed() => if changed.is_err() { std::future::pending::<()>().await },
                ended = tunnel.work() => return ended,
            }
        }
    });
    let outcome = outcome.await.unwrap_or(Ok(()));
    publish.abort();
    follow.abort();
    outcome
}

fn secret() -> Result<StaticSecret, WireGuardError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| WireGuardError::Key)?;
    Ok(StaticSecret::from(bytes))
}

pub(crate) fn cilium_nodes(client: Client) -> Api<DynamicObject> {
    Api::all_with(client, &resource_of("cilium.io", "v2", "CiliumNode", "ciliumnodes"))
}

/// Says on the CiliumNode who this node is and what its key is; again whenever that fails.
async fn publish(client: Client, ctx: NodeContext, public: PublicKey) {
    let nodes = cilium_nodes(client);
    let mut labels = json!({"kubernetes.io/hostname": ctx.name});
    if ctx.control_plane {
        labels[peers::OPT_OUT_LABEL] = json!("");
    }
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, public.as_bytes());
    let object = json!({
        "apiVersion": "cilium.io/v2",
        "kind": "CiliumNode",
        "metadata": {"name": ctx.name, "labels": labels, "annotations": {KEY_ANNOTATION: key}},
        "spec": {
            "addresses": [{"type": "InternalIP", "ip": ctx.address.to_string()}],
            "ipam": {"podCIDRs": [format!("{}/24", ctx.pod_subnet)]},
            "encryption": {"key": 255},
        },
    });
    let params = PatchParams::apply("cilium-agent").force();
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(100));
    // The API may not be there yet; the interval paces the attempts, the run's own limit ends them.
    loop {
        pause.tick().await;
        if nodes.patch(&ctx.name, &params, &Patch::Apply(&object)).await.is_ok() {
            return;
        }
    }
}

async fn follow_peers(client: Client, own: String, peers: watch::Sender<Vec<Peer>>, cancel: CancellationToken) {
    let pulse = Pulse::new();
    let mut changes = pulse.listen();
    let nodes = Mirror::follow(cilium_nodes(client), pulse, cancel);
    while changes.changed().await.is_ok() {
        let all = nodes.all();
        let now = peers::peers(all.iter().map(AsRef::as_ref), &own);
        peers.send_if_modified(|known| std::mem::replace(known, now.clone()) != now);
    }
}
