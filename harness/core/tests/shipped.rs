//! The scenarios and profiles that ship with the program: every one is read, planned and described.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use plumb_core::capability::Capability;
use plumb_core::plan::{Disposition, PlanInput, plan};
use plumb_core::profile::{self, Object, Profile, Severity, Side, Topology};
use plumb_core::scenario;
use plumb_core::scenario::model::{FaultOutcome, Lab, Scenario};
use plumb_core::values::Values;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

fn folders() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.join("scenario.yaml").is_file()).collect();
    found.sort();
    assert!(found.len() >= 7, "{} scenarios", found.len());
    found
}

fn read(path: &Path) -> (String, Scenario, BTreeMap<String, String>) {
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let text = std::fs::read_to_string(path.join("scenario.yaml")).unwrap();
    let scenario = scenario::parse(&format!("scenarios/{name}/scenario.yaml"), &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let mut manifests = BTreeMap::new();
    if let Ok(entries) = std::fs::read_dir(path.join("manifests")) {
        for entry in entries {
            let entry = entry.unwrap();
            let file = format!("manifests/{}", entry.file_name().to_str().unwrap());
            manifests.insert(file, std::fs::read_to_string(entry.path()).unwrap());
        }
    }
    (name, scenario, manifests)
}

fn profiles() -> BTreeMap<String, Profile> {
    let mut profiles = BTreeMap::new();
    for entry in std::fs::read_dir(folder().join("profiles")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let profile = profile::parse(path.to_str().unwrap(), &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(path.file_stem().unwrap().to_str().unwrap(), profile.name, "a profile's file has its name");
        profiles.insert(profile.name.clone(), profile);
    }
    assert!(profiles.len() >= 3);
    profiles
}

/// Scenarios the reference network cannot carry out, and why.
const NOT_ON_REFNET: &[(&str, &[&str])] = &[(
    "upgrade-keeps-traffic",
    &["refnet has no configuration of Cilium to read", "refnet has no Cilium to restart", "refnet has no Cilium to upgrade"],
)];

fn disposition(name: &str) -> Disposition {
    match NOT_ON_REFNET.iter().find(|(skipped, _)| *skipped == name) {
        Some((_, reasons)) => Disposition::Skip(reasons.iter().map(|reason| (*reason).to_owned()).collect()),
        None => Disposition::Run,
    }
}

#[test]
fn every_shipped_scenario_plans_on_the_reference_network() {
    let profiles = profiles();
    for path in folders() {
        let (name, scenario, manifests) = read(&path);
        for profile in std::iter::once(&scenario.install.profile).chain(&scenario.install.also) {
            let profile = profiles.get(profile).unwrap_or_else(|| panic!("{name} wants profile {profile}, which is not there"));
            let upgrades = profile.upgrades.as_ref().map(|name| &profiles[name]);
            let input = PlanInput {
                upgrades,
                name: &name,
                scenario: &scenario,
                manifests: &manifests,
                profile,
                provider: &Capability::refnet(),
                unavailable: &[],
                values: &Values::new(),
                fault: None,
                seed: 1,
            };
            let planned = plan(&input).unwrap_or_else(|errors| panic!("{name}: {errors}"));
            assert_eq!(planned.disposition, disposition(&name), "{name}");
            assert!(planned.manifests.values().all(|text| !text.contains("${api:")), "{name}: the planner fills apiVersions");
            // Every manifest beside the scenario is used by it.
            let unused: Vec<_> = manifests.keys().filter(|file| !planned.manifests.contains_key(*file)).collect();
            assert!(unused.is_empty(), "{name}: {unused:?} are applied by no step");
        }
    }
}

#[track_caller]
fn fresh(file: &str, text: &str) {
    let path = folder().join(file);
    if std::env::var_os("PLUMB_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == text,
        "scenarios/{file} is not what the program says now: run `PLUMB_UPDATE=1 cargo test -p plumb-core --test shipped` (or `plumb schema`)"
    );
}

#[test]
fn schemas_beside_the_scenarios_are_fresh() {
    fresh("schema.json", &scenario::schema());
    fresh("profiles/schema.json", &profile::schema());
}

/// Faults no scenario can show yet, and why.
const UNUSED: &[(&str, &str)] = &[];

/// Promises no fault turns red, and why they are made all the same.
const UNTURNED: &[(&str, &str)] = &[
    ("upgrade-keeps-traffic: before", "no Cilium to upgrade there; tests/recorded/upgrade.rs breaks each in a real run"),
    ("upgrade-keeps-traffic: upgrade", "the same"),
    ("upgrade-keeps-traffic: served-after", "the same"),
    ("upgrade-keeps-traffic: pods-after", "the same"),
    ("upgrade-keeps-traffic: values-kept", "the same"),
    ("upgrade-keeps-traffic: gateway-class", "the same"),
    ("upgrade-keeps-traffic: pods-away", "the same"),
    ("upgrade-keeps-traffic: service-away", "the same"),
];

#[test]
fn every_fault_turns_some_check_and_every_promise_is_turned_red_by_some_fault() {
    let mut unused: Vec<&str> = plumb_core::capability::FAULTS.to_vec();
    let mut unturned = Vec::new();
    for path in folders() {
        let (name, scenario, _) = read(&path);
        unused.retain(|fault| !scenario.faults.iter().any(|case| case.fault == *fault));
        // Unknown is what a control makes of it; a promise must have been seen broken.
        let red = || scenario.faults.iter().filter(|case| case.into == FaultOutcome::Fail);
        let turned = |id: &str| red().any(|case| case.turns.iter().any(|turned| turned == id));
        unturned.extend(scenario.promises().into_iter().filter(|id| !turned(id)).map(|id| format!("{name}: {id}")));
    }
    let known = |list: &[(&'static str, &str)]| list.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(unused, known(UNUSED), "faults that no scenario names");
    assert_eq!(unturned, known(UNTURNED), "promises that no fault turns red");
}

#[test]
fn the_flag_lint_says_what_is_known_of_the_shipped_profiles() {
    let lab = Lab { networks: vec!["eth0".into(), "net0".into()], ..Lab::default() };
    let topology = Topology { lab, ..Topology::default() };
    let mut text = String::new();
    for profile in profiles().values() {
        for finding in profile::lint(profile, &topology) {
            text.push_str(&format!("{finding}\n"));
        }
    }
    insta::assert_snapshot!("flag_lint", text);
}

#[test]
fn what_is_installed_is_sound_for_every_scenario_that_installs_it() {
    let profiles = profiles();
    let mut looked_at = BTreeSet::new();
    let mut check = |profile: &Profile, topology: &Topology<'_>, of: &str| {
        looked_at.insert(profile.name.clone());
        for finding in profile::lint_flags(&profile.flags(Side::AsMeant), topology) {
            assert!(finding.severity < Severity::Warning, "{of}:\n{finding}");
        }
    };
    for path in folders() {
        let (name, scenario, manifests) = read(&path);
        let objects: Vec<Object> = manifests.iter().flat_map(|(file, text)| Object::read(file, 1, text).unwrap()).collect();
        let topology = Topology { lab: scenario.lab.clone(), objects: &objects, cli: None };
        for profile in std::iter::once(&scenario.install.profile).chain(&scenario.install.also) {
            check(&profiles[profile], &topology, &name);
        }
    }
    // Those no scenario installs yet, on a lab that has both networks.
    let lab = Lab { networks: vec!["eth0".into(), "net0".into()], ..Lab::default() };
    profiles.values().for_each(|profile| check(profile, &Topology { lab: lab.clone(), ..Topology::default() }, "alone"));
    assert_eq!(looked_at.len(), profiles.len());
}

#[test]
fn a_profile_upgrades_one_that_is_there_and_says_why_it_differs() {
    let profiles = profiles();
    for profile in profiles.values() {
        if let Some(before) = &profile.upgrades {
            assert!(profiles.contains_key(before), "{} upgrades {before}, which is not there", profile.name);
        }
        let differs = profile.flags(Side::AsWritten).values != profile.flags(Side::AsMeant).values;
        assert_eq!(differs, !profile.differences.is_empty(), "{}: `differences` says why asMeant is not asWritten", profile.name);
    }
    for wanted in ["gateway-1.17.1", "ipsec", "l2-1.16.2", "newest", "upgrade-1.17.1"] {
        assert!(profiles.contains_key(wanted), "{wanted}");
    }
}

/// Which checks of which scenario each fault turns, as a Markdown table.
fn fault_table() -> String {
    let mut rows: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in folders() {
        let (name, scenario, _) = read(&path);
        for fault in plumb_core::capability::FAULTS {
            let cases: Vec<_> = scenario.faults.iter().filter(|case| case.fault == *fault).collect();
            if cases.is_empty() {
                continue;
            }
            let turned = |into: FaultOutcome| -> Vec<&str> {
                let cases = cases.iter().filter(|case| case.into == into);
                cases.flat_map(|case| &case.turns).map(String::as_str).collect()
            };
            let mut said = Vec::new();
            for (word, ids) in [("red", turned(FaultOutcome::Fail)), ("unknown", turned(FaultOutcome::Unknown))] {
                match ids.len() {
                    0 => {}
                    1..=4 => said.push(format!("{word}: {}", ids.join(", "))),
                    n => said.push(format!("{word}: {}, ... ({n} checks)", ids[..3].join(", "))),
                }
            }
            rows.entry(fault).or_default().push(format!("`{name}` ({})", said.join("; ")));
        }
    }
    let mut text = String::from("| fault | turns |\n|---|---|\n");
    for fault in plumb_core::capability::FAULTS {
        let turns = rows.get(fault).map_or_else(|| "nothing yet".to_owned(), |turns| turns.join("<br>"));
        text.push_str(&format!("| `{fault}` | {turns} |\n"));
    }
    text
}

/// What each profile is, as a Markdown table.
fn profile_table() -> String {
    let mut text = String::from("| profile | Cilium | what | source |\n|---|---|---|---|\n");
    for profile in profiles().values() {
        let before = profile.upgrades.as_ref().map(|before| format!(", over `{before}`")).unwrap_or_default();
        let Profile { name, title, source, cilium, .. } = profile;
        text.push_str(&format!("| `{name}` | {cilium}{before} | {title} | {source} |\n"));
    }
    text
}

#[test]
fn the_tables_in_the_readme_are_fresh() {
    let mut text = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for (name, table) in [("faults", fault_table()), ("profiles", profile_table())] {
        let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
        let (before, rest) = text.split_once(&begin).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        text = format!("{before}{begin}{table}{end}{after}");
    }
    fresh("README.md", &text);
}

#[test]
fn the_scenario_of_the_readme_is_sound() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let block = readme.split("   ```yaml\n").nth(1).unwrap().split("   ```").next().unwrap();
    let text: String = block.lines().map(|line| format!("{}\n", line.strip_prefix("   ").unwrap_or(line))).collect();
    scenario::parse("scenarios/README.md", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
}
