//! What the texts of a scenario mean: syntax of times, places, nodes, objects, and whether what they name exists.
//!
//! The schema marks each text with its meaning (`x-plumb`); this is the table behind those marks.

use std::net::IpAddr;

use super::tree::{Place, shorten};
use super::world::{Reference, Wants, World};
use crate::mistakes::{Mistake, nearest};
use crate::plan::placeholders;

/// What a check of one text came to.
#[derive(Debug)]
pub(super) enum Finding {
    Fine,
    Wrong(Mistake),
    /// To be looked up when every id is known.
    Later(Reference),
    /// It gives something an id: `step`, `node`, `probe`, `lease`, `config`, `watch`.
    Defines(&'static str),
}

/// Checks `text` for its meaning.
pub(super) fn check(meaning: &str, text: &str, place: &Place, world: &World) -> Finding {
    let later = |wants| Finding::Later(Reference { wants, id: text.to_owned(), place: place.clone() });
    let known = |what: &str, names: Vec<&str>| match names.contains(&text) {
        true => Finding::Fine,
        false => Finding::Wrong(unknown(what, text, place, &names)),
    };
    let result = match meaning {
        "defines-step" => return defines("step", text, place),
        "defines-probe" => return defines("probe", text, place),
        "defines-node" => return defines("node", text, place),
        "defines-lease" => return defines("lease", text, place),
        "defines-config" => return defines("config", text, place),
        "defines-watch" => return defines("watch", text, place),
        "watch" => return later(Wants::Watch),
        "capture" => return later(Wants::Capture),
        "probe" => return later(Wants::Probe),
        "lease" => return later(Wants::Lease),
        "config" => return later(Wants::Config),
        "check" => return later(Wants::Check),
        "backend" => return known("backend", world.backends.keys().map(String::as_str).collect()),
        "cert" => return known("certificate", world.certs.iter().map(String::as_str).collect()),
        "network" => return known("network of the lab", world.networks.iter().map(String::as_str).collect()),
        "node-name" => return known("node", world.nodes.iter().map(String::as_str).collect()),
        "provider" => return known("provider", vec!["refnet", "kind", "kubeconfig"]),
        "fault" => return known("fault", crate::capability::FAULTS.to_vec()),
        "node" => match text.strip_prefix("of:") {
            Some(step) => return Finding::Later(Reference { wants: Wants::NodeStep, id: step.to_owned(), place: place.clone() }),
            None => node(text, place, world),
        },
        "vantage" => vantage(text, place, world),
        "pod" => pod(text, place, world),
        "span" => crate::duration::parse(text).map(|_| ()).map_err(|bad| place.mistake(bad.to_string(), None)),
        "object" => object(text, place, 1..=2, "`name` or `namespace/name`"),
        "resource" => object(text, place, 2..=3, "`kind/name` or `kind/namespace/name`"),
        "file" => file(text, place),
        "address" => address(text, place),
        "backend-name" | "namespace" => label(text, place, 63),
        "cert-name" => label(text, place, 63),
        "interface-name" => label(text, place, 15),
        "version-range" => match crate::version::Range::parse(text) {
            Ok(_) => Ok(()),
            Err(bad) => Err(place.mistake(bad.to_string(), None)),
        },
        _ => Ok(()),
    };
    match result {
        Ok(()) => Finding::Fine,
        Err(mistake) => Finding::Wrong(mistake),
    }
}

/// A name that is not among the known ones, with the nearest of them.
pub(super) fn unknown(what: &str, name: &str, place: &Place, known: &[&str]) -> Mistake {
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => format!("there is no {what} at all"),
        None => format!("known: {}", list(known)),
    };
    place.mistake(format!("there is no {what} named `{}`", shorten(name)), Some(hint))
}

/// Names for a message, not more than a reader takes in.
pub(super) fn list(names: &[&str]) -> String {
    const SHOWN: usize = 24;
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown}, ...") } else { shown }
}

