//! The flag lint of `plumb lint`: a profile, a values file or `--set`, on the labs and with the objects it is to serve.

use std::path::Path;

use anyhow::Context;
use plumb_core::profile::{self, Finding, FlagSet, Object, Side, Topology, lint_flags};
use plumb_core::scenario::model::Lab;
use plumb_core::values::merge;
use plumb_core::version::Version;
use plumb_engine::library::Library;
use plumb_engine::parts::Given;
use serde::Serialize;

use super::trials;
use crate::args::Flags;
use crate::exit::Exit;
use crate::output;

/// Version of the JSON form.
const FORMAT: u32 = 1;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    format: u32,
    findings: &'a [Finding],
}

pub(super) fn lint(library: &Library, flags: &Flags, names: &[String]) -> anyhow::Result<Exit> {
    let sets = flag_sets(library, flags)?;
    let cli = flags.cli_version.as_deref().map(Version::parse).transpose().context("read --cli-version")?;
    let mut findings: Vec<Finding> = Vec::new();
    for (lab, objects) in stages(library, flags, names)? {
        let topology = Topology { lab, objects: &objects, cli };
        for finding in sets.iter().flat_map(|set| lint_flags(set, &topology)) {
            // What holds on several labs is said once.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    if flags.json {
        output::say(&serde_json::to_string_pretty(&Report { format: FORMAT, findings: &findings })?);
    } else {
        findings.iter().for_each(|finding| output::say(&finding.to_string()));
        let names: Vec<&str> = sets.iter().map(|set| set.name.as_str()).collect();
        output::say(&format!("{}: {}", names.join(" and "), tally(&findings)));
    }
    Ok(exit(&findings))
}

/// How many findings of each severity there are, in words.
pub(super) fn tally(findings: &[Finding]) -> String {
    use profile::Severity::{Error, Note, Warning};
    let count = |severity, word: &str| {
        let n = findings.iter().filter(|finding| finding.severity == severity).count();
        format!("{n} {word}{}", if n == 1 { "" } else { "s" })
    };
    [count(Error, "error"), count(Warning, "warning"), count(Note, "note")].join(", ")
}

/// Notes break nothing.
pub(super) fn exit(findings: &[Finding]) -> Exit {
    if findings.iter().any(|finding| finding.severity > profile::Severity::Note) { Exit::Fail } else { Exit::Pass }
}

/// The flag sets to look at: both of a profile, or what would be installed with the user's values on top.
fn flag_sets(library: &Library, flags: &Flags) -> anyhow::Result<Vec<FlagSet>> {
    let of_command = Given { values: flags.values.clone(), cilium_version: flags.cilium_version.clone(), ..Given::default() };
    let given = of_command.or(Given::from_env());
    let over = trials::values(&given, &flags.set)?;
    let cilium = given.cilium_version.as_deref().map(Version::parse).transpose().context("read --cilium-version")?;
    let mut sets = match &flags.profile {
        Some(name) => {
            let profile = library.profile(name)?;
            let sides: &[Side] = if over.is_empty() { &[Side::AsWritten, Side::AsMeant] } else { &[Side::AsMeant] };
            sides.iter().map(|side| profile.flags(*side)).collect()
        }
        None => vec![FlagSet::default()],
    };
    let mut from: Vec<String> = given.values.iter().map(|path| path.display().to_string()).collect();
    from.extend((!flags.set.is_empty()).then(|| "--set".to_owned()));
    for set in &mut sets {
        merge(&mut set.values, &over);
        set.cilium = cilium.or(set.cilium);
        let parts = std::iter::once(set.name.clone()).filter(|name| !name.is_empty()).chain(from.iter().cloned());
        set.name = parts.collect::<Vec<_>>().join(" + ");
    }
    Ok(sets)
}

/// The labs, each with its objects: of the scenarios and manifests that are named, else of every scenario that installs the profile.
fn stages(library: &Library, flags: &Flags, names: &[String]) -> anyhow::Result<Vec<(Lab, Vec<Object>)>> {
    let (mut stages, mut loose) = (Vec::new(), Vec::new());
    let mut scenarios: Vec<String> = Vec::new();
    for name in names {
        let path = Path::new(name);
        if path.is_file() {
            let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
            loose.extend(Object::read(name, 1, &text)?);
        } else {
            scenarios.push(name.clone());
        }
    }
    let all = names.is_empty() && flags.profile.is_some();
    for name in if all { library.names()? } else { scenarios } {
        let entry = library.scenario(&name)?;
        let install = &entry.scenario.install;
        let installs = |profile: &String| install.profile == *profile || install.also.contains(profile);
        if all && !flags.profile.as_ref().is_some_and(installs) {
            continue;
        }
        let mut objects = loose.clone();
        for (file, text) in &entry.manifests {
            objects.extend(Object::read(&format!("{name}/{file}"), 1, text)?);
        }
        stages.push((entry.scenario.lab, objects));
    }
    if stages.is_empty() {
        let lab = Lab { networks: vec!["eth0".to_owned(), "net0".to_owned()], ..Lab::default() };
        stages.push((lab, loose));
    }
    Ok(stages)
}
