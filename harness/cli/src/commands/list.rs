//! `plumb list`: scenarios for people, programs and CI matrices. Tries nothing and needs nothing but the files.

use std::path::Path;

use plumb_core::plan::Disposition;
use plumb_engine::library::{Ask, Entry, Library};
use serde_json::{Value, json};

use super::trials;
use crate::args::{List, ListFormat};
use crate::exit::Exit;
use crate::output;

pub(crate) fn list(scenarios: Option<&Path>, list: &List) -> anyhow::Result<Exit> {
    let library = Library::find(scenarios)?;
    let entries = trials::entries(&library, &[])?;
    match list.format {
        ListFormat::Text => output::say(&text(&entries)),
        ListFormat::Json => output::say(&format!("{:#}", Value::Array(entries.iter().map(whole).collect()))),
        ListFormat::GithubMatrix => output::say(&format!("matrix={}", json!({"include": matrix(&library, &entries, &list.provider)?}))),
    }
    Ok(if entries.is_empty() { Exit::NothingRan } else { Exit::Pass })
}

fn text(entries: &[Entry]) -> String {
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for entry in entries {
        out.push_str(&format!("{:width$}  {}\n", entry.name, entry.scenario.title));
        out.push_str(&format!("{:width$}    profiles: {}\n", "", profiles(entry).join(", ")));
    }
    out
}

/// The scenario's own profile first.
fn profiles(entry: &Entry) -> Vec<&str> {
    let install = &entry.scenario.install;
    std::iter::once(&install.profile).chain(&install.also).map(String::as_str).collect()
}

fn whole(entry: &Entry) -> Value {
    let scenario = &entry.scenario;
    json!({
        "name": entry.name,
        "title": scenario.title,
        "intent": scenario.intent,
        "limitations": scenario.limitations,
        "covers": scenario.covers,
        "profiles": profiles(entry),
        "checks": scenario.checks(),
        "faults": scenario.faults,
    })
}

/// One job a scenario and profile, so that a red square names what is broken. What the provider can never run is left out: a job that
/// runs nothing is red.
fn matrix(library: &Library, entries: &[Entry], provider: &str) -> anyhow::Result<Vec<Value>> {
    let mut jobs = Vec::new();
    for entry in entries {
        for profile in profiles(entry) {
            let ask = Ask { provider, profile: Some(profile), seed: 1, ..Ask::default() };
            if library.plan(entry, &ask)?.disposition == Disposition::Run {
                jobs.push(json!({"scenario": entry.name, "profile": profile}));
            }
        }
    }
    Ok(jobs)
}
