//! What an expectation is compared with besides the observation itself: the lab, its certificates, leases seen before.

use std::collections::BTreeMap;

use crate::evidence::{CertFact, Fact, LabFacts, LeaseFact, NodeFacts, Observation, Seen};

/// What is known of the run. Built up as observations come, by the engine while it runs and by the judge afterwards.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    /// The lab as it was made.
    pub lab: LabFacts,
    /// Certificates by name.
    pub certs: BTreeMap<String, CertFact>,
    /// The last lease each step (id) saw.
    pub leases: BTreeMap<String, LeaseFact>,
}

impl Context {
    /// Takes in what an observation says of the run.
    pub fn learn(&mut self, observation: &Observation) {
        match &observation.fact {
            Fact::Lab(lab) => self.lab = lab.clone(),
            Fact::Certs(certs) => self.certs.extend(certs.clone()),
            Fact::Probe(probe) => {
                if let (Some(step), Seen::Lease(lease)) = (&observation.step, &probe.seen) {
                    self.leases.insert(step.clone(), lease.clone());
                }
            }
            _ => {}
        }
    }

    /// Everything the observations say.
    pub fn of(observations: &[Observation]) -> Context {
        let mut context = Context::default();
        observations.iter().for_each(|observation| context.learn(observation));
        context
    }

    /// The node whose Kubernetes name this is, with its logical name.
    pub(super) fn node_named(&self, kubernetes_name: &str) -> Option<(&String, &NodeFacts)> {
        self.lab.nodes.iter().find(|(_, node)| node.name == kubernetes_name)
    }

    /// Whose hardware address this is, in words: `worker2's eth0`.
    pub(super) fn owner_of(&self, mac: &str) -> Option<String> {
        let links = self.lab.nodes.iter().flat_map(|(name, node)| node.links.iter().map(move |link| (name.as_str(), link)));
        let client = self.lab.client.iter().map(|link| ("the client", link));
        links
            .chain(client)
            .find(|(_, link)| link.mac.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(mac)))
            .map(|(name, link)| format!("{name}'s {}", link.name))
    }

    /// `mac (worker2's eth0)`, or that it belongs to nobody here.
    pub(super) fn mac_in_words(&self, mac: &str) -> String {
        match self.owner_of(mac) {
            Some(owner) => format!("{mac} ({owner})"),
            None => format!("{mac} (which belongs to no node of this lab)"),
        }
    }

    /// The hardware address of a node on a network.
    pub(super) fn mac_of(&self, node: &NodeFacts, network: &str) -> Option<String> {
        let interface = self.lab.interface("node", network);
        node.links.iter().find(|link| link.name == interface).and_then(|link| link.mac.clone())
    }
}
