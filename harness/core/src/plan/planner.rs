//! Decides one trial before anything is done: variants, values, limits, and whether it runs at all.
//!
//! Pure: the same input gives the same bytes. Mistakes of authors are errors here; lacks of a provider are reasons to skip.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::placeholders::{self, BadPlaceholder, Placeholder};
use super::{Adopted, Before, Budgets, Disposition, PLAN, Plan, manifests};
use crate::capability::{Capability, FAULTS, needs};
use crate::mistakes::{Mistakes, nearest};
use crate::profile::Profile;
use crate::running::{Asked, Running};
use crate::scenario::model::{GatewayApi, Scenario, Step, System, Target, Variant, Watch};
use crate::scenario::node_names;
use crate::values::{Values, merge};
use crate::version::{Range, Version};

/// What a trial is planned from.
#[derive(Debug, Clone)]
pub struct PlanInput<'a> {
    /// Folder name of the scenario.
    pub name: &'a str,
    /// The scenario as parsed.
    pub scenario: &'a Scenario,
    /// Text of the files beside it, by the path the scenario names them with.
    pub manifests: &'a BTreeMap<String, String>,
    /// The flag set.
    pub profile: &'a Profile,
    /// The flag set it upgrades, if it says so.
    pub upgrades: Option<&'a Profile>,
    /// The provider.
    pub provider: &'a Capability,
    /// Why the provider is not there; empty = it is.
    pub unavailable: &'a [String],
    /// Values of the user (`--set`), on top of all others.
    pub values: &'a Values,
    /// A fault to switch on.
    pub fault: Option<&'a str>,
    /// Decides every choice that is free.
    pub seed: u64,
}

/// Why a trial cannot be planned: the author's or the user's mistakes, all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct PlanErrors(pub Vec<PlanError>);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A step names a file that is not there.
    #[error("find the manifest `{file}` of scenario {scenario}: it is not beside the scenario{hint}")]
    NoManifest {
        /// Scenario.
        scenario: String,
        /// File.
        file: String,
        /// Second line, or nothing.
        hint: String,
    },
    /// A manifest is not what the API could take.
    #[error("{0}")]
    Manifest(Mistakes),
    /// A placeholder the lab has no value for.
    #[error("fill the placeholders of {place}: {problem}")]
    Placeholder {
        /// File or step.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// There is no such fault.
    #[error("find a fault named `{name}`{hint}")]
    UnknownFault {
        /// Name given.
        name: String,
        /// Second line, or nothing.
        hint: String,
    },
    /// A variant takes away what another step needs.
    #[error("apply the variants: {by} needs `{id}`, which a variant dropped")]
    Dangling {
        /// The step that needs it.
        by: String,
        /// What it needs.
        id: String,
    },
    /// A lease test would break the control plane.
    #[error("plan step {by}: it acts on {node}, and {why}\nhint: {cure}")]
    Victim {
        /// The step.
        by: String,
        /// The node it names.
        node: String,
        /// Why that is, or may be, the control plane's end.
        why: String,
        /// What helps.
        cure: String,
    },
    /// The profile names a version that is none.
    #[error("read the Cilium version of profile {profile}: {problem}")]
    Version {
        /// Profile.
        profile: String,
        /// What is wrong.
        problem: String,
    },
}

