//! The L2 announcer of a node: Services with an address become answers to ARP, one node at a time, decided by a Lease.
//!
//! As documented for Cilium: a policy names Services, nodes and interfaces; every node a policy admits is a candidate for the
//! Lease `kube-system/cilium-l2announce-<namespace>-<service>`; its holder answers ARP with its interface's own address, sends
//! one gratuitous ARP for each new entry, and falls silent once its own lease is stale. A graceful end releases the lease.
//!
//! Must not decide who owns an address in any other way, and must not touch routes or addresses (see `service`).

mod arp;

mod policy;

mod election;

mod responder;

mod candidate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::DynamicObject;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::candidate::Candidate;
use self::policy::{Entry, PolicySpec};
use self::responder::Responder;
use crate::fault::Fault;
use crate::gateway::objects::resource_of;
use crate::labels::Labels;
use crate::mirror::{Mirror, Pulse};
use crate::settings::{L2Settings, NodeContext};

/// Namespace of the leases, where Cilium runs.
pub const LEASE_NAMESPACE: &str = "kube-system";

/// Why the announcer cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum L2Error {
    /// Packet sockets are not allowed, or a device is not there.
    #[error("listen for ARP on {devices}")]
    Listen {
        /// The devices.
        devices: String,
        /// What came back.
        source: std::io::Error,
    },
}

/// Name of the lease of a Service, in [`LEASE_NAMESPACE`].
pub fn lease_name(namespace: &str, service: &str) -> String {
    format!("cilium-l2announce-{namespace}-{service}")
}

/// Announces until `cancel`, then releases every lease it holds. Returns at once when L2 announcements are off.
///
/// # Errors
/// See [`L2Error`]. Trouble with the API is not an error: the announcer falls silent when its leases are stale, and goes on.
pub async fn run(client: Client, ctx: NodeContext, cancel: CancellationToken) -> Result<(), L2Error> {
    let Some(timing) = ctx.settings.l2 else { return Ok(()) };
    let devices = devices(&ctx);
    let listening = CancellationToken::new();
    let responder = Responder::open(&devices, &listening).map_err(|source| L2Error::Listen { devices: devices.join(", "), source })?;
    let mut announcer = Announcer {
        objects: Objects::follow(&client, &cancel),
        candidates: BTreeMap::new(),
        untouched: BTreeMap::new(),
        tasks: TaskTracker::new(),
        client,
        ctx: Arc::new(ctx),
        devices,
        timing,
        responder,
    };
    while cancel.run_until_cancelled(announcer.objects.changed()).await.is_some() {
        announcer.reconcile();
    }
    announcer.candidates.clear();
    announcer.tasks.close();
    announcer.tasks.wait().await;
    listening.cancel();
    Ok(())
}

/// The node's interfaces Cilium would take: those of `devices`, or all.
fn devices(ctx: &NodeContext) -> Vec<String> {
    let chosen = &ctx.settings.devices;
    let names = ctx.interfaces.iter().map(|(name, _)| name.clone());
    names.filter(|name| chosen.is_empty() || chosen.contains(name)).collect()
}

/// `namespace/name` of a Service.
type ServiceKey = (String, String);

struct Announcer {
    objects: Objects,
    /// One a Service this node may announce; dropping the sender ends it gracefully.
    candidates: BTreeMap<ServiceKey, watch::Sender<BTreeSet<Entry>>>,
    /// What Services looked like when they first had something to announce (only for [`Fault::ArpUntilTouched`]).
    untouched: BTreeMap<ServiceKey, String>,
    tasks: TaskTracker,
    client: Client,
    ctx: Arc<NodeContext>,
    devices: Vec<String>,
    timing: L2Settings,
    responder: Responder,
}

impl Announcer {
    fn reconcile(&mut self) {
        let labels = self.objects.labels_of(&self.ctx.name);
        let policies = self.objects.policies();
        let mut wanted: BTreeMap<ServiceKey, BTreeSet<Entry>> = BTreeMap::new();
        for service in self.objects.services.all() {
            let entries = policy::entries(&service, &policies, &labels, &self.devices);
            let key = (service.namespace().unwrap_or_default(), service.name_any());
            if !entries.is_empty() && self.noticed(&key, &service) {
                wanted.insert(key, entries);
            }
        }
        self.candidates.retain(|key, _| wanted.contains_key(key));
        for (key, entries) in wanted {
            match self.candidates.get(&key) {
                Some(sender) => {
                    sender.send_if_modified(|now| std::mem::replace(now, entries.clone()) != entries);
                }
                None => self.begin(key, entries),
            }
        }
    }

    fn begin(&mut self, key: ServiceKey, entries: BTreeSet<Entry>) {
        let (sender, receiver) = watch::channel(entries);
        let candidate = Candidate::new(
            Api::namespaced(self.client.clone(), LEASE_NAMESPACE),
            lease_name(&key.0, &key.1),
            self.ctx.clone(),
            self.timing,
            self.responder.clone(),
            self.devices.clone(),
        );
        self.tasks.spawn(candidate.run(receiver));
        self.candidates.insert(key, sender);
    }

    /// Whether a Service's change woke the announcer; always, but for the fault that needs a touch first.
    fn noticed(&mut self, key: &ServiceKey, service: &Service) -> bool {
        if !self.ctx.faults.has(Fault::ArpUntilTouched) {
            return true;
        }
        let looks = format!("{:?} {:?}", service.metadata.labels, service.metadata.annotations);
        *self.untouched.entry(key.clone()).or_insert_with(|| looks.clone()) != looks
    }
}

/// What the announcer reads from the API, kept up to date.
struct Objects {
    services: Mirror<Service>,
    policies: Mirror<DynamicObject>,
    nodes: Mirror<Node>,
    changes: watch::Receiver<u64>,
}

impl Objects {
    fn follow(client: &Client, cancel: &CancellationToken) -> Objects {
        let pulse = Pulse::new();
        let policy = resource_of("cilium.io", "v2alpha1", "CiliumL2AnnouncementPolicy", "ciliuml2announcementpolicies");
        Objects {
            changes: pulse.listen(),
            services: Mirror::follow(Api::all(client.clone()), pulse.clone(), cancel.clone()),
            policies: Mirror::follow(Api::all_with(client.clone(), &policy), pulse.clone(), cancel.clone()),
            nodes: Mirror::follow(Api::all(client.clone()), pulse, cancel.clone()),
        }
    }

    /// Waits for any change; several at once count as one.
    async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // Every watch has ended, which only `cancel` does: nothing will change any more.
            std::future::pending::<()>().await;
        }
    }

    fn policies(&self) -> Vec<PolicySpec> {
        let specs = self.policies.all();
        let specs = specs.iter().map(|policy| policy.data.get("spec").cloned().unwrap_or_default());
        // What does not read as a policy was refused by the API; ignoring it here is what the agent does too.
        specs.filter_map(|spec| serde_json::from_value(spec).ok()).collect()
    }

    fn labels_of(&self, node: &str) -> Labels {
        self.nodes.find("", node).and_then(|node| node.metadata.labels.clone()).unwrap_or_default()
    }
}
