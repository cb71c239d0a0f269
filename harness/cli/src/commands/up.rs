//! `plumb up`: the lab a scenario would run in, made by the same code and left up.

use std::path::Path;

use anyhow::bail;
use plumb_core::plan::{Disposition, Furnished, Plan, default_scenario};
use plumb_core::verdict::NOT_CILIUM;
use plumb_engine::labs::keeper::Request;
use plumb_engine::labs::start::{self, Started};
use plumb_engine::library::{Ask, Entry, Library};
use plumb_engine::provider::entrance::{Entrance, Place};
use plumb_engine::run::{Kept, Stop};
use plumb_engine::{labs, provider};

use super::runs::Stored;
use super::trials::{self, shown};
use crate::args::{KEEP, Up};
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;

/// The flag set of a lab for nobody's scenario.
const PROFILE: &str = "newest";

pub(crate) fn up(scenarios: Option<&Path>, up: &Up) -> anyhow::Result<Exit> {
    let library = Library::find(scenarios)?;
    let plan = plan(&library, up)?;
    if let Disposition::Skip(reasons) = &plan.disposition {
        output::note(&format!("plumb: no lab of {} can be made here: {}", plan.trial, reasons.join("; ")));
        return Ok(Exit::NothingRan);
    }
    let words: Vec<&str> = ["plumb up"].into_iter().chain(up.scenario.as_deref()).collect();
    let request = Request {
        name: up.name.clone(),
        made_by: words.join(" "),
        plan,
        out: up.network.out.clone(),
        given: up.network.parts.given(),
        keep_s: up.expire.unwrap_or(KEEP).as_secs(),
    };
    let started = ask(&request)?;
    match &started.up {
        Some(kept) => {
            output::say(&how_to_use(&request.name, kept, &started.run));
            Ok(Exit::Pass)
        }
        None => {
            let stored = Stored::read(&started.run)?;
            output::note(&format!("plumb: the lab {} could not be made; evidence in {}", request.name, shown(&started.run)));
            stored.verdict.troubles.iter().for_each(|trouble| output::note(&format!("  {trouble}")));
            Ok(Exit::Unknown)
        }
    }
}

/// Asks for a lab and shows what goes on until it is up or not to be had.
pub(super) fn ask(request: &Request) -> anyhow::Result<Started> {
    let stop = Stop::default();
    crate::signals::watch(&stop)?;
    let progress = Progress::new();
    progress.show_downloads();
    let (listener, ended) = progress.trial(&request.plan.trial);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = runtime.block_on(start::start(request, &stop, listener))?;
    drop(ended);
    Ok(started)
}

fn plan(library: &Library, up: &Up) -> anyhow::Result<Plan> {
    let (network, given) = (&up.network, up.network.parts.given());
    if network.provider == "kubeconfig" {
        bail!(
            "make a lab on kubeconfig: its cluster is there already\nhint: kubectl --kubeconfig FILE, and plumb run --provider kubeconfig"
        );
    }
    let entry = match &up.scenario {
        Some(name) => library.scenario(name)?,
        None => {
            let scenario = default_scenario(network.profile.as_deref().unwrap_or(PROFILE));
            Entry { name: "lab".to_owned(), path: Default::default(), scenario, manifests: Default::default() }
        }
    };
    let found = provider::find(&network.provider, &given)?;
    let unavailable = &found.unavailable;
    let ask = Ask {
        provider: &network.provider,
        profile: network.profile.as_deref(),
        fault: up.fault.as_deref(),
        seed: network.seed,
        values: trials::values(&given, &network.set)?,
        cilium: given.cilium_version.as_deref(),
        unavailable,
        found: found.capability.as_ref(),
    };
    let plan = library.plan(&entry, &ask)?;
    let Some(capability) = provider::capability(&network.provider) else { bail!("find a provider named `{}`", network.provider) };
    let furnished = if up.with_backends { Furnished::AsForTheSteps } else { Furnished::Bare };
    let plan = plan.by_hand(furnished, &capability, unavailable);
    if plan.disposition == Disposition::Run {
        trials::together(provider::mistakes(&plan, &given))?;
    }
    Ok(plan)
}

/// What to do with a lab that is up.
pub(super) fn how_to_use(name: &str, kept: &Kept, run: &Path) -> String {
    let Kept { entrance, until_s } = kept;
    let mut lines = Vec::new();
    if matches!(entrance.place, Place::Namespaces { .. }) {
        lines.push(format!("{NOT_CILIUM}: {}", entrance.system));
    } else {
        lines.push(entrance.system.clone());
    }
    lines.push(format!("lab {name} is up until {}; evidence in {}", labs::clock_time(*until_s), shown(run)));
    lines.push(format!("  KUBECONFIG={}", entrance.kubeconfig.display()));
    for (logical, node) in &entrance.nodes {
        let called = if *logical == node.name { String::new() } else { format!("  {}", node.name) };
        lines.push(format!("  node/{logical}  {}{called}", node.address));
    }
    if !entrance.client.is_empty() {
        let addresses: Vec<String> = entrance.client.iter().map(|(interface, address)| format!("{interface} {address}")).collect();
        lines.push(format!("  client  {}{}", addresses.join(", "), container(entrance)));
    }
    for (network, (first, last)) in &entrance.virtual_addresses {
        lines.push(format!("  kept for Services on {network}: {first} to {last}"));
    }
    lines.push(format!("look into it:  plumb shell {name} [client|node/NAME|pod/NAMESPACE/NAME] [-- COMMAND]"));
    lines.push(format!("end it:        plumb down {name}"));
    lines.join("\n")
}

fn container(entrance: &Entrance) -> String {
    match &entrance.place {
        Place::Namespaces { .. } | Place::Found => String::new(),
        Place::Docker { client, .. } => format!("  container {client}"),
    }
}
