//! Ids of a scenario: who gives them, who points at them, and whether the two meet.

use std::collections::{BTreeMap, BTreeSet};

use super::meaning::{self, Finding};
use super::rules;
use super::shape::Meaning;
use super::tree::{Node, Place, shorten};
use super::world::{Definition, Reference, Wants, World};
use crate::mistakes::Mistake;

/// Verbs that are checks whatever else they have.
const ALWAYS_CHECKS: &[&str] = &["eventually", "consistently", "never", "count", "distribution", "downtime", "upgrade"];

/// Verbs that are checks when they have an `expect`.
const PROBES: &[&str] = &["http", "tls", "l4", "ping", "arp", "status", "lease", "config"];

/// Collects definitions and references while a tree is walked.
pub(super) struct Names<'a> {
    world: &'a World,
    definitions: Vec<Definition>,
    references: Vec<Reference>,
    checks: BTreeSet<String>,
    /// A canary and the capture it is looked for in: both must be of the same `during`.
    pairs: Vec<Pair>,
    /// Numbers of the `during` steps entered and not left, innermost last.
    during: Vec<usize>,
    during_count: usize,
    in_variants: usize,
    /// Class of the watch being walked, by id.
    watches: BTreeMap<String, String>,
    /// The `during` each id belongs to.
    home: BTreeMap<String, Option<usize>>,
}

struct Pair {
    /// The probe; absent = the step in which this stands.
    canary: Option<String>,
    home: Option<usize>,
    capture: String,
    place: Place,
}

impl Meaning for Names<'_> {
    fn text(&mut self, mark: &str, text: &str, place: &Place, mistakes: &mut Vec<Mistake>) {
        match meaning::check(mark, text, place, self.world) {
            Finding::Fine => {}
            Finding::Wrong(mistake) => mistakes.push(mistake),
            Finding::Later(reference) => self.references.push(reference),
            Finding::Defines(class) => {
                self.home.entry(text.to_owned()).or_insert(self.during.last().copied());
                self.definitions.push(Definition {
                    id: text.to_owned(),
                    place: place.clone(),
                    class,
                    watch: self.watches.get(text).cloned(),
                    replaces: self.in_variants > 0,
                });
            }
        }
    }

    fn enter(&mut self, name: &str, node: &Node, mistakes: &mut Vec<Mistake>) {
        rules::check(name, node, self.world, mistakes);
        match name {
            "Variant" => self.in_variants += 1,
            "During" => {
                self.during.push(self.during_count);
                self.during_count += 1;
                for (key, watch) in node.get("watch").map(Node::entries).unwrap_or_default() {
                    if let Some((class, _)) = watch.entries().first() {
                        self.watches.insert(key.name.clone(), class.name.clone());
                    }
                }
            }
            "Step" => self.step(node, mistakes),
            "Never" => {
                self.pair(node, "in");
                self.pair(node, "seenIn");
            }
            "Count" => self.pair(node, "in"),
            "TlsExpect" => self.second_hop(node),
            _ => {}
        }
    }

    fn leave(&mut self, name: &str) {
        match name {
            "Variant" => self.in_variants -= 1,
            "During" => {
                self.during.pop();
            }
            _ => {}
        }
    }
}

