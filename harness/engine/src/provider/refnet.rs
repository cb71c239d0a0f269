//! The reference network as a provider: a plan becomes a [`LabSpec`], the lab's folder is entered in the ledger, the handle does the rest.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use plumb_core::evidence::LabFacts;
use plumb_core::plan::Plan;
use plumb_core::scenario::model::{ApiAction, NodeAction};
use plumb_core::scenario::node_names;
use plumb_refnet::fault::{Fault, FaultSet};
use plumb_refnet::lab::LabHandle;
use plumb_refnet::spec::{LabSpec, NetworkSpec, NodeSpec};

use super::{Entrance, Place, ProviderError, entrance};
use crate::ledger::{self, Ledger, Line, Resource};
use crate::session::Session;

/// First of the host numbers kept for Services (see [`NetworkSpec::subnet`]), and how many there are.
const VIRTUAL: (u8, u8) = (220, 31);

/// Kubeconfig of a lab that stays, for programs outside it.
const KUBECONFIG: &str = "kubeconfig";

/// The agent's image there: the name is all of it, because every Pod is an agent.
pub(super) const AGENT_IMAGE: &str = "plumb-agent";

/// Gateway API definitions it can serve; others of a profile have no effect there and are named with what is not modelled.
const DEFINITIONS: [&str; 7] =
    ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "tlsroutes", "referencegrants", "backendtlspolicies"];

/// A lab of the reference network.
pub struct RefnetLab {
    handle: LabHandle,
    resource: Resource,
    networks: Vec<NetworkSpec>,
    unmodelled: Vec<String>,
    faults: Vec<String>,
}

impl RefnetLab {
    pub(super) async fn make(plan: &Plan, run: &str, ledger: &Ledger) -> Result<RefnetLab, ProviderError> {
        let (spec, unserved) = spec(plan)?;
        let folder: PathBuf = ledger::runtime_folder()?.join(run);
        let resource = Resource::RefnetLab { folder: folder.clone() };
        ledger.write(&Line::Making(resource.clone()))?;
        crate::janitor::entrust(ledger.path())?;
        ledger::make_lab_folder(&folder, &ledger::Label::own(run, ledger::expiry(ledger.path())))?;
        match LabHandle::start(&spec, &folder).await {
            Ok(handle) => Ok(RefnetLab {
                handle,
                resource,
                networks: spec.networks,
                unmodelled: plan.unmodelled.iter().cloned().chain(unserved).collect(),
                faults: spec.faults.iter().map(|fault| fault.name().to_owned()).collect(),
            }),
            Err(error) => {
                gone(&resource, ledger)?;
                Err(error.into())
            }
        }
    }

    pub(super) fn client(&self) -> Result<kube::Client, ProviderError> {
        Ok(self.handle.kube_client()?)
    }

    pub(super) fn facts(&self) -> LabFacts {
        let ready = self.handle.ready();
        LabFacts {
            provider: "refnet".into(),
            system: format!("reference network {} (not Cilium)", env!("CARGO_PKG_VERSION")),
            cilium: None,
            nodes: ready.nodes.clone(),
            client: ready.client.clone(),
            unmodelled: self.unmodelled.clone(),
            faults: self.faults.clone(),
            networks: BTreeMap::new(),
            phases_ms: ready.phases_ms.clone(),
        }
    }

    pub(super) async fn agent(&self, place: &Place) -> Result<Session, ProviderError> {
        let vantage = place.to_string();
        let (input, output) = self.handle.agent(&vantage).await?;
        Ok(Session::over(&vantage, input, output))
    }

    pub(super) async fn node(&self, node: &str, action: NodeAction) -> Result<u64, ProviderError> {
        Ok(self.handle.node(node, action).await?)
    }

    pub(super) async fn api(&self, action: ApiAction) -> Result<u64, ProviderError> {
        Ok(self.handle.api(action).await?)
    }

    pub(super) fn virtual_address(&self, network: &str, n: u32) -> Option<String> {
        let network = self.networks.iter().find(|spec| spec.interface == network)?;
        let [a, b, c, _] = network.subnet.octets();
        let n = u8::try_from(n).ok().filter(|n| *n < VIRTUAL.1)?;
        Some(Ipv4Addr::new(a, b, c, VIRTUAL.0 + n).to_string())
    }