/// Plans one trial.
///
/// # Errors
/// Every mistake of the scenario's author or of the user that shows only now.
pub fn plan(input: &PlanInput<'_>) -> Result<Plan, PlanErrors> {
    let mut errors = Vec::new();
    let cilium = Version::parse(&input.profile.cilium)
        .map_err(|bad| PlanErrors(vec![PlanError::Version { profile: input.profile.name.clone(), problem: bad.to_string() }]))?;
    let asked = cilium;
    let cilium = input.provider.running.as_ref().and_then(Running::version).unwrap_or(cilium);
    let (mut scenario, variants) = with_variants(input, cilium);
    dangling(&scenario, &mut errors);
    let values = values(input, input.profile, &variants);
    let upgrades = scenario.every_step().into_iter().any(|step| matches!(step, Step::Upgrade(_)));
    let before = input.upgrades.filter(|_| upgrades);
    let before = before.map(|profile| Before { profile: profile.clone(), values: self::values(input, profile, &variants) });
    // What is applied must be taken before and after.
    let cilium = before.as_ref().and_then(|before| Version::parse(&before.profile.cilium).ok()).map_or(cilium, |older| older.min(cilium));
    let gateway_api = scenario.install.gateway_api.clone().or_else(|| input.profile.gateway_api.clone());
    let texts = Texts { lab: &scenario.lab.clone(), provider: input.provider, cilium, gateway_api: gateway_api.as_ref() };
    let manifests = texts.files(input, &scenario, &mut errors);
    texts.inline(&mut scenario, &mut errors);
    super::victims::check(&scenario, &manifests, &mut errors);
    unknown_fault(input.fault, &mut errors);
    let mut unmodelled = input.provider.unmodelled(&values);
    if let Some(api) = &gateway_api {
        let (served, left_out) = input.provider.served(api);
        unmodelled.extend(left_out);
        scenario.install.gateway_api = Some(served);
    }
    if !errors.is_empty() {
        return Err(PlanErrors(errors));
    }
    let virtual_addresses = virtual_addresses(&scenario, &manifests);
    let differences = input.provider.running.as_ref().map(|running| {
        let kinds = kinds(&scenario, &manifests);
        let asked = Asked { version: asked, values: &values, gateway_api: gateway_api.as_ref(), kinds: &kinds, scenario: &scenario };
        (running, running.differences(&asked))
    });
    let found = differences.as_ref().map(|(_, differences)| differences.skips.as_slice()).unwrap_or_default();
    let disposition = disposition(input, &scenario, &virtual_addresses, found);
    let adopted = differences.map(|(running, differences)| Adopted { system: running.system.clone(), differences: differences.named });
    Ok(Plan {
        adopted,
        version: PLAN,
        trial: trial(input),
        name: input.name.to_owned(),
        provider: input.provider.provider.clone(),
        unmodelled,
        budgets: Budgets::for_provider(&input.provider.provider),
        variants: variants.iter().map(|variant| variant.name.clone()).collect(),
        scenario,
        manifests,
        profile: input.profile.clone(),
        before,
        values,
        fault: input.fault.map(str::to_owned),
        seed: input.seed,
        disposition,
    })
}

/// `<provider>::<scenario>[@<profile>]`; the scenario's own profile is not named.
fn trial(input: &PlanInput<'_>) -> String {
    let name = format!("{}::{}", input.provider.provider, input.name);
    if input.profile.name == input.scenario.install.profile { name } else { format!("{name}@{}", input.profile.name) }
}

fn values(input: &PlanInput<'_>, profile: &Profile, variants: &[&Variant]) -> Values {
    let mut values = Values::new();
    merge(&mut values, &profile.as_meant);
    merge(&mut values, &input.scenario.install.values);
    for variant in variants {
        merge(&mut values, &variant.values);
    }
    merge(&mut values, input.values);
    // `null` takes a default away, as in Helm.
    values.retain(|_, value| *value != Value::Null);
    values
}