impl<'a> Names<'a> {
    pub(super) fn new(world: &'a World) -> Names<'a> {
        Names {
            world,
            definitions: Vec::new(),
            references: Vec::new(),
            checks: BTreeSet::new(),
            pairs: Vec::new(),
            during: Vec::new(),
            during_count: 0,
            in_variants: 0,
            watches: BTreeMap::new(),
            home: BTreeMap::new(),
        }
    }

    fn step(&mut self, node: &Node, mistakes: &mut Vec<Mistake>) {
        let Some((verb, body)) = node.entries().first() else { return };
        let expects = body.get("expect").is_some_and(|expect| !expect.is_null());
        let is_check = ALWAYS_CHECKS.contains(&verb.name.as_str())
            || (PROBES.contains(&verb.name.as_str()) && expects)
            || body.get("expectError").is_some_and(|expect| !expect.is_null());
        if !is_check {
            return;
        }
        match body.get("id").and_then(Node::text) {
            Some(id) => {
                self.checks.insert(id.to_owned());
            }
            None if ALWAYS_CHECKS.contains(&verb.name.as_str()) => {}
            None => {
                let hint = Some("verdicts and faults name a check by its `id`".to_owned());
                mistakes.push(verb.place.mistake(format!("this `{}` expects something and has no `id`", verb.name), hint));
            }
        }
    }

    fn pair(&mut self, node: &Node, key: &str) {
        let (Some(canary), Some(capture)) = (node.get("canary"), node.get(key)) else { return };
        let (Some(id), Some(capture)) = (canary.text(), capture.text()) else { return };
        self.pairs.push(Pair { canary: Some(id.to_owned()), home: None, capture: capture.to_owned(), place: canary.place.clone() });
    }

    fn second_hop(&mut self, node: &Node) {
        let Some(hop) = node.get("secondHop") else { return };
        let Some(capture) = hop.text() else { return };
        let home = self.during.last().copied();
        self.pairs.push(Pair { canary: None, home, capture: capture.to_owned(), place: hop.place.clone() });
    }

    /// Looks every reference up.
    pub(super) fn resolve(self, mistakes: &mut Vec<Mistake>) {
        let mut known: BTreeMap<&str, &Definition> = BTreeMap::new();
        for definition in self.definitions.iter().filter(|definition| !definition.replaces) {
            if let Some(first) = known.insert(&definition.id, definition) {
                let message = format!("the id `{}` is given twice, first on line {}", definition.id, first.place.line);
                mistakes.push(definition.place.mistake(message, None));
                known.insert(&definition.id, first);
            }
        }
        for definition in self.definitions.iter().filter(|definition| definition.replaces) {
            if !known.contains_key(definition.id.as_str()) {
                let ids: Vec<&str> = known.keys().copied().collect();
                let mut mistake = meaning::unknown("step", &definition.id, &definition.place, &ids);
                mistake.message = format!("`{}` replaces a step that is not there", definition.id);
                mistakes.push(mistake);
            }
        }
        for reference in &self.references {
            if let Some(mistake) = self.look_up(reference, &known) {
                mistakes.push(mistake);
            }
        }
        self.same_during(&known, mistakes);
    }

    fn look_up(&self, reference: &Reference, known: &BTreeMap<&str, &Definition>) -> Option<Mistake> {
        let of = |good: &dyn Fn(&Definition) -> bool| -> Vec<&str> {
            known.values().filter(|definition| good(definition)).map(|definition| definition.id.as_str()).collect()
        };
        let (what, ids) = match reference.wants {
            Wants::Watch => ("watch", of(&|d| d.class == "watch")),
            Wants::Capture => ("capture", of(&|d| d.watch.as_deref() == Some("capture"))),
            Wants::Probe => ("probe", of(&|d| matches!(d.class, "probe" | "lease"))),
            Wants::Lease => ("lease step", of(&|d| d.class == "lease")),
            Wants::Config => ("config step", of(&|d| d.class == "config")),
            Wants::NodeStep => ("node step", of(&|d| d.class == "node")),
            // A step that acts is no check, but a fault may keep it from being carried out.
            Wants::Check => ("check", of(&|d| self.checks.contains(&d.id) || matches!(d.class, "step" | "node"))),
        };
        if ids.contains(&reference.id.as_str()) {
            return None;
        }
        let mut mistake = meaning::unknown(what, &reference.id, &reference.place, &ids);
        if known.contains_key(reference.id.as_str()) {
            mistake.message = format!("`{}` is not a {what}", shorten(&reference.id));
        }
        Some(mistake)
    }

    fn same_during(&self, known: &BTreeMap<&str, &Definition>, mistakes: &mut Vec<Mistake>) {
        for pair in &self.pairs {
            let Some(capture) = known.get(pair.capture.as_str()).filter(|d| d.watch.is_some()) else { continue };
            let capture_home = self.home.get(&capture.id).copied().flatten();
            let (who, home) = match &pair.canary {
                Some(id) if known.contains_key(id.as_str()) => (format!("`{id}`"), self.home.get(id).copied().flatten()),
                Some(_) => continue,
                None => ("this step".to_owned(), pair.home),
            };
            if home != capture_home {
                let message = format!("{who} does not run while `{}` watches", pair.capture);
                mistakes.push(pair.place.mistake(message, Some("put both into the same `during`".to_owned())));
            }
        }
    }
}