    pub(super) async fn collect(&self) -> Result<BTreeMap<String, String>, ProviderError> {
        Ok(self.handle.collect().await?)
    }

    pub(super) async fn entrance(&self, folder: &Path) -> Result<Entrance, ProviderError> {
        let kubeconfig = folder.join(KUBECONFIG);
        let text = self.handle.publish_api().await?;
        ledger::write_private(&kubeconfig, text.as_bytes())?;
        let networks: Vec<String> = self.networks.iter().map(|network| network.interface.clone()).collect();
        let place = entrance::Place::Namespaces { folder: self.handle.dir().to_owned() };
        Ok(Entrance::of(&self.facts(), place, kubeconfig, &networks, &|network, n| self.virtual_address(network, n)))
    }

    pub(super) async fn ended(&self) {
        self.handle.ended().await;
    }

    pub(super) async fn close(self, ledger: &Ledger) -> Result<(), ProviderError> {
        let closed = self.handle.close().await;
        gone(&self.resource, ledger)?;
        Ok(closed?)
    }
}

/// The logs of labs that a ledger claims and nobody holds any longer: everything in them has ended, and their files are there.
pub(super) fn salvage(ledger: &Path) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for resource in ledger::outstanding(ledger).unwrap_or_default() {
        let Resource::RefnetLab { folder } = resource else { continue };
        for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path
                .file_stem()
                .map(|name| name.to_string_lossy().into_owned())
                .filter(|_| path.extension().is_some_and(|end| end == "log"));
            let text = std::fs::read(&path).unwrap_or_default();
            let text = String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_MAX)..]).into_owned();
            // One that is empty says that nothing was amiss.
            texts.extend(name.map(|name| (name, text)));
        }
    }
    texts
}

/// How much of each log is salvaged.
const LOG_MAX: usize = 256 * 1024;

/// Takes away what is left and says so in the ledger.
fn gone(resource: &Resource, ledger: &Ledger) -> Result<(), ProviderError> {
    ledger::remove(resource)?;
    Ok(ledger.write(&Line::Gone(resource.clone()))?)
}

/// The lab a plan asks for, and the definitions it cannot serve.
///
/// # Errors
/// The plan asks for what there is not.
pub fn spec(plan: &Plan) -> Result<(LabSpec, Vec<String>), ProviderError> {
    let lab = &plan.scenario.lab;
    let faults: FaultSet = match &plan.fault {
        Some(name) => [name.parse::<Fault>().map_err(|error| ProviderError::Plan(error.to_string()))?].into_iter().collect(),
        None => FaultSet::default(),
    };
    let control_planes = lab.control_planes as usize;
    let nodes = node_names(lab.control_planes, lab.workers).into_iter().enumerate();
    let gateway_api = plan.scenario.install.gateway_api.as_ref().or(plan.profile.gateway_api.as_ref());
    if lab.networks.len() > 100 {
        return Err(ProviderError::Plan(format!("{} networks are asked for, at most 100 fit", lab.networks.len())));
    }
    let served = |name: &String| DEFINITIONS.contains(&name.rsplit('/').next().unwrap_or(name));
    let (crds, unserved): (Vec<String>, Vec<String>) =
        gateway_api.map(|api| api.crds.clone()).unwrap_or_default().into_iter().partition(served);
    let release = gateway_api.map(|api| api.version.as_str()).unwrap_or_default();
    let versions = plumb_core::profile::tls_route_versions(release, &crds).join(",");
    let in_release = |name: String| match name.rsplit('/').next() {
        Some("tlsroutes") if !versions.is_empty() => format!("{name}@{versions}"),
        _ => name,
    };
    let crds = crds.into_iter().map(in_release).collect();
    let unserved = unserved.into_iter().map(|name| format!("definition of {name}")).collect();
    let spec = LabSpec {
        nodes: nodes.map(|(at, name)| NodeSpec { name, control_plane: at < control_planes }).collect(),
        // Each lab has namespaces of its own, so the same addresses serve all of them.
        networks: lab
            .networks
            .iter()
            .zip(9u8..)
            .map(|(interface, second)| NetworkSpec { interface: interface.clone(), subnet: Ipv4Addr::new(10, second, 0, 0) })
            .collect(),
        client: lab.client.clone(),
        values: plan.values.clone(),
        crds,
        faults,
        seed: plan.seed,
    };
    Ok((spec, unserved))
}