fn disposition(input: &PlanInput<'_>, scenario: &Scenario, virtual_addresses: &BTreeMap<String, u32>, found: &[String]) -> Disposition {
    let provider = &input.provider.provider;
    let mut reasons: Vec<String> = input.unavailable.to_vec();
    let install = &scenario.install;
    if input.profile.name != install.profile && !install.also.contains(&input.profile.name) {
        let mut meant = vec![install.profile.as_str()];
        meant.extend(install.also.iter().map(String::as_str));
        reasons.push(format!("it is meant for profile {}, not {}", meant.join(", "), input.profile.name));
    }
    if input.upgrades.is_none() && scenario.every_step().into_iter().any(|step| matches!(step, Step::Upgrade(_))) {
        reasons.push(format!("a step upgrades Cilium, and profile {} names none that it upgrades", input.profile.name));
    }
    reasons.extend(input.provider.lacks(&needs(scenario, virtual_addresses)));
    if let Some(fault) = input.fault
        && !input.provider.faults.contains(&fault)
    {
        reasons.push(format!("{provider} has no fault {fault}: faults are switches of the reference network"));
    }
    reasons.extend(found.iter().cloned());
    if scenario.checks().is_empty() {
        reasons.push("no check is left to make".to_owned());
    }
    if reasons.is_empty() { Disposition::Run } else { Disposition::Skip(reasons) }
}

/// Kinds of the objects a scenario applies.
fn kinds(scenario: &Scenario, manifests: &BTreeMap<String, String>) -> BTreeSet<String> {
    let inline = scenario.every_step().into_iter().filter_map(|step| match step {
        Step::Apply(apply) => apply.manifest.as_deref(),
        _ => None,
    });
    manifests.values().map(String::as_str).chain(inline).flat_map(manifests::kinds).collect()
}

fn unknown_fault(fault: Option<&str>, errors: &mut Vec<PlanError>) {
    let Some(name) = fault.filter(|name| !FAULTS.contains(name)) else { return };
    let hint = match nearest(name, FAULTS.iter().copied()) {
        Some(near) => format!("\nhint: did you mean `{near}`?"),
        None => "\nhint: `plumb faults` lists them".to_owned(),
    };
    errors.push(PlanError::UnknownFault { name: crate::scenario::tree::shorten(name), hint });
}

/// The scenario with the variants that hold put in, and those variants.
fn with_variants<'a>(input: &PlanInput<'a>, cilium: Version) -> (Scenario, Vec<&'a Variant>) {
    let holds = |variant: &&Variant| {
        let when = &variant.when;
        let is = |wanted: &Option<String>, actual: &str| wanted.as_deref().is_none_or(|wanted| wanted == actual);
        let found = input.provider.running.as_ref().is_some_and(Running::is_reference);
        // Found or made, it behaves the same.
        let provider = if found { "refnet" } else { &input.provider.provider };
        let system = if provider == "refnet" { System::Reference } else { System::Cilium };
        is(&when.provider, provider)
            && when.system.is_none_or(|wanted| wanted == system)
            && is(&when.profile, &input.profile.name)
            && when.cilium.as_deref().is_none_or(|range| Range::parse(range).is_ok_and(|range| range.holds(cilium)))
    };
    let variants: Vec<&Variant> = input.scenario.variants.iter().filter(holds).collect();
    let mut scenario = input.scenario.clone();
    for variant in &variants {
        replace(&mut scenario.steps, &variant.replace);
        drop_steps(&mut scenario.steps, &variant.drop);
        for case in &mut scenario.faults {
            case.turns.retain(|id| !variant.drop.contains(id));
        }
        scenario.faults.retain(|case| !case.turns.is_empty());
    }
    (scenario, variants)
}

fn replace(steps: &mut [Step], with: &[Step]) {
    for step in steps {
        if let Some(new) = with.iter().find(|new| new.id().is_some() && new.id() == step.id()) {
            *step = new.clone();
        } else if let Step::During(during) = step {
            replace(&mut during.steps, with);
        }
    }
}

fn drop_steps(steps: &mut Vec<Step>, ids: &[String]) {
    steps.retain(|step| !step.id().is_some_and(|id| ids.iter().any(|dropped| dropped == id)));
    for step in steps {
        if let Step::During(during) = step {
            drop_steps(&mut during.steps, ids);
        }
    }
}

