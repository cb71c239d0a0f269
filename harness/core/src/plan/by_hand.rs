//! Labs by hand: the plan of a trial without the trial, so that the very lab it would run in can be made and looked into.
//!
//! Pure, like all planning. Such a plan has no checks, so nothing that is judged of it can be green.

use std::collections::BTreeMap;

use super::planner::virtual_addresses;
use super::{Disposition, Plan};
use crate::capability::{Capability, needs};
use crate::scenario::model::{FORMAT, Install, Lab, Scenario, Step};

/// What is in a lab by hand beside nodes and client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Furnished {
    /// Nothing.
    Bare,
    /// The scenario's Secrets, its backends, and what it applies before its first other step.
    AsForTheSteps,
}

/// The lab of nobody's scenario: a control plane, two workers and a client, all on a second network as well.
pub fn default_scenario(profile: &str) -> Scenario {
    let networks = || vec!["eth0".to_owned(), "net0".to_owned()];
    Scenario {
        format: FORMAT,
        title: "A lab by hand".to_owned(),
        intent: "Shows nothing: there are no steps.".to_owned(),
        limitations: Vec::new(),
        covers: Vec::new(),
        lab: Lab { networks: networks(), client: networks(), ..Lab::default() },
        install: Install { profile: profile.to_owned(), also: Vec::new(), gateway_api: None, values: BTreeMap::new() },
        certs: BTreeMap::new(),
        backends: BTreeMap::new(),
        steps: Vec::new(),
        faults: Vec::new(),
        variants: Vec::new(),
    }
}

impl Plan {
    /// The same lab without the trial. What only steps need is no reason to skip it any longer.
    #[must_use]
    pub fn by_hand(mut self, furnished: Furnished, provider: &Capability, unavailable: &[String]) -> Plan {
        let scenario = &mut self.scenario;
        let leading = scenario.steps.iter().take_while(|step| matches!(step, Step::Apply(apply) if apply.expect_error.is_none())).count();
        scenario.faults.clear();
        match furnished {
            Furnished::AsForTheSteps => scenario.steps.truncate(leading),
            Furnished::Bare => {
                scenario.steps.clear();
                scenario.certs.clear();
                scenario.backends.clear();
            }
        }
        let named =
            |file: &String| scenario.steps.iter().any(|step| matches!(step, Step::Apply(apply) if apply.file.as_ref() == Some(file)));
        self.manifests.retain(|file, _| named(file));
        let mut reasons = unavailable.to_vec();
        reasons.extend(provider.lacks(&needs(&self.scenario, &virtual_addresses(&self.scenario, &self.manifests))));
        if let Some(fault) = self.fault.as_deref().filter(|fault| !provider.faults.contains(fault)) {
            reasons.push(format!("{} has no fault {fault}: faults are switches of the reference network", self.provider));
        }
        self.disposition = if reasons.is_empty() { Disposition::Run } else { Disposition::Skip(reasons) };
        self
    }
}