fn defines(class: &'static str, text: &str, place: &Place) -> Finding {
    match label(text, place, 63) {
        Ok(()) => Finding::Defines(class),
        Err(mistake) => Finding::Wrong(mistake),
    }
}

fn label(text: &str, place: &Place, max: usize) -> Result<(), Mistake> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = !text.is_empty() && text.len() <= max && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-');
    if good {
        return Ok(());
    }
    let message = format!("`{}` is not a name: expected lower-case letters, digits and hyphens, at most {max}", shorten(text));
    Err(place.mistake(message, None))
}

fn node(text: &str, place: &Place, world: &World) -> Result<(), Mistake> {
    for prefix in ["holder:", "other:"] {
        if let Some(service) = text.strip_prefix(prefix) {
            return object(service, place, 1..=2, &format!("`{prefix}<service>` or `{prefix}<namespace>/<service>`"));
        }
    }
    if text.contains(':') {
        let message = format!("`{}` is not a node: expected a name, `holder:<service>`, `other:<service>` or `of:<step>`", shorten(text));
        return Err(place.mistake(message, None));
    }
    let names: Vec<&str> = world.nodes.iter().map(String::as_str).collect();
    if names.contains(&text) { Ok(()) } else { Err(unknown("node", text, place, &names)) }
}

fn vantage(text: &str, place: &Place, world: &World) -> Result<(), Mistake> {
    if text == "client" {
        if world.client.is_empty() {
            let hint = Some("give `lab.client` a network".to_owned());
            return Err(place.mistake("there is no outside client in this lab", hint));
        }
        return Ok(());
    }
    match text.split_once('/') {
        Some(("node", name)) => node(name, place, world),
        Some(("pod", name)) => pod(name, place, world),
        _ => {
            let message = format!("`{}` is not a place to probe from", shorten(text));
            let hint = "expected `client`, `node/<name>`, `pod/<backend>` or `pod/<backend>/<n>`";
            Err(place.mistake(message, Some(hint.to_owned())))
        }
    }
}

fn pod(text: &str, place: &Place, world: &World) -> Result<(), Mistake> {
    let (name, number) = match text.split_once('/') {
        None => (text, None),
        Some((name, number)) => (name, Some(number)),
    };
    let Some(replicas) = world.backends.get(name) else {
        let known: Vec<&str> = world.backends.keys().map(String::as_str).collect();
        return Err(unknown("backend", name, place, &known));
    };
    let Some(number) = number else { return Ok(()) };
    match number.parse::<u64>() {
        Ok(n) if n < *replicas => Ok(()),
        Ok(n) => Err(place.mistake(format!("backend `{name}` has {replicas} pods, there is no number {n} (counted from 0)"), None)),
        Err(_) => Err(place.mistake(format!("`{}` is not the number of a pod", shorten(number)), None)),
    }
}

fn object(text: &str, place: &Place, parts: std::ops::RangeInclusive<usize>, expected: &str) -> Result<(), Mistake> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == ':';
    let pieces: Vec<&str> = text.split('/').collect();
    let good = parts.contains(&pieces.len()) && pieces.iter().all(|p| !p.is_empty() && p.len() <= 253 && p.chars().all(inner));
    if good {
        return Ok(());
    }
    Err(place.mistake(format!("`{}` names no object: expected {expected}", shorten(text)), None))
}

fn file(text: &str, place: &Place) -> Result<(), Mistake> {
    let clean =
        !text.is_empty() && !text.starts_with('/') && !text.contains('\\') && text.split('/').all(|p| !matches!(p, "" | "." | ".."));
    if clean {
        return Ok(());
    }
    let message = format!("`{}` is not a file beside the scenario: expected a relative path such as manifests/gateway.yaml", shorten(text));
    Err(place.mistake(message, None))
}

fn address(text: &str, place: &Place) -> Result<(), Mistake> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    match placeholders::find(text) {
        Ok(found) if found.len() == 1 => Ok(()),
        Ok(_) => Err(place.mistake(format!("`{}` is not an address", shorten(text)), None)),
        Err(bad) => Err(place.mistake(bad.to_string(), None)),
    }
}