/// What steps need of each other, after variants.
fn dangling(scenario: &Scenario, errors: &mut Vec<PlanError>) {
    let steps = scenario.every_step();
    let mut ids: BTreeSet<&str> = steps.iter().filter_map(|step| step.id()).collect();
    for step in &steps {
        if let Step::During(during) = step {
            ids.extend(during.watch.keys().map(String::as_str));
        }
    }
    for step in steps {
        let wanted: Vec<&str> = match step {
            Step::Never(step) => vec![&step.canary, &step.r#in, &step.seen_in],
            Step::Count(step) => std::iter::once(step.r#in.as_str()).chain(step.canary.as_deref()).collect(),
            Step::Downtime(step) => vec![&step.of],
            Step::Config(step) => {
                let since = step.expect.iter().filter_map(|expect| expect.unchanged.as_ref());
                since.map(|unchanged| unchanged.since.as_str()).collect()
            }
            Step::Lease(step) => {
                step.expect.iter().flat_map(|expect| [expect.not_as_in.as_deref(), expect.as_in.as_deref()]).flatten().collect()
            }
            _ => Vec::new(),
        };
        for id in wanted.into_iter().filter(|id| !ids.contains(id)) {
            errors.push(PlanError::Dangling { by: step.id().unwrap_or(step.verb()).to_owned(), id: id.to_owned() });
        }
    }
}

/// How many virtual addresses the texts of a scenario ask for, by network: the highest number of each, for a pool may be from one to another.
pub(super) fn virtual_addresses(scenario: &Scenario, manifests: &BTreeMap<String, String>) -> BTreeMap<String, u32> {
    let inline = scenario.every_step().into_iter().filter_map(|step| match step {
        Step::Apply(apply) => apply.manifest.as_deref(),
        _ => None,
    });
    let texts = manifests.values().map(String::as_str).chain(inline).chain(targets(scenario));
    let mut asked = BTreeMap::new();
    // What is no placeholder was found before.
    for (_, placeholder) in texts.filter_map(|text| placeholders::find(text).ok()).flatten() {
        if let Placeholder::Vip { network, n } = placeholder {
            let count = asked.entry(network).or_insert(0);
            *count = n.saturating_add(1).max(*count);
        }
    }
    asked
}

fn targets(scenario: &Scenario) -> Vec<&str> {
    let mut found = Vec::new();
    for step in scenario.every_step() {
        match step {
            Step::Http(probe) => address(&probe.to, &mut found),
            Step::Tls(probe) => address(&probe.to, &mut found),
            Step::L4(probe) => address(&probe.to, &mut found),
            Step::Ping(probe) => address(&probe.to, &mut found),
            Step::Arp(probe) => address(&probe.to, &mut found),
            Step::During(during) => {
                for watch in during.watch.values() {
                    match watch {
                        Watch::Arp(watch) => address(&watch.to, &mut found),
                        Watch::Load(watch) => address(&watch.to, &mut found),
                        Watch::Capture(_) => {}
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn address<'a>(target: &'a Target, found: &mut Vec<&'a str>) {
    if let Target::Address(text) = target {
        found.push(text);
    }
}

/// Fills what is known at plan time and checks the rest against the lab.
struct Texts<'a> {
    lab: &'a crate::scenario::model::Lab,
    provider: &'a Capability,
    cilium: Version,
    gateway_api: Option<&'a GatewayApi>,
}

impl Texts<'_> {
    fn files(&self, input: &PlanInput<'_>, scenario: &Scenario, errors: &mut Vec<PlanError>) -> BTreeMap<String, String> {
        let mut files = BTreeMap::new();
        for step in scenario.every_step() {
            let Step::Apply(apply) = step else { continue };
            let Some(file) = &apply.file else { continue };
            let Some(text) = input.manifests.get(file) else {
                let hint = nearest(file, input.manifests.keys().map(String::as_str));
                let hint = hint.map(|near| format!("\nhint: did you mean `{near}`?")).unwrap_or_default();
                errors.push(PlanError::NoManifest { scenario: input.name.to_owned(), file: file.clone(), hint });
                continue;
            };
            if files.contains_key(file) {
                continue;
            }
            let name = format!("{}/{file}", input.name);
            if let Some(text) = self.text(&name, text, errors) {
                files.insert(file.clone(), text);
            }
        }
        files
    }

    fn inline(&self, scenario: &mut Scenario, errors: &mut Vec<PlanError>) {
        fn each(texts: &Texts<'_>, steps: &mut [Step], errors: &mut Vec<PlanError>) {
            for step in steps {
                match step {
                    Step::Apply(apply) => {
                        if let Some(manifest) = &mut apply.manifest {
                            let name = format!("the manifest of step {}", apply.id.as_deref().unwrap_or("apply"));
                            if let Some(text) = texts.text(&name, manifest, errors) {
                                *manifest = text;
                            }
                        }
                    }
                    Step::During(during) => each(texts, &mut during.steps, errors),
                    _ => {}
                }
            }
        }
        for text in targets(scenario) {
            if let Err(problem) = self.check(text) {
                errors.push(PlanError::Placeholder { place: format!("address `{text}`"), problem: problem.to_string() });
            }
        }
        each(self, &mut scenario.steps, errors);
    }

    fn text(&self, name: &str, text: &str, errors: &mut Vec<PlanError>) -> Option<String> {
        if let Err(problem) = self.check(text) {
            errors.push(PlanError::Placeholder { place: name.to_owned(), problem: problem.to_string() });
            return None;
        }
        if let Err(mistakes) = manifests::check(name, text) {
            errors.push(PlanError::Manifest(mistakes));
            return None;
        }
        placeholders::substitute(text, |placeholder| Some(self.known(placeholder).unwrap_or_else(|| placeholder.to_string()))).ok()
    }

    /// What the planner itself can fill in.
    fn known(&self, placeholder: &Placeholder) -> Option<String> {
        match placeholder {
            // cilium.io/v2 since 1.18; v2alpha1 is deprecated from 1.19 (chart CRDs of those releases).
            Placeholder::PoolApi => Some(if self.cilium >= Version(1, 18, 0) { "cilium.io/v2" } else { "cilium.io/v2alpha1" }.to_owned()),
            // v1 is served from release 1.5, v1alpha2 by the experimental channel of every release.
            Placeholder::TlsRouteApi => {
                let served = self.provider.running.as_ref().and_then(|running| running.gateway.get("tlsroutes"));
                if let Some(served) = served {
                    let version = if served.iter().any(|version| version == "v1") { "v1" } else { "v1alpha2" };
                    return Some(format!("gateway.networking.k8s.io/{version}"));
                }
                let release = self.gateway_api.and_then(|api| Version::parse(&api.version).ok());
                let version = if release.is_some_and(|release| release >= Version(1, 5, 0)) { "v1" } else { "v1alpha2" };
                Some(format!("gateway.networking.k8s.io/{version}"))
            }
            _ => None,
        }
    }

    fn check(&self, text: &str) -> Result<(), BadPlaceholder> {
        let nodes = node_names(self.lab.control_planes, self.lab.workers);
        for (_, placeholder) in placeholders::find(text)? {
            let there = match &placeholder {
                // A cluster that was found has as many as its user says: fewer are a reason to skip.
                Placeholder::Vip { network, n } => {
                    self.lab.networks.contains(network) && (!self.provider.makes_nodes || *n < self.provider.addresses_on(network))
                }
                Placeholder::Interface(network) => self.lab.networks.contains(network),
                Placeholder::Node(name) | Placeholder::Address(name) => nodes.contains(name),
                Placeholder::Namespace | Placeholder::PoolApi | Placeholder::TlsRouteApi => true,
            };
            if !there {
                return Err(BadPlaceholder::NoValue { placeholder: placeholder.to_string() });
            }
        }
        Ok(())
    }
}
