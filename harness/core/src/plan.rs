//! The plan: everything that is decided before anything is done, as one value (`plan.json`).
//!
//! Only the planner decides skips and limits. With the plan and the evidence a verdict can be judged again anywhere.

mod by_hand;
pub(crate) mod manifests;
pub mod placeholders;
mod planner;
mod victims;

pub use by_hand::{Furnished, default_scenario};
pub use planner::{PlanError, PlanErrors, PlanInput, plan};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::profile::Profile;
use crate::scenario::model::Scenario;

/// Version of the plan format; readers refuse a newer one.
pub const PLAN: u32 = 1;

/// One trial: a scenario on a provider with a profile, and perhaps a fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`PLAN`].
    pub version: u32,
    /// `<provider>::<scenario>[@<profile>]`.
    pub trial: String,
    /// Folder name of the scenario.
    pub name: String,
    /// `refnet`, `kind`, `kubeconfig`.
    pub provider: String,
    /// The scenario after variants were put in: the judge needs nothing else of it.
    pub scenario: Scenario,
    /// Text of the manifests it names, by file.
    pub manifests: BTreeMap<String, String>,
    /// The flag set.
    pub profile: Profile,
    /// What is installed in its place before the first step, where a step upgrades it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// Helm values in force: the profile's, then the scenario's, then the variants', then the user's.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Values this provider does not model; named in every report.
    pub unmodelled: Vec<String>,
    /// The cluster that was found, where the provider makes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Adopted>,
    /// Variants that hold, by name.
    pub variants: Vec<String>,
    /// The fault that is switched on.
    pub fault: Option<String>,
    /// Decides every choice that is free.
    pub seed: u64,
    /// Every limit there is.
    pub budgets: Budgets,
    /// Run it, or skip it and why.
    pub disposition: Disposition,
}

/// A cluster that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    /// What runs there, in words.
    pub system: String,
    /// How it differs from what is asked for; named in every report.
    pub differences: Vec<String>,
}

/// A flag set that is upgraded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Before {
    /// The flag set.
    pub profile: Profile,
    /// Helm values in force: those of this profile, the rest as in the plan.
    pub values: BTreeMap<String, serde_json::Value>,
}

/// A flag set with its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Installed<'a> {
    /// The flag set.
    pub profile: &'a Profile,
    /// Helm values in force.
    pub values: &'a BTreeMap<String, serde_json::Value>,
}

/// Run it, or skip it and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Disposition {
    /// Run it.
    Run,
    /// Skip it; every reason.
    Skip(Vec<String>),
}

/// Why a plan cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A newer release wrote it.
    #[error("read a plan of version {version}: this program reads up to {PLAN}\nhint: a newer release of plumb wrote it")]
    Newer {
        /// Version it has.
        version: u64,
    },
    /// It is not a plan.
    #[error("read a plan: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Reads `plan.json`.
///
/// # Errors
/// Text that is no plan, or one of a newer version.
pub fn read(text: &str) -> Result<Plan, ReadError> {
    #[derive(Deserialize)]
    struct Head {
        version: u64,
    }
    let head: Head = serde_json::from_str(text)?;
    if head.version > u64::from(PLAN) {
        return Err(ReadError::Newer { version: head.version });
    }
    Ok(serde_json::from_str(text)?)
}

impl Plan {
    /// What is installed before the first step.
    pub fn installed(&self) -> Installed<'_> {
        match &self.before {
            Some(before) => Installed { profile: &before.profile, values: &before.values },
            None => self.goal(),
        }
    }

    /// What the plan is about, and what an upgrade comes to.
    pub fn goal(&self) -> Installed<'_> {
        Installed { profile: &self.profile, values: &self.values }
    }

    /// `plan.json`: the same plan gives the same bytes.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("a plan is made of plain values");
        text.push('\n');
        text
    }
}

/// Limits, in milliseconds unless a name says otherwise. A wait never takes one from anywhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budgets {
    /// Making the lab.
    pub lab_ms: u64,
    /// Backends ready and Services given endpoints.
    pub backends_ms: u64,
    /// One call to the API.
    pub api_ms: u64,
    /// Opening an agent session.
    pub session_ms: u64,
    /// One HTTP request, where the scenario says nothing.
    pub request_ms: u64,
    /// A target to have an address.
    pub address_ms: u64,
    /// A route revision to be the only one that answers.
    pub revision_ms: u64,
    /// Collection after the last step.
    pub collect_ms: u64,
    /// Closing the lab.
    pub close_ms: u64,
    /// The whole trial.
    pub trial_ms: u64,
}

impl Budgets {
    /// Limits for a provider: minutes where clusters are made, seconds on the reference network.
    pub fn for_provider(provider: &str) -> Budgets {
        match provider {
            "refnet" => Budgets {
                lab_ms: 60_000,
                backends_ms: 60_000,
                api_ms: 15_000,
                session_ms: 15_000,
                request_ms: 5_000,
                address_ms: 20_000,
                revision_ms: 20_000,
                collect_ms: 10_000,
                close_ms: 10_000,
                trial_ms: 120_000,
            },
            _ => Budgets {
                lab_ms: 900_000,
                backends_ms: 180_000,
                api_ms: 30_000,
                session_ms: 30_000,
                request_ms: 15_000,
                address_ms: 120_000,
                revision_ms: 60_000,
                collect_ms: 120_000,
                close_ms: 120_000,
                trial_ms: 1_800_000,
            },
        }
    }
}

#[cfg(test)]
mod tests;
